"""Convex hulls."""

import numpy as np
from scipy.optimize import linprog


def in_hull(point, corners, slack=1e-7):
    """Whether a point is a convex combination of the corners, up to a slack in each number, by linear programming."""
    count, dims = corners.shape
    scale = max(1.0, np.abs(corners).max())
    rows = np.vstack([corners.T, -corners.T]) / scale
    limits = np.concatenate([point, -point]) / scale + slack
    found = linprog(np.zeros(count), A_ub=rows, b_ub=limits, A_eq=np.ones((1, count)), b_eq=[1.0], bounds=(0, None))
    return found.status == 0
