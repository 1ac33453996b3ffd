"""Commands that need an optional part of the installation refuse, in words, where it is missing."""

from importlib.util import find_spec

from brainct.errors import Refused


def require_charts() -> None:
    """Refuse where matplotlib is missing, which only the commands that draw need."""
    if find_spec("matplotlib") is None:
        raise Refused("this command draws charts with matplotlib, which is not installed: pip install '.[report]'")


def require(package: str, needs: str, extra: str) -> None:
    """Refuse where a package of an optional part is missing. needs: who needs it, as the sentence begins."""
    if find_spec(package) is None:
        raise Refused(f"{needs} {package}, which is not installed: pip install '.[{extra}]'")
