"""The check of a startup kit before a run: every check in turn; changes nothing but the verdict file."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from cryptography.exceptions import InvalidSignature

from brainct.core.names import check_path
from brainct.errors import Refused
from brainct.kit.certificate_checks import check_certificate, check_server
from brainct.kit.certificates import common_name, own_certificate
from brainct.kit.formats import FORMAT, check_format
from brainct.kit.machine_checks import check_machine, check_package, check_scans
from brainct.kit.policy_checks import check_policy, check_privacy, check_rights, check_storage
from brainct.kit.policy_files import kind_of
from brainct.kit.verdict import CheckResult


def check_kit(kit: Path, required: str | None = None, connect: bool = True) -> list[CheckResult]:
    """Check the kit of a server or hospital; nothing leaves the machine except a TLS handshake with the server.

    required: the VERSION-HASH on which the federation agreed (core.version). connect: try to reach the server.
    """
    kind = kind_of(kit)
    if kind not in ("server", "hospital"):
        raise Refused(f"{kit} is no kit of a server or hospital; wanted the folder that holds startup/ and local/")
    checks: dict[str, Callable[[], Iterator[CheckResult]]] = {
        "path": lambda: _path(kit),
        "policy": lambda: check_policy(kit),
        "rights": lambda: check_rights(kit),
        "certificate": lambda: check_certificate(kit, kind),
        "package": lambda: check_package(required),
        "machine": lambda: check_machine(kit),
        "state": lambda: _state(kit),
    }
    if kind == "server":
        checks["storage"] = lambda: check_storage(kit)
    else:
        checks |= {"privacy": lambda: check_privacy(kit), "scans": lambda: check_scans(kit)}
        if connect:
            checks["server"] = lambda: check_server(kit)
    return [_name(kit, kind), *(result for subject, check in checks.items() for result in _results(subject, check))]


def _path(kit: Path) -> Iterator[CheckResult]:
    """Whether FLARE can start processes from where the kit and Python are."""
    check_path(kit.resolve(), "the kit")
    check_path(sys.executable, "Python")
    yield CheckResult("path", "PASS", "FLARE can start processes in it")


def _state(kit: Path) -> Iterator[CheckResult]:
    check_format(kit)
    yield CheckResult("state", "PASS", f"what the kit stores is of format {FORMAT}, as this version writes it")


def _name(kit: Path, kind: str) -> CheckResult:
    """Whose kit it is, by its certificate: the folder may have any name."""
    try:
        return CheckResult("kit", "PASS", f"{common_name(own_certificate(kit))}, a {kind}'s, in {kit.resolve()}")
    except (OSError, ValueError, IndexError) as error:
        return CheckResult("kit", "FAIL", f"{kit.resolve().name}: its certificate can't be read ({error})")


def _results(subject: str, check: Callable[[], Iterator[CheckResult]]) -> Iterator[CheckResult]:
    """The results of one check; an exception in it is a FAIL, so that the other checks still run."""
    try:
        yield from check()
    except (Refused, OSError, ValueError, KeyError, TypeError, InvalidSignature) as error:
        message = str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error}"
        yield CheckResult(subject, "FAIL", message)
