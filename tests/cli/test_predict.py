"""A delivered model asked by a hospital, as its people type it."""

import csv
import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from brainct.cli import main
from brainct.ct.dataset import open_site
from brainct.ct.folds import FINDINGS
from brainct.ct.learner import learner_of
from brainct.ct.site_config import read_site_file
from brainct.errors import Refused
from brainct.run.model_file import model_sha256, read_model
from brainct.run.rehearse import rehearse
from brainct.schemes._moments import moments, normalising
from brainct.schemes.sitenorm import STATISTICS
from brainct.security.credentials import offline
from tests.conftest import tiny_plan
from tests.support.forged import head, write_dicom

SITES = ["site-1", "site-2", "site-3"]
OUTSIDE = "kind: phantom\nphantom: {scans: 10, seed: 9}\nsplit: {train: 1.0, valid: 0.0, test: 0.0}\nbatch_size: 4\n"


def delivered(tmp_path, scheme, **arguments):
    """The model file of a rehearsal of two rounds, its record and its plan."""
    plan = tiny_plan(scheme, rounds=2, arguments=arguments)
    record = rehearse(plan, SITES, tmp_path / "run", log=lambda line: None)
    return tmp_path / "run" / "model.safetensors", record, plan


def carried(model):
    """What the file holds in addition to the weights."""
    with safe_open(model, framework="pt") as file:
        return json.loads(file.metadata().get("extra", "{}"))


def asked(capsys, *words):
    """Exit code and what was printed to both streams."""
    with pytest.raises(SystemExit) as ended:
        main.main(["predict", *map(str, words)])
    printed = capsys.readouterr()
    return ended.value.code or 0, printed.out + printed.err


@pytest.mark.usefixtures("small_site")
@pytest.mark.parametrize("scheme", ["fedavg", "sitenorm", "fedper"])
def test_a_hospital_outside_gets_what_the_model_says_of_each_of_its_scans(capsys, tmp_path, scheme):
    model, record, plan = delivered(tmp_path, scheme)
    assert model_sha256(load_file(model), carried(model)) == record.content["model_sha256"]
    (tmp_path / "outside.yaml").write_text(OUTSIDE)
    out = tmp_path / "predictions.csv"
    code, said = asked(capsys, model, "--site-file", tmp_path / "outside.yaml", "--out", out, "--site", "outside")
    assert (code, "10 scans" in said, "SYNTHETIC PHANTOM" in said) == (0, True, True)
    rows = list(csv.DictReader(out.read_text().splitlines()))
    assert [row["scan"] for row in rows] == [f"phantom-{number}" for number in range(10)]
    scans = open_site(read_site_file(tmp_path / "outside.yaml"), "outside", ["outside"], 32)
    learner = learner_of(plan, scans, offline(plan, "outside", 0))
    if scheme == "sitenorm":
        own = moments(learner)
        statistics = (own.sum / own.scans).tolist(), (own.scatter / own.scans).tolist()
        learner = learner.adapted(inputs=normalising(*statistics))
    wanted = learner.predict(load_file(model), "train")
    found = torch.tensor([[float(row[finding]) for finding in FINDINGS] for row in rows])
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


@pytest.mark.usefixtures("small_site")
def test_scans_without_any_label_are_answered_by_name(capsys, tmp_path):
    model, _, _ = delivered(tmp_path, "sitenorm")
    rng = np.random.default_rng(0)
    (tmp_path / "scans").mkdir()
    for name in ("b", "a"):
        Image.fromarray(rng.integers(0, 255, (40, 40), dtype=np.uint8)).save(tmp_path / "scans" / f"{name}.png")
    (tmp_path / "labels.csv").write_text("image,any,split\nscans/b.png,,test\nscans/a.png,,test\n")
    (tmp_path / "own.yaml").write_text(f"kind: manifest\nroot: {tmp_path}\nlabels: labels.csv\n")
    code, said = asked(capsys, model, "--site-file", tmp_path / "own.yaml", "--out", tmp_path / "p.csv")
    assert code == 0, said
    rows = list(csv.DictReader((tmp_path / "p.csv").read_text().splitlines()))
    assert {row["scan"] for row in rows} == {"scans/a.png", "scans/b.png"}
    code, said = asked(capsys, model, "--site-file", tmp_path / "own.yaml", "--out", tmp_path / "p.csv")
    assert code == 2
    assert "p.csv exists already" in " ".join(said.split())


def test_the_common_statistics_are_in_the_file_that_is_asked(tmp_path, small_site):
    model, _, plan = delivered(tmp_path, "sitenorm", kappa=2.0)
    found = read_model(model)
    assert set(found.extra) == {STATISTICS}
    assert found.choices["arguments"]["kappa"] == 2.0
    assert found.choices["network"] == plan.network.model_dump()


def test_a_file_that_does_not_say_its_network_is_refused(capsys, tmp_path):
    save_file({"w": torch.ones(1)}, tmp_path / "model.safetensors")
    code, said = asked(capsys, tmp_path / "model.safetensors", "--out", tmp_path / "p.csv")
    assert code == 2
    assert "model.safetensors does not say its network" in " ".join(said.split())
    assert not (tmp_path / "p.csv").exists()


@pytest.mark.usefixtures("small_site")
def test_a_manifest_of_scans_to_predict_has_images_alone(capsys, tmp_path):
    model, _, _ = delivered(tmp_path, "fedavg")
    for at in range(3):
        write_dicom(tmp_path / "scans" / f"{at}.dcm", head(at))
    (tmp_path / "scans" / "labels.csv").write_text("image\n0.dcm\n1.dcm\n2.dcm\n")
    (tmp_path / "a.yaml").write_text("kind: manifest\nroot: scans\n")
    out = tmp_path / "found.csv"
    code, said = asked(capsys, model, "--site-file", tmp_path / "a.yaml", "--out", out)
    assert (code, "3 scans" in said) == (0, True), said
    with pytest.raises(Refused, match="wanted the column a finding"):
        open_site(read_site_file(tmp_path / "a.yaml"), "a", ["a"], 32)
