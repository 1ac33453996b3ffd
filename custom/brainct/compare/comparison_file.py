"""A comparison file on disk: read and checked, with every plan that follows from it, before anything runs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from brainct.compare.comparison import Comparison
from brainct.compare.planned_runs import plan_run
from brainct.core.sentences import sentences
from brainct.errors import Refused
from brainct.table.demonstration import NAMES


def read_comparisons(path: Path) -> list[tuple[str, Comparison]]:
    """The checked comparisons of a file, each with the folder of its ledger below the output folder.

    A file holds one comparison, whose folder is the output folder itself, or the one key `plans`: by folder, the paths
    of the comparison files that share its ledger. All paths are relative to the file that states them.
    """
    given = _read_yaml(path)
    if "plans" not in given:
        return [("", read_comparison(path))]
    try:
        found = _Plans.model_validate(given).plans
    except ValidationError as error:
        raise Refused(f"{path.name}: {sentences(error)}") from None
    return [(folder, read_comparison(path.parent / file)) for folder, files in found.items() for file in files]


class _Plans(BaseModel):
    """A list of comparison files."""

    model_config = ConfigDict(extra="forbid")

    plans: dict[Annotated[str, Field(pattern=r"^\w[\w.-]*$")], Annotated[list[str], Field(min_length=1)]]


def read_comparison(path: Path) -> Comparison:
    """One checked comparison; paths of site files in it are relative to it."""
    given = _read_yaml(path)
    federations = [_resolve_data(federation, path.parent) for federation in given.get("federations") or []]
    return comparison_of(given | ({"federations": federations} if federations else {}), path.name)


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise Refused(f"no comparison file at {path}: write one (see docs/compare.md) or correct the path")
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise Refused(f"{path.name} is not valid YAML: {' '.join(str(error).split())}") from None
    if not isinstance(given, dict):
        raise Refused(f"{path.name}: wanted lines of `key: value` such as `seeds: 5`, got {type(given).__name__}")
    return given


def _resolve_data(federation: Any, folder: Path) -> Any:
    if not isinstance(federation, dict) or not isinstance(federation.get("data"), str) or federation["data"] in NAMES:
        return federation
    return federation | {"data": (folder / federation["data"]).resolve()}


def comparison_of(choices: Mapping[str, Any], whose: str) -> Comparison:
    """A checked comparison; every run's plan that is known already is checked too.

    whose: the file's name, for errors.
    """
    try:
        comparison = Comparison.model_validate(dict(choices))
    except ValidationError as error:
        raise Refused(f"{whose}: {sentences(error)}") from None
    _refuse_repeated_names(comparison, whose)
    _refuse_untunable_grids(comparison, whose)
    for entry in comparison.entries:
        for point in entry.points():
            plan_run(comparison, comparison.federations[0], entry, point, comparison.seeds[0], 1)
    return comparison


def _refuse_repeated_names(comparison: Comparison, whose: str) -> None:
    for kind, names in (
        ("federations", [federation.label for federation in comparison.federations]),
        ("schemes", [entry.label for entry in comparison.schemes]),
    ):
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise Refused(f"{whose}: two {kind} are called {repeated[0]!r}; give each its own `name`")


def _refuse_untunable_grids(comparison: Comparison, whose: str) -> None:
    tuned = [entry.label for entry in comparison.entries if len(entry.points()) > 1]
    for federation in comparison.federations:
        if tuned and not federation.has_validation:
            raise Refused(
                f"{whose}: `{tuned[0]}` has a grid, but {federation.label} has no validation fold to tune it on; "
                f"add one (`split.valid` of its site file) or remove the grid"
            )
