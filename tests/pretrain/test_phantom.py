"""The start model without any patient: the same bits again, the file that the package ships, and jobs that take it."""

import pytest
import torch

from brainct.cli import main
from brainct.ct.phantom import SCANNERS
from brainct.ct.start_models import START_MODELS
from brainct.errors import Refused
from brainct.job.config import plan_of
from brainct.pretrain.phantom import DETAIL, NETWORK, details_named, plan_for, pretrain
from brainct.run import start_model
from brainct.run.model_file import model_sha256, read_model
from brainct.run.run_record import read_record
from tests.conftest import TINY, tiny_plan

MADE_WITH = ("2.13", "AVX512")
"""torch and the instructions of the processor that made the shipped file: others round other last bits."""


def quiet(line):
    pass


def tiny(folder, seed=1, detail=DETAIL, **choices):
    record = pretrain(plan_for(TINY, 1, seed, **choices), folder, 2, quiet, detail).content
    return record["model_sha256"], record["sites"]["phantom"]["folds"]["train"]["scans"]


def test_the_same_choices_give_the_same_bits_and_others_do_not(tmp_path):
    first, again, other = tiny(tmp_path / "a"), tiny(tmp_path / "b"), tiny(tmp_path / "c", seed=2)
    assert first == again
    assert first[0] != other[0]
    assert first[1] == 2 * len(SCANNERS)


def test_details_of_the_phantom_change_the_model_and_plain_is_without_any(tmp_path):
    plain, other = tiny(tmp_path / "a", detail=details_named("plain")), tiny(tmp_path / "b", detail=("skull_base",))
    assert plain[0] != other[0]
    assert details_named(None) == DETAIL
    assert details_named("motion, marks") == ("motion", "marks")
    with pytest.raises(Refused, match="unknown detail teeth"):
        details_named("motion,teeth")


def test_any_network_and_findings_of_a_job_can_be_pretrained_and_started_from(tmp_path):
    tiny(tmp_path / "a", findings=["subdural", "any"])
    plan = tiny_plan("fedavg", findings=["subdural", "any"], scan=plan_for(TINY).scan.model_dump())
    start, file = start_model.named(str(tmp_path / "a"), plan)
    found = start_model.start_of(plan_of({**plan.model_dump(), "start_from": start}, "the test"), file)
    assert (found.started.head, found.notes) == ("kept", ())


def test_the_command_writes_a_folder_to_start_from(capsys, tmp_path, small_job_of_fedavg):
    words = [
        "model",
        "pretrain",
        "--job",
        small_job_of_fedavg,
        "--scans",
        2,
        "--rounds",
        1,
        "--out",
        tmp_path / "start",
    ]
    with pytest.raises(SystemExit) as ended:
        main.main([str(word) for word in words])
    assert not ended.value.code, capsys.readouterr().err
    assert f"--start-from {tmp_path / 'start'}" in capsys.readouterr().out
    assert read_record(tmp_path / "start" / "record.json").model_sha256


@pytest.fixture
def small_job_of_fedavg(tmp_path):
    from brainct.job import folders

    folders.write(tmp_path / "job", "small", tiny_plan("fedavg").model_dump())
    return tmp_path / "job"


def test_what_the_package_ships_is_what_its_registry_and_its_card_say():
    for name, shipped in START_MODELS.items():
        model = read_model(shipped.file)
        assert model_sha256(model.weights, model.extra) == shipped.sha256
        assert shipped.sha256 in shipped.file.with_suffix(".md").read_text()
        assert shipped.file.stat().st_size < 150_000
        plan = plan_of({"scheme": "fedavg", "network": NETWORK, "start_from": name}, "the test")
        assert plan.start_from.sha256 == shipped.sha256
        found = start_model.start_of(plan, None)
        assert all(torch.equal(found.weights[key], value) for key, value in model.weights.items())
        assert any("scan" in note for note in found.notes), "the job's windows are others"


@pytest.mark.slow
@pytest.mark.nightly
def test_the_shipped_file_is_made_again_from_nothing(tmp_path):
    record = pretrain(plan_for(), tmp_path / "out", log=quiet).content
    here = (torch.__version__[:4], torch.backends.cpu.get_cpu_capability())
    if here == MADE_WITH:
        assert record["model_sha256"] == START_MODELS["phantom"].sha256
    assert record["test"]["phantom"]["any"]["auroc"] > 0.85
