"""What a job chooses for causal discovery: the columns. How it searches, its scheme's arguments say."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from brainct.table.config import Name
from brainct.training.config import Choices


class CausalChoices(Choices):
    """The part of a job's choices that is causal discovery's.

    columns: names of the variables, the same at all sites; one that a site lacks is left out of the graph. breaks: for
    a skewed column ascending public numbers; values become standard normal quantiles by the share of these below them,
    the same at every site. min_rows: complete rows below which a site takes no part unless its site file has `force`.
    demonstration: how the data are generated of sites without a site file.
    """

    columns: Annotated[list[Name], Field(min_length=2, max_length=10**4)] = [
        "asia", "tub", "smoke", "lung", "bronc", "either", "xray", "dysp",
    ]  # fmt: skip
    breaks: dict[Name, Annotated[list[float], Field(min_length=2, max_length=10**4)]] = {}
    demonstration: Literal["linear", "nonlinear"] = "linear"
    min_rows: Annotated[int, Field(ge=1)] = 30

    @model_validator(mode="after")
    def _consistent(self) -> "CausalChoices":
        if twice := sorted({name for name in self.columns if self.columns.count(name) > 1}):
            raise ValueError(f"columns names {', '.join(twice)} twice; give each variable once")
        if len(self.columns) > 100:
            raise ValueError(
                f"columns names {len(self.columns)}; a search takes at most 100: choose those of the question"
            )
        if strange := sorted(set(self.breaks) - set(self.columns)):
            raise ValueError(f"breaks names {', '.join(strange)}, not among the columns")
        if wrong := [name for name, each in self.breaks.items() if sorted(set(each)) != each]:
            raise ValueError(f"breaks of {', '.join(wrong)} are not ascending")
        return self
