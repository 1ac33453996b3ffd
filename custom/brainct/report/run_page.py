"""The page of one run: what was trained, by whom, on how many scans, how good, how sure, what was lost, what left."""

import statistics
from collections.abc import Sequence

from brainct.ct.metrics import THRESHOLD
from brainct.pages.page import Page, Section
from brainct.report import wording
from brainct.report.run_folder import (
    Confusion,
    Record,
    RunFolder,
    Scores,
    aurocs,
    everyone,
    network,
    scores_of,
    seconds_of,
    traffic,
)
from brainct.report.saliency import examples
from brainct.report.sections.barriers import barriers
from brainct.report.sections.hospitals import hospitals, participation, traffic_and_time
from brainct.report.sections.model_card import card, origin
from brainct.report.sections.quality import by_finding, by_hospital, calibration, confusion, fairness, learning, quality
from brainct.report.wording import ANY, counted, listing
from brainct.schemes import SCHEMES, about


def run_page(run: RunFolder) -> Page:
    """All that a run's folder tells."""
    record = run.record
    parts = [
        hospitals(record),
        participation(record),
        learning(record),
        quality(record),
        fairness(record),
        calibration(record),
        confusion(record),
        traffic_and_time(record),
        barriers(run),
        examples(run),
        card(run),
        origin(record),
        Section("Definitions", terms=wording.DEFINITIONS),
    ]
    title = f"{record.scheme} at {counted(len(run.sites), 'hospital')}" if run.sites else "A run that left little"
    where = f"run folder “{run.folder.resolve().name}”"
    return Page(
        title=title,
        subtitle=", ".join(filter(None, [network(record), counted(len(record.rounds), "round"), where])),
        warnings=warnings(run),
        answers=answers(run),
        first=Section("In short", pictures=[by_hospital(record), by_finding(record)] if record.test else []),
        sections=[part for part in parts if part is not None],
        footer=f"Made from record.json by brainct. {wording.NOT_A_DEVICE}",
    )


def warnings(run: RunFolder) -> list[str]:
    """What must be read before any number."""
    record = run.record
    kinds = {record.sites[site].kind for site in run.sites}
    said = []
    if not run.recorded:
        said.append("This run closed no round: it left no record, no model and no score.")
    elif not run.finished:
        rounds = record.plan.get("rounds", "?")
        said.append(
            f"This run did not come to its end: {len(record.rounds)} of {rounds} rounds were closed. Nothing was "
            "tested."
        )
    if kinds == {"phantom"}:
        said.append("Synthetic phantom scans, drawn by a program: these numbers say nothing about patients.")
    elif "phantom" in kinds:
        phantoms = [site for site in run.sites if record.sites[site].kind == "phantom"]
        said.append(f"Synthetic phantom scans, not patients, at {listing(phantoms)}.")
    return said


def answers(run: RunFolder) -> list[tuple[str, list[str]]]:
    """Page one, in a clinician's words."""
    if not run.recorded:
        return [("What is known?", _without_record(run)), ("What may it be used for?", ["Nothing: there is no model."])]
    record = run.record
    return [
        ("What was trained?", _what(record)),
        ("By whom, on how many scans?", _whom(record)),
        ("How good is it?", how_good(record)),
        ("How sure is that?", _how_sure(record)),
        ("What was lost?", _lost(record)),
        ("What left the hospitals?", _left(record)),
    ]


def _without_record(run: RunFolder) -> list[str]:
    left = sorted(path.name for path in run.folder.iterdir())
    return [
        f"The folder holds {listing(left)}. A run writes its record when its first round is closed, so this one ended "
        "before that: the server was stopped, or too few hospitals answered.",
        "The server's log says which. No hospital lost anything but time; the job can be submitted again.",
    ]


def _what(record: Record) -> list[str]:
    method = f"{record.scheme} ({about(record.scheme).paper})" if record.scheme in SCHEMES else record.scheme
    took = f"{counted(len(record.rounds), 'round')} over {wording.duration(record.seconds or seconds_of(record))}"
    return [
        "A neural network that looks at a CT of the head and gives a probability for each of six findings: five kinds "
        "of intracranial bleeding, and any of them.",
        f"The hospitals trained it together with the method {method}, in {took}."
        if record.rounds
        else f"The hospitals were to train it together with the method {method}, and no round was closed.",
    ]


def _whom(record: Record) -> list[str]:
    sites = sorted(record.sites)
    if not sites:
        return ["No hospital said what scans it has."]
    train, valid, test = (sum(record.sites[site].scans(fold) for site in sites) for fold in ("train", "valid", "test"))
    bleeds = sum(
        record.sites[site].folds["train"].positives.get(ANY, 0) for site in sites if _has(record, site, "train")
    )
    return [
        f"{counted(len(sites), 'hospital')}: {listing(sites)}.",
        f"{counted(train, 'scan')} to learn from, {bleeds:,} of them with a bleeding; {valid:,} to watch the training; "
        f"{test:,} set aside for the test.",
    ]


def _has(record: Record, site: str, fold: str) -> bool:
    return fold in record.sites[site].folds


def how_good(record: Record) -> list[str]:
    """The one number, in words, and where it is lowest and highest."""
    found = aurocs(record)
    if not found:
        return ["Nothing was tested." if not record.test else "No hospital's test scans hold both classes."]
    mean, low, high = (
        statistics.fmean(found.values()),
        min(found, key=found.__getitem__),
        max(found, key=found.__getitem__),
    )
    said = [
        f"Given one scan with a bleeding and one without, the model ranks the bleeding higher in {wording.percent(mean)} "
        "of cases "
        f"(AUROC {mean:.2f}, mean over {counted(len(found), 'hospital')}; {wording.percent(0.5)} would be chance)."
    ]
    if given := [one.confusion for one in scores_of(record).values() if one.confusion]:
        total = Confusion.of_all(given)
        said.append(
            f"Counting {wording.percent(THRESHOLD)} or more as “bleeding”, {total.tp} of {total.tp + total.fn} bleedings "
            f"were found, and {total.fp} of {counted(total.fp + total.tn, 'scan')} without one were false alarms."
        )
    if len(found) > 1:
        said.append(f"Lowest at {low} ({found[low]:.2f}), highest at {high} ({found[high]:.2f}).")
    without = sorted(set(record.test) - set(found))
    if without:
        said.append(f"Not defined at {listing(without)}: {_reasons(record, without)}.")
    missing = sorted(set(record.sites) - set(record.test))
    if missing:
        said.append(f"Not tested: {listing(missing)} did not answer at the end.")
    return said


def _reasons(record: Record, sites: Sequence[str]) -> str:
    found = {record.test[site][ANY].reason if ANY in record.test[site] else None for site in sites}
    return listing(sorted(reason or "no score was sent" for reason in found))


def _how_sure(record: Record) -> list[str]:
    tested = scores_of(record)
    if not tested:
        return ["There is nothing to be sure of."]
    scans = [one.positives + one.negatives for one in tested.values()]
    said = [f"Each hospital tested on {_range(scans)} scans. Small tests are uncertain:"]
    widest = max(tested, key=lambda site: _width(tested[site]))
    if ends := tested[widest].auroc_interval:
        said[0] += f" at {widest} the 95 % interval reaches from {ends[0]:.2f} to {ends[1]:.2f}."
    else:
        said[0] += " one scan more or less can move a hospital's number visibly; this record holds no intervals."
    said.append("One training run with one seed; another seed or another split would give other numbers.")
    return said


def _range(counts: Sequence[int]) -> str:
    return f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"


def _width(one: Scores) -> float:
    return one.auroc_interval[1] - one.auroc_interval[0] if one.auroc_interval else 0.0


def _lost(record: Record) -> list[str]:
    if not record.rounds:
        return ["No round was closed."]
    missed = {site: [row.round for row in record.rounds if site in row.lost] for site in everyone(record)}
    missed = {site: rounds for site, rounds in missed.items() if rounds}
    if not missed:
        return [f"Nothing: every hospital that was asked answered in all {counted(len(record.rounds), 'round')}."]
    said = [
        f"{site} was missing in {counted(len(rounds), 'round')} of {len(record.rounds)} (round {wording.spans(rounds)})."
        for site, rounds in list(missed.items())[:5]
    ]
    if len(missed) > 5:
        said.append(f"So were {len(missed) - 5} more hospitals; see Participation.")
    return [*said, "Rounds are counted from 0. A missing hospital costs its share of that round, and the rest goes on."]


def _left(record: Record) -> list[str]:
    up = traffic(record)[1]
    size = f" ({wording.size(record.model_bytes)})" if record.model_bytes else ""
    sends = (
        f"{about(record.scheme).sends}, where P is the model{size}" if record.scheme in SCHEMES else "see its method"
    )
    return [
        "No scan, no label of a single scan, no file name and no patient identifier.",
        f"What travels in a round: {sends}. Beside it: counts of scans and findings, a fingerprint of the data, the "
        f"training loss, and scores. In all, {wording.size(up)} came from the hospitals.",
        "A model can hold traces of what it learned from; see the page on privacy that comes with the software.",
    ]
