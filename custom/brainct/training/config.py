"""Local training in one round, as a job states it."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer

from brainct.errors import Refused


class Choices(BaseModel):
    """A part of a job's choices: unknown keys and infinite numbers are refused; nothing changes after validation."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _in_order(found: list[int]) -> list[int]:
    if found[0] > found[1]:
        raise ValueError(f"wanted the least batch size first, then the most, got {found}")
    return found


BatchSize = Annotated[int, Field(ge=1, le=10**7)]
BatchSizes = Annotated[list[BatchSize], Field(min_length=2, max_length=2), AfterValidator(_in_order)]


class Remember(Choices):
    """How a training that starts from an earlier model keeps what that one knew; each is a weight >= 0, and 0 is off.

    replay: of the mean loss of earlier scans of the same site, one for each scan of a batch. distill: of the mean
    squared difference of the logits from the start model's on the same batch. ewc: of half the squared distance from
    the start model, each weight's times its Fisher information on earlier scans. See training.remember.
    """

    replay: float = Field(0.0, ge=0, le=10**6)
    distill: float = Field(0.0, ge=0, le=10**9)
    ewc: float = Field(0.0, ge=0, le=10**9)


class Fit(Choices):
    """Local training in one round.

    epochs: E, passes over the site's training samples; steps, if given, takes their place. rate: eta. decay: `cosine`
    lets the rate fall to 0 over the run's rounds. batch_size: a number for all sites; null leaves it to each site's
    file, and so do two numbers, from the one to the other. The optimiser starts anew in each round; its state never
    travels. precision: `bfloat16` trains with torch's autocast, which is faster on processors made for it and gives
    other bits; weights, optimiser and scores stay float32. remember: null for no part of what an earlier model knew.
    """

    optimizer: Literal["sgd", "adam", "adamw"] = "adamw"
    rate: float = Field(0.003, gt=0)
    momentum: float = Field(0.0, ge=0, lt=1)
    weight_decay: float = Field(0.0, ge=0)
    decay: Literal["constant", "cosine"] = "constant"
    precision: Literal["float32", "bfloat16"] = "float32"
    epochs: int = Field(1, ge=1, le=10**6)
    steps: int | None = Field(None, ge=1, le=10**9)
    batch_size: BatchSize | BatchSizes | None = None
    remember: Remember | None = None

    @model_serializer(mode="wrap")
    def _without_what_is_off(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # see job.config.Plan: what came later is no choice while off
        found: dict[str, Any] = handler(self)
        return {key: value for key, value in found.items() if key != "remember" or value is not None}

    def batch_of(self, own: int, site: str) -> int:
        """The batch size of a site whose file says `own`; Refused where that is outside the job's two numbers."""
        if not isinstance(self.batch_size, list):
            return self.batch_size or own
        least, most = self.batch_size
        if not least <= own <= most:
            raise Refused(
                f"{site} trains with batches of {own} by its site file, the job takes {least} to {most}; change "
                "`batch_size` in the site file, or leave this job"
            )
        return own
