"""Page one of a head CT run in a clinician's words: the model, the scans, how good it is, how sure that is."""

import statistics
from collections.abc import Sequence

from brainct.ct.folds import FINDINGS
from brainct.ct.metrics import THRESHOLD
from brainct.pages.wording import counted, listing, percent
from brainct.report.ct.definitions import ANY
from brainct.report.readable_record import Confusion, Record, Scores, aurocs, findings_of, scores_of

MODEL = "A neural network that looks at a CT of the head and gives a probability for each of "
SIX = "six findings: five kinds of intracranial bleeding, and any of them."


def model_in_words(record: Record) -> str:
    """What a head CT run trains."""
    findings = findings_of(record)
    return MODEL + (SIX if findings == list(FINDINGS) else f"{counted(len(findings), 'finding')}: {listing(findings)}.")


def scans_in_words(record: Record) -> str:
    """How many scans there were, and how many with a bleeding."""
    train, valid, test = (sum(one.scans(fold) for one in record.sites.values()) for fold in ("train", "valid", "test"))
    bleeds = sum(one.folds["train"].positives.get(ANY, 0) for one in record.sites.values() if "train" in one.folds)
    return (
        f"{counted(train, 'scan')} to learn from, {bleeds:,} of them with a bleeding; {valid:,} to watch the training; "
        f"{test:,} set aside for the test."
    )


def how_good(record: Record) -> list[str]:
    """The AUROC in words, the answers at the threshold, and where it is lowest and highest."""
    found = aurocs(record)
    if not found:
        return ["Nothing was tested." if not record.test else "No hospital's test scans have both classes."]
    mean = statistics.fmean(found.values())
    low, high = min(found, key=found.__getitem__), max(found, key=found.__getitem__)
    sentences = [
        f"Given one scan with a bleeding and one without, the model ranks the bleeding higher in {percent(mean)} of "
        f"cases (AUROC {mean:.2f}, mean over {counted(len(found), 'hospital')}; {percent(0.5)} would be chance)."
    ]
    if given := [one.confusion for one in scores_of(record).values() if one.confusion]:
        total = Confusion.of_all(given)
        sentences.append(
            f"Counting {percent(THRESHOLD)} or more as “bleeding”, {total.tp} of {total.tp + total.fn} bleedings were "
            f"found, and {total.fp} of {counted(total.fp + total.tn, 'scan')} without one were false alarms."
        )
    if len(found) > 1:
        sentences.append(f"Lowest at {low} ({found[low]:.2f}), highest at {high} ({found[high]:.2f}).")
    return [*sentences, *_without_score(record, sorted(set(record.test) - set(found)))]


def _without_score(record: Record, undefined: Sequence[str]) -> list[str]:
    sentences = []
    if undefined:
        reasons = {record.test[site][ANY].reason if ANY in record.test[site] else None for site in undefined}
        words = listing(sorted(reason or "no score was sent" for reason in reasons))
        sentences.append(f"Not defined at {listing(undefined)}: {words}.")
    if missing := sorted(set(record.sites) - set(record.test)):
        sentences.append(f"Not tested: {listing(missing)} did not reply at the end.")
    return sentences


def how_sure(record: Record) -> list[str]:
    """How large the tests are, and the widest interval."""
    tested = scores_of(record)
    if not tested:
        return ["There is no score to be sure of."]
    scans = [one.positives + one.negatives for one in tested.values()]
    widest = max(tested, key=lambda site: _width(tested[site]))
    if ends := tested[widest].auroc_interval:
        detail = f"at {widest} the 95 % interval reaches from {ends[0]:.2f} to {ends[1]:.2f}."
    else:
        detail = "one scan more or less can change a hospital's number visibly; this record holds no intervals."
    return [
        f"Each hospital tested on {_range(scans)} scans. Small tests are uncertain: {detail}",
        "One training run with one seed; another seed or another split would give other numbers.",
    ]


def _range(counts: Sequence[int]) -> str:
    return f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"


def _width(one: Scores) -> float:
    return one.auroc_interval[1] - one.auroc_interval[0] if one.auroc_interval else 0.0
