"""Preprocessing beyond windows and size: MONAI's transforms of one image, by name and argument, from this list alone.

A job comes from another organisation: it may name these classes and give these arguments numbers, and nothing else.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Annotated, Any

from pydantic import Field, model_validator
from torch import Tensor

from brainct.errors import Refused
from brainct.training.config import Choices

Numbers = tuple[float, float]
"""Least and largest value of an argument."""

ALLOWED: dict[str, dict[str, Numbers]] = {
    "MedianSmooth": {"radius": (1, 5)},
    "GaussianSmooth": {"sigma": (0.1, 10)},
    "GaussianSharpen": {"sigma1": (0.1, 10), "sigma2": (0.1, 10), "alpha": (0, 100)},
    "SavitzkyGolaySmooth": {"window_length": (3, 31), "order": (1, 10)},
    "AdjustContrast": {"gamma": (0.1, 10)},
    "HistogramNormalize": {"num_bins": (2, 4096), "min": (0, 1), "max": (0, 1)},
    "ScaleIntensity": {"minv": (0, 1), "maxv": (0, 1)},
    "ScaleIntensityRange": {"a_min": (0, 1), "a_max": (0, 1), "b_min": (0, 1), "b_max": (0, 1)},
    "ScaleIntensityRangePercentiles": {"lower": (0, 100), "upper": (0, 100), "b_min": (0, 1), "b_max": (0, 1)},
    "ThresholdIntensity": {"threshold": (0, 1), "cval": (0, 1)},
    "ShiftIntensity": {"offset": (-1, 1)},
}
"""MONAI's class to its arguments; it maps an image in [0, 1] to one of the same shape, and draws nothing at random."""

WHOLE = ("radius", "window_length", "order", "num_bins")
"""Arguments that are whole numbers."""


class Step(Choices):
    """One transform: transform, a key of ALLOWED; arguments, numbers by name."""

    transform: str
    arguments: dict[str, Annotated[float, Field(ge=-1e6, le=1e6)]] = {}

    @model_validator(mode="after")
    def _allowed(self) -> "Step":
        if self.transform not in ALLOWED:
            raise ValueError(f"transform is {self.transform!r}; allowed are {', '.join(sorted(ALLOWED))}")
        known = ALLOWED[self.transform]
        for name, value in self.arguments.items():
            if name not in known:
                raise ValueError(f"{self.transform} takes {', '.join(known)} here, not {name}")
            least, most = known[name]
            if not least <= value <= most or (name in WHOLE and value != int(value)):
                kind = "a whole number" if name in WHOLE else "a number"
                raise ValueError(f"{self.transform}: {name} is {value:g}; wanted {kind} from {least:g} to {most:g}")
        return self

    def __hash__(self) -> int:
        return hash((self.transform, tuple(sorted(self.arguments.items()))))


def applied(image: Tensor, steps: Sequence[Step]) -> Tensor:
    """(C, H, W[, D]) in [0, 1] after these transforms, each clipped to [0, 1]; Refused where one changes the shape."""
    for step in steps:
        found = _transform(step)(image)
        found = found.as_tensor() if hasattr(found, "as_tensor") else found
        if found.shape != image.shape or not found.isfinite().all():
            raise Refused(f"{step.transform} makes {tuple(found.shape)} of {tuple(image.shape)}, or no numbers of it")
        image = found.to(image).clamp(0, 1)
    return image


@lru_cache(maxsize=64)
def _transform(step: Step) -> Callable[[Tensor], Any]:
    from monai import transforms  # slow, and most jobs have no step

    given = {name: int(value) if name in WHOLE else value for name, value in step.arguments.items()}
    try:
        made: Callable[[Tensor], Any] = getattr(transforms, step.transform)(**given)
        return made
    except Exception as error:  # MONAI checks arguments in its own ways
        raise Refused(f"transform {step.transform} can't be made of its arguments ({type(error).__name__})") from None
