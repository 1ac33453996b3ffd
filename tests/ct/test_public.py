"""The public set: the same at every site, no site's own, without labels; a site's own data do not change with it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from brainct.ct.dataset import open_site, open_sites
from brainct.ct.partition import PUBLIC, UNUSED, partition_scans
from brainct.ct.phantom import SCANNERS, phantom, public_phantom
from brainct.ct.site_choices import Partition, PhantomChoices, PublicSet, Split
from brainct.ct.site_config import SiteFile, read_site_file
from brainct.ct.workload import CT
from brainct.errors import Refused
from tests.support.forged import manifest, site_file, write_png

SITES = ["a", "b", "c"]


def synthetic(**choices):
    return SiteFile(kind="phantom", phantom=PhantomChoices(scans=8, **choices))


def test_every_site_has_the_same_public_phantom_and_its_own_scans_do_not_depend_on_it():
    one, other = (open_site(synthetic(public=7), site, SITES, 32) for site in ("site-1", "site-2"))
    assert one.fingerprint != other.fingerprint
    assert one.public().fingerprint == other.public().fingerprint
    assert torch.equal(one.public().inputs, other.public().inputs)
    assert one.public().inputs.shape == (7, 3, 32, 32)
    assert open_site(synthetic(public=9), "site-1", SITES, 32).fingerprint == one.fingerprint
    others = [synthetic(public=6), synthetic(public=7, seed=1), synthetic(public=7, difficulty=2.0)]
    found = {open_site(file, "site-1", SITES, 32).public().fingerprint for file in others}
    assert len(found | {one.public().fingerprint}) == 4
    same = synthetic(public=7, prevalence=1.0)
    assert open_site(same, "site-1", SITES, 32).public().fingerprint == one.public().fingerprint


def test_the_public_phantom_has_all_scanners_in_equal_shares_and_no_sites_patients():
    images = public_phantom(2 * len(SCANNERS) + 1, 0, 32)
    assert len(images) == 2 * len(SCANNERS) + 1
    narrow = [image for image in images if image.min() >= -20]  # only the fifth scanner's export keeps so little
    assert len(narrow) == 2
    own, _ = phantom("site-1", 3, 0, 32)
    assert not any(np.array_equal(image, each) for image in images for each in own)


def forged_set(folder: Path, count: int, first: int = 0) -> Path:
    for number in range(count):
        write_png(folder / f"{number}.png", first + number)
    return folder


def partitioned_pictures(folder: Path, count: int, **partition) -> SiteFile:
    forged_set(folder / "scans", count)
    manifest(folder, *[f"{number}.png,{number % 2},p{number}" for number in range(count)])
    split = Split(train=0.5, valid=0.25, test=0.25)
    return SiteFile(kind="manifest", root=folder / "scans", split=split, partition=Partition(**partition))


def test_public_scans_of_a_partition_are_in_no_fold_of_any_site(tmp_path: Path):
    file = partitioned_pictures(tmp_path, 24, public=5)
    together = open_sites(file, SITES, 32)
    public = together["a"].public()
    assert len(public.inputs) == 5
    used = [image for site in together.values() for fold in site.folds.values() for image in fold.inputs]
    assert not any(torch.equal(image, each) for image in public.inputs for each in used)
    for site in SITES:
        alone = open_site(file, site, SITES, 32)
        for held in (alone.public(), together[site].public()):
            assert torch.equal(held.inputs, public.inputs)
            assert held.fingerprint == public.fingerprint
        assert alone.fingerprint == together[site].fingerprint


def test_the_public_set_of_a_partition_has_whole_groups_and_is_the_same_for_all_sites():
    labels, groups = np.arange(60) % 2.0, np.arange(60) // 3
    shares = partition_scans(labels.astype(np.float32), groups, (0.6, 0.2, 0.2), Partition(public=10), 4)
    public = [np.flatnonzero(share == PUBLIC) for share in shares]
    assert all(np.array_equal(each, public[0]) for each in public)
    assert 9 <= len(public[0]) <= 12
    rest = np.flatnonzero(np.all([share == UNUSED for share in shares], axis=0))
    used = np.setdiff1d(np.arange(60), [*public[0], *rest])
    assert not set(groups[public[0]]) & set(groups[used])


def test_without_a_public_set_the_partition_uses_every_scan(tmp_path: Path):
    file = partitioned_pictures(tmp_path, 12)
    with pytest.raises(Refused, match="no public set.*name one as `public`"):
        open_site(file, "a", SITES, 32).public()
    with pytest.raises(Refused, match="`partition.public`: got 40, wanted fewer than"):
        open_site(partitioned_pictures(tmp_path / "other", 12, public=40), "a", SITES, 32)


def hospital(folder: Path, first: int, public: str, **more):
    """A hospital of 8 own scans that names a public folder."""
    forged_set(folder / "scans", 8, first)
    manifest(folder, *[f"{number}.png,{number % 2},p{number}" for number in range(8)])
    chosen = {"root": "scans", "public": {"root": public}, **more}
    return read_site_file(site_file(folder, kind="manifest", **chosen))


def public_folder(folder: Path, order, names="{}.png") -> None:
    forged_set(folder / "scans", 6, 100)
    for number in range(6):
        (folder / "scans" / f"{number}.png").rename(folder / "scans" / names.format(number))
    manifest(folder, *[f"{names.format(number)},,p{number}" for number in order])


def test_the_public_set_does_not_depend_on_file_names_and_their_order(tmp_path: Path):
    public_folder(tmp_path / "one", range(6))
    public_folder(tmp_path / "two", reversed(range(6)), names="scan{}.png")
    first = open_site(hospital(tmp_path / "h1", 0, "../one/scans"), "h1", ["h1"], 32)
    second = open_site(hospital(tmp_path / "h2", 20, "../two/scans"), "h2", ["h2"], 32)
    assert first.public().fingerprint == second.public().fingerprint
    assert torch.equal(first.public().inputs, second.public().inputs)
    assert CT.describe(first, public=True)["public"] == {"scans": 6, "fingerprint": first.public().fingerprint}
    assert "public" not in CT.describe(first)


def test_a_scan_that_is_public_and_the_sites_own_is_refused(tmp_path: Path):
    public_folder(tmp_path / "one", range(6))
    with pytest.raises(Refused, match="`public`: 3 scans are also this site's own"):
        open_site(hospital(tmp_path / "h1", 95, "../one/scans"), "h1", ["h1"], 32).public()


def test_a_missing_public_folder_is_refused_with_its_key(tmp_path: Path):
    with pytest.raises(Refused, match="`public`: root .*nowhere is not a folder"):
        open_site(hospital(tmp_path / "h1", 0, "nowhere"), "h1", ["h1"], 32).public()


def test_two_public_sets_of_one_site_are_refused():
    with pytest.raises(ValueError, match="`public` and `partition.public` both name a public set"):
        SiteFile(kind="manifest", root=Path("x"), public=PublicSet(root=Path("y")), partition=Partition(public=3))
