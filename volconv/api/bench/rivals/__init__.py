"""Other libraries on the same layers, each in its own process, set up as its documentation advises for speed."""
