"""What is true of normalised averaging alone."""

from dataclasses import replace

import pytest
import torch

from brainct.core.learner import Model
from brainct.core.report_check import check_report
from brainct.core.scheme import Report, Task
from brainct.errors import Refused
from brainct.schemes.fedavg import fedavg
from brainct.schemes.fednova import fednova
from tests.support.quadratic import START, Quadratic, optimum, rests_at, run, sites_that_differ


def test_a_round_by_hand():
    scheme, before = fednova(), torch.tensor([1.0])
    memory = scheme.start(Model({"w": before, "n": torch.tensor(0)}), ["a", "b"], 0)
    reports = {
        "a": Report({"w": torch.tensor([3.0]), "n": torch.tensor(2)}, 1, extra={"steps": 2}),
        "b": Report({"w": torch.tensor([-5.0]), "n": torch.tensor(10)}, 3, extra={"steps": 10}),
    }
    effective = (1 * 2 + 3 * 10) / 4
    per_step = (1 / 4) * (3 - 1) / 2 + (3 / 4) * (-5 - 1) / 10
    after = scheme.model(scheme.combine(memory, 0, reports))
    assert after["w"].item() == pytest.approx(1 + effective * per_step)
    assert after["n"].item() == 10


def test_where_all_take_the_same_number_of_steps_it_is_fedavg():
    sites = sites_that_differ()
    wanted = fedavg().model(run(fedavg(), sites, 5)[0])["w"]
    torch.testing.assert_close(fednova().model(run(fednova(), sites, 5)[0])["w"], wanted, rtol=0, atol=1e-12)


def test_a_site_that_steps_more_does_not_pull_the_optimum_to_itself():
    """Equal curvature, small rate: FedAvg rests near sum tau_k b_k / sum tau_k = 1.8, FedNova near the mean, 1."""
    sites = {
        "a": Quadratic([1.0, 1.0], [0.0, 0.0], steps=1, rate=0.001),
        "b": Quadratic([1.0, 1.0], [2.0, 2.0], steps=9, rate=0.001),
    }
    wanted = optimum(sites)
    assert wanted.tolist() == [1.0, 1.0]
    assert (rests_at(fedavg(), sites, 3000) - wanted).abs().max() > 0.7
    torch.testing.assert_close(rests_at(fednova(), sites, 3000), wanted, rtol=0, atol=0.01)


@pytest.mark.parametrize(
    ("extra", "words"), [({}, "lacks extra/steps"), ({"steps": 0}, "steps is 0"), ({"steps": 2.5}, "steps is 2.5")]
)
def test_a_report_without_a_number_of_steps_is_refused_at_the_door(extra, words):
    report, _ = fednova().reply(Task(START), Quadratic([1.0, 1.0], [0.0, 0.0]), {})
    check_report(report, Task(START), fednova(), "hospital-b")
    with pytest.raises(Refused, match=f"^hospital-b: .*{words}"):
        check_report(replace(report, extra=extra), Task(START), fednova(), "hospital-b")
