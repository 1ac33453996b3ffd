"""A simulated scanner does what its five numbers say."""

import numpy as np
import pytest
import torch

from brainct.compare.simulated_scanners import SimulatedScanner, draw_scanner, rescan
from brainct.ct.augment import BLUR, GAIN, GAMMA, NOISE, OFFSET
from brainct.training.data import Dataset, Fold

IDENTITY = SimulatedScanner(gamma=1.0, gain=1.0, offset=0.0, noise=0.0, blur=0.0)


def rescanned(images, seed=0, **choices):
    scans = Dataset("random", {"train": Fold(images, torch.zeros(len(images), 6))}, "0" * 64)
    scanner = SimulatedScanner(**{**IDENTITY.__dict__, **choices})
    return rescan(scans, scanner, np.random.default_rng(seed)).folds["train"].inputs


@pytest.fixture
def images():
    return torch.rand(4, 3, 16, 16) * 0.5 + 0.25


def test_gamma_then_gain_then_offset_and_values_stay_in_the_window(images):
    torch.testing.assert_close(rescanned(images), images)
    torch.testing.assert_close(rescanned(images, gamma=1.4, gain=0.9, offset=0.05), 0.9 * images**1.4 + 0.05)
    assert rescanned(images, gain=1.9).max() == 1
    assert rescanned(images, offset=-0.5).min() == 0


def test_noise_has_its_deviation_is_new_in_each_scan_and_the_same_in_all_windows_of_one():
    flat = torch.full((8, 3, 64, 64), 0.5)
    noise = rescanned(flat, noise=0.05) - flat
    assert noise[:, 0].std().item() == pytest.approx(0.05, rel=0.02)
    torch.testing.assert_close(noise[:, 0], noise[:, 2])
    assert abs(np.corrcoef(noise[0, 0].flatten(), noise[1, 0].flatten())[0, 1]) < 0.1
    assert not torch.equal(rescanned(flat, noise=0.05, seed=1), flat + noise)


def test_blur_is_gaussian_and_comes_after_the_noise():
    point = torch.zeros(1, 3, 17, 17)
    point[:, :, 8, 8] = 1.0
    blurred, place = rescanned(point, blur=0.9)[0, 0].double().numpy(), np.arange(-8, 9)
    assert blurred.sum() == pytest.approx(1, abs=1e-5)
    assert (blurred.sum(0) * place**2).sum() == pytest.approx(0.9**2, rel=0.01)
    assert (blurred.sum(1) * place**2).sum() == pytest.approx(0.9**2, rel=0.01)
    assert torch.equal(rescanned(point, blur=0.9)[:, 0], rescanned(point, blur=0.9)[:, 2])
    flat = torch.full((2, 3, 64, 64), 0.5)
    inner = (..., slice(8, -8), slice(8, -8))
    assert rescanned(flat, noise=0.05, blur=1.0)[inner].std() < 0.5 * rescanned(flat, noise=0.05)[inner].std()


def test_volumes_are_rescanned_too():
    assert rescanned(torch.rand(2, 3, 8, 8, 6), blur=0.5, noise=0.01).shape == (2, 3, 8, 8, 6)


def test_scanners_are_drawn_over_the_ranges_of_the_augmentation():
    drawn = [draw_scanner(np.random.default_rng(seed)) for seed in range(2000)]
    for name, least, most in (
        ("gamma", 1 / GAMMA, GAMMA),
        ("gain", 1 - GAIN, 1 + GAIN),
        ("offset", -OFFSET, OFFSET),
        ("noise", 0, NOISE),
        ("blur", 0, BLUR),
    ):
        values = np.array([getattr(scanner, name) for scanner in drawn])
        room = 0.01 * (most - least)
        assert least <= values.min() < least + room
        assert most - room < values.max() <= most
    assert np.median([scanner.gamma for scanner in drawn]) == pytest.approx(1, abs=0.03)
