"""Four hospitals with four kinds of storage train one model: a DICOM tree, NIfTI, pictures, and a manifest."""

from pathlib import Path

import numpy as np
import pytest
import yaml
from pydicom.config import disable_value_validation

from brainct.core.names import site_names
from brainct.ct.folds import FINDINGS
from brainct.job import folders
from brainct.run.rehearse import rehearse
from tests.support.forged import head, write_dicom, write_nifti, write_png
from tests.support.simulator import model_hash, simulate, small_job

SPLIT = {"train": 0.5, "valid": 0.25, "test": 0.25}
COUNT = 8


def choices_file(folder: Path, number: int, **choices: object) -> Path:
    """The site file of one hospital, and its folder of scans."""
    name = site_names(4)[number]
    (folder / name).mkdir(parents=True)
    content = {"root": name, "split": SPLIT, "batch_size": 4, "device": "cpu", **choices}
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(content))
    return folder / name


def dicom_with_rsna_labels(folder: Path) -> None:
    root = choices_file(folder, 0, kind="dicom", labels="stage_2_train.csv", series={"allow": ["few"]})
    rows = ["ID,Label"]
    for at in range(COUNT):
        name = f"ID_{at:09x}"
        tags = {"SOPInstanceUID": name, "PatientID": f"P{at}", "StudyInstanceUID": f"S{at}"}
        with disable_value_validation():
            write_dicom(root / "stage_2_train" / f"{name}.dcm", head(at), SeriesInstanceUID=f"R{at}", **tags)
        rows += [f"{name}_{finding},{int(finding in ('any', 'subdural')) * at % 2}" for finding in FINDINGS]
    (root / "stage_2_train.csv").write_text("\n".join(rows))


def nifti_with_ct_ich_labels(folder: Path) -> None:
    root = choices_file(folder, 1, kind="ct_ich")
    kinds = "Intraventricular,Intraparenchymal,Subarachnoid,Epidural,Subdural"
    rows = [f"PatientNumber,SliceNumber,{kinds},No_Hemorrhage,Fracture_Yes_No"]
    (root / "ct_scans").mkdir()
    for patient in range(50, 50 + COUNT // 2):
        volume = np.stack([head(1000 + 2 * patient + at) for at in range(2)], axis=2).transpose(1, 0, 2)
        write_nifti(root / "ct_scans" / f"{patient:03d}.nii", volume, np.diag([-1.0, -1, 5, 1]))
        rows += [f"{patient},{at},0,{patient % 2},0,0,0,{1 - patient % 2},0" for at in (1, 2)]
    (root / "hemorrhage_diagnosis_raw_ct.csv").write_text("\n".join(rows))


def pictures_with_any_alone(folder: Path) -> None:
    root = choices_file(folder, 2, kind="png_csv", columns={"any": "hemorrhage"})
    for at in range(COUNT):
        write_png(root / f"{at}.png", 2000 + at)
    (root / "labels.csv").write_text("\n".join(["id,hemorrhage", *[f"{at},{at % 2}" for at in range(COUNT)]]))


def a_manifest_with_an_unreadable_study(folder: Path) -> None:
    root = choices_file(folder, 3, kind="manifest", on_unreadable="skip", unreadable_share=0.2)
    for at in range(COUNT):
        write_dicom(root / f"{at}.dcm", head(3000 + at))
    (root / "0.dcm").write_bytes(b"\0" * 128 + b"DICM")
    rows = [f"{at}.dcm,{at % 2},{at % 2},p{at}" for at in range(COUNT)]
    (root / "labels.csv").write_text("\n".join(["image,any,epidural,patient_id", *rows]))


@pytest.fixture
def hospitals(tmp_path, monkeypatch):
    for made in (
        dicom_with_rsna_labels,
        nifti_with_ct_ich_labels,
        pictures_with_any_alone,
        a_manifest_with_an_unreadable_study,
    ):
        made(tmp_path / "hospitals")
    monkeypatch.setenv("BRAINCT_SITE", str(tmp_path / "hospitals" / "{site}.yaml"))


@pytest.mark.usefixtures("hospitals")
def test_four_kinds_of_storage_are_one_run(tmp_path):
    job = small_job(tmp_path / "jobs", "feddc", rounds=1)
    content = rehearse(folders.read(job), site_names(4), tmp_path / "out", log=lambda line: None).content
    kinds = {site: about["kind"] for site, about in content["sites"].items()}
    assert kinds == dict(zip(site_names(4), ("dicom", "ct_ich", "png_csv", "manifest"), strict=True))
    notes = content["sites"]["site-4"]["notes"]
    assert any(note.startswith("left out: 1 of 8 scans that cannot be read") for note in notes)
    of_pictures = content["sites"]["site-3"]["folds"]["train"]
    known = {name for name in FINDINGS if of_pictures["positives"][name] or of_pictures["negatives"][name]}
    assert known == {"any"}


@pytest.mark.slow
@pytest.mark.usefixtures("hospitals")
def test_four_kinds_of_storage_end_in_the_simulator_with_the_rehearsed_model(tmp_path, workspace):
    job = small_job(tmp_path / "jobs", "feddc", rounds=2)
    code, text = simulate(job, workspace, 4)
    assert code == 0, text
    content = rehearse(folders.read(job), site_names(4), tmp_path / "out", log=lambda line: None).content
    assert model_hash(text) == content["model_sha256"]
