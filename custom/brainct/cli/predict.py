"""`brainct predict`: apply a delivered model to a site's own scans."""

from pathlib import Path
from typing import Annotated

import typer

from brainct.ct.config import ct_choices
from brainct.errors import Refused

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
) -> None:
    """Write the probability of each finding for every scan of a site, whether it took part in the run or not.

    No labels are needed. A scheme that adapts its input to the site, such as sitenorm, adapts it to all these scans.
    """
    import csv
    import io
    import os

    from brainct.core import serialization
    from brainct.core.learner import Learner
    from brainct.core.spreadsheet import spreadsheet_cell
    from brainct.ct.dataset import every_scan
    from brainct.ct.folds import FINDINGS
    from brainct.ct.learner import learner_of
    from brainct.ct.network_check import check_network
    from brainct.ct.read.site_files import decoding
    from brainct.ct.site_config import read_site_file
    from brainct.ct.workload import CT
    from brainct.run.model_file import WANTED, read_model
    from brainct.run.replay import adapted
    from brainct.security.credentials import offline
    from brainct.site.data import site_file_of

    if out.exists():
        raise Refused(f"{out} exists already; name another file or remove it first")
    if not os.access(out.absolute().parent, os.W_OK):
        raise Refused(f"{out} can't be written: its folder does not exist, or you may not write to it")
    delivered = read_model(model)
    plan = delivered.plan()
    if plan.scheme in UNTRAINED:
        raise Refused(f"{model.name} is of a run of {plan.scheme}, {UNTRAINED[plan.scheme]}: the model is untrained")
    check_network(delivered.weights, ct_choices(plan), model.name)
    path = site_file or site_file_of(None)
    names, scans = every_scan(
        read_site_file(path) if path else None, site, ct_choices(plan).network.size, ct_choices(plan).network.dims
    )
    CT.check(scans, ct_choices(plan), site)
    learner: Learner = learner_of(ct_choices(plan), scans, offline(plan, site, 0))
    with decoding(model.name, "its metadata does not fit its scheme", f"wanted {WANTED}"):
        learner = adapted(plan, delivered.task, learner)
    found = learner.predict(delivered.weights)
    if failed := int((~found.isfinite()).any(1).sum()):
        raise Refused(f"{model.name} gives no finite probability for {failed} scans; nothing is written")
    rows, text = found.tolist(), io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["scan", *FINDINGS])
    writer.writerows(
        [spreadsheet_cell(name), *(f"{value:.6f}" for value in row)] for name, row in zip(names, rows, strict=True)
    )
    serialization.write(out, text.getvalue().encode("utf-8", "surrogateescape"))
    for note in scans.notes:
        print(f"note: {note}")
    print(f"{len(rows)} scans: {out}")
