"""What brainct wrote into a bundle's metadata when it exported a model: the choices of its training."""

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from brainct.core.sentences import sentences
from brainct.ct.config import CtChoices
from brainct.errors import Refused

OWN = "brainct"
"""The key of metadata.json."""


def exported_choices(metadata: Mapping[str, Any]) -> CtChoices | None:
    """The choices, checked as those of a job are; None of a bundle that brainct did not write."""
    own = metadata.get(OWN)
    stated = own.get("choices") if isinstance(own, Mapping) else None
    if not isinstance(stated, Mapping):
        return None
    if stated.get("workload") != "ct":
        raise Refused(
            f"metadata.json states workload {stated.get('workload')!r:.40}; only models of head CT (ct) come in"
        )
    try:
        return CtChoices.model_validate({key: stated[key] for key in CtChoices.model_fields if key in stated})
    except ValidationError as error:
        raise Refused(f"metadata.json: the choices that brainct wrote are changed: {sentences(error)}") from None
