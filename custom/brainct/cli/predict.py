"""`brainct predict`: apply a delivered model to a site's own scans."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from brainct.errors import Refused

if TYPE_CHECKING:
    from torch import Tensor

Table = tuple[Sequence[str], Sequence[Sequence[float]]]
"""Names and a row of probabilities each."""

UNTRAINED = {
    "local": "which leaves each model at its site",
    "fedct": "which delivers labels of the public set instead of a model",
}
"""Schemes that deliver the weights from before training, and why."""


def predict(
    model: Annotated[Path, typer.Argument(help="A model.safetensors of a run.")],
    site_file: Annotated[
        Path | None, typer.Option(help="A site file. (default: the one that BRAINCT_SITE names)")
    ] = None,
    out: Annotated[Path, typer.Option(help="A new CSV file: one row a scan, one column a finding.")] = Path(
        "predictions.csv"
    ),
    site: Annotated[str, typer.Option(help="The site's name; only the phantom depends on it.")] = "site-1",
    scans: Annotated[
        Path | None, typer.Option(help="A folder of DICOM files, such as one study, in place of a site file.")
    ] = None,
    study: Annotated[
        str, typer.Option(help="Pool slices to one answer a study: max, mean or noisy_or. (default: as the job does)")
    ] = "",
) -> None:
    """Write the probability of each finding for every scan of a site, whether it took part in the run or not.

    No labels are needed, and no patients. A job that pools slices, or --study, also gives OUT.studies.csv, one row a
    study. A scheme that adapts its input to the site, such as sitenorm, adapts it to all these scans.
    """
    import os

    if out.exists():
        raise Refused(f"{out} exists already; name another file or remove it first")
    if not os.access(out.absolute().parent, os.W_OK):
        raise Refused(f"{out} can't be written: its folder does not exist, or you may not write to it")
    if scans is not None and site_file is not None:
        raise Refused("--scans and --site-file both name scans: give one of them")
    findings, names, found, notes, studies = _predictions(model, site_file, scans, site, study)
    if failed := int((~found.isfinite()).any(1).sum()):
        raise Refused(f"{model.name} gives no finite probability for {failed} scans; nothing is written")
    _write_table(out, findings, names, found.tolist())
    if studies is not None:
        by_study = out.with_name(f"{out.stem}.studies{out.suffix}")
        _write_table(by_study, findings, *studies)
        print(f"{len(studies[0])} studies: {by_study}")
    for note in notes:
        print(f"note: {note}")
    print(f"{len(names)} scans: {out}")


def _predictions(
    file: Path, site_file: Path | None, folder: Path | None, site: str, study: str
) -> "tuple[Sequence[str], Sequence[str], Tensor, Sequence[str], Table | None]":
    """The job's findings, the scans' names, (N, F) probabilities, notes on the scans, and the studies' answers."""
    from brainct.core.learner import Learner
    from brainct.ct.config import ct_choices
    from brainct.ct.dataset import every_scan
    from brainct.ct.learner import learner_of
    from brainct.ct.network_check import check_network
    from brainct.ct.site_config import SiteFile, read_site_file
    from brainct.ct.studies import by_name, pooling_of
    from brainct.ct.workload import CT
    from brainct.run.model_file import WANTED, read_model
    from brainct.run.replay import adapted
    from brainct.security.credentials import offline
    from brainct.site.data import site_file_of
    from brainct.training.site_files import decoding

    delivered = read_model(file)
    plan = delivered.plan()
    if plan.scheme in UNTRAINED:
        raise Refused(f"{file.name} is of a run of {plan.scheme}, {UNTRAINED[plan.scheme]}: the model is untrained")
    choices = ct_choices(plan)
    check_network(delivered.weights, choices, file.name)
    path = None if folder else site_file or site_file_of(None)
    content = read_site_file(path) if path else SiteFile.of_folder(folder) if folder else None
    names, scans = every_scan(content, site, choices.network.size, choices.network.dims, choices.wanted)
    CT.check(scans, choices, site)
    learner: Learner = learner_of(choices, scans, offline(plan, site, 0))
    with decoding(file.name, "its metadata does not fit its scheme", f"wanted {WANTED}"):
        learner = adapted(plan, delivered.task, learner)
    found = learner.predict(delivered.weights)
    studies = scans.folds["test"].studies
    pooling = pooling_of(study) if study else choices.scan.study
    by_study = None if pooling is None or studies is None else by_name(names, studies.numpy(), found.numpy(), pooling)
    return choices.findings, names, found, scans.notes, by_study


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
