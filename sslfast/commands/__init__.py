"""The commands, one a file, named for it: each is a function, for the command line and for Python."""
