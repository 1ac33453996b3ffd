"""A site's side of a run: replies to requests, stores client state, trains in a worker process; knows no FLARE."""
