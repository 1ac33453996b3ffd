"""Postpones the import of torch's compiler, which every optimiser asks for and none of ours uses: two seconds."""

import importlib
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch

NAME = "torch._dynamo"


class _Postponed(ModuleType):
    """Stands for torch._dynamo; whatever is asked of it beyond what an optimiser's step does loads the real one."""

    def graph_break(self, *_: Any, **__: Any) -> None:
        """What the real one does outside a compilation: nothing."""

    def disable(self, function: Callable[..., Any], *_: Any, **__: Any) -> Callable[..., Any]:
        """The function itself: nothing compiles it."""
        return function

    def __getattr__(self, name: str) -> Any:
        if sys.modules.get(NAME) is self:
            del sys.modules[NAME]
        return getattr(importlib.import_module(NAME), name)


def postpone_compiler() -> None:
    """Put the stand-in in place, unless torch's compiler has been imported already."""
    if NAME not in sys.modules:
        found = _Postponed(NAME)
        sys.modules[NAME] = found
        torch._dynamo = found
