"""The shipped specs, one YAML file each; the first comment line of a file is its one-line description."""
