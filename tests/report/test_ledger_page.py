"""The page of a ledger: what it says of differences, and that it stays a page with 2,000 runs."""

import json

import numpy as np
import pytest

from brainct.compare import ledger
from brainct.compare.comparison_file import comparison_of
from brainct.compare.markdown import comparison_tables
from brainct.compare.one_run import run_one
from brainct.compare.planned_runs import planned_runs
from brainct.compare.run_row import CurvePoint
from brainct.report.build import report
from brainct.report.ledger_page import ledger_page
from tests.conftest import TINY
from tests.support.reader import read

DESIGN = {
    "schemes": ["feddc"],
    "seeds": 1,
    "rounds": 1,
    "network": TINY,
    "fit": {"optimizer": "sgd", "rate": 0.05, "augment": None},
    "evaluate_every": 1,
    "federations": [{"sites": 2, "scans": 6, "valid": 4, "test": 12, "outside": 8}],
}


POINTS = [
    CurvePoint(round=at, score=auroc, loss=0.2, kib=kib)
    for at, auroc, kib in ((1, 0.6, 20.0), (2, 0.7, 30.0), (3, 0.8, 45.0))
]


@pytest.fixture(scope="module")
def rows():
    """Every method's run with one seed, done for real."""
    specs = planned_runs(comparison_of(DESIGN, "the test"), lambda spec: None)
    opened = specs[0].federation.open_scans(1, 32, 2)
    found = [run_one(spec, opened) for spec in specs]
    assert {row.status for row in found} == {"done"}
    return found


def again(row, seed, auroc, **changes):
    """The run as it might have gone with another seed: every site's AUROC is this one."""
    sites = {site: one.model_copy(update={"scores": one.scores | {"auroc": auroc}}) for site, one in row.sites.items()}
    key = f"{row.name} {seed} {changes}"
    return row.model_copy(update={"seed": seed, "key": key, "sites": sites, **changes})


def repeated(rows, gain, seeds=8, **changes):
    """The runs over several seeds that differ; feddc is better by `gain` in each of them."""
    luck = np.random.default_rng(3).normal(0.7, 0.05, seeds)
    return [
        again(row, seed, float(luck[seed]) + gain * (row.name == "feddc"), **changes)
        for seed in range(seeds)
        for row in rows
    ]


def page_of(rows, tmp_path):
    path = tmp_path / "ledger.jsonl"
    for row in rows:
        ledger.append_row(path, row)
    return read(report([path])[0])


def test_a_gain_in_every_seed_is_called_better_and_none_is_not(rows, tmp_path):
    for gain, says in ((0.1, "Better than fedavg beyond chance: feddc."), (0.0, "No scheme differs from fedavg")):
        answers = dict(ledger_page(repeated(rows, gain), "ledger.jsonl").answers)
        assert says in " ".join(answers["Which scheme is best?"])


def test_a_loss_in_every_seed_is_called_worse(rows, tmp_path):
    answers = dict(ledger_page(repeated(rows, -0.1), "ledger.jsonl").answers)
    said = " ".join(answers["Which scheme is best?"])
    assert "Worse beyond chance: feddc." in said
    assert "Better than" not in said


def test_a_ledger_shows_schemes_bounds_differences_and_failures(rows, tmp_path):
    bad = rows[0].model_copy(
        update={"key": "bad", "name": "<b>bad</b>", "status": "failed", "error": "<script>alert(1)</script>"}
    )
    seen = page_of([*repeated(rows, 0.1), bad], tmp_path)
    for name in ("fedavg", "feddc", "finetune", "alone", "pooled"):
        assert name in seen.text
    assert "+0.100 [+0.100, +0.100]" in seen.text
    assert "1 run of 41 failed" in seen.text
    assert "<script>alert(1)</script>" in seen.text
    assert "Synthetic phantom scans" in seen.text
    assert "a slower scheme may still improve" in seen.text
    kinds = {path.stem.removesuffix("-1") for path in (tmp_path / "ledger-pictures").glob("*.svg")}
    assert kinds == {"leaderboard", "differences", "traffic", "fairness", "calibration", "confusion"}


def test_schemes_are_shown_at_equal_bytes_and_with_their_right_and_wrong_answers(rows, tmp_path):
    twice = [row.model_copy(update={"kib_per_site": 100.0, "validation": POINTS}) for row in repeated(rows, 0.1, 2)]
    seen = page_of(twice, tmp_path)
    assert "feddc 0.600 ± 0.000 0.800 ± 0.000 0.800 ± 0.000" in seen.text
    given = [one.scores["confusion"] for row in twice if row.name == "feddc" for one in row.sites.values()]
    found, missed = (sum(one[key] for one in given) for key in ("tp", "fn"))
    assert f"feddc {found} {missed} " in seen.text
    assert len(list((tmp_path / "ledger-pictures").glob("validation-by-*-1.svg"))) == 2
    none = [row.model_copy(update={"validation": [], "key": f"{row.key} none"}) for row in repeated(rows, 0.1, 2)]
    (tmp_path / "bare").mkdir()
    assert "no curves, no scores at equal bytes" in page_of(none, tmp_path / "bare").text


def test_markdown_and_the_page_show_the_same_tables(rows, tmp_path):
    many = [*repeated(rows, 0.1, 3), *repeated(rows, 0.2, 3, budget=2)]
    many = [row.model_copy(update={"kib_per_site": 100.0, "validation": POINTS}) for row in many]
    seen = page_of(many, tmp_path)
    lines = [line for line in comparison_tables(many).splitlines() if line.startswith("| `")]
    assert len(lines) == 2 * 5 + 2 * 5 + 5
    for line in lines:
        words = " ".join(line.replace("|", " ").replace("`", "").split())
        assert words in seen.text


@pytest.mark.slow
def test_two_thousand_runs_are_still_a_page(rows, tmp_path):
    many = [
        row
        for at in range(25)
        for budget in (1, 2)
        for row in repeated(rows, 0.01 * at, federation=f"federation {at}", budget=budget)
    ]
    assert len(many) == 2000
    path = tmp_path / "ledger.jsonl"
    path.write_text("".join(json.dumps(row.model_dump()) + "\n" for row in many))
    seen = read(report([path])[0])
    assert len(seen.all("tr")) < 300
    assert len(seen.all("img")) < 80
    assert "federation 24, 2 times the rounds" in seen.text
    assert "What more rounds gain" in seen.text


def test_an_empty_ledger_is_said_to_be_empty(tmp_path):
    (tmp_path / "ledger.jsonl").write_text("")
    assert "The ledger holds no run." in read(report([tmp_path / "ledger.jsonl"])[0]).text
