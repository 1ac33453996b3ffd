"""The YAML of a site file: keys and plain values, no aliases, no key twice, no surprising booleans."""

import re
from collections import Counter
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from brainct.errors import Refused
from brainct.training.site_files import read_bytes

LARGEST = 2**16
"""Largest size of a site file in bytes."""


class _Yaml(yaml.SafeLoader):
    """YAML without aliases and repeated keys, in which yes, no, on and off are words, since folders have such names.

    An alias can contain itself, or expand to a billion words.
    """

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.current_event.start_mark
            raise yaml.MarkedYAMLError(problem="an alias (*), wanted the value itself", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        count = Counter(str(self.construct_object(key, deep=True)) for key, _ in node.value)
        twice = sorted(key for key, times in count.items() if times > 1)
        if twice:
            raise yaml.MarkedYAMLError(problem=f"key {twice[0]} is given twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


_BOOL = "tag:yaml.org,2002:bool"
_Yaml.yaml_implicit_resolvers = {
    first: [each for each in each_of if each[0] != _BOOL] for first, each_of in _Yaml.yaml_implicit_resolvers.items()
}
_Yaml.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|false)$", re.IGNORECASE), list("tTfF"))


def read_yaml(path: Path) -> dict[str, Any]:
    """The keys and values of a file; Refused if it is missing, too large, or not a mapping in YAML."""
    if not path.exists():
        raise Refused(
            f"no site file at {path.absolute()}: create it (see poc/sites/) or correct the path in BRAINCT_SITE"
        )
    # the site's own staff choose this path, so it may be a link, like a configuration that a container mounts
    text = read_bytes(path.resolve(), path.name, most=LARGEST)
    try:
        given = yaml.load(text.decode("utf-8-sig"), Loader=_Yaml)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise Refused(f"{path.name}, line {line}: not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise Refused(f"{path.name}: not a text file in UTF-8: save it again as UTF-8") from None
    except RecursionError:
        raise Refused(f"{path.name}: nested too deeply, wanted lines of `key: value`: simplify it") from None
    except Exception as error:  # PyYAML raises many types for an impossible date, number or !!tag
        raise Refused(f"{path.name}: contains an impossible value ({type(error).__name__}): correct it") from None
    if not isinstance(given, dict):
        raise Refused(f"{path.name}: wanted lines of `key: value` beginning with `kind:`, got {type(given).__name__}")
    return {str(key): value for key, value in given.items()}
