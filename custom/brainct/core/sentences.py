"""pydantic's findings as sentences that name the key, what was got and what was wanted."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from brainct.errors import shown


def sentences(error: ValidationError) -> str:
    """pydantic's findings in plain words, one for each wrong key."""
    return "; ".join(_sentence(finding) for finding in error.errors())


def _sentence(finding: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in finding["loc"])
    if finding["type"] == "extra_forbidden":
        return f"unknown key {key!r}; remove it or correct its spelling"
    if finding["type"] == "missing":
        return f"key {key!r} is missing"
    message = finding["msg"].removeprefix("Value error, ")
    return f"{key} is {shown(finding['input'])}; {message[0].lower()}{message[1:]}"
