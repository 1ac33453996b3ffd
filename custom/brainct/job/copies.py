"""Copies of a job folder with one thing changed: to resume a run, or to start from a model."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brainct.core.names import run_name
from brainct.core.writable import check_writable
from brainct.errors import Refused
from brainct.job import folders
from brainct.job.config import plan_of


def resuming(job: Path, run: str, out: Path) -> Path:
    """Write a copy of a job folder that resumes a run in FLARE, under a name of its own; returns the new folder."""
    folders.read(job)
    run_name(run)
    _copied(job, out)
    meta = folders.json_of(out / "meta.json")
    (out / "meta.json").write_text(folders.text_of({**meta, "name": f"{meta.get('name', job.name)}-resumes-{run[:8]}"}))
    _change(out, resume=run)
    return out


def starting(job: Path, start: Mapping[str, Any], content: bytes, out: Path) -> Path:
    """Write a copy of a job folder that starts from a model; returns the new folder.

    start: keys of config.StartFrom. content: the model's file, which travels in the job; empty for one of the package.
    """
    plan_of({**_arguments(job), "start_from": start}, str(job))
    _copied(job, out)
    _change(out, start_from=start)
    file = folders.start_file(out)
    file.unlink(missing_ok=True)
    if content:
        file.write_bytes(content)
    return out


def _copied(job: Path, out: Path) -> None:
    if out.exists():
        raise Refused(f"{out} is there already; name another folder or remove it first")
    check_writable(out.parent)
    shutil.copytree(job, out)


def _arguments(job: Path) -> dict[str, Any]:
    file = job / "app" / "config" / "config_fed_server.json"
    (workflow,) = folders.workflows(folders.json_of(file), file)
    return dict(workflow.get("args", {}))


def _change(job: Path, **choices: Any) -> None:
    """Set choices of a job folder."""
    file = job / "app" / "config" / "config_fed_server.json"
    content = folders.json_of(file)
    for row in folders.workflows(content, file):
        row["args"] = {**row.get("args", {}), **choices}
    file.write_text(folders.text_of(content))
