"""What the papers' experiments share: one ledger that a stopped run goes on from, and one page of all claims.

    python bench/papers/NAME.py [--minutes 20] [--seeds N]   # does what the ledger lacks, then writes the page
    python bench/papers/common.py                            # writes the page alone

Rows are docs/results/papers/ledger.jsonl, one JSON line a run; the page is docs/results/papers.md. Each experiment is
a file of this folder with a `PAPER`, and is on the page once all its runs are done. Verdicts are written by hand; the
numbers that they quote, and the tables, come from the ledger.
"""

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, get_args

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from resumed import Row, Runs, resumed  # noqa: E402

from brainct.core.determinism import one_thread  # noqa: E402

RESULTS = HERE.parents[1] / "docs" / "results"
LEDGER = RESULTS / "papers" / "ledger.jsonl"
PAGE = RESULTS / "papers.md"
Verdict = Literal["AGREES", "DISAGREES", "CANNOT BE DECIDED HERE"]
Rows = Sequence[Row]
INTRODUCTION = """# The papers' experiments, run here

Written by `python bench/papers/NAME.py`, one file an experiment, from [papers/ledger.jsonl](papers/ledger.jsonl), which
it adds to; `python bench/papers/common.py` writes this page alone. One core of a shared machine, without a network.

Where a number is the paper's, its letter says how far to trust it: C was read in the authors' code, data or notebook; S
in a text about the paper; R was recalled from the paper and not checked; D follows from the paper's formula. A dash:
the paper's number is not known here. All other numbers are measured here, or computed here where the sentence says so.
A verdict is about the claim as it was tested here, with generated or small data in place of what can't be fetched.
"""


@dataclass(frozen=True)
class Claim:
    """One sentence of a paper, and what was found.

    says: the claim, testable. theirs: the paper's number with its letter, or "–". verdict and because: written after
    the run; `because` is one sentence with the number, in which {name} stands for one of the experiment's `numbers`.
    """

    says: str
    theirs: str
    verdict: Verdict
    because: str


@dataclass(frozen=True)
class Paper:
    """One experiment; the `PAPER` of its file.

    name: of the file, without .py. title, source, setting: for the page; plain Markdown.
    runs: seed -> (what identifies a run among this experiment's rows, and what does it and returns its numbers); both
    are mappings that JSON can write. An experiment without seeds has one, 1.
    numbers: rows -> the names that claims may use, as text. table: rows -> Markdown lines.
    """

    name: str
    title: str
    source: str
    setting: str
    claims: Sequence[Claim]
    runs: Callable[[int], Iterable[tuple[Mapping[str, Any], Callable[[], Mapping[str, Any]]]]]
    numbers: Callable[[Rows], Mapping[str, str]]
    table: Callable[[Rows], Sequence[str]]
    seeds: int = 5

    @property
    def command(self) -> str:
        return f"python bench/papers/{self.name}.py"


def go(paper: Paper) -> None:
    """The command line of one experiment."""
    parser = argparse.ArgumentParser(description=paper.title)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--seeds", type=int, default=paper.seeds)
    chosen = parser.parse_args()
    one_thread()
    LEDGER.parent.mkdir(parents=True, exist_ok=True)
    resumed(LEDGER, chosen.minutes, _wanted(paper, chosen.seeds))
    rows = ledger()
    if _complete(paper, rows):
        print("\n".join(_section(paper, rows)))
    PAGE.write_text(page(rows))


def ledger() -> list[Row]:
    """All rows, also those that another experiment added meanwhile."""
    return [json.loads(line) for line in LEDGER.read_text().splitlines()]


def _wanted(paper: Paper, seeds: int) -> Runs:
    """The experiment's runs, as rows that the common ledger keeps."""
    for seed in range(1, seeds + 1):
        for named, run in paper.runs(seed):
            named = {"paper": paper.name, "seed": seed, **named}

            def row(named: Mapping[str, Any] = named, run: Callable[[], Mapping[str, Any]] = run) -> Row:
                began = time.process_time()
                found = dict(run())
                return {**named, **found, "seconds": round(time.process_time() - began, 2)}

            yield named, row


def _complete(paper: Paper, rows: Rows) -> bool:
    """Whether the ledger has all runs of an experiment."""
    return all(any(named.items() <= row.items() for row in rows) for named, _ in _wanted(paper, paper.seeds))


def papers() -> list[Paper]:
    """Every experiment of this folder, by name."""
    names = sorted(path.stem for path in HERE.glob("*.py"))
    modules = [import_module(name) for name in names if name != "common"]
    return [module.PAPER for module in modules if hasattr(module, "PAPER")]


def page(rows: Rows) -> str:
    """The whole page: all claims, then each experiment."""
    done = [paper for paper in papers() if _complete(paper, rows)]
    counts = Counter(claim.verdict for paper in done for claim in paper.claims)
    said = ", ".join(f"{counts[verdict]} {verdict}" for verdict in get_args(Verdict))
    text = [INTRODUCTION, f"{sum(counts.values())} claims: {said}.", ""]
    text += ["| | claim | the paper's number | verdict | command |", "|---|---|---|---|---|"]
    for paper in done:
        numbers = paper.numbers(_own(paper, rows))
        for claim in paper.claims:
            verdict = f"**{claim.verdict}**: {claim.because.format_map(numbers)}"
            link = f"[{paper.title}](#{_anchor(paper.title)})"
            text.append(f"| {link} | {claim.says} | {claim.theirs} | {verdict} | `{paper.command}` |")
    for paper in done:
        text += ["", *_section(paper, rows)]
    return "\n".join(text) + "\n"


def _own(paper: Paper, rows: Rows) -> Rows:
    return [row for row in rows if row["paper"] == paper.name]


def _section(paper: Paper, rows: Rows) -> list[str]:
    own = _own(paper, rows)
    spent = sum(row["seconds"] for row in own) / 60
    text = [f"## {paper.title}", "", paper.source, "", paper.setting.strip(), "", *paper.table(own), ""]
    return [*text, f"`{paper.command}`: {len(own)} runs, {spent:.1f} minutes of CPU."]


def _anchor(title: str) -> str:
    """As GitHub makes it of a heading."""
    return "".join(letter for letter in title.lower() if letter.isalnum() or letter in " -_").replace(" ", "-")


if __name__ == "__main__":
    PAGE.write_text(page(ledger()))
