"""What the words of a comparison's page mean."""

from brainct.compare.comparison import BASELINE
from brainct.compare.leaderboard import SURE


def comparison_terms(title: str) -> dict[str, str]:
    """The terms of a comparison's page. title: the score's name."""
    return {
        "Setting": (
            "A federation (hospitals x training scans at each, and how they differ) and a number of rounds; all "
            "schemes of a setting train equally long on the same scans."
        ),
        "Difference": (
            f"A scheme's mean {title} over hospitals minus {BASELINE}'s with the same seed, so on the same scans "
            "and from the same first weights; then the mean over seeds."
        ),
        "95 % interval over seeds": (
            "Percentile bootstrap of the mean over seeds, widened for few seeds (Hesterberg, The American "
            "Statistician 69:371, 2015)."
        ),
        "p, Holm": (
            "Two-sided sign-flip permutation test of the paired differences, corrected by Holm's method for all "
            f"schemes of one setting. “Beyond chance” means less than {SURE:g}. n seeds can't give less than "
            "2/2^n."
        ),
        "Alone": "Each hospital trains on its own scans only, for as many steps.",
        "Pooled": (
            "All hospitals' training scans in one place: the level that a federation aims for. Not allowed in "
            "practice; a bound."
        ),
        "Equal bytes": (
            "The bytes that a hospital has received and sent so far, as a share of those of a whole run of "
            f"{BASELINE}; the {title} is that of the last evaluation on validation scans up to there."
        ),
        "Found, missed, false alarms, rightly passed": (
            "Test scans with the finding at or above and below the threshold; scans without it at or above and "
            "below the threshold. Sensitivity is found / (found + missed), specificity rightly passed / (rightly "
            "passed + false alarms). If hospitals share test scans, each one's answers count."
        ),
        "Worst hospital": f"The lowest {title} among the hospitals of a run, then the mean over seeds.",
        "Held-out hospital": (
            "A hospital that takes no part in training, tested with the model that it would be given."
        ),
        "Converged": (
            "With more rounds the same seeds gained nothing beyond chance: the interval of the gain reaches 0."
        ),
        "Tuned arguments": (
            "If a scheme has a grid, its point was chosen on validation scans, and only its test scores are shown."
        ),
    }
