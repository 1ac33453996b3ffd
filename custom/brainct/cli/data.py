"""`brainct data ...`: what a run finds in a site's scans, the table of DICOM series, the check of all scans."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from PIL.Image import Image

    from brainct.ct.scan_check import ScanCheck


class ShowByDefault(TyperGroup):
    """`brainct data SITE.yaml`, as in version 0.2, means `brainct data show SITE.yaml`."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]  # typer's click
        """The arguments, with `show` before them if they do not begin with a command."""
        known = {*self.commands, "--help"}
        return super().parse_args(ctx, args if args and args[0] in known else ["show", *args])


app = typer.Typer(help="Look at a site's scans before a run.", cls=ShowByDefault)

SiteFileArgument = Annotated[
    Path | None, typer.Argument(help="A site file. (default: the file that BRAINCT_SITE names)")
]
Size = Annotated[int, typer.Option(help="Side of the network's input in pixels.", min=1)]
Dims = Annotated[int, typer.Option(help="Dimensions of the network's input: 2 or 3.", min=2, max=3)]


@app.command()
def show(
    site_file: SiteFileArgument = None,
    site: Annotated[str, typer.Option(help="The site's name.")] = "site-1",
    sites: Annotated[int, typer.Option(help="Number of sites, if the site file has `partition`.")] = 4,
    size: Size = 96,
    dims: Dims = 2,
    public: Annotated[bool, typer.Option("--public", help="Also read the public scans.")] = False,
) -> None:
    """Read a site's scans as a run does, and print counts, classes and problems to fix."""
    from brainct.core.determinism import one_thread
    from brainct.core.names import site_names
    from brainct.ct.dataset import open_site
    from brainct.ct.site_config import read_site_file
    from brainct.ct.workload import CT
    from brainct.site.data import site_file_of

    one_thread()
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


@app.command()
def index(
    site_file: SiteFileArgument = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The table to write. (default: `index` of the site file, else series.csv)"),
    ] = None,
) -> None:
    """Write a table of the DICOM series below root: one row a series, chosen or not, and why.

    Edit its column `chosen`, name it as `index` in the site file, and later runs read what it chooses. The table names
    patients and stays at the site. Written again, it keeps what people changed.
    """
    from collections import Counter

    from brainct.ct.read.series_headers import tree_headers
    from brainct.ct.read.series_rule import series_of
    from brainct.ct.read.series_table import edited_choices, write_series_table
    from brainct.ct.site_config import read_site_file
    from brainct.errors import Refused
    from brainct.site.data import site_file_of

    path = site_file or site_file_of(None)
    file = read_site_file(path) if path else None
    if path is None or file is None or file.kind != "dicom" or file.root is None:
        raise Refused("`brainct data index` is for a site file of `kind: dicom`: name one")
    table = out or file.index or path.parent / "series.csv"
    tree = tree_headers(file.root, file.cache)
    found = series_of(tree.headers, file.series)
    edited = edited_choices(table, found)
    write_series_table(table, found, edited)
    chosen = sum(edited.get(one.uid, one.chosen) for one in found)
    print(f"{len(found)} series in {len(tree.headers)} DICOM files, {chosen} chosen, {len(edited)} by hand: {table}")
    for reason, count in Counter(one.reason for one in found if not one.chosen).most_common():
        print(f"  set aside: {count}: {reason}")
    if tree.set_aside:
        print(f"  {tree.set_aside} other files")
    for refusal in list(tree.unreadable.values())[:20]:
        print(f"  unreadable: {refusal}")
    if file.index is None:
        print(f"Add `index: {table.name}` to the site file; runs then read the table.")


@app.command()
def check(
    site_file: SiteFileArgument = None,
    out: Annotated[Path | None, typer.Option(help="Folder for check.json and contact_sheet.png.")] = None,
    size: Size = 96,
    dims: Dims = 2,
    job: Annotated[Path | None, typer.Option(help="A job folder: check for its findings, size and dimensions.")] = None,
) -> None:
    """Check all scans of a site: PASS, WARN or FAIL with reasons; exit code 1 on FAIL.

    What is printed names scans, and the contact sheet shows them: both stay at the site. check.json names nobody.
    """
    from brainct.core.determinism import one_thread
    from brainct.ct.contact_sheet import save_sheet
    from brainct.ct.scan_check import NAMED, as_json, worst
    from brainct.errors import Refused
    from brainct.kit.check_page import print_results
    from brainct.kit.verdict import CheckResult
    from brainct.site.data import site_file_of

    path = site_file or site_file_of(None)
    if path is None:
        raise Refused("`brainct data check` needs a site file: name one, or set BRAINCT_SITE")
    one_thread()
    lines, sheet = _checked(path, size, dims, job)
    print_results([CheckResult(line.subject, line.status, line.message) for line in lines])
    for line in lines:
        for name in line.scans[:NAMED]:
            print(f"  {line.subject}: {name}")
        if len(line.scans) > NAMED:
            print(f"  {line.subject}: and {len(line.scans) - NAMED} more")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True, mode=0o700)
        (out / "check.json").write_text(as_json(lines))
        if sheet is not None:
            save_sheet(sheet, out / "contact_sheet.png")
            print(f"{out / 'contact_sheet.png'}: look at it; it shows patients and stays at the site")
    if worst(lines) == "FAIL":
        raise typer.Exit(1)


def _checked(path: Path, size: int, dims: int, job: Path | None) -> "tuple[list[ScanCheck], Image | None]":
    """The check for a job of head CT or of segmentation; a table of masks is one of segmentation without a job too."""
    from brainct.ct import site_check
    from brainct.ct.config import ct_choices
    from brainct.ct.site_config import read_site_file
    from brainct.job import folders
    from brainct.segment import site_check as mask_check
    from brainct.segment import site_config as mask_config
    from brainct.segment.config import Network, SegmentChoices
    from brainct.training.site_yaml import read_yaml

    choices: Any = folders.read(job) if job is not None else None
    if choices is None and read_yaml(path).get("kind") == "mask_table":
        choices = SegmentChoices(network=Network(size=size, dims=3 if dims == 3 else 2))
    if isinstance(choices, SegmentChoices):
        return mask_check.check_site(mask_config.read_site_file(path), choices)
    if choices is None:
        return site_check.check_site(read_site_file(path), size, dims)
    wanted = ct_choices(choices)
    return site_check.check_site(read_site_file(path), wanted.network.size, wanted.network.dims, wanted.wanted)
