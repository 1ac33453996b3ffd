"""Augmentation: laws of the movements and of the scanner, and randomness from the given generator alone."""

import math
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from brainct.ct.augment import Augmentation, _blurred, _draw, _scanned, _Scanner, augmenter, rand_scanner
from brainct.errors import Refused

STILL = {"flip": False, "shift": 0.0, "rotate": 0.0, "zoom": 0.0}
STRONG = Augmentation(shift=0.1, rotate=30, zoom=0.2, scanner=1.0)
SHAPES = [(4, 3, 24, 20), (3, 2, 12, 10, 8)]


def batch(shape: tuple[int, ...]) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def augmented(a: Augmentation, images: Tensor, seed: int = 0) -> Tensor:
    return augmenter(a, images.ndim - 2)(images, np.random.default_rng(seed))


def disc(size: int) -> Tensor:
    """(32, 1, size, size): a bright disc of radius size/4 in the middle of each image."""
    place = torch.arange(size) - (size - 1) / 2
    return (place[:, None].hypot(place) < size / 4).float().expand(32, 1, size, size)


def centres(images: Tensor) -> Tensor:
    """(N, 2): the centre of mass of each image (N, 1, H, W) in pixels, from the middle."""
    rows, columns = (torch.arange(n) - (n - 1) / 2 for n in images.shape[2:])
    mass = images.sum((1, 2, 3))
    return torch.stack([(images * rows[:, None]).sum((1, 2, 3)), (images * columns).sum((1, 2, 3))], 1) / mass[:, None]


@pytest.mark.parametrize("shape", SHAPES)
def test_the_result_is_a_new_float32_batch_of_the_same_shape_in_0_to_1(shape: tuple[int, ...]) -> None:
    images = batch(shape)
    before = images.clone()
    after = augmented(STRONG, images)
    assert (after.shape, after.dtype) == (images.shape, torch.float32)
    assert after.min() >= 0
    assert after.max() <= 1
    assert torch.equal(images, before)
    assert not torch.equal(after, images)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_same_generator_gives_the_same_bits_whatever_the_global_random_state(shape: tuple[int, ...]) -> None:
    results = []
    for state in (1, 2):
        np.random.seed(state)
        torch.manual_seed(state)
        results.append(augmented(STRONG, batch(shape)))
    assert torch.equal(*results)
    assert not torch.equal(results[0], augmented(STRONG, batch(shape), seed=1))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_global_random_states_are_left_as_they_were(shape: tuple[int, ...]) -> None:
    ours, torchs = np.random.get_state(legacy=False), torch.get_rng_state()
    augmented(STRONG, batch(shape))
    np.testing.assert_equal(np.random.get_state(legacy=False), ours)
    assert torch.equal(torch.get_rng_state(), torchs)


@pytest.mark.parametrize("a", [Augmentation(), Augmentation(**STILL, scanner=1.0)], ids=["movement", "scanner"])
def test_the_second_batch_of_a_generator_is_changed_in_another_way_than_the_first(a: Augmentation) -> None:
    change, images, rng = augmenter(a, 2), batch(SHAPES[0]), np.random.default_rng(0)
    assert not torch.equal(change(images, rng), change(images, rng))


def test_an_augmenter_keeps_nothing_from_one_batch_to_the_next() -> None:
    change, images = augmenter(STRONG, 2), batch(SHAPES[0])
    assert torch.equal(change(images, np.random.default_rng(5)), change(images, np.random.default_rng(5)))


@pytest.mark.parametrize("shape", SHAPES)
def test_with_everything_off_the_images_come_back_as_a_copy(shape: tuple[int, ...]) -> None:
    images = batch(shape)
    after = augmented(Augmentation(**STILL), images)
    assert torch.equal(after, images)
    assert after.data_ptr() != images.data_ptr()


@pytest.mark.parametrize("shape", [(64, 1, 7, 6), (64, 1, 7, 6, 5)])
def test_a_flip_mirrors_axis_3_exactly_in_about_half_of_the_images(shape: tuple[int, ...]) -> None:
    images = batch(shape)
    after = augmented(Augmentation(**(STILL | {"flip": True})), images)
    flipped = [i for i in range(64) if torch.allclose(after[i], images[i].flip(2), atol=1e-5)]
    kept = [i for i in range(64) if torch.allclose(after[i], images[i], atol=1e-5)]
    assert sorted(flipped + kept) == list(range(64))
    assert 20 <= len(flipped) <= 44


def test_a_shift_moves_each_head_up_to_its_bound_along_both_axes() -> None:
    moved = centres(augmented(Augmentation(**(STILL | {"shift": 0.1})), disc(40)))
    assert (moved.abs() <= 0.1 * 40 + 0.01).all()
    assert (moved.amax(0) > 2).all()
    assert (moved.amin(0) < -2).all()


@settings(max_examples=20, deadline=None)
@given(zoom=st.floats(0.02, 0.5), seed=st.integers(0, 99))
def test_a_zoom_keeps_the_middle_and_changes_the_area_within_its_bounds(zoom: float, seed: int) -> None:
    images = disc(40)
    after = augmented(Augmentation(**(STILL | {"zoom": zoom})), images, seed)
    areas = after.sum((1, 2, 3)) / images.sum((1, 2, 3))
    torch.testing.assert_close(after, after.mT, atol=1e-4, rtol=0)
    assert centres(after).abs().max() < 0.01
    assert areas.min() >= 0.95 * (1 - zoom) ** 2
    assert areas.max() <= 1.05 * (1 + zoom) ** 2
    assert areas.max() > areas.min()


def test_a_rotation_turns_rigidly_within_the_slice_also_where_it_is_not_square() -> None:
    """A point 6 pixels right of the middle stays 6 pixels away, at an angle within the bounds."""
    images = torch.zeros(32, 1, 31, 45)
    images[:, :, 14:17, 27:30] = 1
    place = centres(augmented(Augmentation(**(STILL | {"rotate": 40.0})), images))
    angles = torch.atan2(place[:, 0], place[:, 1]).rad2deg()
    torch.testing.assert_close(place.norm(dim=1), torch.full((32,), 6.0), atol=0.05, rtol=0)
    assert angles.abs().max() <= 40.5
    assert angles.max() > 20
    assert angles.min() < -20


def test_a_rotation_of_a_volume_is_that_of_its_slices() -> None:
    a, images = Augmentation(**(STILL | {"rotate": 40.0})), batch((4, 1, 16, 14))
    volume = augmented(a, images[..., None].expand(4, 1, 16, 14, 5).contiguous())
    torch.testing.assert_close(volume, augmented(a, images)[..., None].expand_as(volume), atol=1e-4, rtol=0)


def test_interpolation_between_ones_is_never_more_than_one() -> None:
    assert augmented(Augmentation(), torch.ones(64, 1, 31, 29)).max() == 1


def test_space_that_a_movement_uncovers_is_air() -> None:
    after = augmented(Augmentation(**(STILL | {"shift": 0.4})), torch.ones(16, 1, 20, 20))
    assert ((after == 0).sum((1, 2, 3)) > 0).all()


@pytest.mark.parametrize("a", [Augmentation(), STRONG], ids=["movement", "both"])
@pytest.mark.parametrize("shape", [(4, 1, 24, 20), (3, 1, 12, 10, 8)])
def test_all_channels_of_an_image_are_changed_alike_and_images_differently(
    a: Augmentation, shape: tuple[int, ...]
) -> None:
    images = batch((1, 1, *shape[2:])).expand(shape[0], 3, *shape[2:])
    after = augmented(a, images)
    assert torch.equal(after[:, 0], after[:, 1])
    assert torch.equal(after[:, 0], after[:, 2])
    assert not torch.allclose(after[0], after[1], atol=1e-3)


def neutral(images: Tensor) -> _Scanner:
    one = torch.ones(len(images), *[1] * (images.ndim - 1))
    return _Scanner(gamma=one, gain=one, offset=one * 0, noise=images[:, :1] * 0, blur=one * 0)


@pytest.mark.parametrize("shape", SHAPES)
def test_each_part_of_a_scanner_does_what_its_name_says(shape: tuple[int, ...]) -> None:
    images, no = batch(shape), neutral(batch(shape))
    part = torch.linspace(0.1, 0.9, shape[0]).view_as(no.gain)
    noise = batch(shape)[:, 1:2] - 0.5
    wanted = {
        "gamma": (part, images**part),
        "gain": (1 + part, (images * (1 + part)).clamp(0, 1)),
        "offset": (-part, (images - part).clamp(0, 1)),
        "noise": (noise, (images + noise).clamp(0, 1)),
    }
    for name, (value, result) in wanted.items():
        torch.testing.assert_close(_scanned(images, replace(no, **{name: value})), result, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_soft_scanner_smooths_image_and_noise_along_every_axis(shape: tuple[int, ...]) -> None:
    images, no = batch(shape) / 2 + 0.25, neutral(batch(shape))
    noise, blur = batch(shape)[:, :1] * 0.2, no.blur + 0.9
    wanted = images + noise
    for axis in range(2, images.ndim):
        wanted = _blurred(wanted, torch.full((shape[0],), 0.9), axis)
    torch.testing.assert_close(_scanned(images, replace(no, noise=noise, blur=blur)), wanted)


@pytest.mark.parametrize("strength", [0.3, 1.0])
def test_each_image_draws_its_own_scanner_from_the_whole_of_the_ranges(strength: float) -> None:
    """Of 400 uniform draws none is in the last 3 % of the range with probability 0.97^400 = 5e-6. The seed is fixed."""
    draw = _draw(torch.zeros(400, 1, 16, 16), strength, np.random.RandomState(0))
    drawn = {
        "gamma": (draw.gamma.log() / math.log(1.5), -1.0),
        "gain": ((draw.gain - 1) / 0.2, -1.0),
        "offset": (draw.offset / 0.1, -1.0),
        "blur": (draw.blur / 1.0, 0.0),
    }
    for values, least in drawn.values():
        assert values.unique().numel() == 400
        assert least * strength - 1e-5 <= values.min() <= (least + 0.06) * strength
        assert 0.94 * strength <= values.max() <= strength + 1e-5
    deviations = draw.noise.std((1, 2, 3)) / 0.06
    assert 0.85 * strength <= deviations.max() <= 1.25 * strength
    assert deviations.min() <= 0.06 * strength
    assert abs(np.corrcoef(draw.noise[0].flatten(), draw.noise[1].flatten())[0, 1]) < 0.3


def test_a_scanner_leaves_every_head_where_it_is_but_shows_it_otherwise() -> None:
    images = disc(40) * 0.5 + 0.25
    after = augmented(Augmentation(**STILL, scanner=1.0), images)
    assert centres(after - after.amin((1, 2, 3), keepdim=True)).abs().max() < 1
    inside = after[:, 0, 15:25, 15:25].mean((1, 2))
    assert inside.std() > 0.05
    assert after[:, 0, 18:22, 18:22].std((1, 2)).max() > 0.01


@settings(max_examples=20, deadline=None)
@given(strength=st.floats(0.01, 1), seed=st.integers(0, 99))
def test_a_scanner_changes_flat_images_no_more_than_its_strength_allows(strength: float, seed: int) -> None:
    """Of 0.5 gamma makes 0.5^(1.5^s) at worst; gain and offset follow; the mean over 1600 pixels hides the noise."""
    means = augmented(Augmentation(**STILL, scanner=strength), torch.full((8, 1, 40, 40), 0.5), seed).mean((1, 2, 3))
    least = (1 - 0.2 * strength) * 0.5 ** (1.5**strength) - 0.1 * strength
    most = (1 + 0.2 * strength) * 0.5 ** (1.5**-strength) + 0.1 * strength
    assert means.min() >= least - 0.01
    assert means.max() <= most + 0.01


def test_a_blur_keeps_flat_images_flat_up_to_the_border() -> None:
    flat = torch.full((2, 1, 9, 7, 5), 0.3)
    for axis in (2, 3, 4):
        torch.testing.assert_close(_blurred(flat, torch.tensor([0.0, 1.0]), axis), flat)


def test_a_blur_is_the_gaussian_of_scipy_along_its_axis() -> None:
    from scipy.ndimage import gaussian_filter1d

    image = torch.zeros(2, 1, 21, 19, 17)
    image[:, :, 7:14, 7:12, 6:11] = batch((2, 1, 7, 5, 5))
    for axis in (2, 3, 4):
        wanted = gaussian_filter1d(image[1:].numpy(), 0.8, axis=axis, mode="constant", truncate=6)
        blurred = _blurred(image, torch.tensor([0.0, 0.8]), axis)
        torch.testing.assert_close(blurred[1:], torch.from_numpy(wanted), atol=1e-5, rtol=0)
        torch.testing.assert_close(blurred[:1], image[:1], atol=1e-7, rtol=0)


def test_the_scanner_is_a_monai_transform_that_takes_its_seed_in_monais_way() -> None:
    from monai.transforms import Compose, RandomizableTransform

    scanner, images = rand_scanner(1.0), batch(SHAPES[0])
    assert isinstance(scanner, RandomizableTransform)
    results = [Compose([scanner]).set_random_state(seed=seed)(images) for seed in (1, 1, 2)]
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


def test_importing_the_three_rooms_does_not_import_monai_or_scikit_learn() -> None:
    code = "import sys, brainct.ct.augment, brainct.ct.networks, brainct.ct.metrics as s;"
    code += "brainct.ct.networks.build('cnn');"
    code += "brainct.ct.augment.Augmentation(); print([m for m in ('monai', 'sklearn') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "[]\n"


@pytest.mark.parametrize(
    "choice",
    [{"flip": 1}, {"shift": -0.1}, {"shift": 0.6}, {"rotate": 181}, {"zoom": 0.7}, {"scanner": 1.1}]
    + [{"rotate": float("nan")}, {"zoom": "0.1"}, {"scanner": True}],
)
def test_a_choice_out_of_range_is_refused_by_name(choice: dict[str, Any]) -> None:
    (name,) = choice
    with pytest.raises(Refused, match=f"augment: {name} is .*; it must be"):
        Augmentation(**choice)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (torch.rand(2, 3, 8), "augmentation needs float32"),
        (torch.rand(2, 3, 8, 8, 8), "augmentation needs float32"),
        (torch.rand(2, 3, 8, 8).double(), "are torch.float64"),
        (torch.rand(0, 3, 8, 8), "N >= 1"),
        (torch.rand(2, 3, 8, 8) + 1, "window them"),
        (torch.rand(2, 3, 8, 8) - 1, "window them"),
        (torch.full((2, 3, 8, 8), torch.nan), "window them"),
    ],
)
def test_images_that_are_no_windowed_batch_are_refused(images: Tensor, words: str) -> None:
    with pytest.raises(Refused, match=words):
        augmenter(Augmentation(), 2)(images, np.random.default_rng(0))


def test_scans_of_other_than_two_or_three_dimensions_are_refused() -> None:
    with pytest.raises(Refused, match="dims is 4"):
        augmenter(Augmentation(), 4)
