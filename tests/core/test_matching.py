"""The arithmetic of permutations and of matching, against functions, brute force and a posterior written out."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from brainct.core.matching import (
    Prior,
    _best,
    _gain,
    _likeness,
    align,
    bbp_map,
    inputs_from,
    inputs_spread,
    mean_of_matched,
    mean_of_rows,
    own_units,
    permute,
    share_mean,
    width,
)
from brainct.ct.networks import build
from brainct.schemes._sequential import chain_of
from brainct.training.networks import described

VGG = {"widths": (6, 8), "hidden": 10}
GROUPED = {"widths": (8, 12), "groups": 4}
networks = pytest.mark.parametrize(
    ("name", "options", "dims"),
    [("vgg-small", VGG, 2), ("vgg-small", VGG, 3), ("cnn", GROUPED, 2), ("cnn", GROUPED, 3)],
)


def chain_and_weights(name, options, dims, seed=0):
    """A network's chain, and weights of which no two units are alike, biases and normalisation included."""
    model = described(build(name, size=16, dims=dims, **options), name)
    random = torch.Generator().manual_seed(seed)
    weights = {key: torch.randn(value.shape, generator=random) for key, value in model.weights.items()}
    return chain_of(model, ("vgg-small", "cnn"), "test", normalised=True), weights


def logits(name, options, dims, weights):
    network = build(name, size=16, dims=dims, **options).double()
    network.load_state_dict({key: value.double() for key, value in weights.items()})
    return network(torch.rand(3, 3, *[16] * dims, generator=torch.Generator().manual_seed(5)).double()).detach()


def whole_groups(units, groups, random):
    """A random permutation that exchanges whole groups, and channels within each."""
    size = units // max(groups, 1)
    parts = [part * size + random.permutation(size) for part in random.permutation(max(groups, 1))]
    return np.concatenate(parts) if groups else random.permutation(units)


def shuffled(weights, chain, seed):
    random = np.random.default_rng(seed)
    for link, following in itertools.pairwise(chain):
        weights = permute(weights, link, following, whole_groups(len(weights[link.weight]), link.groups, random))
    return weights


@networks
@pytest.mark.parametrize("seed", range(3))
def test_permuted_units_leave_the_function_what_it_was(name, options, dims, seed):
    chain, weights = chain_and_weights(name, options, dims)
    moved = shuffled(weights, chain, seed)
    assert not torch.equal(moved[chain[-1].weight], weights[chain[-1].weight])
    torch.testing.assert_close(
        logits(name, options, dims, moved), logits(name, options, dims, weights), rtol=1e-5, atol=0
    )


def test_a_channel_that_leaves_its_group_changes_what_group_normalisation_does():
    chain, weights = chain_and_weights("cnn", GROUPED, 2)
    for swap, same in (([1, 0, 2, 3, 4, 5, 6, 7], True), ([0, 2, 1, 3, 4, 5, 6, 7], False)):
        moved = permute(weights, chain[0], chain[1], np.array(swap))
        assert (logits("cnn", GROUPED, 2, moved) - logits("cnn", GROUPED, 2, weights)).abs().max() < 1e-9 or not same
        assert same or (logits("cnn", GROUPED, 2, moved) - logits("cnn", GROUPED, 2, weights)).abs().max() > 1e-2


def test_a_channel_goes_into_a_linear_layer_as_its_block_of_features():
    channels, cells = 3, 4
    maps = torch.rand(2, channels, 2, 2)
    weight = torch.rand(5, channels * cells)
    order = np.array([2, 0, 1])
    moved = inputs_from(weight, channels, order)
    torch.testing.assert_close(maps[:, order].flatten(1) @ moved.T, maps.flatten(1) @ weight.T)
    assert moved[0, :cells].tolist() == weight[0, 2 * cells :].tolist()


@pytest.mark.parametrize("shape", [(4, 3, 3, 3), (4, 3, 3, 3, 3), (4, 12), (4, 3)])
def test_units_spread_over_more_places_are_read_where_they_are_and_zeros_elsewhere(shape):
    weight, places = torch.rand(shape), np.array([4, 0, 3])
    wide = inputs_spread(weight, places, 6)
    assert wide.shape == (4, 2 * shape[1], *shape[2:])
    torch.testing.assert_close(inputs_from(wide, 6, places), weight)
    assert inputs_from(wide, 6, np.array([1, 2, 5])).abs().sum() == 0


@given(seed=st.integers(0, 999), shape=st.sampled_from([(1, 5), (2, 2), (3, 2), (2, 3), (6, 1)]))
def test_the_best_permutation_is_the_best_of_all_that_keep_groups_whole(seed, shape):
    groups, size = shape
    units = groups * size
    likeness = np.random.default_rng(seed).normal(size=(units, units))
    candidates = [
        [q * size + c for q, inner in zip(outer, chosen, strict=True) for c in inner]
        for outer in itertools.permutations(range(groups))
        for chosen in itertools.product(itertools.permutations(range(size)), repeat=groups)
    ]
    totals = [likeness[range(units), index].sum() for index in candidates]
    found = _best(likeness, groups)
    assert sorted(found.tolist()) == list(range(units))
    assert likeness[range(units), found].sum() == pytest.approx(max(totals))
    assert found.tolist() in candidates


@networks
@pytest.mark.parametrize("seed", range(5))
def test_planted_permutations_are_found_and_undone(name, options, dims, seed):
    chain, weights = chain_and_weights(name, options, dims)
    back = align(shuffled(weights, chain, seed), weights, chain, 100)
    assert all(torch.equal(back[key], value) for key, value in weights.items())


@networks
def test_alignment_leaves_the_function_and_brings_the_weights_nearer(name, options, dims):
    chain, one = chain_and_weights(name, options, dims, seed=1)
    _, other = chain_and_weights(name, options, dims, seed=2)
    moved = align(other, one, chain, 100)
    torch.testing.assert_close(
        logits(name, options, dims, moved), logits(name, options, dims, other), rtol=1e-5, atol=0
    )
    near, far = (sum((one[key] - each[key]).square().sum() for key in one) for each in (moved, other))
    assert near < far


@networks
@pytest.mark.parametrize("layer", [0, 1])
def test_likeness_is_what_a_permutation_adds_to_the_inner_product_of_two_networks(name, options, dims, layer):
    chain, one = chain_and_weights(name, options, dims, seed=1)
    _, other = chain_and_weights(name, options, dims, seed=2)
    link, following = chain[layer : layer + 2]
    likeness = _likeness(other, one, link, following)
    order = np.random.default_rng(0).permutation(len(likeness))
    moved = permute(other, link, following, order)
    gained = sum((one[key].double() * (moved[key] - other[key]).double()).sum().item() for key in one)
    expected = likeness[range(len(order)), order].sum() - np.trace(likeness)
    assert gained == pytest.approx(expected, rel=1e-4)


def posterior(theta, values, noise):
    """Twice the log posterior of a global atom, but for constants: N(0, 1) before, N(theta, noise) for each value."""
    return -(theta**2).sum() - sum(((value - theta) ** 2).sum() for value in values) / noise


def at_its_mode(values, noise):
    """The greatest value of `posterior`, where its gradient, -2 theta + 2/noise sum(value - theta), is 0."""
    return posterior(sum(values) / (noise + len(values)), values, noise)


def test_a_mode_is_where_the_posterior_is_greatest():
    values, random = list(np.random.default_rng(0).normal(size=(3, 4))), np.random.default_rng(1)
    mode = sum(values) / (0.5 + 3)
    assert all(posterior(mode + random.normal(size=4) / 9, values, 0.5) < at_its_mode(values, 0.5) for _ in range(50))


@pytest.mark.parametrize(("noise", "gamma"), [(1.0, 1.0), (0.3, 7.0), (4.0, 0.5)])
def test_the_gain_of_an_assignment_is_the_rise_of_the_posterior(noise, gamma):
    random = np.random.default_rng(3)
    first, second, own = (random.normal(size=(units, 5)) for units in (2, 2, 3))
    places = [np.array([0, 1]), np.array([1, 2])]  # place 1 is held by two of the four sites, 0 and 2 by one
    held = [[first[0]], [first[1], second[0]], [second[1]]]
    gain = _gain(own, [(first, places[0]), (second, places[1])], 4, Prior(gamma, noise), most=5)
    assert gain.shape == (3, 5)
    for atom, value in enumerate(own):
        alone = (value**2).sum() / noise  # is lost wherever the atom comes to
        for place, values in enumerate(held):
            rise = at_its_mode([*values, value], noise) - at_its_mode(values, noise) + alone
            popular = 2 * np.log(len(values) / (4 - len(values)))
            assert gain[atom, place] == pytest.approx(rise + popular)
        for new in (1, 2):
            rise = at_its_mode([value], noise) + alone - 2 * np.log(new) + 2 * np.log(gamma / 4)
            assert gain[atom, 2 + new] == pytest.approx(rise)


def units_of(seed, sites=4, units=7, numbers=30):
    return list(np.random.default_rng(seed).normal(size=(sites, units, numbers)))


@given(
    seed=st.integers(0, 99),
    gamma=st.sampled_from([1e-6, 1.0, 7.0, 1e9]),
    noise=st.sampled_from([0.01, 1.0, 100.0]),
    room=st.integers(0, 9),
    sites=st.integers(1, 4),
)
def test_places_number_no_more_than_allowed_and_no_place_is_empty_or_has_two_units_of_a_site(
    seed, gamma, noise, room, sites
):
    atoms = [one[: 7 - number] for number, one in enumerate(units_of(seed, sites))]
    places = bbp_map(atoms, Prior(gamma, noise), 7 + room, 3, np.random.default_rng(seed))
    assert 7 <= width(places) <= 7 + room
    assert sorted(set(np.concatenate(places).tolist())) == list(range(width(places)))
    assert all(len(set(place.tolist())) == len(one) for place, one in zip(places, atoms, strict=True))


def test_atoms_that_nobody_shares_grow_the_layer_to_its_bound_and_not_beyond():
    atoms = units_of(0)
    grown = [width(bbp_map(atoms, Prior(1e9, 0.01), most, 5, np.random.default_rng(0))) for most in (7, 11, 40)]
    assert grown == [7, 11, 28]


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("sites", [1, 2, 5])
def test_the_same_units_in_other_orders_are_matched_exactly_whatever_their_scale(scale, sites):
    units = units_of(1, 1)[0] * scale
    orders = [np.random.default_rng(site).permutation(7) for site in range(sites)]
    places = bbp_map([units[order] for order in orders], Prior(1.0, 1.0), 14, 5, np.random.default_rng(0))
    assert width(places) == 7
    held = [dict(zip(place.tolist(), order.tolist(), strict=True)) for place, order in zip(places, orders, strict=True)]
    assert all(one == held[0] for one in held)


@pytest.mark.parametrize(("noise", "cosine"), [(1.0, 0.5), (3.0, 0.25), (1 / 3, 0.75)])
def test_two_atoms_are_one_unit_above_a_cosine_of_one_over_one_plus_noise(noise, cosine):
    for nudge, units in ((0.05, 1), (-0.05, 2)):
        angle = np.arccos(cosine + nudge)
        atoms = np.zeros((2, 1, 400))  # many numbers, so that the likelihood outweighs the counts' prior
        atoms[0, 0, 0], atoms[1, 0, :2] = 1, (np.cos(angle), np.sin(angle))
        assert width(bbp_map(list(atoms), Prior(1.0, noise), 2, 3, np.random.default_rng(0))) == units


def test_a_units_mean_is_that_of_the_sites_that_have_it():
    chain, one = chain_and_weights("vgg-small", VGG, 2, seed=1)
    _, other = chain_and_weights("vgg-small", VGG, 2, seed=2)
    places = [np.arange(6), np.array([5, 6, 7, 0, 8, 9])]
    mean = mean_of_matched([one, other], chain[0], places)
    for key in ("conv1.weight", "conv1.bias"):
        assert mean[key].shape[0] == 10
        torch.testing.assert_close(mean[key][0], (one[key][0] + other[key][3]) / 2)
        assert torch.equal(mean[key][1:5], one[key][1:5])
        assert torch.equal(mean[key][8], other[key][4])


def test_a_row_is_the_mean_by_its_own_shares_and_equal_where_there_are_none():
    chain, one = chain_and_weights("vgg-small", VGG, 2, seed=1)
    _, other = chain_and_weights("vgg-small", VGG, 2, seed=2)
    shares = np.array([[3.0, 0, 0, 1, 1, 1], [1.0, 5, 0, 1, 1, 1]])
    mean = mean_of_rows([one, other], chain[-1], shares)
    for key in ("head.weight", "head.bias"):
        torch.testing.assert_close(mean[key][0], 0.75 * one[key][0] + 0.25 * other[key][0])
        assert torch.equal(mean[key][1], other[key][1])
        torch.testing.assert_close(mean[key][2], (one[key][2] + other[key][2]) / 2)


def test_a_sites_part_of_a_network_has_its_units_and_what_they_read_of_each_other():
    chain, whole = chain_and_weights("vgg-small", VGG, 2)
    places = [[5, 1, 2], [7, 0], [3, 9, 4, 1]]
    own = own_units(whole, chain, places)
    maps = whole["hidden.weight"].reshape(10, 8, -1)
    assert torch.equal(own["conv1.weight"], whole["conv1.weight"][places[0]])
    assert torch.equal(own["conv2.weight"], whole["conv2.weight"][places[1]][:, places[0]])
    assert torch.equal(own["conv2.bias"], whole["conv2.bias"][places[1]])
    assert torch.equal(own["hidden.weight"], maps[places[2]][:, places[1]].flatten(1))
    assert torch.equal(own["head.weight"], whole["head.weight"][:, places[2]])
    assert torch.equal(own["head.bias"], whole["head.bias"])


def test_sites_read_the_shared_layer_as_they_read_their_own():
    chain, weights = chain_and_weights("vgg-small", VGG, 2)
    places = [np.array([7, 1, 2, 0, 4, 5]), np.array([3, 6, 1, 2, 0, 4])]
    one, other = share_mean([weights, weights], chain[0], chain[1], places)
    assert one["conv1.weight"].shape[0] == other["conv2.weight"].shape[1] == 8
    assert torch.equal(one["conv1.weight"], other["conv1.weight"])
    for found, place in ((one, places[0]), (other, places[1])):
        assert torch.equal(found["conv2.weight"][:, place], weights["conv2.weight"])
        nowhere = sorted(set(range(8)) - set(place.tolist()))
        assert found["conv2.weight"][:, nowhere].abs().sum() == 0
