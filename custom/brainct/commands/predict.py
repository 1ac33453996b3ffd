"""`brainct predict`: ask a model that a federation delivered about one's own scans."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from brainct.errors import Refused


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

    from brainct.ct.dataset import every_scan
    from brainct.ct.scans import FINDINGS
    from brainct.ct.sitefile import read_site_file
    from brainct.desk import site_file_of
    from brainct.learner import SiteLearner, network_of
    from brainct.plan import plan_of
    from brainct.rounds import load_model
    from brainct.scheme import Task

    if out.exists():
        raise Refused(f"{out} is there already; name another file or remove it first")
    weights, said = load_model(model), _metadata(model)
    plan = plan_of(said["plan"], f"{model.name}: its metadata")
    path = site_file or site_file_of(None)
    names, scans = every_scan(read_site_file(path) if path else None, site, plan.network.size, plan.network.dims)
    learner = SiteLearner(network_of(plan), scans, plan, site, 0)
    seeing = plan.build().see(Task(weights, said["extra"]), learner, {})
    rows = seeing.predict(weights).tolist()
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["scan", *FINDINGS])
        writer.writerows([name, *(f"{value:.6f}" for value in row)] for name, row in zip(names, rows, strict=True))
    for note in scans.notes:
        print(f"note: {note}")
    print(f"{len(rows)} scans: {out}")


def _metadata(model: Path) -> Mapping[str, Any]:
    """What stands beside the weights: the scheme, its arguments and the network, and what the model needs."""
    from safetensors import safe_open

    with safe_open(model, framework="pt") as file:
        said = {key: json.loads(text) for key, text in (file.metadata() or {}).items() if key in ("plan", "extra")}
    if "plan" not in said:
        raise Refused(f"{model.name} does not say its network; wanted a model.safetensors written by this brainct")
    return {"extra": {}, **said}
