"""Each detail of the phantom changes what it says, where it says so; without details nothing changes."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, binary_fill_holes, distance_transform_edt

from brainct.ct.phantom import BLEEDS, DETAILS, SCANNERS, phantom, studies
from brainct.ct.phantom.details import Chosen
from brainct.ct.phantom.render import render
from brainct.ct.phantom.scanners import Scanner
from brainct.ct.scans import draw_scans
from brainct.ct.site_choices import PhantomChoices
from brainct.ct.site_config import SiteFile
from brainct.errors import Refused

QUIET = replace(SCANNERS[0], noise_hu=0.0, cupping_hu=0.0, offset_hu=0.0, psf_mm=0.5, tilt_deg=0.0, age=(45.0, 1.0))
PLAIN = "1559077d44aae2809f8fa85cf8c03287b6558ff3004e4a86ed304a1b870603fe"
"""SHA-256 of scans of all sites, as they were drawn before there were details."""

Hu = NDArray[np.float32]
Mask = NDArray[np.bool_]
HEADS = range(12)


def draw(
    seed: int, detail: tuple[str, ...] = (), kinds: tuple[str, ...] = (), level: float = 12.0, scanner: Scanner = QUIET
) -> tuple[Hu, Mask]:
    """HU (96, 96) and masks (5, 96, 96) of one slice at a height in mm."""
    rng, levels = np.random.default_rng(seed), np.array([level])
    hu, masks = render(rng, scanner, kinds, 96, levels, 1.0, (level, level), detail=detail)
    return hu[..., 0], masks[..., 0]


def both(seed: int, name: str, level: float = 12.0, scanner: Scanner = QUIET) -> tuple[Hu, Hu]:
    return draw(seed, (), (), level, scanner)[0], draw(seed, (name,), (), level, scanner)[0]


def head(hu: Hu) -> Mask:
    return np.asarray(binary_fill_holes(hu > 300))


def test_without_details_every_scan_is_the_one_that_it_was() -> None:
    digest = hashlib.sha256()
    for number in range(1, 7):
        for part in phantom(f"site-{number}", 6, seed=3, size=64, prevalence=0.7):
            digest.update(part.tobytes())
    for part in phantom("site-2", 2, size=32, dims=3):
        digest.update(part.tobytes())
    for study in studies("site-3", PhantomChoices(scans=4), 48, 3):
        for each in study:
            digest.update(each.tobytes())
    assert digest.hexdigest() == PLAIN


@pytest.mark.parametrize("name", DETAILS)
def test_the_same_seed_gives_the_same_picture_and_some_pictures_are_not_plain(name: str) -> None:
    kinds = tuple(DETAILS[name].bleeds) or (("subdural",) if name == "mass_effect" else ())
    drawn = [draw(seed, (name,), kinds, scanner=SCANNERS[1])[0] for seed in HEADS]
    again = [draw(seed, (name,), kinds, scanner=SCANNERS[1])[0] for seed in HEADS]
    np.testing.assert_array_equal(drawn, again)
    plain = [draw(seed, (), kinds, scanner=SCANNERS[1])[0] for seed in HEADS]
    assert any((one != other).any() for one, other in zip(drawn, plain, strict=True))
    assert np.isfinite(drawn).all()


@pytest.mark.parametrize("name", DETAILS)
def test_the_order_of_names_and_other_details_do_not_move_its_random_numbers(name: str) -> None:
    other = next(one for one in DETAILS if one != name)
    np.testing.assert_array_equal(draw(3, (name, other))[0], draw(3, (other, name))[0])
    part = next(part for part in ("frame", "tissue", "bone", "shift", "scanner", "optics", "export", "bleeds")
                if getattr(DETAILS[name], part))  # fmt: skip
    if part != "bleeds":
        (alone,), streams = Chosen((name,), 7)._parts(part), Chosen((name, other), 7)._parts(part)
        assert alone[0].random() in [stream.random() for stream, _ in streams]


@pytest.mark.parametrize("kind", BLEEDS)
@pytest.mark.parametrize("detail", [(), tuple(DETAILS)], ids=["plain", "all"])
def test_a_label_says_what_is_drawn(kind: str, detail: tuple[str, ...]) -> None:
    at = list(BLEEDS).index(kind)
    seen = 0
    for seed in HEADS:
        calm, none = draw(seed, detail, scanner=SCANNERS[0])
        assert not none.any()
        still = tuple(name for name in detail if name not in ("mass_effect", "windows", "fine", "motion"))
        calm, (bled, masks) = draw(seed, still)[0], draw(seed, still, (kind,))
        assert not np.delete(masks, at, 0).any()
        rise = (bled - calm)[masks[at]]
        seen += int(masks[at].sum() >= 3 and np.mean(rise) > 5)
    assert seen >= 9


def test_labels_do_not_depend_on_details() -> None:
    plain, rich = (phantom("site-1", 12, size=32, prevalence=0.5, detail=detail) for detail in ((), tuple(DETAILS)))
    np.testing.assert_array_equal(plain[1], rich[1])
    assert all((one != other).any() for one, other in zip(plain[0], rich[0], strict=True))


def test_atrophy_brings_water_and_gyri_bring_it_near_the_bone() -> None:
    def water(hu: Hu) -> float:
        return float(np.mean((hu[head(hu)] > -5) & (hu[head(hu)] < 14)))

    heads = [both(seed, "atrophy") for seed in HEADS]
    assert np.mean([water(rich) for _, rich in heads]) > 1.3 * np.mean([water(plain) for plain, _ in heads])
    for seed in HEADS:
        plain, rich = both(seed, "gyri", 45.0)
        deep = distance_transform_edt(plain <= 300) * QUIET.pixel_mm > 28
        assert not (plain != rich)[deep & head(plain)].any()
    assert np.mean([water(both(seed, "gyri", 45.0)[1]) - water(both(seed, "gyri", 45.0)[0]) for seed in HEADS]) > 0.01


def test_calcifications_are_small_and_dense_and_inside_the_brain() -> None:
    sizes = []
    for seed in range(30):
        plain, rich = both(seed, "calcification", 6.0)
        more = rich - plain > 40
        sizes.append(more.sum() * 2.35**2)
        assert not (more & ~head(plain)).any()
        assert rich[more].max(initial=0) < 520
    assert np.mean(np.array(sizes) > 0) > 0.5
    assert max(sizes) < 250  # mm2


def test_swelling_is_outside_the_bone_in_a_quarter_of_the_heads() -> None:
    found = []
    for seed in range(40):
        plain, rich = both(seed, "swelling")
        changed = np.abs(rich - plain) > 5
        assert not (changed & head(plain) & (plain < 200)).any()
        found.append(changed.any())
    assert 0.1 < np.mean(found) < 0.45


def test_the_skull_base_has_bone_and_air_inside_the_head_and_lies_below_the_plain_slices() -> None:
    found = []
    for seed in range(40):
        plain, rich = both(seed, "skull_base")
        inner = head(plain) & ~binary_dilation(plain > 300, iterations=3)
        found.append((rich[inner] > 300).sum() * 2.35**2 > 100)
    assert 0.1 < np.mean(found) < 0.5


def test_a_stack_of_slices_that_spans_the_brain_keeps_its_heights() -> None:
    levels = np.linspace(-4.0, 72.0, 8)
    for seed in range(6):
        plain, rich = (
            render(np.random.default_rng(seed), QUIET, (), 32, levels, 1.0, (8.0, 46.0), detail=detail)[0]
            for detail in ((), ("skull_base",))
        )
        np.testing.assert_array_equal(plain[..., 5:], rich[..., 5:])  # 50 mm and more above the base


def test_lobes_are_less_round_than_a_ball() -> None:
    def roundness(detail: tuple[str, ...]) -> float:
        found = []
        for seed in range(30):
            mask = draw(seed, detail, ("intraparenchymal",))[1].any(0)
            if mask.sum() > 20:
                found.append(mask.sum() / binary_dilation(mask).sum())
        return float(np.mean(found))

    assert roundness(("lobes",)) < roundness(())


def test_crescents_may_lie_along_the_falx_and_stay_inside_the_bone() -> None:
    middle = []
    for seed in range(40):
        hu, masks = draw(seed, ("crescents",), ("subdural",), 40.0)
        near = masks[4][:, 44:52].sum() / max(masks[4].sum(), 1)
        middle.append(near > 0.5)
        assert not (masks[4] & ~head(hu)).any()
    assert 0.05 < np.mean(middle) < 0.35


def test_blood_in_the_cisterns_is_near_the_midbrain_in_low_slices() -> None:
    near = np.zeros((96, 96), bool)
    near[40:60, 36:60] = True
    plain, rich = (
        np.mean([draw(seed, detail, ("subarachnoid",), -6.0)[1][3][near].mean() for seed in HEADS])
        for detail in ((), ("cisterns",))
    )
    assert rich > plain


def test_a_mass_pushes_the_middle_away_from_the_blood_and_leaves_the_bone() -> None:
    moved = 0
    for seed in HEADS:
        still, masks = draw(seed, (), ("epidural",))
        pushed, _ = draw(seed, ("mass_effect",), ("epidural",))
        shift = Chosen(("mass_effect",), 5).shift_mm(masks[..., None], 2.35)
        left, right = masks[0][:, :48].sum(), masks[0][:, 48:].sum()
        assert abs(shift) <= 14
        assert not left or not right or np.sign(shift) == np.sign(int(left) - int(right))
        assert np.mean((still > 300) != (pushed > 300)) < 0.02
        moved += bool((still != pushed).any())
    assert moved > 8
    calm = draw(1)[0]
    np.testing.assert_array_equal(calm, draw(1, ("mass_effect",))[0])


def test_a_fine_picture_has_less_noise() -> None:
    loud = replace(QUIET, noise_hu=4.0)
    still = replace(QUIET, noise_hu=0.0)
    ratio = []
    for seed in HEADS:
        hu, calm = draw(seed, ("fine",), scanner=loud)[0], draw(seed, ("fine",), scanner=still)[0]
        ratio.append((hu - calm)[head(calm)].std() / 4.0)
    assert min(ratio) > 0.08
    assert max(ratio) < 0.75


def test_beam_hardening_brightens_the_rim_under_the_bone_by_a_few_hu() -> None:
    for seed in HEADS:
        plain, rich = both(seed, "beam_hardening", 30.0)
        inner = head(plain) & (plain < 100)
        rim = inner & binary_dilation(plain > 300, iterations=2)
        deep = inner & ~binary_dilation(plain > 300, iterations=10)
        assert 0.2 < (rich - plain)[rim].mean() < 14
        assert abs(np.median((rich - plain)[deep])) < 2
        assert not (rich != plain)[~head(plain) & ~binary_dilation(plain > 300, iterations=2)].any()


def test_motion_shows_a_third_of_the_heads_twice_and_none_further_than_5_mm() -> None:
    found = []
    for seed in range(40):
        plain, rich = both(seed, "motion")
        found.append((plain != rich).any())
        far = ~binary_dilation(plain > -900, iterations=6)
        np.testing.assert_array_equal(plain[far], rich[far])
    assert 0.2 < np.mean(found) < 0.55


def test_a_window_is_a_straight_line_in_hu() -> None:
    for seed in HEADS:
        plain, rich = both(seed, "windows")
        seen = (plain > -200) & (plain < 200)
        slope, start = np.polyfit(plain[seen], rich[seen], 1)
        level, width = 40 - (start - 40 + slope * 40) / slope, 80 / slope
        assert 69 < width < 161
        assert 29.5 < level < 45.5
        np.testing.assert_allclose(rich[seen], start + slope * plain[seen], atol=0.6)


def test_marks_are_outside_the_head() -> None:
    found = []
    for seed in HEADS:
        plain, rich = both(seed, "marks")
        changed = plain != rich
        assert (plain[changed] < -500).all()
        assert ((rich[changed] >= 60) & (rich[changed] <= 400)).all()
        found.append(changed.any())
    assert np.mean(found) > 0.5


def test_unknown_details_are_refused_by_name() -> None:
    with pytest.raises(Refused, match="unknown detail teeth; known are skull_base"):
        phantom("site-1", 4, detail=("teeth",))
    with pytest.raises(ValueError, match=r"`phantom.detail`: got teeth"):
        PhantomChoices(detail=("teeth",))


def test_a_site_file_names_details() -> None:
    plain, rich = (
        draw_scans(SiteFile(kind="phantom", phantom=PhantomChoices(scans=4, detail=detail)), "site-1", 32, 2)
        for detail in ((), ("marks", "windows"))
    )
    assert not np.array_equal(plain.images, rich.images)
    np.testing.assert_array_equal(plain.labels, rich.labels)
