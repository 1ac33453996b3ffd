"""FLARE's startup kits: the kind of a kit, and the site policies that are installed in its local/ from templates."""

import json
import shutil
from pathlib import Path

from brainct.errors import Refused

KIT_KINDS = {
    "fed_server.json": "server",
    "fed_client.json": "hospital",
    "fed_admin.json": "person",
    "fed_relay.json": "relay",
}
POLICY = Path(__file__).parent / "policy"
"""The templates that came with the package; in a checkout a link to provisioning/policy."""
PRIVACY = "standard"
"""The privacy policy of a hospital that does not choose one."""
LAUNCHER = "process_launcher"
POLICY_KEYS = ("class_list_enforcement_mode", "class_allow_list", "allow_log_streaming")
LAUNCHERS, LOGGING = "nvflare.app_opt.job_launcher.", "nvflare.app_common.logging."
"""Modules of FLARE: launchers for containers and clusters, and components that stream logs to the server."""

PLACE = "{kit}"
"""A template's placeholder for the kit's absolute path."""


def kind_of(kit: Path) -> str | None:
    """`server`, `hospital`, `person` or `relay`; None if the folder is no startup kit."""
    return next((kind for name, kind in KIT_KINDS.items() if (kit / "startup" / name).is_file()), None)


def kits_in(folder: Path) -> dict[str, Path]:
    """The kits in a folder such as prod_00, by name; the folder itself if it is a kit."""
    if kind_of(folder):
        return {folder.resolve().name: folder}
    kits = {path.name: path for path in sorted(folder.glob("*")) if kind_of(path)}
    if not kits:
        raise Refused(f"{folder} holds no startup kit; wanted a kit, or the prod_NN that `nvflare provision` made")
    return kits


def install_policy(folder: Path, policy: Path = POLICY, replace: bool = False, privacy: str = PRIVACY) -> list[str]:
    """Install the policy in every kit of a server or hospital; return one line a file, which says what was done.

    policy: a folder with all/, server/, hospital/ and privacy/. privacy: the policy in privacy/ for hospitals.
    An existing file that differs is the site's own decision; it stays unless `replace`. A server's storage paths are
    absolute, so a server's policy is installed where the server will run.
    """
    lines, kits = [], kits_in(folder)
    if relays := [name for name, kit in kits.items() if kind_of(kit) == "relay"]:
        raise Refused(
            f"{', '.join(relays)} is a relay: brainct has no policy for relays, and its kit would run without one; "
            "remove it from project.yml, so that hospitals connect to the server, and provision again"
        )
    for name, kit in kits.items():
        for target, template in _templates(policy, kind_of(kit), privacy):
            lines.append(f"{name}/local/{target}: {_install_file(template, kit, target, replace)}")
    return lines


def _templates(policy: Path, kind: str | None, privacy: str) -> list[tuple[str, Path]]:
    """Each file of the policy: its name in a kit's local/ and its template."""
    if kind == "person":
        return []
    found = []
    for part in ("all", str(kind), "privacy"):
        if not (policy / part).is_dir():
            raise Refused(f"{policy} has no folder {part!r}; wanted the policy templates, such as provisioning/policy")
        found += [(path.name, path) for path in (policy / part).glob("*.json") if part != "privacy"]
    if kind == "hospital":
        found.append(("privacy.json", _privacy(policy, privacy)))
    return sorted(found)


def _privacy(policy: Path, name: str) -> Path:
    known = sorted(path.stem for path in (policy / "privacy").glob("*.json"))
    if name not in known:
        raise Refused(f"privacy policy {name!r} is not among the templates; choose one of {', '.join(known)}")
    return policy / "privacy" / f"{name}.json"


def _install_file(template: Path, kit: Path, name: str, replace: bool) -> str:
    text, target = _text(template, kit), kit / "local" / name
    if not target.exists():
        target.write_text(text)
        return "installed"
    if target.read_text() == text:
        return "up to date"
    if not replace:
        return "differs, not changed; --replace installs the template"
    shutil.copy2(target, target.with_suffix(".json.before"))
    target.write_text(text)
    return f"replaced; the previous file is {target.name}.before"


def _text(template: Path, kit: Path) -> str:
    """The template for this kit; a kit that `nvflare deploy prepare` made for containers keeps its components."""
    text = template.read_text().replace(PLACE, json.dumps(str(kit.resolve()))[1:-1])
    default = kit / "local" / f"{template.name}.default"
    if not default.is_file() or LAUNCHERS not in default.read_text():
        return text
    prepared, ours = json.loads(default.read_text()), json.loads(text)
    parts = [part for part in prepared["components"] if not part["path"].startswith(LOGGING)]
    parts += [part for part in ours["components"] if part["path"].startswith("brainct.") and part["id"] != LAUNCHER]
    policy = {key: ours[key] for key in POLICY_KEYS if key in ours}
    return json.dumps({**prepared, **policy, "components": parts}, indent=2) + "\n"
