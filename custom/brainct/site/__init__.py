"""A site's side of a run: answers requests, keeps the site's state, trains in a worker process; knows no FLARE."""
