"""`brainct predict`: apply a trained model to a study, to a folder of studies, or to a site's own scans."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from brainct.errors import Refused

if TYPE_CHECKING:
    from torch import Tensor

    from brainct.deliver.answer import Answer, Reader
    from brainct.deliver.finished_model import FinishedModel

Table = tuple[Sequence[str], Sequence[Sequence[float]]]
"""Names and a row of probabilities each."""


def predict(
    model: Annotated[Path, typer.Argument(help="The folder of a finished run, or its model.safetensors.")],
    study: Annotated[
        Path | None, typer.Argument(help="A study: a folder of DICOM files, or a NIfTI. (default: the site's scans)")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="A folder with many studies; continues an interrupted OUT.")
    ] = None,
    site_file: Annotated[
        Path | None, typer.Option(help="A site file. (default: the one that BRAINCT_SITE names)")
    ] = None,
    out: Annotated[Path, typer.Option(help="A new CSV file: one row a study or scan.")] = Path("predictions.csv"),
    site: Annotated[str, typer.Option(help="The site's name; only the phantom depends on it.")] = "site-1",
    calibration: Annotated[
        Path | None, typer.Option(help="A calibration.json. (default: the one next to the model, if any)")
    ] = None,
    sr: Annotated[bool, typer.Option("--sr", help="Also a DICOM SR of each study, next to OUT.")] = False,
    seg: Annotated[bool, typer.Option("--seg", help="Also a DICOM SEG of each study, of models that mark.")] = False,
    picture: Annotated[bool, typer.Option("--picture", help="Also a PNG of where the model looked.")] = False,
) -> None:
    """Write the probability of each finding: of a study, of each study of a folder, or of each scan of a site.

    No labels are needed. Without STUDY and --folder, a job that pools slices also gives OUT.studies.csv, one row a
    study; a scheme that adapts its input to the site, such as sitenorm, adapts it to all these scans.
    """
    import os

    from brainct.core.determinism import one_thread
    from brainct.deliver.finished_model import finished_model

    if study is not None and folder is not None:
        raise Refused("a study and --folder are given; give one of them")
    if out.exists() and folder is None:
        raise Refused(f"{out} exists already; name another file or remove it first")
    if not os.access(out.absolute().parent, os.W_OK):
        raise Refused(f"{out} can't be written: its folder does not exist, or you may not write to it")
    one_thread()
    delivered = finished_model(model, calibration)
    if study is None and folder is None:
        if sr or seg or picture:
            raise Refused("--sr, --seg and --picture are for a study or a --folder of studies; name one")
        _of_site(delivered, site_file, out, site)
    else:
        _of_studies(delivered, study, folder, site_file, out, (sr, seg, picture))


def _of_studies(
    model: "FinishedModel",
    study: Path | None,
    folder: Path | None,
    site_file: Path | None,
    out: Path,
    wanted: tuple[bool, bool, bool],
) -> None:
    from brainct.cli.extras import require, require_charts
    from brainct.ct.scan_progress import with_bar
    from brainct.ct.site_config import read_site_file
    from brainct.deliver.answer import Reader
    from brainct.deliver.answer_table import fill
    from brainct.deliver.study import read_study, studies_in

    if wanted[0] or wanted[1]:
        require("highdicom", "DICOM SR and SEG need", "dicom")
    if wanted[2]:
        require_charts()
    file = read_site_file(site_file) if site_file else None
    reader, paths = Reader(model), studies_in(folder) if folder else [study or Path()]

    def answered(path: Path) -> "Answer":
        one = read_study(path, model, file)
        answer = reader.answer(one, file)
        for line in _extras(reader, one, answer, out, wanted):
            if folder is None:
                print(line)
        return answer

    if study is not None:
        answer = answered(study)
        _print(model, answer)
        found = fill(out, model, paths, lambda path: answer, _plain)
    else:
        found = fill(out, model, paths, answered, with_bar)
        each = f", {found.seconds / max(1, found.answered):.2f} s each" if found.answered else ""
        print(f"{found.answered} studies in {found.seconds:.1f} s{each}; {found.before} were there before")
        if found.refused:
            print(f"{found.refused} studies could not be read; the column `problem` says why")
    print(f"{len(paths)} {'study' if len(paths) == 1 else 'studies'}: {out}")


def _plain(paths: Iterable[Path], total: int, word: str) -> Iterable[Path]:
    return paths


def _print(model: "FinishedModel", answer: "Answer") -> None:
    for at, finding in enumerate(model.findings):
        ml = f"  {answer.ml[at]:8.2f} ml" if answer.ml is not None else ""
        print(f"{finding:<20} {answer.probabilities[at]:.4f}  {'present' if answer.present[at] else 'absent'}{ml}")


def _extras(
    reader: "Reader", study: "object", answer: "Answer", out: Path, wanted: tuple[bool, bool, bool]
) -> Iterable[str]:
    """Write what is wanted besides the row, next to the table, by the study's name."""
    from brainct.deliver.picture import write_picture
    from brainct.deliver.seg import write_seg
    from brainct.deliver.sr import write_sr
    from brainct.deliver.study import Study

    assert isinstance(study, Study)
    name = study.name.partition(".nii")[0]
    sr, seg, picture = (out.parent / f"{name}{end}" for end in (".sr.dcm", ".seg.dcm", ".png"))
    if wanted[0]:
        write_sr(sr, reader.model, study, answer)
        yield f"DICOM SR: {sr}"
    if wanted[1]:
        write_seg(seg, reader.model, study, answer)
        yield f"DICOM SEG: {seg}"
    if wanted[2]:
        yield f"picture ({write_picture(picture, reader, study, answer)}): {picture}"


def _of_site(model: "FinishedModel", site_file: Path | None, out: Path, site: str) -> None:
    findings, names, found, notes, studies = _predictions(model, site_file, site)
    if failed := int((~found.isfinite()).any(1).sum()):
        raise Refused(f"{model.file.name} gives no finite probability for {failed} scans; nothing is written")
    _write_table(out, findings, names, found.tolist())
    if studies is not None:
        by_study = out.with_name(f"{out.stem}.studies{out.suffix}")
        _write_table(by_study, findings, *studies)
        print(f"{len(studies[0])} studies: {by_study}")
    for note in notes:
        print(f"note: {note}")
    print(f"{len(names)} scans: {out}")


def _predictions(
    model: "FinishedModel", site_file: Path | None, site: str
) -> "tuple[Sequence[str], Sequence[str], Tensor, Sequence[str], Table | None]":
    """The job's findings, the scans' names, (N, F) probabilities, notes on the scans, and the studies' answers."""
    import torch

    from brainct.core.learner import Learner
    from brainct.ct.calibration import calibrated
    from brainct.ct.config import ct_choices
    from brainct.ct.dataset import every_scan
    from brainct.ct.learner import learner_of
    from brainct.ct.site_config import read_site_file
    from brainct.ct.studies import by_name
    from brainct.ct.workload import CT
    from brainct.run.model_file import WANTED
    from brainct.run.replay import adapted
    from brainct.security.credentials import offline
    from brainct.site.data import site_file_of
    from brainct.training.site_files import decoding

    delivered, plan, choices = model.file, model.plan, ct_choices(model.plan)
    path = site_file or site_file_of(None)
    content = read_site_file(path) if path else None
    names, scans = every_scan(content, site, choices.network.size, choices.network.dims, choices.wanted)
    CT.check(scans, choices, site)
    learner: Learner = learner_of(choices, scans, offline(plan, site, 0))
    with decoding(delivered.name, "its metadata does not fit its scheme", f"wanted {WANTED}"):
        learner = adapted(plan, delivered.task, learner)
    raw = learner.predict(delivered.weights).numpy()
    found = calibrated(raw, model.calibration.temperatures(choices.findings), choices.single_choice)
    studies, pooling = scans.folds["test"].studies, choices.scan.study
    by_study = None if pooling is None or studies is None else by_name(names, studies.numpy(), found, pooling)
    return choices.findings, names, torch.from_numpy(found), scans.notes, by_study


def _write_table(out: Path, findings: Sequence[str], names: Sequence[str], rows: Sequence[Sequence[float]]) -> None:
    import csv
    import io

    from brainct.core import serialization
    from brainct.core.spreadsheet import spreadsheet_cell

    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["scan", *findings])
    for name, row in zip(names, rows, strict=True):
        writer.writerow([spreadsheet_cell(name), *(f"{value:.6f}" for value in row)])
    serialization.write(out, text.getvalue().encode("utf-8", "surrogateescape"))
