"""`brainct barriers`: measure whether averaging two models raises the loss, and in which layer."""

from pathlib import Path
from typing import Annotated, Any

import typer

from brainct.errors import Refused

WANTED = "barriers.json as this command writes it"


def barriers(
    files: Annotated[list[Path] | None, typer.Argument(help="Two or more RUN/model.safetensors to compare.")] = None,
    run: Annotated[Path | None, typer.Option(help="Folder of a rehearsed run; its sites train once more.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of that training. (default: the job's)")] = None,
    fold: Annotated[list[str] | None, typer.Option(help="Folds of the loss. (default: train, then test)")] = None,
    finding: Annotated[str, typer.Option(help="The output of the loss, or `all`.")] = "all",
    pairs: Annotated[int, typer.Option(help="Pairs of models, drawn at random.")] = 3,
    points: Annotated[int, typer.Option(help="Points on a path, both ends included.")] = 11,
    refine: Annotated[int, typer.Option(help="How often the step is halved around the highest point.")] = 3,
    orders: Annotated[int, typer.Option(help="Random orders of the cumulative barrier.")] = 2,
    samples: Annotated[int, typer.Option(help="Perturbations of each random kind.")] = 3,
    seed: Annotated[int, typer.Option(help="Seed of pairs, orders and perturbations.")] = 1,
    choose: Annotated[
        int | None,
        typer.Option(help="Print the argument `layers` of a layerwise job: the K layers with the lowest barriers."),
    ] = None,
    below: Annotated[
        float | None,
        typer.Option(help="Print the argument `layers` of a layerwise job: all layers with a barrier up to this."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of barriers.json and pictures. (default: the run)")] = None,
) -> None:
    """Measure barriers between models (Adilova et al., ICLR 2024): full, by layer, cumulative, under perturbations."""
    from brainct.barriers.pair import Choices
    from brainct.cli.extras import require_charts

    require_charts()

    if bool(files) == bool(run):
        raise Refused("barriers are measured between files or between the sites of a --run; wanted one of the two")
    folder = out or run
    if folder is None:
        raise Refused("barriers of files need --out FOLDER, where barriers.json and the pictures go")
    if choose is not None or below is not None:
        _print_layers(folder / "barriers.json", choose, below)
        return
    choices = Choices(points, refine, orders, samples, pairs, seed)
    _measure(files or [], run, epochs, fold or ["train", "test"], finding, choices, folder)


def _measure(
    files: list[Path], run: Path | None, epochs: int | None, folds: list[str], finding: str, choices: Any, folder: Path
) -> None:
    import json
    import time

    from rich.console import Console

    from brainct.barriers.subjects import measure_subject, models_of_files, models_of_run
    from brainct.core.serialization import write
    from brainct.pages.picture import write_pictures
    from brainct.report.barriers_file import Barriers
    from brainct.report.sections.barriers import pictures

    began = time.monotonic()
    subject = models_of_run(run, epochs) if run else models_of_files(files)
    ready = time.monotonic()
    content = measure_subject(subject, folds, finding, choices)
    took = {"training": round(ready - began, 1), "measuring": round(time.monotonic() - ready, 1)}
    write(folder / "barriers.json", json.dumps(content, indent=1, allow_nan=False).encode())
    drawn = write_pictures(pictures(Barriers.model_validate(content)), folder / "barriers")
    console = Console()
    for part in (content, *content["also"].values()):
        console.print(_table(part))
        console.print(_summary(part), highlight=False)
    console.print(f"{took['training']} s to get the models, {took['measuring']} s to measure", highlight=False)
    print(f"results: {folder / 'barriers.json'}, {drawn[0].parent}")


def _table(content: dict[str, Any]) -> Any:
    from rich.table import Table

    loss, pairs = content["loss"], content["pairs"]
    title = f"loss of {loss['finding']} on {loss['scans']} scans of fold {loss['fold']}, mean of {len(pairs)} pairs"
    table = Table("layer", title=title)
    for name in ("rest A", "rest B", "bump A", "bump B", "from top", "from bottom", "random order"):
        table.add_column(name, justify="right")
    growing = [content["cumulative"][name] for name in ("top", "bottom", "random")]
    growing[0] = growing[0][::-1]  # the k-th value from the top is shown in the row of the layer that it adds
    for row, *sums in zip(content["layers"], *growing, strict=True):
        own = [row[key] for key in ("base_a", "base_b", "bump_a", "bump_b")]
        table.add_row(row["path"], *(f"{value:.4f}" for value in (*own, *sums)))
    return table


def _summary(content: dict[str, Any]) -> str:
    whole = content["perturbations"]["whole"]
    rises = ", ".join(f"{kind} {whole[kind][-1]:.4f}" for kind in whole if whole[kind])
    return f"full barrier {content['full']['barrier']:.4f}; moved as far as the other model, the loss rises by: {rises}"


def _print_layers(file: Path, choose: int | None, below: float | None) -> None:
    import json

    from brainct.barriers.measure import lowest_layers
    from brainct.core import json_file

    if not file.is_file():
        raise Refused(f"{file} does not exist; measure first, with the same command without --choose and --below")
    content = json_file.table(file.read_bytes(), str(file), WANTED)
    try:
        layers = lowest_layers(content["layers"], choose, below)
    except (LookupError, TypeError, AttributeError) as error:
        raise Refused(f"{file} can't be read ({type(error).__name__}); wanted {WANTED}") from None
    print(json.dumps({"layers": layers}))
