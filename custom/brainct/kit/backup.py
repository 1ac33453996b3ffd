"""Backup of a kit with everything that its runs need, and its restoring onto an empty folder."""

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from brainct.core.version import fingerprint
from brainct.errors import Refused
from brainct.kit.certificates import common_name, own_certificate
from brainct.kit.formats import FORMAT, check_format, migrate
from brainct.kit.policy_files import kind_of
from brainct.security.ledger import note_restored
from brainct.security.policy_file import reply_filter_if_any
from brainct.site.state_store import close_runs

PARTS = ("startup", "local", "brainct", "jobs-storage", "snapshot-storage", "disabled_clients.json")
"""Of a kit. Left out: logs, and the folders of single jobs, whose results are in jobs-storage."""
CONTENTS = "backup.json"
PASSING = (".partial", ".lock")
"""Ends of files that come and go while a job runs."""


def back_up(kit: Path, archive: Path) -> dict[str, Any]:
    """Write a new archive, its owner's alone, of keys, policy, privacy ledger and state of runs; return its contents.

    A job may run meanwhile: every file is replaced in one step, so each is whole.
    """
    kind = kind_of(kit)
    if kind is None:
        raise Refused(f"{kit} is no startup kit; wanted the folder that holds startup/ and local/")
    if archive.exists():
        raise Refused(f"{archive} exists already; name a new file, a backup replaces none")
    if archive.resolve().is_relative_to(kit.resolve()):
        raise Refused(f"{archive} is inside the kit and would be lost with it; name a place on another disk")
    check_format(kit)
    _check_ledger_inside(kit)
    contents: dict[str, Any] = {
        "format": FORMAT,
        "package": fingerprint(),
        "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "owner": common_name(own_certificate(kit)),
        "kind": kind,
        "place": str(kit.resolve()),
        "files": {},
    }
    partial = archive.with_name(archive.name + ".partial")
    partial.parent.mkdir(parents=True, exist_ok=True)
    partial.unlink(missing_ok=True)
    partial.touch(mode=0o600)
    with tarfile.open(partial, "w:gz") as tar:
        for path in _files(kit):
            _add(tar, contents["files"], path, path.relative_to(kit).as_posix())
        text = json.dumps(contents, indent=1).encode()
        entry = tarfile.TarInfo(CONTENTS)
        entry.size, entry.mode = len(text), 0o600
        tar.addfile(entry, io.BytesIO(text))
    partial.rename(archive)
    return contents


def _check_ledger_inside(kit: Path) -> None:
    own = reply_filter_if_any(kit / "local" / "privacy.json", "site") if kind_of(kit) == "hospital" else None
    if own and not own.ledger.folder.resolve().is_relative_to(kit.resolve()):
        raise Refused(
            f"the privacy ledger is outside the kit, in {own.ledger.folder.parent}, and would not be in the backup; "
            "move it into the kit and correct `folder` in local/privacy.json"
        )


def _files(kit: Path) -> Iterator[Path]:
    for part in PARTS:
        for path in [kit / part] if (kit / part).is_file() else sorted((kit / part).rglob("*")):
            if path.is_file() and not path.is_symlink() and not path.name.endswith(PASSING) and path.name != "lock":
                yield path


def _add(tar: tarfile.TarFile, files: dict[str, str], path: Path, name: str) -> None:
    try:
        content, mode = path.read_bytes(), path.stat().st_mode & 0o777
    except FileNotFoundError:  # a run ended meanwhile
        return
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = len(content), mode, int(path.stat().st_mtime)
    tar.addfile(entry, io.BytesIO(content))
    files[name] = hashlib.sha256(content).hexdigest()


def restore(archive: Path, kit: Path, last: bool = False) -> list[str]:
    """Restore a backup onto a folder that is empty or missing; return lines for people.

    last: nothing was done with the kit after the backup. Otherwise a hospital's runs are closed, since it would answer
    rounds twice, and its privacy budget waits until somebody says what left after the backup: see security.ledger.
    """
    if kit.exists() and any(kit.iterdir()):
        raise Refused(f"{kit} is not empty; restore onto a new folder, and look at what is in this one first")
    contents = _checked(archive)
    kit.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tarfile.open(archive) as tar:
        tar.extractall(kit, members=[each for each in tar if each.name in contents["files"]], filter="data")
    for path in kit.rglob("*"):
        if path.is_dir():
            path.chmod(0o700)
    lines = [f"{contents['owner']}, as of {contents['time']}: {len(contents['files'])} files in {kit}"]
    lines += _moved(kit, contents["place"])
    if contents["kind"] == "hospital" and not last:
        lines += _older(kit, contents)
    return lines + migrate(kit)


def _checked(archive: Path) -> dict[str, Any]:
    """What a whole archive holds; refused where it is cut, was changed, or is of a later version."""
    try:
        with tarfile.open(archive) as tar:
            found = {each.name: tar.extractfile(each) for each in tar if each.isfile()}
            read = {name: file.read() for name, file in found.items() if file}
        contents: dict[str, Any] = json.loads(read.pop(CONTENTS))
        number, files = contents["format"], contents["files"]
    except (OSError, EOFError, tarfile.TarError, ValueError, KeyError, TypeError) as error:
        raise Refused(
            f"{archive} is no whole backup of brainct ({type(error).__name__}); take the one before it"
        ) from None
    if number > FORMAT:
        raise Refused(
            f"{archive} is of format {number}, from brainct {contents['package']}; install that version first"
        )
    if {name: hashlib.sha256(content).hexdigest() for name, content in read.items()} != files:
        raise Refused(f"{archive} is not what was written: files in it were changed; take the one before it")
    return contents


def _moved(kit: Path, before: str) -> list[str]:
    """A server's policy has absolute paths to its storage."""
    now, file = str(kit.resolve()), kit / "local" / "resources.json"
    if now == before or not file.is_file() or before not in file.read_text():
        return []
    file.write_text(file.read_text().replace(json.dumps(before)[1:-1], json.dumps(now)[1:-1]))
    return [f"local/resources.json: the storage is in {now} (was {before})"]


def _older(kit: Path, contents: dict[str, Any]) -> list[str]:
    when, owner = contents["time"], contents["owner"]
    lines = []
    if closed := close_runs(kit / "brainct" / "client_state", owner, when):
        lines.append(f"{closed} runs are closed here: their later rounds are not in the backup; begin new ones")
    own = reply_filter_if_any(kit / "local" / "privacy.json", owner)
    if own and own.policy.budget:
        note_restored(own.ledger, when)
        lines.append(
            "the privacy budget waits: say how many replies left after the backup, with "
            f"`brainct privacy {kit}/local/privacy.json --site {owner} --left-since N`"
        )
    return lines
