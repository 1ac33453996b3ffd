"""The command line: one file a command; commands print and delegate, and compute nothing."""
