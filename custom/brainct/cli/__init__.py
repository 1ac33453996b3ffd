"""The command line: one file a command; every line here prints, asks or delegates."""
