"""Checks of the policy files in a kit's local/: classes, roles, privacy filters, storage."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from brainct.errors import Refused
from brainct.job.components import ROUNDS, SITE
from brainct.kit.verdict import CheckResult
from brainct.security.policy_file import FILTER, REMEMBER, reply_filter_in

NO_SHELL = "brainct.flare.shell.NoShell"

ALLOWED = {ROUNDS, SITE}
"""The only classes that a job may have FLARE build."""


def check_policy(kit: Path) -> Iterator[CheckResult]:
    """What a job may have FLARE build here, whether logs stay here, and whether FLARE's shell commands are off."""
    content = _local_json(kit, "resources.json")
    mode, listed = content.get("class_list_enforcement_mode"), content.get("class_allow_list")
    if mode != "enforce":
        yield CheckResult("policy", "FAIL", f"class_list_enforcement_mode is {mode!r}; wanted 'enforce'")
    if not isinstance(listed, list) or not listed:
        yield CheckResult("policy", "FAIL", "class_allow_list is missing or empty: FLARE's own long list is in force")
    elif wider := sorted(set(map(str, listed)) - ALLOWED):
        yield CheckResult("policy", "FAIL", f"class_allow_list also allows {', '.join(wider)}; no run needs these")
    elif mode == "enforce":
        message = f"a job may have FLARE build {len(listed)} classes of brainct and nothing else"
        yield CheckResult("policy", "PASS", message)
    yield _logs(content)
    yield _shell(content)


def _shell(content: Mapping[str, Any]) -> CheckResult:
    if "servers" in content or any(part.get("path") == NO_SHELL for part in content.get("components", [])):
        return CheckResult("shell", "PASS", "the server can't read this machine's files with FLARE's shell commands")
    return CheckResult(
        "shell",
        "FAIL",
        "FLARE's shell commands are on: whoever runs the server can read any file here; run `brainct kits install "
        f"--replace` on this kit: {NO_SHELL} is not among its components",
    )


def _logs(content: Mapping[str, Any]) -> CheckResult:
    streaming = any("log_stream" in part.get("path", "") for part in content.get("components", []))
    if streaming or content.get("allow_log_streaming", "servers" not in content):
        message = "FLARE may send this site's logs to the server; set allow_log_streaming to false"
        return CheckResult("logs", "FAIL", message)
    return CheckResult("logs", "PASS", "this site's logs stay here")


def check_rights(kit: Path) -> Iterator[CheckResult]:
    """Whether a role may bring its own code in a job."""
    roles = _local_json(kit, "authorization.json")["permissions"]
    if free := [role for role, rights in roles.items() if _may_bring_code(rights)]:
        message = f"{', '.join(free)} may bring code in a job; wanted byoc 'none' for every role"
        yield CheckResult("rights", "FAIL", message)
    else:
        yield CheckResult("rights", "PASS", f"no role may bring code in a job; roles: {', '.join(roles)}")


def _may_bring_code(rights: Any) -> bool:
    """A role's rights are a table, or one condition for all of them."""
    granted = rights.get("byoc", "none") if isinstance(rights, dict) else rights
    return bool(granted != "none")


def check_privacy(kit: Path) -> Iterator[CheckResult]:
    """The filters that each scope of privacy.json applies to results."""
    content = _local_json(kit, "privacy.json")
    scopes = {scope["name"]: scope for scope in content.get("scopes", [])}
    if content.get("default_scope") not in scopes:
        raise Refused("privacy.json has no default_scope that it defines: a job without a scope passes unfiltered")
    for name, scope in scopes.items():
        filters = [each["path"] for each in scope.get("task_result_filters", [])]
        if FILTER in filters:
            reply_filter_in(kit / "local" / "privacy.json", "this site", name)
            before = [each["path"] for each in scope.get("task_data_filters", [])]
            if REMEMBER not in before:
                raise Refused(
                    f"scope {name} has {FILTER} but not {REMEMBER} in its task_data_filters: no reply could leave"
                )
        elif unknown := [path for path in filters if path.startswith("brainct.")]:
            raise Refused(f"scope {name} names {unknown[0]}; brainct's result filter is {FILTER}")
        message = f"results pass {', '.join(filters)}" if filters else "results leave as the job's scheme made them"
        yield CheckResult("privacy", "PASS", f"scope {name}: {message}")


def check_storage(kit: Path) -> Iterator[CheckResult]:
    """Whether a server stores jobs and snapshots inside its kit."""
    content = _local_json(kit, "resources.json")
    snapshots = content["snapshot_persistor"]["args"]["storage"]["args"]["root_dir"]
    jobs_at = next(part["args"]["uri_root"] for part in content["components"] if part["id"] == "job_manager")
    if outside := [each for each in (snapshots, jobs_at) if not Path(each).is_relative_to(kit.resolve())]:
        message = (
            f"{' and '.join(outside)} not inside this kit; run `brainct kits install --replace` where the kit runs"
        )
        yield CheckResult("storage", "FAIL", message)
    else:
        yield CheckResult("storage", "PASS", "jobs and snapshots stay in this kit")


def _local_json(kit: Path, name: str) -> Any:
    path = kit / "local" / name
    if not path.is_file():
        raise Refused(f"{name} is not in local/: FLARE's default is in force; run `brainct kits install` on this kit")
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise Refused(f"{name} is not JSON: {error}") from None
