"""The server's side of a run: rounds, replies, record, checkpoint, and the rehearsal in one process; knows no FLARE."""
