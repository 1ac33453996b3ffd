"""Segmentation: masks of the phantom and of files, the loss, the scores, patches, whole runs."""

from pathlib import Path

import numpy as np
import pytest
import torch

from brainct.core.names import site_names
from brainct.ct.augment import Augmentation, paired_augmenter
from brainct.errors import Refused
from brainct.job.config import plan_of
from brainct.run.rehearse import rehearse
from brainct.security.credentials import offline
from brainct.segment.dataset import open_site, presence
from brainct.segment.loss import masked_dice
from brainct.segment.masks import marked
from brainct.segment.metrics import scores
from brainct.segment.networks import build
from brainct.segment.workload import SEGMENT
from tests.support.forged import head, write_dicom, write_nifti

TINY = {"size": 32, "options": {"widths": [4, 8]}}


def plan(scheme="fedavg", **choices):
    network = {**TINY, **choices.pop("network", {})}
    fit = {"rate": 0.01, "augment": None, **choices.pop("fit", {})}
    small = {"workload": "segment", "rounds": 1, "evaluate_every": 0, "network": network, "fit": fit}
    return plan_of({"scheme": scheme, **small, **choices}, "the test's plan")


MM = np.full(3, 2.5)


def square(size=16, at=4, edge=6):
    found = np.zeros((size, size), np.float32)
    found[at : at + edge, at : at + edge] = 1
    return found


def test_the_phantoms_masks_are_where_its_blood_is(small_site):
    job = plan(findings=["any", "subdural", "midline shift"])
    train = open_site(small_site, "site-1", job).folds["train"]
    assert train.labels.shape == (8, 3, 32, 32)
    assert train.labels[:, 2].isnan().all()
    assert (train.labels[:, 0] >= train.labels[:, 1]).all()
    there = presence(train.labels)[:, 0] == 1
    assert 0 < there.sum() < 8
    brain = train.inputs[:, 0]
    inside = brain[there][train.labels[there, 0] == 1].mean()
    assert inside > brain[there][train.labels[there, 0] == 0].mean() + 0.2


def test_an_unknown_mask_adds_nothing_and_the_loss_is_that_of_the_known_ones():
    logits = torch.randn(2, 2, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    masks = torch.zeros(2, 2, 8, 8)
    masks[:, :, 2:5, 2:5] = 1
    masks[0, 1] = torch.nan
    whole = masked_dice(logits, masks)
    whole.backward()
    assert (logits.grad[0, 1] == 0).all()
    assert logits.grad.isfinite().all()
    p, y = logits.detach().sigmoid(), masks.nan_to_num(0)
    dice = 1 - (2 * (p * y).sum((2, 3)) + 1) / (p.sum((2, 3)) + y.sum((2, 3)) + 1)
    entropy = -(y * p.log() + (1 - y) * (1 - p).log()).mean((2, 3))
    wanted = (dice + entropy)[~torch.tensor([[False, True], [False, False]])].mean()
    assert whole.item() == pytest.approx(wanted.item(), rel=1e-5)
    assert masked_dice(logits, torch.full_like(masks, torch.nan)).item() == 0


def test_scores_are_those_of_shapes_worked_out_by_hand():
    truth = np.stack([square(), np.zeros((16, 16), np.float32), np.full((16, 16), np.nan, np.float32)])[:, None]
    same = scores(truth, np.nan_to_num(truth), ["any"], MM)["any"]
    assert (same["dice"], same["surface_dice"], same["hausdorff95"], same["false_alarms"]) == (1, 1, 0, 0)
    assert same["surface_distance"] == 0
    assert (same["positives"], same["negatives"], same["unlabelled"]) == (1, 1, 1)
    moved = np.stack([square(at=7), square(at=1), square()])[:, None]
    off = scores(truth, moved, ["any"], MM)["any"]
    assert off["dice"] == pytest.approx(2 * 9 / 72)
    assert 0 < off["surface_dice"] < 1
    assert 2 * 2.5 < off["hausdorff95"] < 5 * 2.5
    assert 0 < off["surface_distance"] < off["hausdorff95"]
    assert off["false_alarms"] == 1
    nothing = scores(truth, np.zeros_like(truth), ["any"], MM)["any"]
    assert (nothing["dice"], nothing["surface_dice"]) == (0, 0)
    assert nothing["hausdorff95"] == pytest.approx(2.5 * np.hypot(16, 16))
    assert nothing["surface_distance"] == nothing["hausdorff95"]
    assert scores(truth[2:], moved[2:], ["any"])["any"]["reason"] == "no labelled scan"


def test_distances_are_in_mm_of_each_sample_and_unknown_where_its_pixel_size_is():
    """A square moved by 3 pixels, whose four edges are then 0 to 3 pixels off; 95 % of them are 3 pixels at most."""
    truth, moved = (np.stack([square(at=at)] * 3)[:, None] for at in (4, 7))
    one, other = (scores(truth[:1], moved[:1], ["any"], np.array([mm]))["any"] for mm in (1.0, 3.0))
    for key in ("hausdorff95", "surface_distance"):
        assert other[key] == pytest.approx(3 * one[key])
    both = scores(truth, moved, ["any"], np.array([1.0, 3.0, np.nan]))["any"]
    assert both["hausdorff95"] == pytest.approx((one["hausdorff95"] + other["hausdorff95"]) / 2)
    assert one["surface_dice"] == 1  # nothing is off by more than 5 mm
    assert other["surface_dice"] < 1
    unknown = scores(truth, moved, ["any"])["any"]
    assert (unknown["hausdorff95"], unknown["surface_dice"]) == (None, None)
    assert unknown["dice"] == pytest.approx(both["dice"])


def test_a_pixel_of_the_input_is_as_large_as_the_scan_says(tmp_path):
    """Volumes of 40 x 32 pixels of 1 mm, shown on 32 pixels: 40 / 32 mm a pixel, or a field of 80 mm: 80 / 32."""
    path = volume_site(tmp_path)
    for job, mm in ((plan(network={"size": 32}), 1.25), (plan(network={"size": 32}, image={"fov_mm": 80}), 2.5)):
        assert set(open_site(path, "a", job).folds["test"].mm.tolist()) == {mm}


def test_images_and_masks_move_alike():
    image = torch.from_numpy(square(32, 10, 9))[None, None]
    masks = torch.cat([image, torch.full_like(image, torch.nan)], 1)
    augment = paired_augmenter(Augmentation(flip=True, shift=0.1, rotate=30, zoom=0.2), 2)
    moved, found = augment(image, masks, np.random.default_rng(3))
    assert not torch.equal(moved, image)
    assert torch.equal((moved >= 0.5).float(), found[:, :1])
    assert found[:, 1].isnan().all()


@pytest.mark.parametrize("name", ["unet", "segresnet"])
def test_networks_are_seeded_and_answer_each_pixel(name):
    one, other = (build(name, 3, 32, 2, seed, 2) for seed in (1, 1))
    images = torch.rand(2, 3, 32, 32)
    assert one(images).shape == (2, 2, 32, 32)
    assert torch.equal(one(images), other(images))
    with pytest.raises(Refused, match="wanted a multiple of 4"):
        build(name, 3, 30, 2, 1, 2)


def test_the_answer_of_sliding_windows_is_near_that_of_the_whole_image(small_site):
    whole, pieces = plan(), plan(network={"patch": 16})
    data = open_site(small_site, "site-1", whole)
    weights = SEGMENT.initial(whole, 1, 1).weights
    answers = []
    for job in (whole, pieces):
        learner = SEGMENT.learner(job, data, offline(job, "site-1", 0), None)
        answers.append(learner.predict(weights, "train"))
        assert learner.fit(weights).loss > 0
    assert answers[0].shape == answers[1].shape == data.folds["train"].labels.shape
    assert (answers[0] - answers[1]).abs().mean() < 0.2
    assert not torch.equal(*answers)


def volume_site(folder: Path) -> Path:
    """A site of two volumes whose label values are 2 where it bleeds into the brain, 5 under the dura."""
    volume = np.stack([head(at) for at in range(6)], 2).astype(np.float32)
    (folder / "scans").mkdir()
    rows = ["image,mask,slice,patient_id,split"]
    for name, fold in (("a", "train"), ("b", "test")):
        mask = np.zeros(volume.shape, np.int16)
        mask[4:9, 5:9, 2], mask[20:24, 20:26, 3] = 2, 5
        write_nifti(folder / "scans" / f"{name}.nii.gz", volume)
        write_nifti(folder / "scans" / f"{name}_mask.nii.gz", mask)
        rows += [f"{name}.nii.gz,{name}_mask.nii.gz,{at},{name},{fold}" for at in range(6)]
    (folder / "scans" / "labels.csv").write_text("\n".join(rows))
    path = folder / "site.yaml"
    path.write_text("kind: mask_table\nroot: scans\nmask_values: {2: intraparenchymal, 5: subdural}\n")
    return path


def test_masks_on_disk_lie_where_their_image_lies(tmp_path):
    job = plan(findings=["intraparenchymal", "subdural", "any", "epidural"], network={"size": 32})
    train = open_site(volume_site(tmp_path), "a", job).folds["train"]
    found = presence(train.labels)
    assert found[2].tolist()[:3] == [1, 0, 1]
    assert found[3].tolist()[:3] == [0, 1, 1]
    assert found[:, 3].isnan().all()
    assert found[0].tolist()[:3] == [0, 0, 0]


@pytest.mark.parametrize("dims", [2, 3])
def test_masks_by_id_give_what_a_table_of_them_gives(tmp_path, dims):
    """Kind `masks` is head CT's: INSTANCE22 and BHSD as they are published, without a table."""
    table = volume_site(tmp_path)
    slices = [f",{at}" for at in range(6)] if dims == 2 else [""]
    rows = [f"{one}.nii.gz,{one}_mask.nii.gz{at},{one},train" for one in "ab" for at in slices]
    header = "image,mask,slice,patient_id,split" if dims == 2 else "image,mask,patient_id,split"
    (tmp_path / "scans" / "labels.csv").write_text("\n".join([header, *rows]))
    for name in "ab":
        for folder, end in (("data", ""), ("label", "_mask")):
            (tmp_path / "scans" / folder).mkdir(exist_ok=True)
            there = tmp_path / "scans" / folder / f"{name}.nii.gz"
            there.write_bytes((tmp_path / "scans" / f"{name}{end}.nii.gz").read_bytes())
    by_id = tmp_path / "by_id.yaml"
    by_id.write_text(
        "kind: masks\nroot: scans\nimages: data/{id}.nii.gz\nmasks: label/{id}.nii.gz\n"
        "mask_values: {2: intraparenchymal, 5: subdural}\nsplit: {train: 1, valid: 0, test: 0}\n"
    )
    job = plan(findings=["any", "subdural"], network={"size": 32, "dims": dims})
    one, other = (open_site(path, "a", job).folds["train"] for path in (table, by_id))
    assert len(one) == (12 if dims == 2 else 2)
    assert torch.equal(one.inputs, other.inputs)
    assert torch.equal(one.labels, other.labels)


TAGS = {
    "PatientID": "p", "PatientName": "", "PatientBirthDate": "", "PatientSex": "", "StudyInstanceUID": "1.2.4",
    "StudyDate": "", "StudyTime": "", "StudyID": "", "AccessionNumber": "", "ReferringPhysicianName": "",
    "FrameOfReferenceUID": "1.2.5", "SliceThickness": 5, "InstanceNumber": 1, "SeriesNumber": 1,
}  # fmt: skip


def segments_of(series: Path, masks: np.ndarray, path: Path) -> None:
    """A DICOM SEG of these files in their order: masks (slices, rows, columns, segments), as highdicom writes it."""
    import highdicom as hd
    import pydicom
    from pydicom.sr.codedict import codes

    described = [
        hd.seg.SegmentDescription(
            number, f"segment {number}", codes.SCT.MorphologicallyAbnormalStructure, codes.SCT.Hemorrhage,
            hd.seg.SegmentAlgorithmTypeValues.MANUAL,
        )
        for number in range(1, masks.shape[-1] + 1)
    ]  # fmt: skip
    made = hd.seg.Segmentation(
        [pydicom.dcmread(each) for each in sorted(series.iterdir())], masks, hd.seg.SegmentationTypeValues.BINARY,
        described, hd.UID(), 2, hd.UID(), 1, "a maker", "a model", "1", "a device",
    )  # fmt: skip
    made.save_as(path)


def test_a_dicom_seg_lies_on_its_series_whatever_the_order_of_the_files(tmp_path):
    root = tmp_path / "scans"
    heights = [10.0, 0.0, 15.0, 5.0]
    for number, z in enumerate(heights):
        tags = {**TAGS, "InstanceNumber": number + 1}
        write_dicom(root / "series" / f"{number}.dcm", head(number), z=z, **tags)
    masks = np.zeros((4, *head(0).shape, 2), np.uint8)
    masks[1, 8:14, 10:12, 0] = 1  # the lowest slice
    masks[2, 20:22, 5:9, 1] = 1  # the highest
    segments_of(root / "series", masks, root / "seg.dcm")
    rows = [f"series,seg.dcm,{at},p,train" for at in range(4)]
    (root / "labels.csv").write_text("\n".join(["image,mask,slice,patient_id,split", *rows]))
    (tmp_path / "site.yaml").write_text("kind: mask_table\nroot: scans\nmask_values: {1: epidural, 2: subdural}\n")
    job = plan(findings=["epidural", "subdural"], network={"size": 32})
    found = open_site(tmp_path / "site.yaml", "a", job).folds["train"].labels
    assert presence(found).tolist() == [[1, 0], [0, 0], [0, 0], [0, 1]]
    side = max(head(0).shape)
    rows_hit = found[0, 0].any(1).nonzero().flatten().float() * side / 32
    assert 6 <= rows_hit.min() <= rows_hit.max() <= 15


def test_label_values_become_the_masks_of_findings():
    values = np.array([[0, 1], [2, 7]], np.int16)
    found = marked(values, {1: "epidural", 2: "subdural", 7: "subdural"}, ["subdural", "any", "stroke"])
    assert found[0].tolist() == [[0, 0], [1, 1]]
    assert found[1].tolist() == [[0, 1], [1, 1]]
    assert (found[2] == -1).all()
    stroke = marked(values, {1: "stroke", 2: "subdural"}, ["any", "stroke"])
    assert stroke[0].tolist() == [[0, 0], [1, 0]]  # a stroke is no bleeding
    assert stroke[1].tolist() == [[0, 1], [0, 0]]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("image,mask,patient_id", "wanted the columns image, mask, patient_id; mask is missing"),
        ("a.nii.gz,a.nii.gz", "a mask holds whole label values"),
        ("a.nii.gz,none.nii.gz", "no such mask"),
    ],
)
def test_masks_that_are_none_are_refused(tmp_path, change, words):
    path = volume_site(tmp_path)
    table = tmp_path / "scans" / "labels.csv"
    if change.startswith("image"):
        table.write_text("image,patient_id\na.nii.gz,a\n")
    else:
        table.write_text(f"image,mask,slice,patient_id,split\n{change},0,a,train\n")
    with pytest.raises(Refused, match=words):
        open_site(path, "a", plan())


@pytest.mark.parametrize("network", [{}, {"dims": 3}, {"architecture": "segresnet", "options": {"filters": 4}}])
def test_a_run_ends_with_the_scores_of_every_finding(network, tmp_path, monkeypatch):
    (tmp_path / "site.yaml").write_text(
        "kind: phantom\nphantom: {scans: 4}\nsplit: {train: 0.5, valid: 0.25, test: 0.25}\n"
    )
    monkeypatch.setenv("BRAINCT_SITE", str(tmp_path / "site.yaml"))
    job = plan(network=network, findings=["any", "subdural"])
    content = rehearse(job, site_names(2), tmp_path / "out", log=lambda line: None).content
    assert set(content["test"]["site-1"]) == {"any", "subdural"}
    assert SEGMENT.samples(content["sites"]["site-1"], "train") == 2
    assert "SYNTHETIC PHANTOM" in content["sites"]["site-1"]["notes"][0]
