"""What is true of dynamic regularisation alone."""

import pytest
import torch

from brainct.core.weights import filled
from brainct.errors import Refused
from brainct.schemes._acknowledged import acknowledged
from brainct.schemes.fedavg import fedavg
from brainct.schemes.feddyn import feddyn
from tests.support.quadratic import START, Quadratic, optimum, rests_at, run, sites_that_differ

near = {"rtol": 0, "atol": 1e-9}


def gradients(scheme, memory, keeps):
    """Each site's g_k as its next task would find it."""
    tasks = scheme.assign(memory, 99, sorted(keeps))
    return {site: acknowledged(tasks[site], keeps[site], filled(START, 0.0))["w"] for site in sorted(keeps)}


def test_it_comes_to_rest_at_the_common_optimum_where_fedavg_does_not():
    sites = sites_that_differ()
    torch.testing.assert_close(rests_at(feddyn(1.0), sites), optimum(sites), rtol=0, atol=1e-6)
    assert (rests_at(fedavg(weight_by="equal"), sites) - optimum(sites)).abs().max() > 0.05


def test_at_rest_each_g_is_its_sites_gradient_and_they_cancel():
    sites = sites_that_differ()
    memory, keeps = run(feddyn(1.0), sites, 400)
    found = gradients(feddyn(1.0), memory, keeps)
    for site, gradient in found.items():
        wanted = sites[site].gradient(memory["weights"]).weights["w"]
        torch.testing.assert_close(gradient, wanted, rtol=0, atol=1e-6)
        assert wanted.abs().max() > 1
    torch.testing.assert_close(sum(found.values()), torch.zeros(2, dtype=torch.float64), rtol=0, atol=1e-6)


def test_a_first_round_by_hand():
    alpha, sites = 0.5, sites_that_differ(steps=2000)
    memory, keeps = run(feddyn(alpha), sites, 1)
    # argmin of a/2 (x - b)^2 + alpha/2 (x - w)^2 is (a b + alpha w) / (a + alpha)
    trained = {site: (x.a * x.b + alpha * START["w"]) / (x.a + alpha) for site, x in sites.items()}
    for site, gradient in gradients(feddyn(alpha), memory, keeps).items():
        torch.testing.assert_close(gradient, -alpha * (trained[site] - START["w"]), **near)
    mean = torch.stack(list(trained.values())).mean(0)
    torch.testing.assert_close(memory["weights"]["w"], mean + (mean - START["w"]), **near)


@pytest.mark.parametrize("lost", [set(), {("site-2", 1)}, {("site-1", 0), ("site-1", 1), ("site-3", 3)}])
def test_h_is_the_mean_of_all_g_also_where_reports_were_lost(lost):
    for rounds in range(1, 6):
        memory, keeps = run(feddyn(), sites_that_differ(), rounds, lost)
        mean = torch.stack(list(gradients(feddyn(), memory, keeps).values())).mean(0)
        torch.testing.assert_close(memory["h"]["w"], mean, **near)
        assert mean.abs().max() > 0.01


def test_a_site_minimises_its_loss_less_g_times_x_plus_the_pull():
    """The pull's gradient by central differences; the linear term comes as a correction of the gradient."""
    site, alpha, width = Quadratic([1.0, 4.0], [0.0, 5.0]), 0.3, 1e-3
    memory, keeps = run(feddyn(alpha), {"a": site}, 2)
    own = gradients(feddyn(alpha), memory, keeps)["a"]
    feddyn(alpha).reply(feddyn(alpha).assign(memory, 2, ["a"])["a"], site, keeps["a"])
    torch.testing.assert_close(site.asked["correction"]["w"], -own, **near)
    here = torch.tensor([0.5, 2.0], dtype=torch.float64)
    ahead = torch.tensor([width, 0.0], dtype=torch.float64)
    penalty = site.asked["penalty"]
    slope = (penalty({"w": here + ahead}) - penalty({"w": here - ahead})) / (2 * width)
    assert slope.item() == pytest.approx(alpha * (here - memory["weights"]["w"])[0].item(), rel=1e-9)


def test_an_alpha_out_of_range_is_refused():
    with pytest.raises(Refused, match="feddyn: alpha is 0; wanted a finite number above 0"):
        feddyn(0)
