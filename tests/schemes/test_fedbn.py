"""What is true of FedBN and SiloBN alone."""

import pytest

from brainct.core.weights import sha256
from brainct.ct.model import model_of
from brainct.errors import Refused
from brainct.schemes.fedavg import fedavg
from brainct.schemes.fedbn import fedbn, silobn
from brainct.training.networks import described
from tests.conftest import tiny_plan
from tests.support.batchnorm import STATISTICS, batchnorm_learner, batchnorm_network
from tests.support.by_hand import SITES, play

AFFINE = {"1.weight", "1.bias"}


def with_batchnorm(scheme, rounds=2):
    return play(scheme, tiny_plan(), rounds, model=described(batchnorm_network(), "bn"), learner=batchnorm_learner)[-1]


def test_normalisation_of_the_networks_here_stays_and_differs_from_site_to_site():
    plan = tiny_plan()
    last = play(fedbn(), plan)[-1]
    kept = {key for key in model_of(plan.network, plan.seed, plan.rounds).weights if key.startswith("norm")}
    assert all(set(last.keeps[site]["own"]) == kept for site in SITES)
    assert len({sha256(last.keeps[site]["own"]) for site in SITES}) == 3


def test_without_groupnorm_it_is_fedavg_on_a_network_that_has_no_other():
    plan = tiny_plan()
    ours = fedbn(groupnorm=False)
    theirs = play(fedavg(weight_by="equal"), plan)[-1].memory["weights"]
    assert sha256(ours.model(play(ours, plan)[-1].memory)) == sha256(theirs)


@pytest.mark.parametrize("groupnorm", [True, False])
def test_batchnorm_stays_whole_found_by_type_not_by_name(groupnorm):
    last = with_batchnorm(fedbn(groupnorm))
    assert all(set(last.keeps[site]["own"]) == AFFINE | STATISTICS for site in SITES)


def test_silobn_keeps_the_statistics_and_shares_scale_and_shift():
    last = with_batchnorm(silobn())
    assert all(set(last.keeps[site]["own"]) == STATISTICS for site in SITES)
    assert set(last.memory["shared"]) >= AFFINE
    means = {tuple(last.keeps[site]["own"]["1.running_mean"].tolist()) for site in SITES}
    counts = {site: int(last.keeps[site]["own"]["1.num_batches_tracked"]) for site in SITES}
    assert len(means) == 3
    assert counts == {"site-1": 2, "site-2": 4, "site-3": 4}  # two passes in batches of 8 over 4, 9 and 14 scans


def test_without_batchnorm_silobn_is_fedavg_to_the_bit():
    plan = tiny_plan()
    ours, theirs = play(silobn(), plan), play(fedavg(), plan)
    assert sha256(silobn().model(ours[-1].memory)) == sha256(theirs[-1].memory["weights"])
    assert all(not task.extra for task in ours[0].tasks.values())


def test_a_choice_that_is_none_is_refused():
    with pytest.raises(Refused, match="fedbn: groupnorm is 'no'; wanted true or false"):
        fedbn(groupnorm="no")
