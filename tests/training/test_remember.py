"""Continual training: each way pulls towards the earlier model as its formula says, and refuses what it can't do."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from brainct.core.names import site_names
from brainct.ct.dataset import open_site
from brainct.ct.site_config import read_site_file
from brainct.errors import Refused
from brainct.job.config import plan_of
from brainct.run import start_model
from brainct.run.rehearse import rehearse, resume
from brainct.training.remember import remembering_of
from tests.conftest import first_weights, tiny_learner, tiny_plan, tiny_scans

EARLIER = tiny_scans(99).folds["train"]


def learner(remember, start=True, earlier=True, **fit):
    fit = {"augment": None, "optimizer": "sgd", "rate": 0.01, **fit}
    plan = tiny_plan("fedavg", fit={**fit, "remember": remember})
    found = tiny_learner(plan)
    given = {key: value + 0.1 for key, value in first_weights(plan).items()} if start else None
    context = replace(found.context, start=given)
    return replace(found, context=context, data=replace(found.data, earlier=EARLIER if earlier else None))


def far(weights, start):
    return sum(float((weights[key] - value).square().sum()) for key, value in start.items())


@pytest.mark.parametrize(("how", "heavy"), [("distill", 30.0), ("ewc", 1e5)])
def test_a_heavy_weight_keeps_training_nearer_to_the_start_model(how, heavy):
    found = {}
    for weight in (0.0, heavy):
        one = learner({how: weight}, optimizer="adam", epochs=4)
        start = one.context.start
        fitted = one.fit(start).weights
        with torch.no_grad():
            then, now = (one.module(each)(EARLIER.inputs) for each in (start, fitted))
        found[weight] = float((then - now).square().mean()) if how == "distill" else far(fitted, start)
    assert found[heavy] < 0.7 * found[0.0]


def test_the_fisher_information_is_the_mean_squared_gradient_of_single_scans():
    one = learner({"ewc": 1.0})
    own = {key: value.clone() for key, value in one.network.state_dict().items()}
    fisher = remembering_of(one).fisher
    assert all(torch.equal(own[key], value) for key, value in one.network.state_dict().items()), "put back"
    one.network.load_state_dict(dict(one.context.start))
    total = {name: torch.zeros_like(value) for name, value in one.network.named_parameters()}
    for inputs, labels in zip(EARLIER.inputs, EARLIER.labels, strict=True):
        one.network.zero_grad()
        one.task.loss(one.network(inputs[None]), labels[None], None).backward()
        for name, value in one.network.named_parameters():
            total[name] += value.grad.square() / len(EARLIER)
    for name, value in total.items():
        assert torch.allclose(fisher[name], value, rtol=1e-3, atol=1e-9), name


def test_replay_adds_the_mean_loss_of_earlier_scans():
    one = learner({"replay": 2.0})
    one.network.load_state_dict(dict(one.context.start))
    everything = replace(one, data=replace(one.data, earlier=EARLIER))
    inputs = EARLIER.inputs
    logits = one.network(inputs).detach()
    added = remembering_of(everything).added(torch.tensor(0.0), inputs, logits, np.random.default_rng(0)).detach()
    assert float(added) == pytest.approx(2 * float(one.task.loss(logits, EARLIER.labels, None)), rel=1e-5)


def test_all_weights_at_0_change_no_bit():
    plain = learner(None).fit(first_weights(tiny_plan("fedavg"))).weights
    off = learner({"replay": 0.0}).fit(first_weights(tiny_plan("fedavg"))).weights
    assert all(torch.equal(plain[key], off[key]) for key in plain)


def test_what_a_site_lacks_is_refused_by_name():
    weights = first_weights(tiny_plan("fedavg"))
    with pytest.raises(Refused, match="needs a start model"):
        learner({"distill": 1.0}, start=False).fit(weights)
    for how in ("replay", "ewc"):
        with pytest.raises(Refused, match="has no earlier scans"):
            learner({how: 1.0}, earlier=False).fit(weights)
    with pytest.raises(Refused, match="fit.remember adds nothing"):
        learner({"distill": 1.0}).gradient(weights)


def test_a_job_without_it_has_the_digest_that_it_had():
    assert "remember" not in tiny_plan("fedavg").model_dump()["fit"]


@pytest.fixture
def two_years(tmp_path, monkeypatch):
    """A site file whose earlier scans are in another one."""
    text = "kind: phantom\nphantom: {{scans: 12, seed: {seed}}}\nsplit: {{train: 0.5, valid: 0.25, test: 0.25}}\n"
    (tmp_path / "then.yaml").write_text(text.format(seed=1))
    (tmp_path / "now.yaml").write_text(text.format(seed=2) + "earlier: then.yaml\n")
    monkeypatch.setenv("BRAINCT_SITE", str(tmp_path / "now.yaml"))
    return tmp_path / "now.yaml"


def test_earlier_scans_are_the_training_fold_of_their_site_file_and_change_the_fingerprint(two_years):
    now = open_site(read_site_file(two_years), "site-1", [], 32)
    then = open_site(read_site_file(two_years.with_name("then.yaml")), "site-1", [], 32)
    assert torch.equal(now.earlier.inputs, then.folds["train"].inputs)
    plain = open_site(read_site_file(two_years).model_copy(update={"earlier": None}), "site-1", [], 32)
    assert plain.earlier is None
    assert now.fingerprint != plain.fingerprint
    assert sorted(now.folds) == sorted(plain.folds), "nothing of them is described to the server"


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_over_sites_gives_each_the_start_model_from_the_job_not_from_the_server(tmp_path, two_years, workers):
    first = tiny_plan("fedavg", rounds=1, seed=7)
    rehearse(first, site_names(2), tmp_path / "first", log=lambda line: None)
    start, file = start_model.named(str(tmp_path / "first"), first)
    hashes = set()
    for number, remember in enumerate((None, {"distill": 5.0}, {"replay": 1.0}, {"ewc": 100.0})):
        plan = plan_of(
            {**first.model_dump(), "start_from": start, "fit": {"remember": remember, "epochs": 3}}, "the test"
        )
        how = {"start": file, "workers": workers, "log": lambda line: None}
        hashes.add(rehearse(plan, site_names(2), tmp_path / str(number), **how).content["model_sha256"])
    assert len(hashes) == 4


def test_a_run_that_was_stopped_resumes_with_the_start_model_that_its_training_remembers(tmp_path, two_years):
    rehearse(tiny_plan("fedavg", rounds=1, seed=7), site_names(2), tmp_path / "first", log=quiet)
    start, file = start_model.named(str(tmp_path / "first"), tiny_plan("fedavg"))
    fit = {"remember": {"distill": 5.0, "ewc": 100.0}}
    plan = tiny_plan("fedavg", rounds=2, start_from=start, fit=fit)
    whole = rehearse(plan, site_names(2), tmp_path / "whole", start=file, log=quiet).content

    def stop(row):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rehearse(plan, site_names(2), tmp_path / "cut", start=file, log=quiet, on_round_closed=stop)
    file.unlink()
    again = resume(tmp_path / "cut", log=quiet).content
    assert again["model_sha256"] == whole["model_sha256"]


def quiet(line):
    pass
