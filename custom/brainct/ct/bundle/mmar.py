"""Clara Train's model archive (MMAR) read as a bundle: config_train.json says the same in other words.

    {"train": {"model": {"name": "DenseNet121", "args": {...}}, "pre_transforms": [{"name": ..., "args": {...}}]}}

`name` is a class of MONAI, `path` its full path. Nothing of the archive is run: its commands and its own Python stay.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brainct.ct.bundle.config import Config
from brainct.errors import Refused

FOLDER, FILE = "config", "config_train.json"


def is_mmar(folder: Path) -> bool:
    """Whether a folder has the files of an MMAR."""
    return (folder / FOLDER / FILE).is_file()


def read_mmar(folder: Path) -> Config:
    """The archive's training configuration with a bundle's keys."""
    config = Config(folder / FOLDER, FILE)
    train = config.content.get("train")
    if not isinstance(train, Mapping) or not isinstance(train.get("model"), Mapping):
        raise Refused(f"{FILE} has no train/model with a name and args; wanted an MMAR of Clara Train 4")
    transforms = train.get("pre_transforms", [])
    listed = [_component(one) for one in transforms] if isinstance(transforms, list) else []
    own = {key: value for key, value in config.content.items() if key != "train"}
    config.content = {**own, "network_def": _component(train["model"])}
    if listed:
        config.content = {**config.content, "preprocessing": {"_target_": "Compose", "transforms": listed}}
    return config


def _component(stated: Any) -> Any:
    """`name` or `path` with `args` as `_target_` with its arguments; anything else as it is."""
    if not isinstance(stated, Mapping):
        return stated
    arguments = stated.get("args", {})
    target = stated.get("path", stated.get("name"))
    return {**(arguments if isinstance(arguments, Mapping) else {}), "_target_": target}
