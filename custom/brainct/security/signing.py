"""Signatures between hospitals, made with the key of a FLARE kit and verified against the project's root certificate.

The server forwards signatures and cannot forge one: a server's or a person's certificate does not count as a
hospital's, although the project's certificate authority issued them all.
"""

import base64
import binascii
import json
from datetime import datetime, timezone
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

from brainct.errors import Refused

SHA256 = hashes.SHA256()
PADDING = PSS(mgf=MGF1(SHA256), salt_length=0)
"""Without salt, so that the same words always have the same signature."""
PROOF = 1421
"""Typical characters of a proof with a certificate as FLARE provisions it; it varies with the names in it."""


class Identity:
    """One hospital's certificate, its key, and the project's root certificate.

    startup: the folder of that name in the hospital's kit; Refused if it is not as FLARE provisions it.
    """

    def __init__(self, startup: Path):
        try:
            self._own = x509.load_pem_x509_certificate((startup / "client.crt").read_bytes())
            self._root = x509.load_pem_x509_certificate((startup / "rootCA.pem").read_bytes())
            key = load_pem_private_key((startup / "client.key").read_bytes(), None)
            servers = json.loads((startup / "fed_client.json").read_text())["servers"]
            self._servers = {server["identity"] for server in servers}
        except (OSError, ValueError, TypeError, KeyError, UnsupportedAlgorithm) as error:
            raise Refused(f"the kit's startup folder can't be read ({type(error).__name__}); get a new kit") from None
        if not isinstance(key, RSAPrivateKey):
            raise Refused(f"the kit's client.key is a {type(key).__name__}; wanted RSA, as FLARE provisions it")
        self._key = key

    def sign(self, words: str) -> str:
        """A proof that these words are this hospital's: its certificate and its signature, each in base64."""
        parts = self._own.public_bytes(Encoding.DER), self._key.sign(words.encode(), PADDING, SHA256)
        return ".".join(base64.b64encode(part).decode() for part in parts)

    def verify(self, site: str, words: str, proof: str) -> None:
        """Refuse a proof unless the hospital of this name made it for these words."""
        try:
            certificate, signature = (base64.b64decode(part, validate=True) for part in proof.split("."))
            whose = x509.load_der_x509_certificate(certificate)
            whose.verify_directly_issued_by(self._root)
            key = whose.public_key()
            if not isinstance(key, RSAPublicKey):
                raise TypeError("no RSA key")
            key.verify(signature, words.encode(), PADDING, SHA256)
        except (ValueError, TypeError, binascii.Error, InvalidSignature, UnsupportedAlgorithm):
            raise Refused(f"{site} has not signed it with a certificate of this project") from None
        self._check_whose(whose, site)

    def _check_whose(self, whose: x509.Certificate, site: str) -> None:
        name, role = (_named(whose, oid) for oid in (NameOID.COMMON_NAME, NameOID.UNSTRUCTURED_NAME))
        if name != site or name in self._servers or role not in ("", "client"):
            raise Refused(f"{site} has not signed it, but {' '.join(filter(None, [role, name]))}")
        if not whose.not_valid_before_utc <= datetime.now(timezone.utc) <= whose.not_valid_after_utc:
            raise Refused(
                f"{site} signed it with a certificate that is valid from {whose.not_valid_before_utc:%Y-%m-%d} to "
                f"{whose.not_valid_after_utc:%Y-%m-%d} only"
            )


def identity_in(startup: Path | None) -> Identity | None:
    """The identity in a kit's startup folder; None without a kit, as in a simulation."""
    return Identity(startup) if startup and (startup / "client.crt").is_file() else None


def no_identity() -> None:
    """The identity of a site without a kit."""


def _named(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> str:
    return " ".join(str(found.value) for found in certificate.subject.get_attributes_for_oid(oid))
