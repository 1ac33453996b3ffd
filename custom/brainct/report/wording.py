"""Numbers and lists as a report says them, and the definitions of all that it counts."""

from collections.abc import Sequence

from brainct.ct.metrics import THRESHOLD

ANY = "any"
"""The finding that pages speak of first."""

FINDINGS_IN_WORDS = {"any": "any bleeding"}

NOT_A_DEVICE = "Research software and no medical device: nothing here may be used for the diagnosis of a patient."

DEFINITIONS = {
    "AUROC": "The area under the receiver operating characteristic: the share of all pairs of a scan with the finding "
    "and one without in which the model gives the first the higher probability; ties count half. 1 is perfect, 0.5 is "
    "chance. Not defined for a hospital whose test scans are all of one class.",
    "95 % interval of an AUROC": "The 2.5th and 97.5th percentile of the AUROC over resamples of the test scans, drawn "
    "with replacement within each class: where it might lie had other scans of the same hospital been tested. It says "
    "nothing of another training run and nothing of another hospital, and with very few scans it is too narrow. An "
    "AUROC without a whisker has none in the record.",
    "Balanced accuracy": "The mean of sensitivity and specificity where a probability of "
    f"{THRESHOLD:g} or more counts as positive.",
    "Sensitivity at 90 % specificity": "The largest share of scans with the finding that is recognised at any "
    "threshold which leaves at least 90 % of the scans without it unflagged.",
    "Brier score": "The mean squared difference of probability and truth (0 or 1); 0 is perfect, and 0.25 is what a "
    "constant 0.5 gets.",
    "Calibration error (ECE)": "Ten bins of equal width by probability; the absolute difference of mean probability "
    "and share of positives in a bin, averaged over the bins weighted by their scans (Naeini, Cooper, Hauskrecht, AAAI "
    "2015). 0 is perfect. With few scans it is above 0 even for a perfect model.",
    "Mean over hospitals": "Each hospital counts once, however many scans it has; one at which a score is not defined "
    "is left out.",
    "Spread": "The highest minus the lowest of the hospitals' scores; SD is the sample standard deviation over "
    "hospitals.",
    "Test scans": "Set aside before the first round, never trained on, and looked at once, at the end. All scans of "
    "one patient, where patients are known, are in one fold.",
    "The model that is judged": "At each hospital the one that it would use itself: the common model, or its own where "
    "the method gives it one.",
    "Training loss": "The mean binary cross-entropy over the labelled outputs of a hospital's training scans in a "
    "round.",
    "Traffic": "Bytes of the tasks sent to a hospital and of its answers, before the transport's own overhead.",
    "Seconds": "Wall time of a round on the server's clock, from the first task sent to the model updated; other work "
    "may share the machine.",
}
"""What every number of a run's page means."""


def decimals(value: float | None, places: int = 2) -> str:
    """A number, or a dash."""
    return "–" if value is None else f"{value:.{places}f}"


def percent(share: float) -> str:
    """A share in percent, with a space that does not break."""
    return f"{100 * share:.0f}\u00a0%"


def interval(ends: tuple[float, float] | None) -> str:
    """Two ends, or nothing."""
    return "" if ends is None else f"{ends[0]:.2f} to {ends[1]:.2f}"


def size(count: float) -> str:
    """Bytes in the unit that fits."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def counted(count: int, one: str, many: str = "") -> str:
    """A number with its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def sites(names: Sequence[str], all_names: Sequence[str]) -> str:
    """Hospitals by name, or how many if it is all of several."""
    everybody = len(names) > 2 and set(names) == set(all_names)
    return f"all {len(names)} hospitals" if everybody else listing(names)


def listing(names: Sequence[str], most: int = 8) -> str:
    """Names joined by commas; a long list is cut, and how many are left out is said."""
    if len(names) > most + 1:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def finding(name: str) -> str:
    """A finding in words."""
    return FINDINGS_IN_WORDS.get(name, name)


def spans(numbers: Sequence[int]) -> str:
    """Whole numbers, rising, as `0-3, 5`."""
    parts: list[list[int]] = []
    for each in numbers:
        if parts and parts[-1][-1] == each - 1:
            parts[-1][1:] = [each]
        else:
            parts.append([each])
    return ", ".join("–".join(map(str, part)) for part in parts)
