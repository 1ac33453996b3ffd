"""The page of one run: what was trained, by whom, on how much data, how good, how sure, what was lost, what left."""

from collections.abc import Sequence

from brainct.pages.page import Page, Section
from brainct.pages.wording import counted, duration, listing, size, spans
from brainct.report import definitions
from brainct.report.readable_record import Record, everyone, network, seconds_of, traffic
from brainct.report.run_folder import RunFolder
from brainct.report.sections.barriers import barriers
from brainct.report.sections.cross_site import cross_site
from brainct.report.sections.origin import origin
from brainct.report.sections.rounds import participation, traffic_and_time
from brainct.report.workload_part import WorkloadPart, part_of
from brainct.schemes import SCHEMES, about

MOST_MISSING = 5
"""Hospitals whose lost replies are listed one by one."""


def run_page(run: RunFolder) -> Page:
    """The whole page of a run's folder."""
    record, part = run.record, part_of(run)
    sections = [
        part.hospitals(),
        participation(record),
        part.learning(),
        *part.quality(),
        cross_site(run),
        traffic_and_time(record),
        barriers(run),
        *part.model(),
        origin(record),
        Section("Definitions", terms={**part.terms(), **definitions.RUN}),
    ]
    title = f"{record.scheme} at {counted(len(run.sites), 'hospital')}" if run.sites else "A run with almost no record"
    folder = f"run folder “{run.folder.resolve().name}”"
    return Page(
        title=title,
        subtitle=", ".join(filter(None, [network(record), counted(len(record.rounds), "round"), folder])),
        warnings=warnings(run),
        answers=_answers(run, part),
        first=Section("In short", pictures=part.pictures()),
        sections=[section for section in sections if section is not None],
        footer=f"Made from record.json by brainct. {definitions.NOT_A_DEVICE}",
    )


def warnings(run: RunFolder) -> list[str]:
    """What a reader must know before any number."""
    record = run.record
    sentences = []
    if not run.recorded:
        sentences.append("This run closed no round: it left no record, no model and no score.")
    elif not run.finished:
        rounds = record.plan.get("rounds", "?")
        sentences.append(
            f"This run did not finish: {len(record.rounds)} of {rounds} rounds were closed. Nothing was tested."
        )
    return [*sentences, *part_of(run).warnings()]


def _answers(run: RunFolder, part: WorkloadPart) -> list[tuple[str, list[str]]]:
    """Page one, in plain words."""
    if not run.recorded:
        return [("What is known?", _without_record(run)), ("What may it be used for?", ["Nothing: there is no model."])]
    record = run.record
    return [
        (f"What was {part.made()}?", [part.model_in_words(), _trained(record, part.made())]),
        ("By whom, on how much data?", _by_whom(record, part)),
        ("How good is it?", part.how_good()),
        ("How sure is that?", part.how_sure()),
        ("What was lost?", _lost(record)),
        ("What left the hospitals?", _left(record, part.left_in_words())),
    ]


def _without_record(run: RunFolder) -> list[str]:
    files = sorted(path.name for path in run.folder.iterdir())
    return [
        f"The folder holds {listing(files)}. A run writes its record when its first round is closed, so this one ended "
        "earlier: the server was stopped, or too few hospitals replied.",
        "The server's log states which. No hospital lost anything but time; the job can be submitted again.",
    ]


def _trained(record: Record, made: str) -> str:
    scheme = f"{record.scheme} ({about(record.scheme).paper})" if record.scheme in SCHEMES else record.scheme
    if not record.rounds:
        return f"The hospitals were to train it together with the scheme {scheme}, but no round was closed."
    took = f"{counted(len(record.rounds), 'round')} over {duration(record.seconds or seconds_of(record))}"
    return f"The hospitals {made} it together with the scheme {scheme}, in {took}."


def _by_whom(record: Record, part: WorkloadPart) -> list[str]:
    if not record.sites:
        return ["No hospital described its data."]
    return [f"{counted(len(record.sites), 'hospital')}: {listing(sorted(record.sites))}.", part.data_in_words()]


def _lost(record: Record) -> list[str]:
    if not record.rounds:
        return ["No round was closed."]
    missed = {site: [row.round for row in record.rounds if site in row.lost] for site in everyone(record)}
    missed = {site: rounds for site, rounds in missed.items() if rounds}
    if not missed:
        return [f"Nothing: every hospital that was asked replied in all {counted(len(record.rounds), 'round')}."]
    sentences = [_missing(site, rounds, len(record.rounds)) for site, rounds in list(missed.items())[:MOST_MISSING]]
    if len(missed) > MOST_MISSING:
        sentences.append(f"So were {len(missed) - MOST_MISSING} more hospitals; see Participation.")
    return [*sentences, "Rounds are counted from 0. A missing hospital has no share in that round; the run continues."]


def _missing(site: str, rounds: Sequence[int], total: int) -> str:
    return f"{site} was missing in {counted(len(rounds), 'round')} of {total} (round {spans(rounds)})."


def _left(record: Record, own: Sequence[str]) -> list[str]:
    up = traffic(record)[1]
    if own:
        return ["No row, no file name and no patient identifier.", *own, f"In all, {size(up)} came from the hospitals."]
    model = f" ({size(record.model_bytes)})" if record.model_bytes else ""
    sends = "see its scheme"
    if record.scheme in SCHEMES:
        sends = f"{about(record.scheme).sends}, where P is the model{model}"
    return [
        "No sample, no label of a single sample, no file name and no patient identifier.",
        f"In each round: {sends}. Also: counts of samples and labels, a fingerprint of the data, the training loss, "
        f"and scores. In all, {size(up)} came from the hospitals.",
        "A model can hold traces of its training data; see the page on privacy that comes with the software.",
    ]
