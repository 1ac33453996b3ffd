"""What a job may ask of a site at most: networks that the site knows, rounds, evaluations."""

import pytest

from brainct.job import folders
from brainct.security.limits import Limits, allowed, beyond
from tests.conftest import CHAIN, ROOT, tiny_plan

PHANTOM = {"architecture": "cnn", "options": {"widths": [8, 16, 32, 64]}}
"""The network of the package's start model."""
PIXELS = {"architecture": "vgg-small", "size": 32, "options": {"widths": [3], "hidden": 1024, "grid": 16}}
"""A network whose hidden layer reads pixels: its gradient can hold scans as they are (Fowl et al., ICLR 2022)."""


def test_a_name_in_the_list_stands_for_the_network_with_its_default_options_alone():
    named = Limits(networks=("vgg-small", "cnn"))
    assert beyond(named, tiny_plan(network={"architecture": "cnn", "size": 32})) is None
    assert beyond(named, tiny_plan(network={"architecture": "cnn", "options": {"widths": [16, 32, 64, 128]}})) is None
    for network in (PIXELS, CHAIN, {"architecture": "densenet-small"}):
        said = beyond(named, tiny_plan(network=network))
        assert said.startswith(f"the job's network is {network['architecture']}")
        assert said.endswith("it trains vgg-small, cnn")


def test_options_in_the_list_allow_these_and_no_others():
    exact = Limits(networks=({"architecture": "vgg-small", "options": CHAIN["options"]},))
    assert beyond(exact, tiny_plan(network=CHAIN)) is None
    assert beyond(exact, tiny_plan(network={**CHAIN, "options": {**CHAIN["options"], "hidden": 17}}))


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"rounds": 2}, "the job has 3 rounds; it takes part in at most 2"),
        ({"evaluations": 3}, "the job evaluates 4 times; it takes part in at most 3 evaluations a run"),
        ({"seconds": 60.0}, "the job lets a round wait 600 s (deadline); it takes part in at most 60 s"),
        ({"workloads": ["table"]}, "the job's workload is ct; it takes part in table"),
        ({"schemes": ["feddc"]}, "the job's scheme is fedavg; it takes part in feddc, not in fedavg"),
        ({"schemes": []}, "the job's scheme is fedavg; it takes part in none, not in fedavg"),
    ],
)
def test_rounds_and_evaluations_beyond_the_limit_are_said(limits, words):
    assert beyond(Limits(**limits), tiny_plan(evaluate_every=1)) == words
    enough = Limits(rounds=3, evaluations=4, seconds=600, workloads=("ct",), schemes=("fedavg",))
    assert beyond(enough, tiny_plan(evaluate_every=1)) is None


def test_models_of_single_sites_count_as_evaluations_where_the_job_scores_them():
    plan, sites = tiny_plan(evaluate_every=1, cross_site=True), ("site-1", "site-2", "site-3")
    words = "the job evaluates 7 times; it takes part in at most 6 evaluations a run"
    assert beyond(Limits(evaluations=6), plan, sites) == words
    assert beyond(Limits(evaluations=7), plan, sites) is None
    assert "(cross_site), which it does not allow" in beyond(Limits(cross_site=False), plan, sites)


def test_of_a_scheme_within_another_both_must_be_listed():
    masked = tiny_plan("secagg")
    assert beyond(Limits(schemes=("secagg", "fedavg")), masked) is None
    words = "the job's scheme is secagg of fedavg; it takes part in secagg, not in fedavg"
    assert beyond(Limits(schemes=("secagg",)), masked) == words


@pytest.mark.parametrize("job", sorted((ROOT / "jobs").iterdir()), ids=lambda path: path.name)
def test_every_job_folder_has_a_network_of_the_package_with_default_options_or_a_start_models(job):
    from brainct.ct.networks import NETWORKS
    from brainct.segment.networks import NETWORKS as FOR_MASKS

    assert allowed([*sorted(NETWORKS), *sorted(FOR_MASKS), "logistic", "mlp", "causal", PHANTOM], folders.read(job))
