"""A bundle's configuration as data: files, `%` macros, `@` references and `$` expressions, looked up when asked for."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from brainct.core import json_file
from brainct.ct.bundle.expressions import compute
from brainct.errors import Refused

LARGEST_FILE = 5 * 2**20
DEEPEST = 40
"""References, macros and lists within one another."""

MOST_PARTS = 20_000
"""Parts of all values that one bundle may give: aliases of YAML could make a small file grow without end."""

FILES = ("train", "inference", "evaluate")
"""Names of the configuration files in which a network is looked for, without .json or .yaml."""


class Config:
    """One configuration file of a bundle. `get` gives a value with everything in it resolved."""

    def __init__(self, folder: Path, name: str):
        self.folder, self.name, self.content = folder, name, _read(folder, name)
        self._parts = 0

    def raw(self, path: str) -> Any:
        """What the file says at a path such as `network_def` or `train#inferer`, unresolved; None where nothing is."""
        found: Any = self.content
        for key in path.replace("::", "#").split("#"):
            if isinstance(found, Mapping):
                found = found.get(key)
            elif isinstance(found, list) and key.isdigit() and int(key) < len(found):
                found = found[int(key)]
            else:
                return None
        return found

    def get(self, path: str) -> Any:
        """The value at a path, resolved."""
        found = self.raw(path)
        if found is None:
            raise Refused(f"{self.name} has no {path:.80}")
        return self.resolved(found)

    def resolved(self, value: Any, depth: int = 0) -> Any:
        """A value in which macros, references and expressions are what they stand for; `_target_` stays as it is."""
        self._parts += 1
        if depth > DEEPEST or self._parts > MOST_PARTS:
            raise Refused(f"{self.name}: values refer to each other without end, or there are too many of them")
        if isinstance(value, str):
            return self._text(value, depth)
        if isinstance(value, Mapping):
            return {str(key): self.resolved(each, depth + 1) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return [self.resolved(each, depth + 1) for each in value]
        return value

    def _text(self, text: str, depth: int) -> Any:
        if text.startswith("$"):
            return compute(text[1:], lambda path: self._reference(path, depth))
        if text.startswith("@"):
            return self._reference(text[1:], depth)
        if text.startswith("%"):
            return self._macro(text[1:], depth)
        return text

    def _reference(self, path: str, depth: int) -> Any:
        found = self.raw(path)
        if found is None:
            raise Refused(f"{self.name}: `@{path:.80}` refers to nothing")
        return self.resolved(found, depth + 1)

    def _macro(self, path: str, depth: int) -> Any:
        """`%key` of this file, or `%other.json::key` of another file of this folder."""
        name, _, key = path.partition("::") if ".json" in path or ".yaml" in path else ("", "", path)
        if not name:
            return self._reference(key, depth)
        other = Config(self.folder, Path(name).name)
        other._parts = self._parts
        return other.resolved(other.raw(key), depth + 1)


def find(folder: Path, key: str = "network_def") -> Config:
    """The first configuration file of a bundle that has this key."""
    configs = folder / "configs"
    names = [f"{name}{end}" for name in FILES for end in (".json", ".yaml", ".yml")]
    there = [name for name in names if (configs / name).is_file()]
    for name in there:
        config = Config(configs, name)
        if config.raw(key) is not None:
            return config
    raise Refused(
        f"{folder.name}: no {key} in {', '.join(there) or 'any of ' + ', '.join(names)}; wanted a MONAI bundle with "
        "configs/train.json or configs/inference.json"
    )


def _read(folder: Path, name: str) -> Mapping[str, Any]:
    path = folder / name
    if path.is_symlink() or not path.is_file():
        raise Refused(f"{name} is not a file of the bundle's configs folder")
    if path.stat().st_size > LARGEST_FILE:
        raise Refused(f"{name} has {path.stat().st_size:,} bytes; wanted at most {LARGEST_FILE:,}")
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        found = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise Refused(f"{name} is neither valid JSON nor plain YAML ({type(error).__name__})") from None
    if not isinstance(found, Mapping):
        raise Refused(f"{name} holds a {type(found).__name__}; wanted keys and values")
    return found


def read_metadata(folder: Path) -> dict[str, Any]:
    """metadata.json of a bundle; {} where it has none."""
    path = folder / "configs" / "metadata.json"
    if not path.is_file() or path.is_symlink():
        return {}
    if path.stat().st_size > LARGEST_FILE:
        raise Refused(f"metadata.json has {path.stat().st_size:,} bytes; wanted at most {LARGEST_FILE:,}")
    text = path.read_text(encoding="utf-8", errors="replace")
    return dict(json_file.table(text, "metadata.json", "the metadata of a MONAI bundle"))
