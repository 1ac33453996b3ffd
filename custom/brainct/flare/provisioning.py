"""Renews certificates of a provisioned project with FLARE's own `nvflare provision`."""

import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import yaml

from brainct.errors import Refused
from brainct.flare.local_federation import flare
from brainct.kit import authority, kit_update


def renew(project: Path, workspace: Path, names: Sequence[str], out: Path) -> list[Path]:
    """Issue new certificates and keys to these participants alone; return the archives to send, one for each.

    project: the project.yml of the provisioning. workspace: the folder that `nvflare provision -w` named. names: none
    for all participants. FLARE writes all kits again; all but the archives is removed, and nobody else's certificate
    changes. If FLARE fails, its state is as before.
    """
    folder = workspace / _name_of(project)
    issuer = authority.authority_in(folder / "state")
    before, known = issuer.state(), set(folder.glob("prod_*"))
    chosen = list(names) or sorted(issuer.current())
    authority.take_out(issuer, chosen)
    made: set[Path] = set()
    try:
        with tempfile.TemporaryDirectory(prefix="brainct-") as home:
            flare("provision", "-p", str(project), "-w", str(workspace), "--force", home=Path(home))
        made = set(folder.glob("prod_*")) - known
        kits = next(iter(made))
        if missing := [name for name in chosen if not (kits / name / "startup").is_dir()]:
            raise Refused(
                f"{', '.join(missing)} is not in {project}, so FLARE made no kit; add it there, or name others"
            )
        return [kit_update.pack_startup(kits / name, out, name) for name in chosen]
    except BaseException:
        issuer.write_state(before)
        raise
    finally:
        authority.protect(folder / "state")
        for each in made:
            shutil.rmtree(each)


def _name_of(project: Path) -> str:
    try:
        return str(yaml.safe_load(project.read_text())["name"])
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise Refused(
            f"{project} is no project.yml ({type(error).__name__}); wanted provisioning/project.yml"
        ) from None
