"""Local training in one round, as a job states it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Choices(BaseModel):
    """A part of a job's choices: unknown keys and infinite numbers are refused; nothing changes after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Fit(Choices):
    """Local training in one round.

    epochs: E, passes over the site's training samples; steps, if given, takes their place. rate: eta. decay: `cosine`
    lets the rate fall to 0 over the run's rounds. batch_size: null leaves it to the site. The optimiser starts anew in
    each round; its state never travels. precision: `bfloat16` trains with torch's autocast, which is faster on
    processors made for it and gives other bits; weights, optimiser and scores stay float32.
    """

    optimizer: Literal["sgd", "adam", "adamw"] = "adamw"
    rate: float = Field(0.003, gt=0)
    momentum: float = Field(0.0, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    decay: Literal["constant", "cosine"] = "constant"
    precision: Literal["float32", "bfloat16"] = "float32"
    epochs: int = Field(1, ge=1, le=10**6)
    steps: int | None = Field(None, ge=1, le=10**9)
    batch_size: int | None = Field(None, ge=1, le=10**7)
