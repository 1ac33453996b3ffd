"""`brainct cross`: every site's own model at every site, of a rehearsed run."""

from pathlib import Path
from typing import Annotated

import typer


def cross(
    run: Annotated[Path, typer.Argument(help="Folder of a rehearsed run whose sites use models of their own.")],
) -> None:
    """Score the model that each site uses on every site's test samples; `brainct report` draws the result."""
    from brainct.run.cross_site import cross as matrix_of
    from brainct.run.cross_site import write
    from brainct.run.run_record import FILE, read_record

    matrix = matrix_of(run)
    name, title = next(iter(read_record(run / FILE).workload.headlines.items()))
    width = max(len("model of"), *map(len, matrix))
    print(f"{title}; a row: whose model, a column: whose test samples")
    print("  ".join(["model of".ljust(width), *(site.rjust(6) for site in matrix)]))
    for site, row in matrix.items():
        cells = {where: "-" if (value := row[where][name]) is None else f"{value:.3f}" for where in matrix}
        print("  ".join([site.ljust(width), *(cell.rjust(max(6, len(where))) for where, cell in cells.items())]))
    print(f"results: {write(run, matrix)}; `brainct report {run}` draws them")
