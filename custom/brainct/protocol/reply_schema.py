"""What a site may say of its scans and of a model's scores: these keys and no others, so that nobody can be named."""

from collections.abc import Collection, Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from brainct.errors import Refused


def _printable(words: str) -> str:
    if not words.isprintable():
        raise ValueError("wanted one printable line")
    return words


Finding = Literal["epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural", "any"]
FoldName = Literal["train", "valid", "test"]
Count = Annotated[int, Field(ge=0, le=10**9)]
Share = Annotated[float, Field(ge=0, le=1)]
Fingerprint = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Package = Annotated[str, Field(pattern=r"^[0-9a-z.+]{1,32}-[0-9a-f]{16}$")]
Counts = dict[Finding, Count]
Line = Annotated[str, Field(max_length=1000), AfterValidator(_printable)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Fold(_Part):
    scans: Count
    positives: Counts
    negatives: Counts


class _Public(_Part):
    scans: Count
    fingerprint: Fingerprint


class _Check(_Part):
    verdict: Literal["PASS", "WARN", "FAIL"]
    time: Annotated[str, Field(pattern=r"^[0-9T:+-]{25}$")]
    package: Package


class _Kept(_Part):
    round: Annotated[int, Field(ge=-1, le=10**9)]
    empty: bool


class _Description(_Part):
    kind: Annotated[str, Field(pattern=r"^[a-z_]{1,32}$")]
    folds: dict[FoldName, _Fold]
    fingerprint: Fingerprint
    notes: Annotated[list[Line], Field(max_length=100)]
    public: _Public | None = None
    package: Package | None = None
    check: _Check | None = None
    kept: _Kept | None = None


class _Bin(_Part):
    low: Share
    high: Share
    scans: Count
    mean_probability: Share
    positives: Count


class _Score(_Part):
    auroc: Share | None
    auroc_interval: Annotated[list[Share], Field(min_length=2, max_length=2)] | None
    sensitivity_at_90_specificity: Share | None
    ece: Share | None
    calibration: Annotated[list[_Bin], Field(max_length=100)] | None
    confusion: dict[Literal["tp", "fp", "tn", "fn"], Count] | None
    balanced_accuracy: Share | None
    brier: Share | None
    positives: Count | None
    negatives: Count | None
    unlabelled: Count | None
    reason: Literal["no labelled scan", "no positive scan", "no negative scan", "too few scans", "withheld"] | None


def _with_any(scores: dict[Finding, _Score]) -> dict[Finding, _Score]:
    if "any" not in scores:
        raise ValueError("wanted scores of `any` among them")
    return scores


class _Scores(_Part):
    scores: Annotated[dict[Finding, _Score], AfterValidator(_with_any)]


def described(site: str, answer: Mapping[str, Any], needed: Collection[str] = ()) -> dict[str, Any]:
    """A site's answer at the roll call, checked: counts by fold and finding, a kind, fingerprints, notes in words.

    needed: what this run can't do without, beside what every run needs.
    """
    found = _checked(_Description, answer.get("about"), f"{site}, the roll call")
    said = {key: value for key, value in found.items() if value is not None}
    if missing := [key for key in needed if key not in said]:
        raise Refused(f"{site}, the roll call: lacks {', '.join(missing)}; is it another version of brainct?")
    return said


def scored(site: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    """A site's scores of a model, checked: for each finding what ct.scores gives."""
    found: dict[str, Any] = _checked(_Scores, {"scores": answer.get("scores")}, f"{site}, its scores")["scores"]
    return found


def _checked(kind: type[BaseModel], answer: object, whose: str) -> dict[str, Any]:
    try:
        return kind.model_validate(answer).model_dump(exclude_unset=True)
    except ValidationError as error:
        found = len(error.errors())
        raise Refused(
            f"{whose}: {found} keys or values are none that a site may send (see protocol.reply_schema); they are not "
            "repeated here, as they might name a patient"
        ) from None
