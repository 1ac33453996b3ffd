"""Certificates of kits: read, named, and how many days each is still valid."""

from datetime import datetime, timezone
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from brainct.errors import Refused
from brainct.kit.policy_files import kind_of


def read_certificate(path: Path) -> x509.Certificate:
    """The certificate in a PEM file."""
    return x509.load_pem_x509_certificate(path.read_bytes())


def common_name(certificate: x509.Certificate) -> str:
    """Whom the certificate names: a site, a person, the server or the project."""
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def role_of(certificate: x509.Certificate) -> str:
    """The role that a person's certificate states; empty for the others of centrally made kits."""
    stated = certificate.subject.get_attributes_for_oid(NameOID.UNSTRUCTURED_NAME)
    return str(stated[0].value) if stated else ""


def own_certificate(kit: Path) -> x509.Certificate:
    """The certificate of a kit's owner."""
    kind = kind_of(kit)
    if kind is None:
        raise Refused(f"{kit} is no startup kit; wanted the folder that holds startup/ and local/")
    return read_certificate(kit / "startup" / ("server.crt" if kind == "server" else "client.crt"))


def days_left(kit: Path) -> dict[str, float]:
    """Days until the kit's certificate and the project's expire, by whom they name; below 0 once they have."""
    now = datetime.now(timezone.utc)
    both = (own_certificate(kit), read_certificate(kit / "startup" / "rootCA.pem"))
    return {common_name(one): (one.not_valid_after_utc - now).total_seconds() / 86400 for one in both}
