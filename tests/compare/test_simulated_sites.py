"""Federations differ in what their skew says and in nothing else; the held-out site takes no part."""

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from brainct.compare.federation import HELD_OUT_SITE
from brainct.compare.pooled_site import _concatenate, pool_sites, share_test_scans
from brainct.compare.simulated_sites import SimulatedFederation, _slice
from brainct.ct.phantom import SCANNERS
from brainct.errors import Refused
from brainct.training.data import Fold
from tests.support.forged import write_png
from tests.support.rows import SMALL


def scanners(federation, seed):
    return {site: file.phantom.scanner for site, file in federation.files(seed).items()}


def shares(federation, seed):
    return [file.phantom.prevalence for site, file in federation.files(seed).items() if site != HELD_OUT_SITE]


@pytest.mark.parametrize("seed", range(12))
def test_with_scanner_skew_sites_take_turns_and_the_held_out_site_has_its_own_scanner(seed):
    found = scanners(SimulatedFederation(sites=8, skew="scanner"), seed)
    outside = found.pop(HELD_OUT_SITE)
    assert outside not in found.values()
    assert len(set(found.values())) == len(SCANNERS) - 1
    assert found["site-1"] == found["site-6"]


def test_without_it_all_sites_have_one_scanner_and_seeds_differ_in_which():
    found = [scanners(SimulatedFederation(sites=4, skew="iid"), seed) for seed in range(12)]
    assert all(len({name for site, name in one.items() if site != HELD_OUT_SITE}) == 1 for one in found)
    assert all(one[HELD_OUT_SITE] != one["site-1"] for one in found)
    assert len({one[HELD_OUT_SITE] for one in found}) > 2


def test_label_skew_draws_each_sites_share_and_a_large_alpha_draws_the_scanners_own():
    assert shares(SimulatedFederation(skew="scanner"), 1) == [None] * 8
    drawn = [share for seed in range(40) for share in shares(SimulatedFederation(skew="label", alpha=0.5), seed)]
    assert np.std(drawn) > 0.2
    even = SimulatedFederation(skew="label", alpha=1e6)
    own = next(one.prevalence for one in SCANNERS if one.name == scanners(even, 3)["site-1"])
    assert shares(even, 3) == pytest.approx([own] * 8, abs=0.01)


@pytest.mark.parametrize("seed", range(5))
def test_size_skew_shares_out_as_many_scans_as_without(seed):
    files = SimulatedFederation(sites=8, scans=16, skew="size", alpha=0.3).files(seed)
    train = [round(file.phantom.scans * file.split.train) for site, file in files.items() if site != HELD_OUT_SITE]
    assert sum(train) == 8 * 16
    assert min(train) >= 4
    assert max(train) > 24


def test_size_skew_needs_four_scans_a_site():
    with pytest.raises(Refused, match="`size` skew needs 4"):
        SimulatedFederation(scans=3, skew="size").files(1)


def test_every_site_has_its_folds_and_the_held_out_site_has_no_training_labels():
    opened = SimulatedFederation(**SMALL, skew="scanner+label").open_scans(seed=1, size=32, dims=2)
    for site in ("site-1", "site-2"):
        assert [len(opened[site].folds[fold]) for fold in ("train", "valid", "test")] == [4, 4, 6]
        assert opened[site].folds["train"].labels.isfinite().all()
    assert opened[HELD_OUT_SITE].folds["train"].labels.isnan().all()
    assert opened[HELD_OUT_SITE].folds["test"].labels.isfinite().all()
    assert not share_test_scans(opened, ["site-1", "site-2"])


def test_each_seed_has_other_scans_and_the_same_seed_the_same():
    federation = SimulatedFederation(**SMALL)
    one, again, other = (federation.open_scans(seed, 32, 2)["site-1"].fingerprint for seed in (1, 1, 2))
    assert one == again != other


def test_without_scans_for_it_there_is_no_held_out_site():
    assert HELD_OUT_SITE not in SimulatedFederation(**SMALL | {"outside": 0}).open_scans(1, 32, 2)


def test_pooled_scans_are_all_of_them():
    opened = SimulatedFederation(**SMALL).open_scans(1, 32, 2)
    together = pool_sites(opened, ["site-1", "site-2"])
    assert len(together.folds["train"]) == 8
    assert torch.equal(together.folds["train"].inputs[4:], opened["site-2"].folds["train"].inputs)


@pytest.fixture
def on_disk(tmp_path):
    for at in range(40):
        write_png(tmp_path / "scans" / ("bleeding" if at % 2 else "normal") / f"{at}.png", at)
    path = tmp_path / "site.yaml"
    path.write_text(
        "kind: class_folders\nroot: scans\nclasses: {bleeding: [any], normal: []}\n"
        "split: {train: 0.8, valid: 0.2, test: 0}\ndeal: {scans: 1, test_scans: rest}\n"
    )
    return path


def test_the_seed_partitions_scans_on_disk_and_the_held_out_site_has_the_shared_test_fold(on_disk):
    federation = SimulatedFederation(sites=2, scans=8, skew="iid", data=on_disk)
    opened = federation.open_scans(1, 32, 2)
    assert share_test_scans(opened, ["site-1", "site-2"])
    assert torch.equal(opened[HELD_OUT_SITE].folds["test"].inputs, opened["site-1"].folds["test"].inputs)
    assert len(opened[HELD_OUT_SITE].folds["train"]) == 0
    assert len(opened["site-1"].folds["train"]) == 8
    assert opened["site-1"].fingerprint != federation.open_scans(2, 32, 2)["site-1"].fingerprint


def test_scanner_skew_is_refused_for_scans_on_disk(on_disk):
    with pytest.raises(Refused, match="partitioned by one of `iid`, `label` and `size`"):
        SimulatedFederation(sites=2, data=on_disk, skew="scanner").open_scans(1, 32, 2)


def test_simulated_scanners_change_how_scans_look_at_each_site_and_nothing_else(on_disk):
    plain = SimulatedFederation(sites=2, scans=8, skew="iid", data=on_disk).open_scans(1, 32, 2)
    opened = SimulatedFederation(sites=2, scans=8, skew="simulated_scanner", data=on_disk).open_scans(1, 32, 2)
    again = SimulatedFederation(sites=2, scans=8, skew="simulated_scanner", data=on_disk).open_scans(1, 32, 2)
    assert not share_test_scans(opened, ["site-1", "site-2"])
    for site, scans in opened.items():
        for fold, seen in scans.folds.items():
            was = plain[site].folds[fold]
            torch.testing.assert_close(seen.labels, was.labels, equal_nan=True, rtol=0, atol=0)
            assert torch.equal(seen.inputs, again[site].folds[fold].inputs)
            assert not len(was) or not torch.equal(seen.inputs, was.inputs)
        assert scans.fingerprint != plain[site].fingerprint
    tests = [opened[site].folds["test"].inputs for site in ("site-1", "site-2", HELD_OUT_SITE)]
    assert not torch.equal(tests[0], tests[2])
    assert not torch.equal(tests[1], tests[2])


def test_simulated_scanners_combine_with_one_partition_and_are_refused_for_the_phantom(on_disk):
    both = SimulatedFederation(sites=2, scans=4, skew="simulated_scanner+label", data=on_disk)
    assert both.label.endswith("simulated_scanner+label")
    assert len(both.open_scans(1, 32, 2)["site-2"].folds["train"]) == 4
    with pytest.raises(Refused, match="partitioned by one of"):
        SimulatedFederation(sites=2, data=on_disk, skew="simulated_scanner+label+size").open_scans(1, 32, 2)
    with pytest.raises(Refused, match="skew it by `scanner`"):
        SimulatedFederation(skew="simulated_scanner").open_scans(1, 32, 2)


def test_the_digest_follows_what_is_on_disk_and_not_where(on_disk, tmp_path):
    before = SimulatedFederation(data=on_disk).digest
    (tmp_path / "elsewhere").mkdir()
    for each in ("scans", "site.yaml"):
        (tmp_path / each).rename(tmp_path / "elsewhere" / each)
    moved = tmp_path / "elsewhere" / "site.yaml"
    assert SimulatedFederation(data=moved).digest == before
    assert SimulatedFederation(data=moved, name="other words").digest == before
    next((moved.parent / "scans" / "normal").iterdir()).unlink()
    assert SimulatedFederation(data=moved).digest != before
    assert SimulatedFederation(sites=7).digest != SimulatedFederation().digest


def test_a_phantoms_site_file_is_refused_as_data_on_disk(small_site):
    with pytest.raises(Refused, match="of kind phantom"):
        _ = SimulatedFederation(data=small_site).digest


def test_unknown_skew_is_refused():
    with pytest.raises(ValidationError):
        SimulatedFederation(skew="colour")


def test_patients_of_several_sites_stay_apart_when_their_scans_are_concatenated():
    one, other = (
        Fold(torch.zeros(3, 1, 2, 2), torch.zeros(3, 6), torch.tensor(known)) for known in ([0, 0, 1], [0, 1, 0])
    )
    assert sorted(len(unit) for unit in _concatenate([one, other]).units) == [1, 1, 2, 2]
    strangers = Fold(one.inputs, one.labels)
    assert _concatenate([one, strangers]).patients is None
    assert _slice(one, slice(1, 3)).patients.tolist() == [0, 1]
