"""Tables in a comparison: how one table is partitioned, and that its runs are ranked like those of head CT."""

import numpy as np
import pytest
import yaml

from brainct.compare.campaign import compare
from brainct.compare.comparison_file import comparison_of, read_comparison
from brainct.compare.federation import HELD_OUT_SITE
from brainct.compare.ledger import LEDGER, read_rows
from brainct.compare.markdown import comparison_tables
from brainct.compare.table_sites import TableFederation
from brainct.errors import Refused
from brainct.job.config import plan_of

CANCER = {"features": 30, "outputs": ["malignant"]}
DIGITS = {"task": "classes", "features": 64, "outputs": [str(at) for at in range(10)]}
SMALL = {"data": "breast_cancer", "sites": 3, "samples": 12, "valid": 8}
TABLE = {
    "workload": "table",
    "choices": CANCER,
    "fit": {"optimizer": "sgd", "rate": 0.1, "epochs": 2},
    "rounds": 3,
    "evaluate_every": 1,
    "seeds": 2,
    "federations": [SMALL],
}


def plan(**choices):
    return plan_of({"workload": "table", "scheme": "fedavg", **choices}, "the test's job")


def rows_of(opened, *folds):
    return [row.numpy().tobytes() for one in opened for fold in folds for row in one.folds[fold].inputs]


def test_no_sample_is_at_two_sites_or_in_two_folds():
    federation = TableFederation(**SMALL, public=20)
    opened = federation.open(1, plan(**CANCER))
    sites = [opened[site] for site in federation.names]
    own = rows_of(sites, "train", "valid")
    test, public = rows_of([opened[HELD_OUT_SITE]], "test"), [row.numpy().tobytes() for row in sites[0].public().inputs]
    assert [len(site.folds["train"]) for site in sites] == [12] * 3
    assert [len(site.folds["valid"]) for site in sites] == [8] * 3
    assert len(test) == 569 - 3 * 20 - 20
    assert len(public) == 20
    assert len({*own, *test, *public}) == 569
    assert all(rows_of([site], "test") == test for site in sites)


def test_each_seed_has_another_partition_and_the_same_seed_the_same():
    federation = TableFederation(**SMALL)
    one, again, other = (federation.open(seed, plan(**CANCER))["site-1"].fingerprint for seed in (1, 1, 2))
    assert one == again != other


def test_an_even_federation_gives_each_site_the_classes_in_the_shares_of_the_table():
    opened = TableFederation(data="digits", sites=20, samples=50, valid=0).open(3, plan(**DIGITS))
    counts = np.array([opened[f"site-{at}"].folds["train"].labels.sum(0).numpy() for at in range(1, 21)])
    assert counts.min() >= 4
    assert counts.max() <= 6


def test_label_skew_makes_sites_unequal_by_its_concentration():
    def spread(alpha):
        opened = TableFederation(data="digits", sites=8, samples=60, skew="label", alpha=alpha).open(1, plan(**DIGITS))
        labels = [opened[f"site-{at}"].folds["train"].labels.mean(0).numpy() for at in range(1, 9)]
        return float(np.std(labels, axis=0).mean())

    assert spread(0.1) > 2 * spread(100.0)


def test_size_skew_keeps_the_mean_and_one_sample_at_least():
    federation = TableFederation(data="digits", sites=8, samples=20, skew="size", alpha=0.3, valid=0)
    sizes = [len(federation.open(2, plan(**DIGITS))[site].folds["train"]) for site in federation.names]
    assert sum(sizes) == 160
    assert min(sizes) >= 1
    assert max(sizes) > 40


@pytest.mark.parametrize(
    ("changes", "choices", "words"),
    [
        ({"samples": 300}, CANCER, "3 sites with 300 training and 8 validation samples need 924, 569 are left"),
        ({"test": 560}, CANCER, "3 sites with 12 training and 8 validation samples need 60, 9 are left"),
        ({"test": 569}, CANCER, "need more than the table's 569 samples"),
        ({}, {**CANCER, "task": "regression"}, "comparisons rank by AUROC, which it lacks"),
    ],
)
def test_what_a_table_cannot_give_is_refused(changes, choices, words):
    with pytest.raises(Refused, match=words):
        TableFederation(**{**SMALL, **changes}).open(1, plan(**choices))


def test_a_workload_that_cannot_be_compared_is_refused_by_name():
    with pytest.raises(Refused, match="workload: got 'sound', wanted ct or table"):
        comparison_of({**TABLE, "workload": "sound"}, "plan.yaml")


def test_a_federation_of_another_workload_is_refused():
    with pytest.raises(Refused, match="outside"):
        comparison_of({**TABLE, "federations": [{"outside": 3}]}, "plan.yaml")


def test_a_comparison_of_tables_ranks_schemes_and_bounds(tmp_path):
    file = tmp_path / "plan.yaml"
    file.write_text(yaml.safe_dump({**TABLE, "schemes": [{"scheme": "feddc", "grid": {"fit.rate": [0.001, 0.1]}}]}))
    failed = compare(read_comparison(file), tmp_path / "out", workers=1, log=lambda line: None)
    rows = read_rows(tmp_path / "out" / LEDGER)
    assert failed == 0, [row.error for row in rows]
    assert {row.name for row in rows} == {"fedavg", "pooled", "alone", "finetune", "feddc"}
    assert all(0 < row.sites["site-1"].scores["log_loss"] < 2 for row in rows)
    held_out = {row.name: row.held_out() for row in rows if row.seed == 1 and row.grid.get("fit.rate", 1) > 0.01}
    assert held_out["pooled"] > 0.95
    assert held_out["fedavg"] > 0.95
    # all sites share one test fold, so that the delivered model has the same score at a site as outside
    fedavg = next(row for row in rows if row.name == "fedavg")
    assert fedavg.sites["site-1"].scores["auroc"] == fedavg.held_out()
    text = comparison_tables(rows)
    assert "| scheme | seeds | AUROC ± SD, 95 % interval |" in text
    assert "log loss" in text
    assert "Brier" not in text
    assert "`feddc fit.rate=0.1`" in text


def test_a_file_of_the_user_can_be_compared(tmp_path):
    rng = np.random.default_rng(1)
    values = rng.normal(size=(90, 2))
    lines = [f"{a},{b},{int(a + b > 0)}" for a, b in values]
    (tmp_path / "own.csv").write_text("\n".join(["one,two,target", *lines]) + "\n")
    (tmp_path / "own.yaml").write_text("kind: table\npath: own.csv\n")
    choices = {**TABLE, "choices": {"features": ["one", "two"], "outputs": ["positive"]}, "seeds": 1}
    file = tmp_path / "plan.yaml"
    file.write_text(yaml.safe_dump({**choices, "federations": [{**SMALL, "data": "own.yaml", "valid": 2}]}))
    found = read_comparison(file)
    before = found.federations[0].digest
    assert found.federations[0].label == "own 3x12 iid"
    assert compare(found, tmp_path / "out", workers=1, log=lambda line: None) == 0
    (tmp_path / "own.csv").write_text("\n".join(["one,two,target", *lines[1:]]) + "\n")
    assert read_comparison(file).federations[0].digest != before
