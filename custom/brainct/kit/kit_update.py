"""A renewed kit: what the administrator sends, and how it replaces the startup/ of an installed kit."""

import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from cryptography.exceptions import InvalidSignature

from brainct.errors import Refused
from brainct.kit.certificates import common_name, own_certificate, read_certificate, role_of
from brainct.kit.policy_files import kind_of, kits_in

BEFORE = "startup.before"
"""The replaced startup/ in the kit, to return to."""


def pack_startup(kit: Path, out: Path, name: str) -> Path:
    """Write NAME-renewed.tgz with the kit's startup/ alone, readable by its owner alone: a private key is in it."""
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"{name}-renewed.tgz"
    file.unlink(missing_ok=True)
    file.touch(mode=0o600)
    with tarfile.open(file, "w:gz") as archive:
        archive.add(kit / "startup", f"{name}/startup")
    return file


def update(kit: Path, renewed: Path) -> str:
    """Replace the kit's startup/ by that of a renewed kit of the same owner; local/ and all state stay.

    renewed: a NAME-renewed.tgz, or a kit's folder. Returns until when the new certificate is valid.
    """
    with _unpacked(renewed) as new:
        _check_same_owner(kit, new)
        staged = kit / "startup.new"
        shutil.rmtree(staged, ignore_errors=True)
        shutil.copytree(new / "startup", staged)
        shutil.rmtree(kit / BEFORE, ignore_errors=True)
        (kit / "startup").rename(kit / BEFORE)
        staged.rename(kit / "startup")
    return f"{own_certificate(kit).not_valid_after_utc:%Y-%m-%d}"


@contextmanager
def _unpacked(renewed: Path) -> Iterator[Path]:
    """The one kit in an archive or a folder."""
    with tempfile.TemporaryDirectory(prefix="brainct-") as place:
        if renewed.is_file():
            try:
                with tarfile.open(renewed) as archive:
                    archive.extractall(place, filter="data")
            except tarfile.TarError as error:
                raise Refused(f"{renewed} can't be unpacked ({error}); ask the administrator for it again") from None
        kits = list(kits_in(Path(place) if renewed.is_file() else renewed).values())
        if len(kits) != 1:
            raise Refused(f"{renewed} holds {len(kits)} kits; wanted the one that is to be renewed")
        yield kits[0]


def _check_same_owner(kit: Path, new: Path) -> None:
    old, fresh = own_certificate(kit), own_certificate(new)
    if (kind_of(kit), common_name(old), role_of(old)) != (kind_of(new), common_name(fresh), role_of(fresh)):
        raise Refused(f"{new.name} is the kit of {common_name(fresh)}; wanted one of {common_name(old)}, as {kit}")
    root = read_certificate(kit / "startup" / "rootCA.pem")
    try:
        fresh.verify_directly_issued_by(root)
    except (ValueError, InvalidSignature):
        raise Refused(
            f"the renewed certificate of {common_name(fresh)} is another project's; the kit stays as it is. A new "
            "project needs a whole new kit"
        ) from None
    if fresh.not_valid_after_utc < datetime.now(timezone.utc) or fresh.not_valid_after_utc < old.not_valid_after_utc:
        raise Refused(f"the certificate in {new.name} ends {fresh.not_valid_after_utc:%Y-%m-%d}: it is no renewal")
