"""`brainct predict`: ask a model that a federation delivered about one's own scans."""

from pathlib import Path
from typing import Annotated

import typer

from brainct.ct.config import ct_choices
from brainct.errors import Refused

UNTRAINED = {
    "local": "whose sites keep their models",
    "fedct": "which delivers labels of the public set and no model",
}
"""Schemes whose delivered weights are those before training."""


def predict(
    model: Annotated[Path, typer.Argument(help="A model.safetensors of a run.")],
    site_file: Annotated[Path | None, typer.Option(help="A site file; without one, what BRAINCT_SITE names.")] = None,
    out: Annotated[Path, typer.Option(help="A new CSV file: a row a scan, a column a finding.")] = Path(
        "predictions.csv"
    ),
    site: Annotated[str, typer.Option(help="The site's name; only the phantom looks at it.")] = "site-1",
) -> None:
    """Write the probability of each finding for every scan of a site, in a federation or outside it.

    A label may be missing. What a scheme wants to know of the scans, such as their brightness, is taken from all.
    """
    import csv
    import io
    import os

    from brainct.core import serialization
    from brainct.core.learner import Learner
    from brainct.ct.dataset import every_scan
    from brainct.ct.folds import FINDINGS
    from brainct.ct.learner import learner_of
    from brainct.ct.network_check import check_network
    from brainct.ct.read.label_table import cell
    from brainct.ct.read.opened import decoding
    from brainct.ct.site_config import read_site_file
    from brainct.ct.workload import CT
    from brainct.run.model_file import WANTED, read_model
    from brainct.run.replay import adapted
    from brainct.security.credentials import offline
    from brainct.site.data import site_file_of

    if out.exists():
        raise Refused(f"{out} is there already; name another file or remove it first")
    if not os.access(out.absolute().parent, os.W_OK):
        raise Refused(f"{out} can't be written: its folder is not there, or nobody here may write to it")
    delivered = read_model(model)
    plan = delivered.plan()
    if plan.scheme in UNTRAINED:
        raise Refused(f"{model.name} is of a run of {plan.scheme}, {UNTRAINED[plan.scheme]}: it has learned nothing")
    check_network(delivered.weights, plan, model.name)
    path = site_file or site_file_of(None)
    names, scans = every_scan(
        read_site_file(path) if path else None, site, ct_choices(plan).network.size, ct_choices(plan).network.dims
    )
    CT.check(scans, ct_choices(plan), site)
    learner: Learner = learner_of(ct_choices(plan), scans, offline(plan, site, 0))
    with decoding(model.name, "what it says of itself does not fit its scheme", f"wanted {WANTED}"):
        learner = adapted(plan, delivered.task, learner)
    found = learner.predict(delivered.weights)
    if not found.isfinite().all():
        raise Refused(
            f"{model.name} gives no number for {int((~found.isfinite()).any(1).sum())} scans; nothing is written"
        )
    rows, text = found.tolist(), io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["scan", *FINDINGS])
    writer.writerows([cell(name), *(f"{value:.6f}" for value in row)] for name, row in zip(names, rows, strict=True))
    serialization.write(out, text.getvalue().encode("utf-8", "surrogateescape"))
    for note in scans.notes:
        print(f"note: {note}")
    print(f"{len(rows)} scans: {out}")
