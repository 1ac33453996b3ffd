"""Samples as a job wants them: slices, slices with their neighbours, volumes; windows, field of view, transforms."""

from pathlib import Path

import numpy as np
import pytest
import torch

from brainct.core.names import site_names
from brainct.ct.config import CtChoices
from brainct.ct.dataset import open_site
from brainct.ct.phantom import SCANNERS, SLICE_MM, slice_hu, slice_labels, studies
from brainct.ct.site_choices import PhantomChoices
from brainct.ct.site_config import SiteFile, read_site_file
from brainct.ct.studies import all_scores, pooled, pooled_labels
from brainct.ct.transforms import ALLOWED, Step, applied
from brainct.ct.wanted import Wanted
from brainct.ct.workload import CT
from brainct.errors import Refused
from brainct.job import folders
from brainct.job.config import plan_of
from brainct.run.rehearse import rehearse
from brainct.training.data import Fold
from tests.conftest import TINY
from tests.support.forged import head, manifest, write_nifti, write_png

NINE = {**TINY, "channels": 9}
HEADS = SiteFile(kind="phantom", phantom=PhantomChoices(scans=6, slices=4))


def every_image(data):
    return torch.cat([fold.inputs for fold in data.folds.values()])


def test_the_channels_of_a_sample_are_its_slice_between_its_neighbours():
    alone = open_site(HEADS, "site-1", ["site-1"], 32, job=Wanted())
    one, other = (open_site(HEADS, "site-1", ["site-1"], 32, job=Wanted(neighbours=near)) for near in (1, 1))
    assert one.folds["train"].inputs.shape[1:] == (9, 32, 32)
    assert alone.folds["train"].inputs.shape[1:] == (3, 32, 32)
    assert one.fingerprint == other.fingerprint
    train = one.folds["train"]
    for at in range(len(train) - 1):
        if train.studies[at] == train.studies[at + 1]:
            torch.testing.assert_close(train.inputs[at, 3:6], train.inputs[at + 1, :3], rtol=0, atol=0)
            torch.testing.assert_close(train.inputs[at, 6:], train.inputs[at + 1, 3:6], rtol=0, atol=0)


def test_neighbours_of_a_slice_on_disk_end_at_the_volumes_ends(tmp_path: Path):
    volume = np.stack([head(at) for at in range(4)], 2).astype(np.float32)
    (tmp_path / "scans").mkdir()
    write_nifti(tmp_path / "scans" / "a.nii.gz", volume)
    rows = [f"a.nii.gz,{at},{at % 2},p,train" for at in range(4)]
    manifest(tmp_path, *rows, header="image,slice,any,patient_id,split")
    (tmp_path / "brainct.yaml").write_text("kind: manifest\nroot: scans\n")
    found = open_site(read_site_file(tmp_path / "brainct.yaml"), "a", ["a"], 32, job=Wanted(neighbours=1))
    flat = open_site(read_site_file(tmp_path / "brainct.yaml"), "a", ["a"], 32)
    own, stacks = flat.folds["train"].inputs, found.folds["train"].inputs
    for at in range(4):
        places = [max(at - 1, 0), at, min(at + 1, 3)]
        torch.testing.assert_close(stacks[at], torch.cat([own[place] for place in places]), rtol=0, atol=0)
    assert flat.folds["train"].studies.tolist() == [0] * 4


def test_a_picture_without_neighbours_is_refused(tmp_path: Path):
    write_png(tmp_path / "scans" / "0.png", 0)
    manifest(tmp_path, "0.png,1,p,train", header="image,any,patient_id,split")
    (tmp_path / "brainct.yaml").write_text("kind: manifest\nroot: scans\n")
    with pytest.raises(Refused, match="a single slice, and the job takes 1 neighbours on either side"):
        open_site(read_site_file(tmp_path / "brainct.yaml"), "a", ["a"], 32, job=Wanted(neighbours=1))


def test_heads_of_several_slices_keep_together_and_bleed_where_they_are_labelled():
    data = open_site(HEADS, "site-1", ["site-1"], 32)
    sets = [set(fold.patients.tolist()) for fold in data.folds.values()]
    assert sum(map(len, sets)) == len(set().union(*sets)) == 6
    drawn = studies("site-1", PhantomChoices(scans=6, slices=4, prevalence=1.0), 32, 4)
    labels = np.array([[slice_labels(masks[..., at]) for at in range(4)] for _, masks in drawn])
    assert 0 < labels[..., 5].mean() < 1
    assert (labels[..., 5] == labels[..., :5].max(-1)).all()
    healthy = studies("site-1", PhantomChoices(scans=6, slices=4, prevalence=0.0), 32, 4)
    for (bleeding, masks), (calm, none) in zip(drawn, healthy, strict=True):
        assert not none.any()
        if masks.any():  # blood is brighter than what is there without it, outside it little changes
            inside, outside = (bleeding - calm)[masks.any(0)], (bleeding - calm)[~masks.any(0)]
            assert inside.mean() > 5 * abs(outside.mean())


def test_the_scans_of_a_phantom_of_single_slices_are_those_they_were():
    ((hu, _),) = studies("site-1", PhantomChoices(scans=1, prevalence=0.0), 32, 1)
    from brainct.ct.phantom.draw import stream_of

    np.testing.assert_array_equal(hu[:, :, 0], slice_hu(stream_of(0, "site-1", 0), SCANNERS[0], [], 32))
    assert SLICE_MM == 5


def test_windows_and_field_of_view_of_the_job_come_before_those_of_the_site_file():
    file = HEADS.model_copy(update={"windows": ((40.0, 400.0),)})
    shown = [
        every_image(open_site(file, "site-1", ["site-1"], 32, job=job))
        for job in (Wanted(), Wanted(windows=((40.0, 80.0),)), Wanted(windows=((40.0, 80.0),), fov_mm=120.0))
    ]
    own = every_image(open_site(HEADS, "site-1", ["site-1"], 32))
    assert not torch.equal(shown[0], own[:, :1])
    assert torch.equal(shown[1], own[:, :1])
    assert shown[2].shape == shown[1].shape
    assert shown[2].mean() > 1.5 * shown[1].mean()  # half the width in mm is the brain alone


def test_every_transform_of_the_list_keeps_shape_and_range():
    image = torch.rand(3, 24, 24, generator=torch.Generator().manual_seed(0))
    needed = {"SavitzkyGolaySmooth": {"window_length": 5, "order": 2}, "AdjustContrast": {"gamma": 2.0}}
    needed |= {"ThresholdIntensity": {"threshold": 0.5}, "ShiftIntensity": {"offset": 0.1}}
    needed |= {"ScaleIntensityRange": {"a_min": 0.1, "a_max": 0.9, "b_min": 0, "b_max": 1}}
    needed |= {"ScaleIntensityRangePercentiles": {"lower": 1, "upper": 99, "b_min": 0, "b_max": 1}}
    for name in ALLOWED:
        found = applied(image, [Step(transform=name, arguments=needed.get(name, {}))])
        assert found.shape == image.shape
        assert found.min() >= 0
        assert found.max() <= 1
        assert not torch.equal(found, image) or name == "ScaleIntensity"
    torch.testing.assert_close(applied(image, [Step(transform="AdjustContrast", arguments={"gamma": 1.0})]), image)


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"scan": {"transforms": [{"transform": "LoadImage"}]}}, "allowed are AdjustContrast"),
        ({"scan": {"transforms": [{"transform": "Lambda", "arguments": {"func": 1}}]}}, "allowed are"),
        ({"scan": {"transforms": [{"transform": "MedianSmooth", "arguments": {"radius": 99}}]}}, "from 1 to 5"),
        ({"scan": {"transforms": [{"transform": "MedianSmooth", "arguments": {"radius": 1.5}}]}}, "a whole number"),
        ({"scan": {"transforms": [{"transform": "MedianSmooth", "arguments": {"seed": 1}}]}}, "takes radius here"),
        ({"scan": {"neighbours": 1}, "network": {"channels": 4}}, "must be a multiple of 3"),
        ({"scan": {"windows": [[40, 80]]}}, "1 windows of 1 slices are 1"),
        ({"scan": {"windows": [[40, 0]]}, "network": {"channels": 1}}, "a width of 0 HU"),
        ({"scan": {"neighbours": 1}, "network": {"dims": 3}}, "a volume"),
        ({"scan": {"study": "max"}, "findings": ["a", "b"], "single_choice": True}, "leave it null"),
    ],
)
def test_samples_that_cannot_be_are_refused(choices, words):
    with pytest.raises(Refused, match=words):
        plan_of({"scheme": "fedavg", **choices}, "the job")


def test_a_studys_answer_is_pooled_from_its_slices():
    probabilities = np.array([[0.1], [0.6], [0.5], [0.2]])
    numbers = np.array([7, 7, 3, 7])
    assert pooled(probabilities, numbers, "max")[:, 0].tolist() == [0.5, 0.6]
    assert pooled(probabilities, numbers, "mean")[:, 0] == pytest.approx([0.5, 0.3])
    assert pooled(probabilities, numbers, "noisy_or")[:, 0] == pytest.approx([0.5, 1 - 0.9 * 0.4 * 0.8])
    labels = pooled_labels(np.array([[0.0], [1.0], [0.0], [np.nan]]), numbers)
    assert labels[:, 0].tolist() == [0, 1]
    assert np.isnan(pooled_labels(np.array([[0.0], [np.nan], [0.0], [0.0]]), numbers)[1, 0])


def test_scores_of_studies_stand_next_to_those_of_slices():
    labels = torch.tensor([[0.0], [1], [0], [0], [0], [0]])
    fold = Fold(torch.zeros(6, 1), labels, studies=torch.tensor([0, 0, 0, 1, 1, 1]))
    found = all_scores(fold, np.array([[0.1], [0.4], [0.5], [0.2], [0.3], [0.1]]), ["any"], "max")
    assert found["any"]["auroc"] == pytest.approx(0.8)
    assert found["study any"]["auroc"] == 1.0
    assert (found["study any"]["positives"], found["study any"]["negatives"]) == (1, 1)
    with pytest.raises(Refused, match="which are of one study"):
        all_scores(Fold(torch.zeros(6, 1), labels), np.zeros((6, 1)), ["any"], "max")


@pytest.mark.parametrize("name", ["ct_neighbours", "ct_volumes"])
def test_a_job_of_neighbours_and_one_of_volumes_run_to_their_scores(name, tmp_path, monkeypatch):
    few = "phantom: {scans: 6, slices: 3}" if name == "ct_neighbours" else "phantom: {scans: 8}"
    (tmp_path / "site.yaml").write_text(f"kind: phantom\n{few}\nsplit: {{train: 0.5, valid: 0.25, test: 0.25}}\n")
    monkeypatch.setenv("BRAINCT_SITE", str(tmp_path / "site.yaml"))
    network = {**TINY, "channels": 9} if name == "ct_neighbours" else {**TINY, "dims": 3}
    small = {"network": network, "fit": {"rate": 0.003, "augment": None}, "rounds": 1, "evaluate_every": 0}
    plan = plan_of({**folders.JOBS[name], **small}, name)
    test = rehearse(plan, site_names(2), tmp_path / "out", log=lambda line: None).content["test"]["site-1"]
    assert set(test) == set(CT.outputs(plan))
    assert ("study any" in test) == (name == "ct_neighbours")
    assert test["any"]["brier"] is not None


def test_jobs_are_rendered_for_volumes_on_demand(tmp_path):
    rows = folders.shaped(3)
    assert "ct_neighbours" not in rows
    assert "table_fedavg" not in rows
    written = folders.render(tmp_path, rows)
    assert len(written) == 3 * len(rows)
    plan = folders.read(tmp_path / "feddc")
    assert (plan.network.dims, plan.network.size) == (3, folders.VOLUME)
    assert folders.shaped() is folders.JOBS
    assert CtChoices().wanted == Wanted()
