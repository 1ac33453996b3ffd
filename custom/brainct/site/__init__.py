"""A hospital's side of a run: what it keeps on its own disk and which orders it answers."""
