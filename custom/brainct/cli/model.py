"""`brainct model ...`: a network of one's own in, a trained model out."""

from pathlib import Path
from typing import Annotated

import typer

from brainct.errors import Refused

app = typer.Typer(help="Bring in a network of one's own.", no_args_is_help=True)


@app.command("import")
def import_model(
    bundle: Annotated[Path, typer.Argument(help="A MONAI bundle: a folder with configs and models.")],
    out: Annotated[Path, typer.Option(help="A new folder for network.json and model.safetensors.")],
    batch_norm: Annotated[
        str, typer.Option(help="What becomes of BatchNorm: refuse, group (GroupNorm instead) or frozen.")
    ] = "refuse",
    size: Annotated[int | None, typer.Option(help="The edge of the input. (default: what the bundle states)")] = None,
) -> None:
    """Read a bundle's network, preprocessing and weights as data: nothing in it is run."""
    import json

    from brainct.core import serialization
    from brainct.ct.bundle.importer import import_bundle
    from brainct.job.config import plan_of
    from brainct.run.model_file import FILE, write_model

    if out.exists():
        raise Refused(f"{out} exists already; name another folder or remove it first")
    found = import_bundle(bundle, batch_norm, size)
    network = found.network.model_dump(mode="json")
    plan = plan_of({"scheme": "fedavg", "network": network}, bundle.name)
    out.mkdir(parents=True)
    serialization.write(out / "network.json", (json.dumps({"network": network}, indent=2) + "\n").encode())
    if found.weights is not None:
        write_model(out / FILE, found.weights, plan.model_dump(), {})
    for line in found.mapped:
        print(f"used     {line}")
    for line in found.dropped:
        print(f"left out {line}")
    for level, width in found.preprocessing.windows:
        print(f"site files need this window, one a channel: windows: [[{level:g}, {width:g}]]")
    start = f", and {FILE} for `--start-from`" if found.weights is not None else ""
    print(f"{out}: network.json for a job's `network`{start}")


@app.command()
def pretrain(
    out: Annotated[Path, typer.Option(help="A new folder for the results, from which jobs can start.")],
    job: Annotated[
        Path | None,
        typer.Option(help="A job folder whose network and findings to train. (default: the shipped model's)"),
    ] = None,
    scans: Annotated[int, typer.Option(min=1, help="Training scans of each of the six scanners.")] = 108,
    rounds: Annotated[int, typer.Option(min=1, help="Passes over the scans.")] = 24,
    seed: Annotated[int, typer.Option(min=0, help="All randomness follows from it.")] = 1,
) -> None:
    """Train a start model without any patient: on synthetic head CT of six scanners, strongly augmented."""
    from brainct.cli.progress import Progress
    from brainct.ct.config import ct_choices
    from brainct.job import folders
    from brainct.pretrain.phantom import plan_for, pretrain
    from brainct.run.summary import last_lines

    chosen = ct_choices(folders.read(job)).model_dump(include={"network", "findings", "single_choice"}) if job else {}
    plan = plan_for(chosen.pop("network", None), rounds, seed, **chosen)
    with Progress(rounds) as progress:
        record = pretrain(plan, out, scans, log=progress.log, on_round_closed=progress.closed)
    print(last_lines(record.record, out))
    print(f"brainct rehearse JOB --start-from {out}, or brainct jobs start-from JOB {out} --out NEW")


@app.command()
def adapt(
    model: Annotated[Path, typer.Argument(help="A model.safetensors of a run.")],
    out: Annotated[Path, typer.Option(help="A new file: the site's own model.")],
    site_file: Annotated[
        Path | None, typer.Option(help="A site file. (default: the one that BRAINCT_SITE names)")
    ] = None,
    calibrate: Annotated[bool, typer.Option(help="Temperature and threshold, from labelled validation scans.")] = True,
    statistics: Annotated[bool, typer.Option(help="BatchNorm's statistics, from scans without labels.")] = False,
    head: Annotated[int, typer.Option(min=0, help="Passes in which the last layer alone is trained.")] = 0,
    site: Annotated[str, typer.Option(help="The site's name; only the phantom depends on it.")] = "site-1",
) -> None:
    """Fit a delivered model to this hospital's scans, on this machine; nothing leaves, and MODEL stays as it is."""
    from brainct.adapt.site_model import adapt as fit
    from brainct.adapt.site_model import write
    from brainct.ct.site_config import read_site_file
    from brainct.run.model_file import read_model
    from brainct.site.data import site_file_of

    if out.exists():
        raise Refused(f"{out} exists already; name another file or remove it first")
    delivered, path = read_model(model), site_file or site_file_of(None)
    content = read_site_file(path) if path else None
    found = fit(delivered, content, site, calibrate=calibrate, statistics=statistics, head=head)
    write(out, delivered, found)
    for name, one in found.calibration.items():
        fitted = f"temperature {one.temperature:.2f}, threshold {one.threshold:.2f}, from {one.samples} scans"
        print(f"{name}: {one.reason + '; left as it is' if one.reason else fitted}")
    for fold, before in found.before.items():
        for name, error in before.items():
            print(f"calibration error on fold {fold}, {name}: {error:.3f} before, {found.after[fold][name]:.3f} after")
    print(f"{out}: {'; '.join(found.done) or 'nothing was asked for'}")
