"""Patches modules when a Python process imports them; for a `sitecustomize` that each process of a federation loads."""

import importlib.abc
import importlib.util
import sys


class ImportPatches(importlib.abc.MetaPathFinder):
    """Calls patches[name](module) after the module of that name has been executed."""

    def __init__(self, patches):
        self.patches = patches

    def find_spec(self, name, path, target=None):
        if name not in self.patches:
            return None
        sys.meta_path.remove(self)  # the search below must not find this finder again
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        real = spec.loader.exec_module

        def exec_module(module):
            real(module)
            self.patches[name](module)

        spec.loader.exec_module = exec_module
        return spec


def install(patches):
    """Patch these modules, given as {name: function of the module}, when this process imports them."""
    sys.meta_path.insert(0, ImportPatches(patches))
