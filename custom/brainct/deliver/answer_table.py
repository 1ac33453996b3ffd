"""Answers on many studies as a CSV that grows by a row a study, so that an interrupted run continues where it was."""

import csv
import io
import os
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from brainct.core import serialization
from brainct.core.spreadsheet import spreadsheet_cell
from brainct.deliver.answer import Answer
from brainct.deliver.finished_model import FinishedModel
from brainct.errors import Refused


@dataclass(frozen=True)
class Counted:
    """answered, refused: studies of this run. before: rows that were there. seconds: of this run."""

    answered: int
    refused: int
    before: int
    seconds: float


def columns(model: FinishedModel) -> list[str]:
    """study; for each finding its probability, whether it is present, of masks its ml; slices; model; problem."""
    of_each = [""] + [" present"] + [" ml"] * model.masks
    return ["study", *(f"{name}{what}" for name in model.findings for what in of_each), "slices", "model", "problem"]


def row(model: FinishedModel, answer: Answer) -> list[str]:
    """The cells of an answer, in the order of `columns`."""
    cells = []
    for at in range(len(model.findings)):
        cells += [f"{answer.probabilities[at]:.6f}", str(int(answer.present[at]))]
        if model.masks:
            cells.append("" if answer.ml is None else f"{answer.ml[at]:.3f}")
    return [spreadsheet_cell(answer.study), *cells, str(answer.slices), model.sha256[:12], ""]


def refused_row(model: FinishedModel, study: str, problem: str) -> list[str]:
    """A study that could not be read, with the reason."""
    cells = [""] * (len(columns(model)) - 3)
    return [spreadsheet_cell(study), *cells, model.sha256[:12], spreadsheet_cell(" ".join(problem.split()))]


def fill(
    out: Path,
    model: FinishedModel,
    studies: Sequence[Path],
    answer: Callable[[Path], Answer],
    bar: Callable[[Iterable[Path], int, str], Iterable[Path]],
) -> Counted:
    """Answer the studies that the table lacks, each in a row that is on the disk before the next study is opened.

    answer: reads one study and answers. bar: goes over the studies and shows how many are done.
    """
    began, count, done = time.monotonic(), {"answered": 0, "refused": 0}, _rows_of(out, model)
    left = [one for one in studies if spreadsheet_cell(one.name) not in done]
    with out.open("a", encoding="utf-8", errors="surrogateescape", newline="") as file:
        for study in bar(left, len(left), "studies"):
            try:
                cells = row(model, answer(study))
                count["answered"] += 1
            except Refused as problem:
                cells = refused_row(model, study.name, str(problem))
                count["refused"] += 1
            file.write(_line(cells))
            file.flush()
            os.fsync(file.fileno())
    return Counted(count["answered"], count["refused"], len(done), time.monotonic() - began)


def _rows_of(out: Path, model: FinishedModel) -> set[str]:
    """The studies that the table has; its last line is dropped if it was cut. A new table gets its first line."""
    head = columns(model)
    if not out.exists():
        serialization.write(out, _line(head).encode())
        return set()
    text = out.read_text("utf-8", "surrogateescape")
    whole = text[: text.rfind("\n") + 1]
    rows = list(csv.reader(io.StringIO(whole, newline="")))
    if not rows or rows[0] != head:
        raise Refused(f"{out} is not a table of this model's answers; name another file or remove it first")
    at = head.index("model")
    if any(len(one) != len(head) or one[at] != model.sha256[:12] for one in rows[1:]):
        raise Refused(f"{out} has answers of another model than {model.sha256:.12}; name another file")
    if whole != text:
        serialization.write(out, whole.encode("utf-8", "surrogateescape"))
    return {one[0] for one in rows[1:]}


def _line(cells: Sequence[str]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
