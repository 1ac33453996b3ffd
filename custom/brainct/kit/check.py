"""What a site looks at before a run: kit, policy, certificate, package, scans, machine, connection; one page."""

import json
import os
import shutil
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Literal

import psutil
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import NameOID

from brainct.core.version import fingerprint
from brainct.errors import Refused
from brainct.job import folders
from brainct.kit.policy_files import kind_of
from brainct.security.reply_filter import FILTER, REMEMBER, reply_filter_in

NO_SHELL = "brainct.flare.shell.NoShell"
ALLOWED = {folders.ROUNDS, folders.SITE}
"""All that a job may have FLARE build."""

FILE = Path("brainct") / "check.json"
"""Where in its kit a site's last verdict lies."""

SOON = timedelta(days=30)
GIB = 2**30
Status = Literal["PASS", "WARN", "FAIL"]


@dataclass(frozen=True)
class Finding:
    """One line of the page: what was looked at, how it stands, in words."""

    what: str
    status: Status
    words: str


def check(kit: Path, required: str | None = None, connect: bool = True) -> list[Finding]:
    """Every finding for a server's or hospital's kit; nothing is changed, nothing leaves the machine but a handshake.

    required: the VERSION-HASH on which the federation agreed (core.version). connect: try to reach the server.
    """
    kind = kind_of(kit)
    if kind not in ("server", "hospital"):
        raise Refused(f"{kit} is no kit of a server or hospital; wanted the folder that holds startup/ and local/")
    looks: dict[str, Callable[[], Iterator[Finding]]] = {
        "policy": lambda: _policy(kit),
        "rights": lambda: _rights(kit),
        "certificate": lambda: _certificate(kit, kind),
        "package": lambda: _package(required),
        "machine": lambda: _machine(kit),
    }
    if kind == "server":
        looks["storage"] = lambda: _storage(kit)
    else:
        looks |= {"privacy": lambda: _privacy(kit), "scans": lambda: _scans(kit)}
        if connect:
            looks["server"] = lambda: _server(kit)
    return [Finding("kit", "PASS", f"{kit.resolve().name}, a {kind}'s")] + [
        finding for what, look in looks.items() for finding in _looked(what, look)
    ]


def worst(findings: list[Finding]) -> Status:
    """The status of the page."""
    found = {finding.status for finding in findings}
    return "FAIL" if "FAIL" in found else "WARN" if "WARN" in found else "PASS"


def _looked(what: str, look: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """A look that breaks off is a finding too, whatever broke it; the other looks go on."""
    try:
        yield from look()
    except (Refused, OSError, ValueError, KeyError, TypeError, InvalidSignature) as error:
        yield Finding(what, "FAIL", str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error}")


def _read(path: Path) -> Any:
    if not path.is_file():
        raise Refused(f"{path.name} is not in local/: FLARE's default is in force; run `brainct kits lay` on this kit")
    try:
        return json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise Refused(f"{path.name} is no JSON: {error}") from None


def _policy(kit: Path) -> Iterator[Finding]:
    content = _read(kit / "local" / "resources.json")
    mode, listed = content.get("class_list_enforcement_mode"), content.get("class_allow_list")
    if mode != "enforce":
        yield Finding("policy", "FAIL", f"class_list_enforcement_mode is {mode!r}; wanted 'enforce'")
    if not isinstance(listed, list) or not listed:
        yield Finding("policy", "FAIL", "class_allow_list is missing or empty, so FLARE's own long list is in force")
    elif wider := sorted(set(map(str, listed)) - ALLOWED):
        yield Finding("policy", "FAIL", f"class_allow_list also allows {', '.join(wider)}; a run needs none of these")
    elif mode == "enforce":
        yield Finding("policy", "PASS", f"a job may have FLARE build {len(listed)} classes of brainct and nothing else")
    yield from _logs(content)
    yield from _shell(content)


def _shell(content: Mapping[str, Any]) -> Iterator[Finding]:
    if "servers" in content or any(part.get("path") == NO_SHELL for part in content.get("components", [])):
        yield Finding("shell", "PASS", "the server can't read this machine's files with FLARE's shell commands")
    else:
        why = "has FLARE's shell commands, with which whoever runs the server reads any file here"
        yield Finding("shell", "FAIL", f"this site {why}; lay the policy anew: {NO_SHELL} is not among its components")


def _logs(content: Mapping[str, Any]) -> Iterator[Finding]:
    streaming = [part.get("path", "") for part in content.get("components", []) if "log_stream" in part.get("path", "")]
    if streaming or content.get("allow_log_streaming", "servers" not in content):
        yield Finding("logs", "FAIL", "FLARE may send this site's logs to the server; set allow_log_streaming to false")
    else:
        yield Finding("logs", "PASS", "this site's logs stay here")


def _rights(kit: Path) -> Iterator[Finding]:
    roles = _read(kit / "local" / "authorization.json")["permissions"]
    if free := [role for role, rights in roles.items() if _may_bring_code(rights)]:
        yield Finding("rights", "FAIL", f"{', '.join(free)} may bring code in a job; wanted byoc 'none' for every role")
    else:
        yield Finding("rights", "PASS", f"none of the roles {', '.join(roles)} may bring code in a job")


def _may_bring_code(rights: Any) -> bool:
    """A role's rights are a table, or one condition for all of them."""
    granted = rights.get("byoc", "none") if isinstance(rights, dict) else rights
    return bool(granted != "none")


def _privacy(kit: Path) -> Iterator[Finding]:
    content = _read(kit / "local" / "privacy.json")
    scopes = {scope["name"]: scope for scope in content.get("scopes", [])}
    if content.get("default_scope") not in scopes:
        raise Refused("privacy.json has no default_scope that it defines, so a job without a scope passes unfiltered")
    for name, scope in scopes.items():
        filters = [each["path"] for each in scope.get("task_result_filters", [])]
        if FILTER in filters:
            reply_filter_in(kit / "local" / "privacy.json", "this site", name)
            before = [each["path"] for each in scope.get("task_data_filters", [])]
            if REMEMBER not in before:
                raise Refused(
                    f"scope {name} has {FILTER} without {REMEMBER} among its task_data_filters: nothing would leave"
                )
        elif strange := [path for path in filters if path.startswith("brainct.")]:
            raise Refused(f"scope {name} names {strange[0]}; brainct's result filter is {FILTER}")
        words = f"results pass {', '.join(filters)}" if filters else "results leave as the job's scheme made them"
        yield Finding("privacy", "PASS", f"scope {name}: {words}")


def _certificate(kit: Path, kind: str) -> Iterator[Finding]:
    name, startup = ("server" if kind == "server" else "client"), kit / "startup"
    own, root = _pem(startup / f"{name}.crt"), _pem(startup / "rootCA.pem")
    own.verify_directly_issued_by(root)
    key = startup / f"{name}.key"
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    if _public(private.public_key()) != _public(own.public_key()):
        raise Refused(f"{key.name} does not belong to {name}.crt; ask the project administrator for a new kit")
    if key.stat().st_mode & 0o077:
        yield Finding("key", "WARN", f"others on this machine may read {key.name}; `chmod 600 startup/{key.name}`")
    for what, certificate in ((f"certificate {_common_name(own)}", own), ("certificate of the project", root)):
        yield _lifetime(what, certificate)


def _pem(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def _public(key: Any) -> bytes:
    encoded: bytes = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded


def _common_name(certificate: x509.Certificate) -> str:
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def _lifetime(what: str, certificate: x509.Certificate) -> Finding:
    now, end = datetime.now(timezone.utc), certificate.not_valid_after_utc
    if certificate.not_valid_before_utc > now:
        words = f"valid only from {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC; is this machine's clock right?"
        return Finding(what, "FAIL", words)
    if end < now:
        return Finding(what, "FAIL", f"expired on {end:%Y-%m-%d}; ask the project administrator for a new kit")
    status: Status = "WARN" if end - now < SOON else "PASS"
    return Finding(what, status, f"valid until {end:%Y-%m-%d}, {(end - now).days} days")


def _package(required: str | None) -> Iterator[Finding]:
    own = fingerprint()
    if required is None:
        yield Finding("package", "WARN", f"brainct {own}; compare it with the other sites (--require)")
    elif required != own:
        yield Finding("package", "FAIL", f"brainct {own}, but the federation agreed on {required}; install that one")
    else:
        yield Finding("package", "PASS", f"brainct {own}, as the federation agreed")


def _machine(kit: Path) -> Iterator[Finding]:
    import torch

    yield _enough("disk", shutil.disk_usage(kit).free / GIB, 1, 10)
    yield _enough("memory", psutil.virtual_memory().available / GIB, 1, 4)
    if torch.cuda.is_available():
        free, whole = torch.cuda.mem_get_info()
        name = torch.cuda.get_device_name()
        yield Finding("GPU", "PASS", f"{name}, {free / GIB:.1f} of {whole / GIB:.1f} GiB free")
    else:
        yield Finding("GPU", "PASS", f"none that torch can use: training runs on {os.cpu_count()} CPU cores")


def _enough(what: str, free: float, least: float, good: float) -> Finding:
    status: Status = "FAIL" if free < least else "WARN" if free < good else "PASS"
    return Finding(what, status, f"{free:.1f} GiB free" + (f"; {good} GiB are good" if status != "PASS" else ""))


def _storage(kit: Path) -> Iterator[Finding]:
    content = _read(kit / "local" / "resources.json")
    snapshots = content["snapshot_persistor"]["args"]["storage"]["args"]["root_dir"]
    jobs_at = next(part["args"]["uri_root"] for part in content["components"] if part["id"] == "job_manager")
    if outside := [each for each in (snapshots, jobs_at) if not Path(each).is_relative_to(kit.resolve())]:
        words = f"{' and '.join(outside)} lie outside this kit; `brainct kits lay --replace` where the kit runs"
        yield Finding("storage", "FAIL", words)
    else:
        yield Finding("storage", "PASS", "jobs and snapshots stay in this kit")


def _scans(kit: Path) -> Iterator[Finding]:
    from brainct.ct.dataset import open_site
    from brainct.ct.site_config import read_site_file
    from brainct.ct.workload import CT
    from brainct.site.agent import site_file_of

    site, path = kit.resolve().name, site_file_of(kit)
    if path is None and (strange := [each.name for each in (kit / "local").glob("brainct*.y*ml")]):
        raise Refused(f"local/{strange[0]} is not looked at, and so the phantom would be used: name it brainct.yaml")
    about = CT.describe(open_site(read_site_file(path) if path else None, site, [site]))
    for fold, counts in about["folds"].items():
        labels = [
            f"{name} {counts['positives'][name]}+/{counts['negatives'][name]}-"
            for name in counts["positives"]
            if counts["positives"][name] + counts["negatives"][name]
        ]
        lacking: Status = "FAIL" if fold == "train" else "WARN"
        status: Status = "PASS" if counts["scans"] and labels else lacking
        yield Finding(f"scans, {fold}", status, f"{counts['scans']}; {', '.join(labels) or 'no label'}")
    yield from (Finding("scans", "WARN", note) for note in about["notes"])


def _server(kit: Path) -> Iterator[Finding]:
    startup = kit / "startup"
    server = json.loads((startup / "fed_client.json").read_text())["servers"][0]
    host, _, port = server["service"]["target"].rpartition(":")
    context = ssl.create_default_context(cafile=str(startup / "rootCA.pem"))
    context.check_hostname = False  # FLARE names its server in the certificate's common name, looked at below
    context.load_cert_chain(startup / "client.crt", startup / "client.key")
    try:
        with socket.create_connection((host, int(port)), timeout=10) as plain, context.wrap_socket(plain) as secured:
            met = x509.load_der_x509_certificate(secured.getpeercert(binary_form=True) or b"")
    except ssl.SSLError:
        raise
    except OSError as error:
        raise Refused(
            f"nobody answers at {host}:{port} ({type(error).__name__}: {error.strerror or error}): is the server "
            "started, and may this machine connect to that port?"
        ) from None
    if _common_name(met) != server["identity"]:
        raise Refused(f"{host}:{port} is {_common_name(met)}; wanted {server['identity']}")
    yield Finding("server", "PASS", f"{server['identity']} at {host}:{port}; both have proved their names (TLS)")


def leave(findings: list[Finding], kit: Path) -> None:
    """Leave the verdict in the kit, for the record of each run that the site takes part in."""
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    content = {"verdict": worst(findings), "time": now, "package": fingerprint()}
    (kit / FILE).parent.mkdir(exist_ok=True)
    (kit / FILE).write_text(json.dumps(content))


def left(kit: Path) -> dict[str, str] | None:
    """The verdict that the last check left in the kit, if there is one that can be read."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        content = json.loads((kit / FILE).read_text())
        return {key: str(content[key]) for key in ("verdict", "time", "package")}
    return None


def as_text(findings: list[Finding]) -> str:
    """The page for a terminal; its last line is the verdict."""
    width = max(len(finding.what) for finding in findings)
    lines = [f"{finding.status}  {finding.what.ljust(width)}  {finding.words}" for finding in findings]
    return "\n".join([*lines, "", f"{worst(findings)}: {_counted(findings)}"])


def as_json(findings: list[Finding]) -> str:
    """The page for a machine."""
    content = {"verdict": worst(findings), "package": fingerprint(), "findings": [asdict(each) for each in findings]}
    return json.dumps(content, indent=1)


def as_html(findings: list[Finding]) -> str:
    """The page for a browser: one file, no script, nothing loaded from elsewhere."""
    from jinja2 import Environment

    template = Environment(autoescape=True).from_string(_PAGE)
    page: str = template.render(findings=findings, verdict=worst(findings), counted=_counted(findings))
    return page


def _counted(findings: list[Finding]) -> str:
    return ", ".join(f"{sum(each.status == name for each in findings)} {name}" for name in ("PASS", "WARN", "FAIL"))


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>brainct site check: {{ verdict }}</title>
<style>body{font-family:sans-serif;margin:2em}td{padding:.3em .8em;border-bottom:1px solid #ccc}
.PASS{color:#155d27}.WARN{color:#8a5a00}.FAIL{color:#a30015;font-weight:bold}</style>
<h1 class="{{ verdict }}">{{ verdict }}</h1><p>{{ counted }}</p>
<table>{% for each in findings %}
<tr><td class="{{ each.status }}">{{ each.status }}</td><td>{{ each.what }}</td><td>{{ each.words }}</td></tr>
{%- endfor %}
</table></html>
"""
