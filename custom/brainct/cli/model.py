"""`brainct model ...`: a network of one's own in, a trained model out."""

from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from brainct.errors import Refused

if TYPE_CHECKING:
    from brainct.core.weights import Weights

app = typer.Typer(help="Bring in a network of one's own, and take a trained model out.", no_args_is_help=True)


class Format(str, Enum):
    """What `export` writes."""

    bundle = "bundle"
    onnx = "onnx"
    torch = "torch"


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
    from brainct.deliver.reimport import exported_here
    from brainct.job.config import plan_of
    from brainct.run.model_file import FILE, stated_choices, write_model

    if out.exists():
        raise Refused(f"{out} exists already; name another folder or remove it first")
    weights: Weights | None
    if (known := exported_here(bundle)) is not None:
        plan, weights = known
        choices = {key: one for key, one in stated_choices(plan.model_dump(mode="json")).items() if key in _OF_A_JOB}
        said = ["used     metadata.json of an export of brainct: findings, network and scans as they were in training"]
    else:
        found = import_bundle(bundle, batch_norm, size)
        choices, weights = found.choices, found.weights
        plan = plan_of({"scheme": "fedavg", **choices}, bundle.name)
        said = [*(f"used     {line}" for line in found.mapped), *(f"left out {line}" for line in found.dropped)]
        said += [f"site files need this window, one a channel: windows: [[{level:g}, {width:g}]]"
                 for level, width in found.preprocessing.windows]  # fmt: skip
    out.mkdir(parents=True)
    serialization.write(out / "network.json", (json.dumps(choices, indent=2) + "\n").encode())
    if weights is not None:
        write_model(out / FILE, weights, plan.model_dump(), {})
    print("\n".join(said))
    start = f", and {FILE} for `--start-from`" if weights is not None else ""
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
    detail: Annotated[
        str | None,
        typer.Option(help="Details of the phantom, joined by commas, or `plain`. (default: the shipped model's)"),
    ] = None,
) -> None:
    """Train a start model without any patient: on synthetic head CT of six scanners, strongly augmented."""
    from brainct.cli.progress import Progress
    from brainct.ct.config import ct_choices
    from brainct.job import folders
    from brainct.pretrain.phantom import details_named, plan_for, pretrain
    from brainct.run.summary import last_lines

    chosen = ct_choices(folders.read(job)).model_dump(include={"network", "findings", "single_choice"}) if job else {}
    plan, details = plan_for(chosen.pop("network", None), rounds, seed, **chosen), details_named(detail)
    with Progress(rounds) as progress:
        record = pretrain(plan, out, scans, progress.log, details, on_round_closed=progress.closed)
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


_OF_A_JOB = ("workload", "findings", "single_choice", "network", "scan", "image")
"""Of the choices that a model states those that do not depend on the scheme."""


@app.command("export")
def export_model(
    run: Annotated[Path, typer.Argument(help="The folder of a finished run, or a model.safetensors.")],
    out: Annotated[Path, typer.Option(help="A new folder.")],
    format: Annotated[Format, typer.Option(help="A MONAI bundle, ONNX, or torch.export's .pt2.")] = Format.bundle,
    calibration: Annotated[
        Path | None, typer.Option(help="A calibration.json. (default: the one next to the model, if any)")
    ] = None,
    licence: Annotated[
        Path | None, typer.Option(help="The text of the model's licence. (default: none is granted)")
    ] = None,
) -> None:
    """Write a trained model so that MONAI, onnxruntime or PyTorch runs it without brainct."""
    from brainct.cli.extras import require
    from brainct.core.determinism import one_thread
    from brainct.deliver.card import NO_LICENCE
    from brainct.deliver.finished_model import finished_model

    if out.exists():
        raise Refused(f"{out} exists already; name another folder or remove it first")
    for package in ("ignite", *(("onnx", "onnxscript") if format is Format.onnx else ())):
        require(package, "`brainct model export` needs", "export")
    from brainct.deliver.bundle import write_bundle
    from brainct.deliver.programs import write_onnx, write_program

    one_thread()
    text = licence.read_text(encoding="utf-8") if licence else NO_LICENCE
    model = finished_model(run, calibration)
    write = {Format.bundle: write_bundle, Format.onnx: write_onnx, Format.torch: write_program}[format]
    write(model, out, text)
    print(f"{out}: {format.value}, model sha256 {model.sha256}")
