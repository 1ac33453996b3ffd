"""Sound replies of a site, which tests spoil."""

import numpy as np

from brainct.ct.metrics import scores

COUNTS = {"scans": 8, "positives": {"any": 4}, "negatives": {"any": 4}}


ABOUT = {"kind": "manifest", "folds": {"train": COUNTS}, "fingerprint": "0" * 64, "notes": ["4 scans are tilted"]}


PACKAGE = "0.1.0-0123456789abcdef"


SCORE = scores(np.array([[0.0, 1.0] * 3] * 4 + [[1.0, 0.0] * 3] * 4), np.full((8, 6), 0.5))["any"]
