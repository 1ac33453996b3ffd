"""FLARE's startup kits: what kind each is, and the site policies laid into its local/ from templates."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from brainct.errors import Refused

KINDS = {"fed_server.json": "server", "fed_client.json": "hospital", "fed_admin.json": "person"}
POLICY = Path("provisioning/policy")
PLACE = "{kit}"
"""What a template writes for the folder in which the kit lies."""


def kind_of(kit: Path) -> str | None:
    """`server`, `hospital` or `person`; None for a folder that is no startup kit."""
    return next((kind for name, kind in KINDS.items() if (kit / "startup" / name).is_file()), None)


def kits_in(folder: Path) -> dict[str, Path]:
    """The kits in a folder such as prod_00 by name, or the folder itself if it is a kit."""
    if kind_of(folder):
        return {folder.resolve().name: folder}
    kits = {path.name: path for path in sorted(folder.glob("*")) if kind_of(path)}
    if not kits:
        raise Refused(f"{folder} holds no startup kit; wanted a kit, or the prod_NN that `nvflare provision` made")
    return kits


def lay(folder: Path, policy: Path = POLICY, replace: bool = False) -> list[str]:
    """Lay the policy into every kit of a server or hospital, and say for each file what was done.

    policy: a folder with all/, server/ and hospital/. A file that is there and differs is the site's own decision; it
    is kept unless `replace`. A server's storage paths are absolute, so a server's kit is laid where it will run.
    """
    done = []
    for name, kit in kits_in(folder).items():
        for template in _templates(policy, kind_of(kit)):
            done.append(f"{name}/local/{template.name}: {_lay_one(template, kit, replace)}")
    return done


def _templates(policy: Path, kind: str | None) -> Iterator[Path]:
    if kind == "person":
        return
    for part in ("all", str(kind)):
        if not (policy / part).is_dir():
            raise Refused(f"{policy} has no folder {part!r}; wanted the policy templates, such as provisioning/policy")
        yield from sorted((policy / part).glob("*.json"))


def _lay_one(template: Path, kit: Path, replace: bool) -> str:
    place = json.dumps(str(kit.resolve()))[1:-1]
    text, target = template.read_text().replace(PLACE, place), kit / "local" / template.name
    if not target.exists():
        target.write_text(text)
        return "laid"
    if target.read_text() == text:
        return "as it should be"
    if not replace:
        return "differs and was kept; --replace lays ours"
    shutil.copy2(target, target.with_suffix(".json.before"))
    target.write_text(text)
    return f"replaced; the former is {target.name}.before"
