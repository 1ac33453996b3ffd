"""How a site's table becomes samples: what is refused, what stays together, what the demonstration partitions."""

import numpy as np
import pytest
import torch

from brainct.errors import Refused
from tests.table.tables import SITES, WINE, csv_site, opened, table_plan

ROWS = ["age,who,size,target", *(f"{20 + at},p{at // 2},{at * 0.5},{at % 2}" for at in range(40))]
TWO = {"features": ["age", "size"], "outputs": ["ill"]}


def one_site(folder, rows=ROWS, plan=None, **choices):
    return opened(plan or table_plan(**TWO), ["a"], csv_site(folder, rows, **choices))["a"]


def test_columns_come_in_the_jobs_order_and_by_the_names_that_the_site_gives_them(tmp_path):
    data = one_site(tmp_path, plan=table_plan(features=["size", "age"], outputs=["ill"]))
    ages = torch.cat([fold.inputs[:, 1] for fold in data.folds.values()])
    assert sorted(ages.tolist()) == list(range(20, 60))
    renamed = [ROWS[0].replace("age", "alter"), *ROWS[1:]]
    again = one_site(tmp_path, renamed, columns="{age: alter, size: size}")
    assert torch.equal(again.folds["train"].inputs[:, [1, 0]], data.folds["train"].inputs)


def test_rows_of_one_patient_stay_in_one_fold_and_every_row_is_in_one(tmp_path):
    data = one_site(tmp_path, patient="who")
    patients = [set(fold.patients.tolist()) for fold in data.folds.values()]
    assert sum(map(len, data.folds.values())) == 40
    assert len(set.union(*patients)) == sum(map(len, patients)) == 20


@pytest.mark.parametrize(
    ("rows", "choices", "words"),
    [
        ([*ROWS, "x,p,1,0"], {}, "a: table.csv, row 42, column age: got 'x', wanted a finite number"),
        ([*ROWS, "nan,p,1,0"], {}, "row 42, column age: got 'nan'"),
        ([*ROWS, ",p,1,0"], {}, "row 42, column age: no value; fill it in"),
        ([*ROWS, "1,p,1"], {}, "row 42: got 3 cells, wanted 4"),
        ([*ROWS, "1,p,1,yes"], {}, "column target, row 42: got 'yes', wanted 0, 1 or an empty cell"),
        (ROWS, {"target": "outcome"}, "no column 'outcome'; it has age, who, size, target"),
        (ROWS, {"columns": "[age]"}, "1 columns, the job has 2 features"),
        (ROWS, {"kinds": "x"}, "unknown key 'kinds'"),
        (ROWS[:1], {}, "no rows"),
        (["age,age,size,target", "1,2,3,0"], {}, "column 'age' is there twice"),
    ],
)
def test_what_does_not_fit_is_refused_by_row_and_column(tmp_path, rows, choices, words):
    with pytest.raises(Refused, match=words):
        one_site(tmp_path, rows, **choices)


def test_a_missing_value_is_allowed_if_the_site_says_so_and_an_unknown_label_always(tmp_path):
    data = one_site(tmp_path, [*ROWS, ",p,1,"], missing="mean")
    values = torch.cat([fold.inputs for fold in data.folds.values()])
    labels = torch.cat([fold.labels for fold in data.folds.values()])
    assert int(values.isnan().sum()) == int(labels.isnan().sum()) == 1


def test_the_positive_text_of_a_binary_target_and_the_names_of_classes(tmp_path):
    rows = ["age,size,target", *(f"{at},{at},{'MBX'[at % 3]}" for at in range(30))]
    positive = one_site(tmp_path, rows, positive="M")
    assert torch.cat([fold.labels for fold in positive.folds.values()]).mean() == pytest.approx(1 / 3)
    classes = table_plan(task="classes", features=["age", "size"], outputs=["M", "B", "X"])
    one_hot = torch.cat([fold.labels for fold in one_site(tmp_path, rows, classes).folds.values()])
    assert one_hot.shape == (30, 3)
    assert one_hot.sum(0).tolist() == [10, 10, 10]


def test_the_demonstration_is_partitioned_without_loss_by_class_and_with_one_public_set():
    data = opened(table_plan(**WINE), SITES)
    rows = [row for one in data.values() for fold in one.folds.values() for row in fold.inputs.tolist()]
    public = data["site-1"].public()
    assert len({tuple(row) for row in [*rows, *public.inputs.tolist()]}) == len(rows) + len(public.inputs) == 178
    assert len({one.public().fingerprint for one in data.values()}) == 1
    shares = [one.folds["train"].labels.mean(0) for one in data.values()]
    assert all(torch.allclose(one, shares[0], atol=0.1) for one in shares)
    assert len({one.fingerprint for one in data.values()}) == 3


def test_a_federation_larger_than_the_demonstration_is_refused():
    with pytest.raises(Refused, match="sites but only 118 samples in wine"):
        opened(table_plan(**WINE), [f"site-{at:03}" for at in range(150)])


def test_a_public_file_has_no_order_and_needs_no_target(tmp_path):
    (tmp_path / "common.csv").write_text("age,size\n1,2\n3,4\n")
    first = one_site(tmp_path, public="common.csv").public()
    (tmp_path / "common.csv").write_text("size,age\n4,3\n2,1\n")
    again = one_site(tmp_path, public="common.csv").public()
    assert (first.fingerprint, again.inputs.tolist()) == (again.fingerprint, first.inputs.tolist())
    with pytest.raises(Refused, match="no public set"):
        one_site(tmp_path).public()


def test_the_split_spreads_classes_evenly():
    for fold in opened(table_plan(), ["one"])["one"].folds.values():
        assert abs(float(fold.labels.mean()) - 212 / 569) < 0.03
    assert np.isclose(len(opened(table_plan(), ["one"])["one"].folds["train"]), 0.6 * 509, atol=1)
