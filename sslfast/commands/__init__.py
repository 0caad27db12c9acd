"""The commands, each in the file of its name: what a person asks for, from the command line or from Python."""
