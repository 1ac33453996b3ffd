"""What the site files of all workloads share: strict choices, and the fractions of the folds."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
SampleCount = Annotated[int, Field(ge=1, le=10**7)]


class SiteChoices(BaseModel):
    """Choices in a site file: strict types, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Split(SiteChoices):
    """Fractions of the folds (sum 1), and the seed of the random split."""

    train: Share = 0.6
    valid: Share = 0.2
    test: Share = 0.2
    seed: Seed = 0

    @model_validator(mode="after")
    def _adds_up(self) -> "Split":
        if abs(sum(self.fractions) - 1) > 1e-6:
            raise ValueError(f"`split`: train, valid and test add up to {sum(self.fractions):g}, wanted 1")
        if self.train == 0:
            raise ValueError("`split.train`: got 0, wanted more than 0: a site without training scans cannot take part")
        return self

    @property
    def fractions(self) -> tuple[float, float, float]:
        """Train, valid, test, in the order of FOLDS."""
        return self.train, self.valid, self.test
