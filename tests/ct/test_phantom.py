"""The synthetic head CT: the same on every call, plausible in HU, and a bleeding shows in its lesion alone."""

import hashlib
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_erosion, binary_fill_holes

from brainct.ct.folds import FINDINGS
from brainct.ct.phantom import BLEEDS, SCANNERS, Scanner, phantom, scanner_of, slice_hu, volume_hu
from brainct.errors import Refused

TRAUMA, GERIATRIC = SCANNERS[0], SCANNERS[5]
Picture = NDArray[np.float32]
Mask = NDArray[np.bool_]


def draw(seed: int, *bleeds: str, scanner: Scanner = TRAUMA, difficulty: float = 1.0) -> Picture:
    return slice_hu(np.random.default_rng(seed), scanner, bleeds, difficulty=difficulty)


def bone(hu: Picture) -> Mask:
    return hu > 300


def head(hu: Picture) -> Mask:
    return np.asarray(binary_fill_holes(bone(hu)))


def brain(hu: Picture) -> Mask:
    return np.asarray(binary_erosion(head(hu) & ~bone(hu), iterations=3))


def test_the_same_site_and_seed_give_the_same_scans() -> None:
    for one, two in zip(phantom("site-2", 3, seed=5), phantom("site-2", 3, seed=5), strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("other", [("site-2", 6), ("site-8", 5)])
def test_another_seed_or_another_site_with_the_same_scanner_gives_other_scans(other: tuple[str, int]) -> None:
    ours, theirs = phantom("site-2", 2, seed=5, prevalence=0)[0], phantom(*other[:1], 2, seed=other[1], prevalence=0)[0]
    assert all((np.abs(a - b) > 100).mean() > 0.01 for a in ours for b in theirs)


@pytest.mark.parametrize("prevalence", [0.0, 1.0])
def test_a_scan_does_not_depend_on_how_many_follow_it(prevalence: float) -> None:
    few, many = (phantom("site-1", n, seed=3, prevalence=prevalence) for n in (2, 5))
    np.testing.assert_array_equal(few[0], many[0][:2])
    np.testing.assert_array_equal(few[1], many[1][:2])


def test_a_scan_that_bleeds_at_a_low_prevalence_is_the_same_at_a_higher_one() -> None:
    rare, often = (phantom("site-1", 8, prevalence=p) for p in (0.25, 0.5))
    bleeds = rare[1][:, 5] == 1
    assert bleeds.sum() == 2
    np.testing.assert_array_equal(rare[0][bleeds], often[0][bleeds])
    np.testing.assert_array_equal(rare[1][bleeds], often[1][bleeds])


def test_a_site_has_the_scanner_of_its_number_or_of_the_hash_of_its_name() -> None:
    assert [scanner_of(f"site-{n}") for n in (1, 3, 6, 7)] == [SCANNERS[n] for n in (0, 2, 5, 0)]
    derived = int(hashlib.sha256(b"charite").hexdigest()[:16], 16) % 6
    assert scanner_of("charite") == SCANNERS[derived]


@pytest.mark.parametrize("seed", range(4))
def test_air_bone_and_brain_have_their_hu(seed: int) -> None:
    hu = draw(seed)
    assert hu.dtype == np.float32
    assert np.abs(hu[:6] + 1000).mean() < 5
    assert 700 < hu.max() < 1700
    assert 0.03 < bone(hu).mean() < 0.25
    assert 26 < np.median(hu[brain(hu)]) < 40
    assert np.mean((hu[brain(hu)] > 20) & (hu[brain(hu)] < 45)) > 0.8


def test_old_heads_have_more_water_than_young_ones() -> None:
    water = [
        np.mean([np.mean(hu[brain(hu)] < 20) for hu in (draw(s, scanner=replace(TRAUMA, age=age)) for s in range(6))])
        for age in ((25.0, 1.0), (85.0, 1.0))
    ]
    assert water[1] > 2 * water[0]
    assert water[1] > 0.04


def test_grey_matter_is_about_seven_hu_above_white_matter() -> None:
    quiet = replace(TRAUMA, age=(25.0, 1.0), noise_hu=0.0, cupping_hu=0.0, psf_mm=0.5)
    values = np.concatenate([hu[brain(hu)] for hu in (draw(s, scanner=quiet) for s in range(6))])
    tissue = values[(values > 22) & (values < 42)]
    low, high = np.quantile(tissue, [0.1, 0.9])
    assert 5 < high - low < 11


@pytest.mark.parametrize("kind", BLEEDS)
@pytest.mark.parametrize("scanner", [TRAUMA, GERIATRIC], ids=lambda s: s.name)
def test_a_bleeding_raises_hu_in_one_part_of_the_head_and_changes_no_other_pixel(kind: str, scanner: Scanner) -> None:
    for seed in range(5):
        calm, bled = draw(seed, scanner=scanner), draw(seed, kind, scanner=scanner, difficulty=0.5)
        rise, inside = bled - calm, head(calm)
        reach = binary_dilation(inside, iterations=3)
        assert rise.max() > 12
        assert rise[rise > 0].sum() > 0.6 * np.abs(rise).sum()
        assert not rise[~reach].any()
        assert 0.001 < np.mean(np.abs(rise[inside]) > 3) < 0.5


def test_epidural_and_subdural_blood_touch_the_bone_and_the_other_kinds_are_deeper() -> None:
    def on_bone(kind: str) -> float:
        near = []
        for seed in range(6):
            calm, bled = draw(seed), draw(seed, kind)
            near.append(np.mean(binary_dilation(bone(calm), iterations=3)[bled - calm > 8]))
        return float(np.mean(near))

    assert min(on_bone("epidural"), on_bone("subdural")) > 0.45
    assert max(on_bone("intraparenchymal"), on_bone("intraventricular")) < 0.2


def test_an_epidural_lens_is_thicker_for_its_length_than_a_subdural_crescent() -> None:
    def spread(kind: str) -> float:
        shapes = [np.argwhere(draw(s, kind) - draw(s) > 8).astype(float) for s in range(10)]
        return float(np.mean([s.std(axis=0).max() / np.sqrt(len(s)) for s in shapes if len(s) > 4]))

    assert spread("epidural") < spread("subdural")


def test_blood_in_the_ventricles_sinks_to_the_back() -> None:
    rows = []
    for seed in range(12):
        rise = draw(seed, "intraventricular", difficulty=3.0) - draw(seed)
        rows.append(np.average(np.nonzero(rise > 8)[0]))
    assert np.mean(rows) > 50


@pytest.mark.parametrize("pair", list(combinations(BLEEDS, 2)), ids="+".join)
def test_one_bleeding_does_not_move_another(pair: tuple[str, str]) -> None:
    compared = 0
    for seed in (4, 5, 6):
        calm, first, second, both = (draw(seed, *kinds, difficulty=0.6) for kinds in ((), pair[:1], pair[1:], pair))
        alone = (first != calm) & ~binary_dilation(second != calm, iterations=5)
        np.testing.assert_array_equal(both[alone], first[alone])
        compared += int(alone.sum())
    assert compared > 50


def test_a_harder_bleeding_is_smaller() -> None:
    for kind in BLEEDS:
        plain, hard = (
            np.mean([np.sum(np.abs(draw(s, kind, difficulty=d) - draw(s)) > 4) for s in range(4)]) for d in (0.7, 2.0)
        )
        assert hard < 0.7 * plain, kind


def test_any_is_the_union_of_the_five_kinds_and_all_five_occur() -> None:
    labels = phantom("site-1", 60, size=32, prevalence=0.8)[1]
    np.testing.assert_array_equal(labels[:, 5], labels[:, :5].max(axis=1))
    assert set(np.unique(labels)) == {0.0, 1.0}
    assert labels.sum(axis=0).all()
    assert (labels[:, :5].sum(axis=1) == 2).any()
    assert labels.dtype == np.float32
    assert labels.shape == (60, len(FINDINGS))


@pytest.mark.parametrize(("prevalence", "positive"), [(0.0, 0), (0.31, 6), (0.5, 10), (1.0, 20)])
def test_the_rounded_share_of_scans_bleeds(prevalence: float, positive: int) -> None:
    assert phantom("site-4", 20, size=32, prevalence=prevalence)[1][:, 5].sum() == positive


@pytest.mark.parametrize("site", [f"site-{n}" for n in range(1, 7)])
def test_four_scans_hold_both_classes_at_every_hospital(site: str) -> None:
    for prevalence in (0.01, None, 0.99):
        assert 1 <= phantom(site, 4, size=32, prevalence=prevalence)[1][:, 5].sum() <= 3


def test_each_hospital_has_its_own_mix_of_bleedings() -> None:
    only_lens = replace(TRAUMA, mix=(1, 0, 0, 0, 0))
    labels = phantom("site-1", 10, size=32, prevalence=1.0, scanner=only_lens)[1]
    np.testing.assert_array_equal(labels, np.tile([1, 0, 0, 0, 0, 1], (10, 1)))


@pytest.mark.parametrize("scanner", SCANNERS, ids=lambda s: s.name)
def test_a_scanner_adds_the_noise_and_the_offset_that_it_states(scanner: Scanner) -> None:
    ideal = replace(scanner, noise_hu=0.0, offset_hu=0.0, gain=1.0)
    still = replace(ideal, offset_hu=scanner.offset_hu)
    noisy = replace(ideal, noise_hu=scanner.noise_hu)
    inside = brain(draw(1, scanner=replace(ideal, export_hu=(-1024, 3071))))
    noise = [(draw(s, scanner=noisy) - draw(s, scanner=ideal))[inside].std() for s in range(1, 4)]
    assert np.mean(noise) == pytest.approx(scanner.noise_hu, rel=0.25)
    shift = (draw(1, scanner=still) - draw(1, scanner=ideal))[inside].mean()
    assert shift == pytest.approx(scanner.offset_hu, abs=0.3)


def test_no_two_scanners_have_the_same_noise_and_offset() -> None:
    for one, two in combinations(SCANNERS, 2):
        assert abs(one.noise_hu - two.noise_hu) > 0.5 or abs(one.offset_hu - two.offset_hu) >= 0.5
    assert all(0.2 <= scanner.prevalence <= 0.55 for scanner in SCANNERS)


def test_a_narrow_export_has_no_hu_outside_its_range() -> None:
    narrow = next(scanner for scanner in SCANNERS if scanner.export_hu[1] < 200)
    hu = draw(0, scanner=narrow)
    assert (hu.min(), hu.max()) == narrow.export_hu


def test_a_volume_is_one_head_whose_neighbouring_slices_resemble_each_other() -> None:
    hu = volume_hu(np.random.default_rng(1), TRAUMA, (), size=32, depth=32)
    assert hu.shape == (32, 32, 32)
    assert hu.dtype == np.float32
    step = np.array([np.abs(hu[:, :, 8] - hu[:, :, k]).mean() for k in (9, 16, 31)])
    assert step[0] < step[1] < step[2]
    assert (hu[:, :, 2] > 0).sum() > 1.2 * (hu[:, :, -1] > 0).sum()


@pytest.mark.parametrize("kind", BLEEDS)
def test_a_bleeding_in_a_volume_is_large_in_some_slices_and_fades_in_others(kind: str) -> None:
    calm, bled = (
        volume_hu(np.random.default_rng(2), TRAUMA, b, size=32, depth=32, difficulty=1.5) for b in ((), (kind,))
    )
    area = ((bled - calm) > 8).sum(axis=(0, 1))
    assert (area > 0).sum() > 2
    assert area.min() < 0.4 * area.max()


def test_volumes_have_labels_like_slices() -> None:
    images, labels = phantom("site-1", 4, size=32, dims=3)
    assert images.shape == (4, 32, 32, 32)
    assert labels.shape == (4, 6)
    assert 1 <= labels[:, 5].sum() <= 3


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"scans": 0}, "asks for 0 scans.*give scans >= 1"),
        ({"size": 31}, "size is 31.*give size >= 32"),
        ({"prevalence": 1.2}, "prevalence of site-1 is 1.2.*from 0 to 1"),
        ({"prevalence": float("nan")}, "prevalence of site-1 is nan"),
        ({"difficulty": 0.0}, "difficulty is 0.0.*more than 0"),
        ({"difficulty": float("inf")}, "difficulty is inf"),
        ({"dims": 4}, "dims of site-1 is 4.*give 2"),
    ],
)
def test_impossible_choices_are_refused_with_what_to_do(wrong: dict[str, Any], text: str) -> None:
    with pytest.raises(Refused, match=text):
        phantom(**{"site": "site-1", "scans": 4, **wrong})


def test_an_unknown_bleeding_is_refused_by_name_and_so_is_any() -> None:
    with pytest.raises(Refused, match="any, stroke; known are epidural"):
        draw(0, "stroke", "any", "epidural")


def test_a_volume_of_one_slice_is_refused() -> None:
    with pytest.raises(Refused, match="depth is 1"):
        volume_hu(np.random.default_rng(0), TRAUMA, (), depth=1)
