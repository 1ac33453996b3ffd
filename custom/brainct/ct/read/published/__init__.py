"""The label files of published sets, each in its own layout; one layout a file."""
