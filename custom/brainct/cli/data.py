"""`brainct data`: what a run would find in a site's scans."""

from pathlib import Path
from typing import Annotated

import typer


def data(
    site_file: Annotated[
        Path | None, typer.Argument(help="A site file. (default: the file that BRAINCT_SITE names)")
    ] = None,
    site: Annotated[str, typer.Option(help="The site's name.")] = "site-1",
    sites: Annotated[int, typer.Option(help="Number of sites, if the site file has `partition`.")] = 4,
    size: Annotated[int, typer.Option(help="Side of the network's input in pixels.", min=1)] = 96,
    dims: Annotated[int, typer.Option(help="Dimensions of the network's input: 2 or 3.", min=2, max=3)] = 2,
    public: Annotated[bool, typer.Option("--public", help="Also read the public scans.")] = False,
) -> None:
    """Read a site's scans as a run does, and print counts, classes and problems to fix."""
    from brainct.core.names import site_names
    from brainct.ct.dataset import open_site
    from brainct.ct.site_config import read_site_file
    from brainct.ct.workload import CT
    from brainct.site.data import site_file_of

    path = site_file or site_file_of(None)
    scans = open_site(read_site_file(path) if path else None, site, site_names(sites), size, dims)
    about = CT.describe(scans, public)
    print(f"{site}: {about['kind']}, fingerprint {about['fingerprint'][:16]}")
    for note in about["notes"]:
        print(f"  note: {note}")
    for fold, counts in about["folds"].items():
        known = [name for name in counts["positives"] if counts["positives"][name] + counts["negatives"][name]]
        classes = ", ".join(f"{name} {counts['positives'][name]}+/{counts['negatives'][name]}-" for name in known)
        print(f"  {fold}: {counts['scans']} scans; {classes or 'no label'}")
    if public:
        print(f"  public: {about['public']['scans']} scans, fingerprint {about['public']['fingerprint'][:16]}")
