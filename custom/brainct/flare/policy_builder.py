"""A builder of FLARE's provisioning that installs our policy in each kit, and a proof of concept made with it."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from nvflare.lighter.constants import CtxKey
from nvflare.lighter.ctx import ProvisionContext
from nvflare.lighter.entity import Project
from nvflare.lighter.spec import Builder

from brainct.flare.local_federation import free_port
from brainct.kit.policy_files import POLICY, install_policy, kind_of, kits_in


class PolicyBuilder(Builder):  # type: ignore[misc]
    """First among a project's builders, so that its end comes last, when the kits are in place.

    policy: the folder of the templates. privacy: the hospitals' privacy policy.
    """

    def __init__(self, policy: str = str(POLICY), privacy: str = "open"):
        self._policy, self._privacy = Path(policy), privacy

    def finalize(self, project: Project, ctx: ProvisionContext) -> None:
        """Called by FLARE."""
        kits = Path(ctx[CtxKey.CURRENT_PROD_DIR])
        install_policy(kits, self._policy, replace=True, privacy=self._privacy)
        for kit in kits_in(kits).values():
            if kind_of(kit) == "server":  # FLARE's POC derives resources.json from the default and replaces ours
                shutil.copy2(kit / "local" / "resources.json", kit / "local" / "resources.json.default")


def poc_project(admin: str, sites: Sequence[str], folder: Path, policy: Path = POLICY) -> Path:
    """Write a project for FLARE's PocEnv to folder/project.yml: a server on a free port, these sites, our policy."""
    port = free_port()
    server = {
        "name": "server",
        "type": "server",
        "org": "poc",
        "default_host": "localhost",
        "host_names": ["localhost"],
    }
    builders: list[dict[str, Any]] = [
        {"path": f"{__name__}.{PolicyBuilder.__name__}", "args": {"policy": str(policy)}},
        {"path": "nvflare.lighter.impl.workspace.WorkspaceBuilder"},
        {"path": "nvflare.lighter.impl.static_file.StaticFileBuilder", "args": {"config_folder": "config"}},
        {"path": "nvflare.lighter.impl.cert.CertBuilder"},
        {"path": "nvflare.lighter.impl.signature.SignatureBuilder"},
    ]
    project = {
        "api_version": 3,
        "name": "brainct-poc",
        "description": "Processes on one machine",
        "participants": [
            {**server, "fed_learn_port": port, "admin_port": port},
            *({"name": site, "type": "client", "org": "poc"} for site in sites),
            {"name": admin, "type": "admin", "org": "poc", "role": "project_admin"},
        ],
        "builders": builders,
    }
    file = folder / "brainct-poc.yml"
    file.write_text(yaml.safe_dump(project, sort_keys=False))
    return file
