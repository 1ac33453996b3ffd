"""The words of head CT: its findings and its scores."""

from brainct.ct.metrics import THRESHOLD

ANY = "any"
"""The finding that pages show first."""


def finding_in_words(name: str) -> str:
    """A finding as a reader knows it."""
    return "any bleeding" if name == ANY else name


def outputs_in_words(name: str) -> str:
    """The outputs that a loss is over: one finding, or `all`."""
    return "all outputs" if name == "all" else finding_in_words(name)


PHANTOM = "Synthetic phantom scans, drawn by a program: these numbers say nothing about patients."

SCORES = {
    "AUROC": "The area under the receiver operating characteristic: the share of all pairs of a scan with the finding "
    "and one without in which the model gives the first the higher probability; ties count half. 1 is perfect, 0.5 is "
    "chance. Not defined for a hospital whose test scans are all of one class.",
    "95 % interval of an AUROC": "The 2.5th and 97.5th percentile of the AUROC over resamples of the test scans, drawn "
    "with replacement within each class: the range that other test scans of the same hospital might give. It says "
    "nothing about another training run or another hospital, and with very few scans it is too narrow. An AUROC "
    "without a whisker has no interval in the record.",
    "Balanced accuracy": "The mean of sensitivity and specificity; a probability of "
    f"{THRESHOLD:g} or more counts as positive.",
    "Sensitivity at 90 % specificity": "The largest share of scans with the finding that is recognised at any "
    "threshold which leaves at least 90 % of the scans without it unflagged.",
    "Brier score": "The mean squared difference of probability and truth (0 or 1); 0 is perfect, and a constant 0.5 "
    "gets 0.25.",
    "Calibration error (ECE)": "Ten bins of equal width by probability; the absolute difference of mean probability "
    "and share of positives in a bin, averaged over the bins weighted by their scans (Naeini, Cooper, Hauskrecht, AAAI "
    "2015). 0 is perfect. With few scans it is above 0 even for a perfect model.",
    "Test scans": "Set aside before the first round, never trained on, and evaluated once, at the end. All scans of "
    "one patient, if patients are known, are in one fold.",
    "Training loss": "The mean binary cross-entropy over the labelled outputs of a hospital's training scans in a "
    "round.",
}
"""The terms of head CT's scores."""
