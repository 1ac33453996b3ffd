"""The rules for real tables, each with its one message."""

import numpy as np
import pytest

from brainct.causal.config import CausalChoices
from brainct.causal.dataset import open_site
from brainct.causal.structures import STRUCTURES, variables_of
from brainct.causal.workload import CAUSAL
from brainct.errors import Refused
from brainct.run.rehearse import rehearse
from brainct.security.score_rules import description_as
from tests.causal.tables import causal_plan, delivered

CHOICES = CausalChoices(columns=["age", "sex", "volume"], min_rows=3)


def site(folder, rows, text="force: true"):
    (folder / "t.csv").write_text("\n".join(rows) + "\n")
    file = folder / "site.yaml"
    file.write_text(f"kind: causal_table\npath: t.csv\n{text}\n")
    return open_site(file, "site-1", ["site-1"], CHOICES)


GOOD = ["age,sex,volume", "1,0,3", "2,1,1", "3,0,9", "5,1,2", "4,1,0"]


def test_columns_come_in_the_jobs_order_and_a_missing_one_is_told(tmp_path):
    assert site(tmp_path, GOOD).rows[1].tolist() == [2, 1, 1]
    assert site(tmp_path, ["volume,age", "1,2", "3,4"]).rows[1].tolist() == [4, 0, 3]
    about = CAUSAL.describe(site(tmp_path, ["volume,age", "1,2", "3,4"]))
    assert about["present"] == [True, False, True]
    whole = CAUSAL.describe(site(tmp_path, GOOD))
    assert CAUSAL.shared({"a": whole, "b": whole, "c": about}, CHOICES) == {"columns": [True, False, True]}


def test_a_column_that_varies_at_one_site_only_is_refused_by_name(tmp_path):
    varies = CAUSAL.describe(site(tmp_path, GOOD))
    constant = CAUSAL.describe(site(tmp_path, ["age,sex,volume", "1,0,3", "1,1,4"]))
    with pytest.raises(Refused, match="column age varies at fewer than 2 sites"):
        CAUSAL.shared({"a": varies, "b": constant}, CHOICES)


def test_incomplete_rows_are_counted_and_warned_about(tmp_path):
    data = site(tmp_path, [*GOOD, ",1,2", "7,,2", "8,1,"])
    assert (len(data.rows), data.dropped) == (5, 3)
    assert "3 of 8 rows are incomplete and left out" in data.notes


def test_under_least_class_a_column_with_a_rare_value_is_left_out_and_no_small_count_leaves(tmp_path):
    told = CAUSAL.describe(site(tmp_path, [*GOOD, "7,,2"]))
    assert (told["fewest"], told["folds"]) == ([None, 2, None], {"train": {"rows": 5, "dropped": 1}})
    for least, sexes in ((2, True), (3, False)):
        less = description_as(CAUSAL, least, told, "", CHOICES)
        assert less["present"] == less["varies"] == [True, sexes, True]
        assert (less["fewest"], less["folds"]) == ([None] * 3, {"train": {"rows": 5, "dropped": None}})
        assert CAUSAL.shared({"a": told, "b": less}, CHOICES) == {"columns": [True, sexes, True]}


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (["age,sex,volume", "1,f,3", "2,m,1"], "two texts; say which is 0 and which 1"),
        (["age,sex,volume", "1,f,3", "2,m,1", "2,x,1"], "category of several levels; recode"),
        (["height", "1", "2"], "none of the job's columns"),
    ],
)
def test_what_no_search_can_use_is_refused(rows, words, tmp_path):
    with pytest.raises(Refused, match=f"^site-1: .*{words}"):
        site(tmp_path, rows)


def test_two_texts_become_numbers_as_the_site_file_says(tmp_path):
    data = site(tmp_path, ["age,sex,volume", "1,f,3", "2,m,1"], "levels: {sex: [m, f]}\nforce: true")
    assert data.rows[:, 1].tolist() == [1, 0]


def test_a_site_with_few_rows_takes_no_part_unless_forced(tmp_path):
    assert site(tmp_path, GOOD, "").refusal.startswith("5 complete rows; wanted 15, or `force: true`")
    assert site(tmp_path, GOOD).refusal == ""


def test_two_columns_that_are_the_same_are_reported(tmp_path):
    rows = ["age,sex,volume", *(f"{at},{at % 2},{2000 - at}" for at in range(9))]
    assert "age and volume are the same column; name one of them" in site(tmp_path, rows).notes


def test_breaks_are_the_same_at_every_site():
    choices = CausalChoices(columns=["a", "b"], breaks={"a": [0.0, 1.0, 10.0]})
    with pytest.raises(ValueError, match="not among the columns"):
        CausalChoices(columns=["a", "b"], breaks={"c": [0.0, 1.0]})
    from brainct.causal.dataset import _normal

    assert np.allclose(_normal(np.array([1.0, 0.0]), choices, "a"), [0.0, -0.967422], atol=1e-5)


@pytest.mark.parametrize(("name", "nodes", "edges"), [("asia", 8, 8), ("sachs", 11, 17), ("alarm", 37, 46)])
def test_the_known_structures_have_their_size(name, nodes, edges):
    assert (len(variables_of(name)), len(set(STRUCTURES[name]))) == (nodes, edges)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_measured_table_of_scikit_learn_is_searched_from_either_kind_of_file(suffix, tmp_path):
    """Diabetes: of its ten columns, total cholesterol is nearly the sum of two others, which no search may miss."""
    pandas, datasets = pytest.importorskip("pandas"), pytest.importorskip("sklearn.datasets")
    names = ["age", "sex", "bmi", "bp", "s1", "s2", "s3", "target"]
    whole = datasets.load_diabetes(as_frame=True).frame[names]
    for site, part in zip(("site-1", "site-2"), (whole.iloc[::2], whole.iloc[1::2]), strict=True):
        file = tmp_path / f"{site}.{suffix}"
        part.to_csv(file, index=False) if suffix == "csv" else pandas.DataFrame(part).to_parquet(file)
        (tmp_path / f"{site}.yaml").write_text(f"kind: causal_table\npath: {file.name}\n")
    plan = causal_plan("peri", columns=names)
    files = {site: tmp_path / f"{site}.yaml" for site in ("site-1", "site-2")}
    opener = lambda file, site, sites, plan: open_site(files[site], site, sites, CausalChoices(columns=names))  # noqa: E731
    record = rehearse(plan, list(files), tmp_path / "run", opener=opener, log=lambda line: None)
    graph = delivered(plan, record)[0]["graph"].numpy()
    joined = {frozenset((names[i], names[j])) for i, j in np.argwhere(graph)}
    assert {frozenset(("s1", "s2")), frozenset(("bmi", "target"))} <= joined
    assert [record.content["sites"][site]["folds"]["train"]["rows"] for site in files] == [221, 221]
