"""Checks of a kit's certificates, of its private key, and of the TLS connection to the server."""

import json
import socket
import ssl
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import serialization

from brainct.errors import Refused
from brainct.kit.authority import REVOKED, revoked_serials
from brainct.kit.certificates import common_name, read_certificate
from brainct.kit.verdict import CheckResult

SOON = timedelta(days=30)
"""A certificate that expires within this time is a WARN."""


def check_certificate(kit: Path, kind: str) -> Iterator[CheckResult]:
    """Whether certificate, root and key belong together, and how long they are valid; kind: `server` or `hospital`."""
    name, startup = ("server" if kind == "server" else "client"), kit / "startup"
    own, root = read_certificate(startup / f"{name}.crt"), read_certificate(startup / "rootCA.pem")
    own.verify_directly_issued_by(root)
    key = startup / f"{name}.key"
    private = serialization.load_pem_private_key(key.read_bytes(), None)
    if _encoded(private.public_key()) != _encoded(own.public_key()):
        raise Refused(f"{key.name} does not belong to {name}.crt; ask the project administrator for a new kit")
    if key.stat().st_mode & 0o077:
        message = f"other users of this machine can read {key.name}; run `chmod 600 startup/{key.name}`"
        yield CheckResult("key", "WARN", message)
    yield _validity(f"certificate {common_name(own)}", own)
    yield _validity("certificate of the project", root)
    if kind == "server":
        count = len(revoked_serials(kit / "local" / REVOKED, root))
        yield CheckResult("revoked", "PASS", f"{count} certificates of the project are revoked")


def check_server(kit: Path) -> Iterator[CheckResult]:
    """Whether the server that the kit names answers and proves its name, and accepts this site's certificate."""
    startup = kit / "startup"
    server = json.loads((startup / "fed_client.json").read_text())["servers"][0]
    host, _, port = server["service"]["target"].rpartition(":")
    context = ssl.create_default_context(cafile=str(startup / "rootCA.pem"))
    context.check_hostname = False  # FLARE puts the server's name into the common name, which is compared below
    context.load_cert_chain(startup / "client.crt", startup / "client.key")
    try:
        with socket.create_connection((host, int(port)), timeout=10) as plain, context.wrap_socket(plain) as secured:
            found = x509.load_der_x509_certificate(secured.getpeercert(binary_form=True) or b"")
    except ssl.SSLError:
        raise
    except OSError as error:
        raise Refused(
            f"no answer from {host}:{port} ({type(error).__name__}: {error.strerror or error}): is the server started, "
            "and may this machine connect to that port?"
        ) from None
    if common_name(found) != server["identity"]:
        raise Refused(f"{host}:{port} is {common_name(found)}; wanted {server['identity']}")
    yield CheckResult("server", "PASS", f"{server['identity']} at {host}:{port}; both sides proved their names (TLS)")


def _encoded(key: Any) -> bytes:
    encoded: bytes = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return encoded


def _validity(subject: str, certificate: x509.Certificate) -> CheckResult:
    now, begin, end = datetime.now(timezone.utc), certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if begin > now:
        message = f"not valid before {begin:%Y-%m-%d %H:%M} UTC; is this machine's clock right?"
        return CheckResult(subject, "FAIL", message)
    if end < now:
        return CheckResult(
            subject, "FAIL", f"expired on {end:%Y-%m-%d}; ask the administrator to renew it (`brainct kits renew`)"
        )
    left = f"valid until {end:%Y-%m-%d}, {(end - now).days} days"
    if end - now < SOON:
        return CheckResult(subject, "WARN", f"{left}; ask the administrator to renew it (`brainct kits renew`)")
    return CheckResult(subject, "PASS", left)


def certificate_ends(kit: Path) -> dict[str, tuple[str, datetime]]:
    """Of each certificate in a kit, by file name: whose it is, and when it ends."""
    files = [path for path in sorted((kit / "startup").iterdir()) if path.suffix == ".crt" or path.name == "rootCA.pem"]
    found = {path.name: read_certificate(path) for path in files}
    return {name: (common_name(each), each.not_valid_after_utc) for name, each in found.items()}
