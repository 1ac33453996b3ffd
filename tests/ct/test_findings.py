"""The findings are the job's: any names, several at once or one of several, and sites that label some of them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from brainct.core.names import site_names
from brainct.ct.config import CtChoices
from brainct.ct.dataset import open_site
from brainct.ct.rsna_labels import NONE
from brainct.ct.site_config import read_site_file
from brainct.ct.wanted import Wanted
from brainct.ct.workload import CT
from brainct.errors import Refused
from brainct.job.config import plan_of
from brainct.protocol.reply_schema import described, scored
from brainct.run.rehearse import rehearse
from brainct.security.credentials import offline
from brainct.security.disclosures import check_reply
from brainct.security.score_rules import ScoreRule, scores_as
from brainct.training.losses import masked_choice
from tests.conftest import TINY, tiny_scans
from tests.support.forged import write_png

STROKE = Wanted(("stroke", "midline shift", "any"))
SINGLE = Wanted((NONE, "intraparenchymal", "subdural"), single=True)
SMALL = {"network": TINY, "fit": {"rate": 0.003, "augment": None}, "rounds": 2, "evaluate_every": 1}


def plan(**choices):
    return plan_of({"scheme": "fedavg", **SMALL, **choices}, "the job")


def labelled(folder: Path, header: str, *rows: str, **choices) -> Path:
    """A site whose pictures have these labels; returns its site file."""
    for at in range(len(rows)):
        write_png(folder / f"{at}.png", at)
    folder.mkdir(exist_ok=True)
    (folder / "labels.csv").write_text("\n".join([f"id,{header}", *(f"{at},{row}" for at, row in enumerate(rows))]))
    lines = [f"{key}: {value}" for key, value in {"kind": "png_csv", "root": ".", **choices}.items()]
    (folder / "brainct.yaml").write_text("\n".join(lines))
    return folder / "brainct.yaml"


def labels_at(file: Path, job: Wanted) -> np.ndarray:
    found = open_site(read_site_file(file), "a", ["a"], 16, job=job)
    every = torch.cat([fold.labels for fold in found.folds.values()])
    return every[every.nan_to_num(9).sort(0).indices[:, 0]].numpy()


def test_a_site_may_label_some_findings_and_the_others_are_unknown(tmp_path):
    file = labelled(tmp_path, "stroke,fracture", *["1,0", "0,1"] * 6, split="{train: 1, valid: 0, test: 0}")
    found = labels_at(file, STROKE)
    assert sorted(found[:, 0].tolist()) == [0] * 6 + [1] * 6
    assert np.isnan(found[:, 1:]).all()


def test_any_follows_from_the_five_kinds_of_bleeding_whatever_else_the_job_asks_for(tmp_path):
    kinds = "epidural,intraparenchymal,intraventricular,subarachnoid,subdural"
    file = labelled(tmp_path, f"{kinds},stroke", *["0,0,0,0,1,0", "0,0,0,0,0,1"] * 6)
    found = labels_at(file, STROKE)
    assert (found[:, 2] == 1 - found[:, 0]).all()


def test_a_misspelt_finding_is_refused_and_one_that_the_job_does_not_ask_for_is_left_out_with_a_note(tmp_path):
    rows = ["1,0", "0,1"] * 6
    with pytest.raises(Refused, match="got 'Stroke', wanted 'stroke', as the job names it"):
        labels_at(labelled(tmp_path / "a", "x,y", *rows, columns="{Stroke: x}"), STROKE)
    with pytest.raises(Refused, match="names fracture, and the job asks for stroke, midline shift, any"):
        labels_at(labelled(tmp_path / "b", "x,y", *rows, columns="{fracture: x}"), STROKE)
    file = labelled(tmp_path / "c", "x,y", *rows, columns="{fracture: x, stroke: y}")
    notes = open_site(read_site_file(file), "a", ["a"], 16, job=STROKE).notes
    assert "labels of 1 findings that the job does not ask for were left out" in notes


@pytest.mark.parametrize("header", ["label", "columns"])
def test_a_single_choice_is_read_from_a_class_name_or_from_a_column_each(tmp_path, header):
    names = [NONE, "subdural", "intraparenchymal", ""]
    rows = [f"{names[at % 4]}" for at in range(12)]
    if header == "columns":
        header = ",".join(SINGLE.findings)
        rows = [",".join("1" if name == row else "" for name in SINGLE.findings) for row in rows]
    found = labels_at(labelled(tmp_path, header, *rows), SINGLE)
    assert np.isnan(found).all(1).sum() == 3
    assert np.nansum(found, 0).tolist() == [3, 3, 3]
    assert set(np.nansum(found, 1).tolist()) == {0, 1}


@pytest.mark.parametrize(
    ("header", "row", "words"),
    [
        ("label", "stroke", "got 'stroke', wanted one of no bleeding, intraparenchymal, subdural, or nothing"),
        (f"{NONE},intraparenchymal,subdural", "0,1,1", "intraparenchymal and subdural are both 1"),
        (f"{NONE},intraparenchymal,subdural", "0,0,0", "none of no bleeding, intraparenchymal, subdural is 1"),
    ],
)
def test_labels_that_are_not_one_choice_are_refused(tmp_path, header, row, words):
    with pytest.raises(Refused, match=words):
        labels_at(labelled(tmp_path, header, *[row] * 12), SINGLE)


def by_hand(logits: Tensor, possible: list[int]) -> float:
    return float(-logits.softmax(0)[possible].sum().log())


def test_the_loss_of_a_single_choice_counts_what_is_known():
    unknown = torch.nan
    logits = torch.tensor([[0.3, -1.0, 2.0], [1.0, 0.5, 0.0], [0.0, 0.0, 0.0], [2.0, 1.0, 0.0]], requires_grad=True)
    labels = torch.tensor([[1.0, 0, 0], [0, unknown, unknown], [unknown] * 3, [0, 0, 0]])
    loss = masked_choice(logits, labels)
    wanted = (by_hand(logits[0].detach(), [0]) + by_hand(logits[1].detach(), [1, 2])) / 2
    assert loss.item() == pytest.approx(wanted, rel=1e-6)
    loss.backward()
    assert (logits.grad[2:] == 0).all()
    assert logits.grad.isfinite().all()
    assert masked_choice(logits, torch.full((4, 3), unknown)).item() == 0


def test_a_part_of_a_gradient_weighs_by_the_samples_it_knows():
    """A whole fold's gradient is that of its mean loss, however it is cut into batches."""
    choices = plan(findings=list(SINGLE.findings), single_choice=True)
    data = tiny_scans(0)
    labels = torch.full((8, 3), torch.nan)
    labels[:5] = torch.eye(3)[torch.tensor([0, 1, 2, 0, 1])]
    labels[5, 0] = 0
    fold = replace(data.folds["train"], labels=labels)
    found = []
    for batch_size in (8, 2):
        one = replace(data, folds={**data.folds, "train": fold}, batch_size=batch_size)
        learner = CT.learner(choices, one, offline(choices, "site-1", 0), None)
        found.append(learner.gradient(CT.initial(choices, 1, 1).weights).weights["head.bias"])
    torch.testing.assert_close(*found)


@pytest.mark.parametrize(
    "choices",
    [
        {"findings": ["a", "a"]},
        {"findings": ["DOE^JANE"]},
        {"findings": ["a/b"]},
        {"findings": ["all"]},
        {"findings": []},
        {"findings": ["study any"]},
        {"single_choice": True},
        {"findings": ["one"], "single_choice": True},
    ],
)
def test_findings_that_cannot_be_are_refused(choices):
    with pytest.raises(ValidationError):
        CtChoices(**choices)


def test_a_site_says_nothing_of_findings_that_are_not_the_jobs():
    job = plan(findings=["stroke", "any"])
    counts = {"scans": 4, "positives": {"stroke": 2}, "negatives": {"stroke": 2}}
    about = {"kind": "phantom", "fingerprint": "0" * 64, "notes": [], "folds": {"train": counts}}
    assert described(CT, "a", {"about": about}, job) == about
    check_reply({"about": about}, job)
    with pytest.raises(Refused, match="not allowed by the schema"):
        described(CT, "a", {"about": about}, CT.choices())
    with pytest.raises(Refused, match="not in the list of what may leave"):
        check_reply({"about": about})
    with pytest.raises(Refused, match="not allowed by the schema"):
        scored(CT, "a", {"scores": {"Jane": {}}}, job)


def test_a_small_class_of_a_single_choice_can_not_be_computed_from_the_others():
    job = plan(findings=list(SINGLE.findings), single_choice=True)
    sides = {"positives": dict(zip(SINGLE.findings, (9, 8, 2), strict=True))}
    sides["negatives"] = {name: 19 - count for name, count in sides["positives"].items()}
    about = {"folds": {"train": {"scans": 19, **sides}}}
    several = CT.without_small(about, 3, plan(findings=list(SINGLE.findings)))["folds"]["train"]
    assert sorted(several["positives"]) == ["intraparenchymal", NONE]
    assert CT.without_small(about, 3, job)["folds"]["train"] == {"scans": 19, "positives": {}, "negatives": {}}
    one = {"positives": 9, "negatives": 10, "auroc": 0.5}
    scores = {"a": {**dict.fromkeys(CT.score_keys.keys), **one}, "b": {**dict.fromkeys(CT.score_keys.keys), **one}}
    scores["b"]["positives"] = 2
    found = [scores_as(CT.score_keys, ScoreRule(), 3, scores, lambda n: np.zeros(n), alone) for alone in (False, True)]
    assert [one["a"]["auroc"] for one in found] == [0.5, None]
    assert [one["b"]["auroc"] for one in found] == [None, None]


def test_jobs_of_other_findings_run_from_the_phantom_to_scores(tmp_path, small_site):
    quiet = {"log": lambda line: None}
    several = rehearse(plan(findings=["stroke", "subdural", "any"]), site_names(2), tmp_path / "a", **quiet)
    one = rehearse(plan(findings=list(SINGLE.findings), single_choice=True), site_names(2), tmp_path / "b", **quiet)
    for content, names in ((several.content, ["stroke", "subdural", "any"]), (one.content, list(SINGLE.findings))):
        assert set(content["test"]["site-1"]) == set(names)
        assert content["rounds"][0]["validation"]["site-1"].keys() == set(names)
    assert several.content["test"]["site-1"]["stroke"]["reason"] == "no labelled scan"
    assert several.content["test"]["site-1"]["any"]["brier"] is not None
    headline = CT.headline(one.content["test"]["site-1"])
    known = [one["brier"] for one in one.content["test"]["site-1"].values() if one["brier"] is not None]
    assert headline["brier"] == pytest.approx(np.mean(known))
