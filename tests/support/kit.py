"""A startup kit in the form of FLARE's provisioning, made here with real keys and certificates in milliseconds."""

import json
from datetime import datetime, timedelta, timezone
from functools import cache
from itertools import cycle
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

NOW = datetime.now(timezone.utc)
_TURN = cycle(range(13))


class Authority:
    """A project's root certificate and what it signs."""

    def __init__(self, name: str = "brainct"):
        # a root of its own: one from the dozen would be the same project's after twelve more keys
        self.key, self.name = rsa.generate_private_key(public_exponent=65537, key_size=2048), named(name)
        self.root = self._signed(self.name, self.key.public_key(), NOW - timedelta(days=1), NOW + timedelta(days=1826))

    def _signed(self, subject, public, begin, end):
        builder = x509.CertificateBuilder(self.name, subject, public, x509.random_serial_number(), begin, end)
        constraints = x509.BasicConstraints(ca=subject == self.name, path_length=None)
        return builder.add_extension(constraints, critical=True).sign(self.key, hashes.SHA256())

    def issue(self, startup: Path, file: str, name: str, days: float = 360, begun: float = 1, role: str = "") -> None:
        """Write FILE.key, FILE.crt and rootCA.pem for `name`; valid from `begun` days ago, for `days` from now."""
        key = new_key()
        span = NOW - timedelta(days=begun), NOW + timedelta(days=days)
        certificate = self._signed(named(name, role), key.public_key(), *span)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        startup.mkdir(parents=True, exist_ok=True)
        (startup / f"{file}.key").write_bytes(private)
        (startup / f"{file}.key").chmod(0o600)
        (startup / f"{file}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (startup / "rootCA.pem").write_bytes(self.root.public_bytes(serialization.Encoding.PEM))


def new_key() -> rsa.RSAPrivateKey:
    """A key as FLARE provisions it, another one than the dozen before; making one takes a tenth of a second."""
    return _key(next(_TURN))


@cache
def _key(place: int) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def named(name: str, role: str = "") -> x509.Name:
    """As FLARE names the owner of a certificate: a person's, and one of `nvflare cert`, has a role."""
    roles = [x509.NameAttribute(NameOID.UNSTRUCTURED_NAME, role)] if role else []
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name), *roles])


def hospital_kit(
    folder: Path,
    authority: Authority,
    port: int = 9,
    days: float = 360,
    begun: float = 1,
    name: str = "hospital-a",
    role: str = "",
) -> Path:
    """The kit of a hospital, whose server is at localhost:port; nothing is installed in its local/ yet."""
    authority.issue(folder / "startup", "client", name, days, begun, role)
    server = {"service": {"target": f"localhost:{port}", "scheme": "http"}, "identity": "server"}
    (folder / "startup" / "fed_client.json").write_text(json.dumps({"servers": [server]}))
    (folder / "local").mkdir()
    return folder


def server_kit(folder: Path, authority: Authority) -> Path:
    """The server's kit."""
    authority.issue(folder / "startup", "server", "server")
    (folder / "startup" / "fed_server.json").write_text("{}")
    (folder / "local").mkdir()
    return folder


def person_kit(folder: Path) -> Path:
    """The kit of a person."""
    (folder / "startup").mkdir(parents=True)
    (folder / "startup" / "fed_admin.json").write_text("{}")
    return folder
