"""The library of greedy equivalence search, which is an optional part of the installation."""

from typing import Any

from brainct.errors import Refused


def ges() -> Any:
    """The module `ges`, with its `utils`; refused, with what to install, where it is missing."""
    try:
        import ges as found
        import ges.utils
    except ImportError:
        raise Refused(
            "a search for causal graphs needs the library ges, which is not installed: pip install '.[causal]', at the "
            "server and at every site"
        ) from None
    return found
