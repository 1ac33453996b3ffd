"""The commands that are not a few lines: one module each, registered in cli.py."""
