"""A run that starts from a model: the right weights, strictly checked, and a lineage that stays with the model."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from brainct.core import serialization
from brainct.core.names import site_names
from brainct.errors import Refused
from brainct.job import copies, folders
from brainct.job.config import plan_of
from brainct.run import start_model
from brainct.run.model_file import read_model, write_model
from brainct.run.rehearse import rehearse, resume
from tests.conftest import TINY, tiny_plan

SITES = site_names(2)
pytestmark = pytest.mark.usefixtures("small_site")


def run(folder, scheme="fedavg", source=None, **choices):
    """The record of a rehearsal of one round, from the model in `source` if there is one."""
    plan, file = tiny_plan(scheme, rounds=1, **choices), None
    if source is not None:
        start, file = start_model.named(str(source), plan)
        plan = plan_of({**plan.model_dump(), "start_from": start}, "the test")
    return rehearse(plan, SITES, folder, start=file, log=lambda line: None).content


def begun(source, **choices):
    """What a plan with these choices starts from."""
    plan = tiny_plan("fedavg", **choices)
    start, file = start_model.named(str(source), plan)
    return start_model.start_of(plan_of({**plan.model_dump(), "start_from": start}, "the test"), file)


@pytest.fixture
def first(tmp_path):
    run(tmp_path / "first", seed=5)
    return tmp_path / "first"


def test_training_goes_on_from_the_earlier_runs_model_and_the_record_says_so(tmp_path, first):
    untrained = {"fit": {"rate": 1e-12}}
    again = run(tmp_path / "second", source=first, **untrained)
    earlier = json.loads((first / "record.json").read_text())
    last = again["start"]["lineage"][-1]
    assert last == {"sha256": earlier["model_sha256"], "source": "a run of fedavg over 2 sites, 1 rounds"}
    assert again["start"]["head"] == "kept"
    assert again["plan"]["start_from"]["sha256"] == earlier["model_sha256"]
    given, kept = (load_file(folder / "model.safetensors") for folder in (first, tmp_path / "second"))
    assert all(torch.allclose(given[key], kept[key], atol=1e-6) for key in given)
    assert "start" not in earlier
    third = run(tmp_path / "third", source=tmp_path / "second")
    assert [one["sha256"] for one in third["start"]["lineage"]] == [earlier["model_sha256"], again["model_sha256"]]
    assert read_model(tmp_path / "third" / "model.safetensors").lineage == third["start"]["lineage"]


def test_a_site_alone_starts_from_it_too(tmp_path, first):
    alone = {seed: run(tmp_path / f"alone-{seed}", "local", first, seed=seed)["test"] for seed in (1, 2)}
    without = run(tmp_path / "alone", "local", seed=1)["test"]
    assert alone[1] != without


def test_the_head_is_seeded_anew_where_the_findings_are_others(first):
    other, same = begun(first, findings=["stroke", "any"], seed=3), begun(first, seed=3)
    seeded, trained = tiny_plan("fedavg", findings=["stroke", "any"], seed=3), load_file(first / "model.safetensors")
    fresh = seeded.kind.initial(seeded, 3, 1).weights
    assert (other.started.head, same.started.head) == ("replaced", "kept")
    assert torch.equal(other.weights["head.weight"], fresh["head.weight"])
    assert torch.equal(other.weights["conv1.weight"], trained["conv1.weight"])
    assert torch.equal(same.weights["head.weight"], trained["head.weight"])
    assert any("head, starts from the seed" in note for note in other.notes)
    six = list(tiny_plan("fedavg").findings)
    assert begun(first, findings=six[::-1]).started.head == "replaced", "the same findings in another order"


def spoilt(first, change):
    weights = load_file(first / "model.safetensors")
    change(weights)
    write_model(first / "spoilt.safetensors", weights, tiny_plan("fedavg").model_dump(), {})
    return first / "spoilt.safetensors"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda weights: weights.pop("conv1.weight"), "missing tensors: conv1.weight"),
        (lambda weights: weights.update(more=torch.ones(1)), "not asked for: more"),
        (lambda weights: weights.update({"conv1.weight": torch.ones(2, 2)}), "conv1.weight has shape"),
        (lambda weights: weights["conv1.weight"].fill_(torch.nan), "NaN or infinite"),
    ],
)
def test_other_keys_shapes_and_values_are_refused(first, change, words):
    with pytest.raises(Refused, match=words):
        begun(spoilt(first, change))


def test_another_network_and_another_workload_are_refused(first):
    other = {"network": {**TINY, "options": {"widths": [8, 16]}}}
    with pytest.raises(Refused, match="is of network cnn .*the job's is cnn"):
        begun(first, **other)
    job = plan_of({"scheme": "fedavg", "workload": "segment"}, "the test")
    start, file = start_model.named(str(first), job)
    with pytest.raises(Refused, match="is of workload ct, the job of segment"):
        start_model.start_of(plan_of({**job.model_dump(), "start_from": start}, "the test"), file)


def test_images_of_another_size_than_the_start_model_saw_are_said(first):
    notes = begun(first, network={**TINY, "size": 48}).notes
    assert [note for note in notes if note.endswith("was trained with size 32; the job has another")] == list(notes)
    assert len(notes) == 1


def test_a_bare_safetensors_file_of_the_network_will_do(tmp_path, first):
    save_file(load_file(first / "model.safetensors"), tmp_path / "bare.safetensors")
    assert begun(tmp_path / "bare.safetensors").started.head == "kept"


@pytest.mark.parametrize("scheme", sorted(start_model.UNTRAINED))
def test_the_untrained_model_of_a_scheme_that_delivers_none_is_no_start_model(tmp_path, scheme):
    plan = tiny_plan(scheme)
    write_model(tmp_path / "m.safetensors", plan.kind.initial(plan, 1, 1).weights, plan.model_dump(), {})
    with pytest.raises(Refused, match="the model is untrained"):
        start_model.named(str(tmp_path / "m.safetensors"), tiny_plan("fedavg"))


def test_a_name_is_one_of_the_packages_or_refused_with_those_that_are_known():
    with pytest.raises(Refused, match="'mars' is no start model of ct, known are phantom"):
        tiny_plan("fedavg", start_from="mars")
    with pytest.raises(Refused, match="workload causal has no network"):
        plan_of({"scheme": "peri", "workload": "causal", "start_from": "phantom"}, "the test")
    with pytest.raises(Refused, match="wanted a start model's name, or the sha256"):
        tiny_plan("fedavg", start_from={"source": "somewhere"})


def test_a_job_folder_carries_the_model_and_another_file_in_it_is_refused(tmp_path, first):
    folders.write(tmp_path / "job", "mine", {**tiny_plan("fedavg", rounds=1).model_dump(), "deadline": 60.0})
    start, file = start_model.named(str(first), folders.read(tmp_path / "job"))
    job = copies.starting(tmp_path / "job", start, file.read_bytes(), tmp_path / "started")
    plan = folders.read(job)
    assert start_model.start_of(plan, folders.start_file(job)).started.head == "kept"
    content = folders.start_file(job).read_bytes()
    folders.start_file(job).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(Refused, match="the start model has SHA-256"):
        rehearse(plan, SITES, tmp_path / "out", start=folders.start_file(job), log=print)
    with pytest.raises(Refused, match="did not come with it"):
        rehearse(plan, SITES, tmp_path / "other", log=print)


def test_a_run_that_was_stopped_resumes_without_the_file(tmp_path, first):
    start, file = start_model.named(str(first), tiny_plan("fedavg"))
    plan = tiny_plan("fedavg", rounds=2, start_from=start)
    whole = rehearse(plan, SITES, tmp_path / "whole", start=file, log=lambda line: None).content

    def stop(row):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rehearse(plan, SITES, tmp_path / "cut", start=file, log=lambda line: None, on_round_closed=stop)
    again = resume(tmp_path / "cut", log=lambda line: None).content
    assert (again["model_sha256"], again["start"]) == (whole["model_sha256"], whole["start"])


def test_a_job_without_a_start_model_has_the_digest_that_it_had():
    """Noise follows from it."""
    assert "start_from" not in tiny_plan("fedavg").model_dump()
    assert serialization.sha256(tiny_plan("fedavg", start_from=None).model_dump()) == serialization.sha256(
        tiny_plan("fedavg").model_dump()
    )
