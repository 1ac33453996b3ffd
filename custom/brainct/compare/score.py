"""The score that comparisons rank schemes by, in words: that of head CT, the workload of `brainct compare`."""

NAME = "AUROC"
"""In heads of columns and in sentences."""

SUBJECT = "any bleeding"
"""The finding whose scores are compared."""

POSITIVE = "bleeding"
"""The answer of a model above the threshold."""

OTHERS = {"Brier": "brier", "ECE": "ece"}
"""Further scores of a leaderboard, by the head of their column."""
