"""The project's authority, where kits are made: its key, the certificates that it issued, and those that it revokes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives import serialization as keys

from brainct.core import serialization
from brainct.errors import Refused
from brainct.kit.certificates import common_name, read_certificate

STATE, ISSUED, REVOKED = "cert.json", "issued.json", "revoked.pem"
"""FLARE's state of a provisioned project; certificates that were renewed since; the revocation list (X.509 CRL)."""
EARLIER = timedelta(hours=1)
ROOT = ("root_cert", "root_pri_key")
WANTED = "wanted the state/ folder that `nvflare provision` made, or the ca/ of `nvflare cert init`"


@dataclass(frozen=True)
class Authority:
    """The folder with the project's key; whoever has it can issue kits and revoke them."""

    folder: Path
    root: x509.Certificate
    key: Any

    def state(self) -> dict[str, Any]:
        """What FLARE wrote of each certificate by its owner; empty for a project of `nvflare cert`."""
        file = self.folder / STATE
        return json.loads(file.read_text()) if file.is_file() else {}

    def write_state(self, state: dict[str, Any]) -> None:
        """Replace FLARE's state, for its owner alone: it has every participant's private key."""
        serialization.write(self.folder / STATE, json.dumps(state).encode(), private=True)

    def former(self) -> dict[str, list[str]]:
        """The PEMs of certificates that were renewed, by owner."""
        file = self.folder / ISSUED
        return json.loads(file.read_text()) if file.is_file() else {}

    def current(self) -> dict[str, x509.Certificate]:
        """Each participant's certificate."""
        state = {name: row for name, row in self.state().items() if name not in ROOT}
        return {name: x509.load_pem_x509_certificate(row["cert"].encode()) for name, row in state.items()}


def authority_in(folder: Path) -> Authority:
    """The authority whose files are in this folder."""
    try:
        if (folder / STATE).is_file():
            found = json.loads((folder / STATE).read_text())
            root, key = found["root_cert"].encode(), found["root_pri_key"].encode()
        else:
            root, key = (folder / "rootCA.pem").read_bytes(), (folder / "rootCA.key").read_bytes()
        return Authority(folder, x509.load_pem_x509_certificate(root), keys.load_pem_private_key(key, None))
    except FileNotFoundError:
        raise Refused(f"{folder} holds no key of a project; {WANTED}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise Refused(f"the state in {folder} can't be read ({type(error).__name__}: {error}); {WANTED}") from None


def protect(folder: Path) -> bool:
    """Make the authority's folder its owner's alone; whether others could read it."""
    files = [folder, *(path for path in folder.glob("*") if path.is_file())]
    open_ones = [path for path in files if path.stat().st_mode & 0o077]
    for path in open_ones:
        path.chmod(0o700 if path.is_dir() else 0o600)
    return bool(open_ones)


def protect_next_to(kits: Path) -> list[str]:
    """Protect the state/ that FLARE leaves next to a prod_NN; a line if other users of the machine could read it."""
    state = kits.resolve().parent / "state"
    if not (state / STATE).is_file() or not protect(state):
        return []
    return [f"{state}: holds every private key; now readable by its owner alone"]


def take_out(authority: Authority, names: Sequence[str]) -> None:
    """Remove the certificates of these from FLARE's state, whose next provisioning issues new ones."""
    state, current = authority.state(), authority.current()
    if unknown := sorted(set(names) - set(current)):
        raise Refused(
            f"no certificate of {', '.join(unknown)} in {authority.folder}; wanted one of {', '.join(current)}"
        )
    former = authority.former()
    for name in names:
        former[name] = [*former.get(name, []), state.pop(name)["cert"]]
    serialization.write(authority.folder / ISSUED, json.dumps(former, indent=1).encode(), private=True)
    authority.write_state(state)


def revoke(authority: Authority, whom: Sequence[str], only_former: bool = False) -> tuple[Path, list[str]]:
    """Add certificates to the revocation list; return its file and one line for each that was added.

    whom: participants, or the files of their certificates. only_former: those that a renewal has replaced.
    """
    known = revoked_serials(authority.folder / REVOKED, authority.root)
    lines, now = [], datetime.now(timezone.utc)
    added: dict[int, datetime] = {}
    for name in whom:
        for certificate in _certificates_of(authority, name, only_former):
            if certificate.serial_number not in known | added.keys():
                added[certificate.serial_number] = now
                until = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
                lines.append(
                    f"{common_name(certificate)}: certificate {certificate.serial_number:x}, valid until {until}"
                )
    before = authority.folder / REVOKED
    signed = _signed(authority, {**_dates(before), **added}, _begin(before, now))
    serialization.write(authority.folder / REVOKED, signed.public_bytes(keys.Encoding.PEM), private=True)
    return authority.folder / REVOKED, lines


def _certificates_of(authority: Authority, name: str, only_former: bool) -> list[x509.Certificate]:
    if Path(name).is_file():
        certificate = read_certificate(Path(name))
        try:
            certificate.verify_directly_issued_by(authority.root)
        except (ValueError, InvalidSignature):
            raise Refused(f"{name} was not issued by the project in {authority.folder}") from None
        return [certificate]
    current, former = authority.current(), authority.former()
    if name not in current and name not in former:
        raise Refused(
            f"{authority.folder} knows no certificate of {name}; name one of {', '.join(current) or 'none'}, or the "
            "file of the certificate, such as the client.crt in its kit"
        )
    old = [x509.load_pem_x509_certificate(each.encode()) for each in former.get(name, [])]
    return old if only_former or name not in current else [*old, current[name]]


def _begin(before: Path, now: datetime) -> datetime:
    """When the list begins to hold: later than the former one, or OpenSSL keeps to that, and never in the future, or it
    refuses everybody; an hour back, for a server whose clock is behind."""
    begin = now - EARLIER
    if not before.is_file():
        return begin
    return max(begin, x509.load_pem_x509_crl(before.read_bytes()).last_update_utc + timedelta(seconds=1))


def _signed(authority: Authority, entries: dict[int, datetime], now: datetime) -> x509.CertificateRevocationList:
    builder = x509.CertificateRevocationListBuilder(authority.root.subject, now, authority.root.not_valid_after_utc)
    for serial, day in entries.items():
        builder = builder.add_revoked_certificate(x509.RevokedCertificateBuilder(serial, day).build())
    return builder.sign(authority.key, hashes.SHA256())


def _dates(file: Path) -> dict[int, datetime]:
    if not file.is_file():
        return {}
    listed = x509.load_pem_x509_crl(file.read_bytes())
    return {each.serial_number: each.revocation_date_utc for each in listed}


def revoked_serials(file: Path, root: x509.Certificate) -> set[int]:
    """The serial numbers in a revocation list, which this project must have signed; none without a file."""
    if not file.is_file():
        return set()
    try:
        listed = x509.load_pem_x509_crl(file.read_bytes())
        signed = listed.is_signature_valid(root.public_key())  # type: ignore[arg-type]
    except ValueError as error:
        raise Refused(f"{file} is no revocation list ({error}); copy the administrator's again") from None
    if not signed:
        raise Refused(f"{file} is not signed by this project; copy the administrator's state/{REVOKED} again")
    return {each.serial_number for each in listed}
