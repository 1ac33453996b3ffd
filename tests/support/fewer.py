"""provisioning/project.yml with fewer of its hospitals: what a test does not need, it does not start."""

from collections.abc import Collection
from pathlib import Path

import yaml

from tests.conftest import ROOT


def project_of(hospitals: Collection[str], folder: Path, added: Collection[str] = ()) -> Path:
    """A project file in `folder` that has these hospitals alone, with sites added, and everything else as it stands."""
    content = yaml.safe_load((ROOT / "provisioning" / "project.yml").read_text())
    rows = content["participants"]
    content["participants"] = [row for row in rows if row["type"] != "client" or row["name"] in hospitals]
    content["participants"] += [{"name": site, "type": "client", "org": site.replace("-", "_")} for site in added]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "project.yml").write_text(yaml.safe_dump(content))
    return folder / "project.yml"
