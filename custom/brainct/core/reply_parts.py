"""The types of which replies are made: counts, shares, digests, printable lines; nothing that names anybody."""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _printable(words: str) -> str:
    if not words.isprintable():
        raise ValueError("wanted one printable line")
    return words


FoldName = Literal["train", "valid", "test"]
Count = Annotated[int, Field(ge=0, le=10**9)]
Share = Annotated[float, Field(ge=0, le=1)]
Fingerprint = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Package = Annotated[str, Field(pattern=r"^[0-9a-z.+]{1,32}-[0-9a-f]{16}$")]
Line = Annotated[str, Field(max_length=1000), AfterValidator(_printable)]


class Part(BaseModel):
    """A part of a reply: no key that is not named here, nothing converted."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
