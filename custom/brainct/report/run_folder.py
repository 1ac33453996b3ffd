"""A run's folder as a reader finds it: whole, cut short, or of an older version; what sites sent is not trusted."""

from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from brainct.core import json_file
from brainct.core.sentences import sentences
from brainct.errors import Refused
from brainct.report.barriers_file import Barriers
from brainct.report.readable_record import NOTHING, Record
from brainct.report.tolerant import Number, cleaned, text
from brainct.run import cross_site, model_file, run_record
from brainct.run.cross_site import Matrix

TRACES = (run_record.FILE, "state", "tb_events", model_file.FILE)
"""A run's folder has at least one of these."""


@dataclass(frozen=True)
class RunFolder:
    """A run to be reported. label: what pages call it. recorded: whether it closed a round.

    crossed: what `brainct cross` wrote: headline scores by model, then by hospital.
    """

    folder: Path
    record: Record
    label: str
    recorded: bool = True
    barriers: Barriers = field(default_factory=Barriers)
    crossed: Matrix = field(default_factory=dict)

    @property
    def finished(self) -> bool:
        """Whether the run came to its end and left a model."""
        return bool(self.record.model_sha256)

    @property
    def sites(self) -> list[str]:
        """Names of all sites that described their data, sorted."""
        return sorted(self.record.sites)


def read_run(folder: Path) -> RunFolder:
    """A run's folder; refused where it is none, or where its record is broken."""
    if not folder.is_dir() or not any((folder / trace).exists() for trace in TRACES):
        raise Refused(f"{folder} is not a run's folder (no {', '.join(TRACES)}); name the folder that a run wrote")
    path, barriers = folder / run_record.FILE, folder / "barriers.json"
    if not path.is_file():
        return RunFolder(folder, NOTHING, text(folder.resolve().name), recorded=False)
    content = cleaned(json_file.parsed(path.read_bytes(), str(path), run_record.WANTED))
    record = run_record.parse_record(content, str(path), Record)
    label = f"{record.scheme}, seed {record.seed}"
    found = _barriers(barriers) if barriers.is_file() else Barriers()
    return RunFolder(folder, record, label, barriers=found, crossed=_crossed(folder / cross_site.FILE))


def _crossed(path: Path) -> Matrix:
    if not path.is_file():
        return {}
    content = json_file.parsed(path.read_bytes(), str(path), "the file as `brainct cross` wrote it")
    try:
        return TypeAdapter(dict[str, dict[str, dict[str, Number]]]).validate_python(cleaned(content))
    except ValidationError as error:
        raise Refused(f"{path}: {sentences(error)}") from None


def _barriers(path: Path) -> Barriers:
    content = json_file.parsed(path.read_bytes(), str(path), "the file as `brainct barriers` wrote it")
    try:
        return Barriers.model_validate(cleaned(content))
    except ValidationError as error:
        raise Refused(f"{path}: {sentences(error)}") from None
