"""What is done to whole label maps after the last tile: a file for each operator, found by its kernel's name."""
