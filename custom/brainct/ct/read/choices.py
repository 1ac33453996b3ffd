"""What a site chooses of how its scans are read."""

from dataclasses import dataclass
from typing import Literal

TiltChoice = Literal["note", "correct", "refuse"]
"""What becomes of a volume of a tilted gantry: read as it is with a note, corrected, or refused."""


@dataclass(frozen=True)
class ReadChoices:
    """tilt: see TiltChoice. axes: where the axes of a NIfTI file run that does not say so, such as `LPS` or `RAS`."""

    tilt: TiltChoice = "note"
    axes: str | None = None


DEFAULT = ReadChoices()
