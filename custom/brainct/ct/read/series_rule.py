"""Which series of a study is the plain axial brain series, and why the others are not."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from brainct.ct.read.series_headers import SliceHeader
from brainct.ct.read.slices import STEEP
from brainct.ct.read.stack import usual_gap
from brainct.ct.site_choices import SeriesRule
from brainct.errors import Refused

PLAIN = re.compile(r"\b(wo|w/o|without|non|no|pre|plain|nati[vf]e?|unenhanced|ohne)\b", re.I)
CONTRAST = re.compile(r"contrast|\bpost\b|\bCE\b|\bCTA\b|angio|\+ ?C\b|\bKM\b|\bC\+|perfusion|venous|arterial", re.I)
BONE = re.compile(r"\bbone|knochen|\blung|\bsharp", re.I)
REFORMED = re.compile(r"\b(MIP|MPR|cor(onal)?|sag(ittal)?|3D|VRT|recon 3)\b", re.I)
REPORT = re.compile(r"dose|report|protocol|screen ?save|\bSR\b", re.I)
ELSEWHERE = re.compile(
    r"neck|chest|thorax|abdom|pelvi|spine|cardiac|heart|smartscore|sinus|orbit|temporal|petrous|facial|hals", re.I
)
HEADS = ("HEAD", "BRAIN", "SKULL", "CRAN", "NEURO", "SCHAEDEL", "KOPF")
PROSE = {
    "scout": "a scout (localizer)",
    "secondary": "a secondary capture or dose report",
    "burnt-in": "burnt-in annotation, which may show a name",
    "geometry": "no geometry in the headers",
    "axial": "not axial",
    "derived": "derived images (MIP, MPR)",
    "contrast": "contrast agent",
    "bone": "bone or lung kernel",
    "body": "another part of the body",
    "few": "too few slices",
    "mixed": "slices of different size, spacing or orientation",
    "missing": "slices are missing, or two are at one position",
}
"""Why a series is set aside, in the order in which it is looked for."""


@dataclass(frozen=True)
class Series:
    """One series: its files from the lowest slice up, and whether it is chosen and why."""

    uid: str
    files: tuple[SliceHeader, ...]
    chosen: bool = False
    reason: str = ""

    @property
    def first(self) -> SliceHeader:
        """The header that speaks for the series."""
        return self.files[0]

    @property
    def slices(self) -> int:
        """Slices in all files."""
        return sum(file.frames for file in self.files)


def series_of(headers: Sequence[SliceHeader], rule: SeriesRule) -> list[Series]:
    """Every series of a tree with the rule's choice: at most one a study; in the order of their first file's name."""
    groups: dict[str, list[SliceHeader]] = {}
    for header in headers:
        groups.setdefault(header.series or header.name, []).append(header)
    found = [_with_reason(uid, files, rule) for uid, files in groups.items()]
    studies: dict[str, list[Series]] = {}
    for one in found:
        if one.chosen:
            studies.setdefault(one.first.study or one.uid, []).append(one)
    best = {min(plain, key=lambda one: _rank(one, rule)).uid: len(plain) for plain in studies.values()}
    return [_among(one, best, rule) if one.chosen else one for one in found]


def _among(one: Series, best: Mapping[str, int], rule: SeriesRule) -> Series:
    if one.uid not in best:
        return replace(
            one, chosen=False, reason=f"another plain series of this study is nearer to {rule.slice_mm:g} mm"
        )
    others = f", of {best[one.uid]} plain series nearest to {rule.slice_mm:g} mm" if best[one.uid] > 1 else ""
    return replace(one, reason=one.reason + others)


def _rank(one: Series, rule: SeriesRule) -> tuple[object, ...]:
    included = rule.include is not None and re.search(rule.include, one.first.description, re.I)
    return (not included, abs(_distance(one) - rule.slice_mm), -one.slices, one.first.number, one.uid)


def _distance(one: Series) -> float:
    gaps = np.diff([file.height for file in one.files])
    return float(np.median(gaps)) if len(gaps) else one.first.thickness or 0.0


def _with_reason(uid: str, files: Sequence[SliceHeader], rule: SeriesRule) -> Series:
    plain, aside = _plain_files(files)
    plain = sorted(plain, key=lambda file: (file.height, file.name))
    one = Series(uid, tuple(plain))
    asked = rule.include is not None and re.search(rule.include, one.first.description, re.I)
    problems = [word for word in _problems(one, rule) if word not in rule.allow]
    if asked:
        problems = [word for word in problems if word in ("geometry", "axial", "burnt-in", "few", "mixed", "missing")]
    if one.first.modality != "CT":
        return replace(one, reason=f"Modality {one.first.modality or 'is not stated'}")
    if rule.exclude is not None and re.search(rule.exclude, one.first.description, re.I):
        return replace(one, reason="excluded by `series.exclude`")
    if problems:
        return replace(one, reason=PROSE[problems[0]])
    more = f"; {aside} files of it set aside (scout, contrast or derived)" if aside else ""
    return replace(
        one, chosen=True, reason=("as `series.include` asks" if asked else "plain axial brain series") + more
    )


def _plain_files(files: Sequence[SliceHeader]) -> tuple[list[SliceHeader], int]:
    """The files without scouts, contrast and reformations where a series mixes them with plain slices."""
    kept = list(files)
    for kind in ("scout", "secondary", "derived", "contrast"):
        plain = [file for file in kept if kind not in file.kinds]
        kept = plain or kept
    return kept, len(files) - len(kept)


def _problems(one: Series, rule: SeriesRule) -> list[str]:
    first, said = one.first, one.first.description
    kinds = {kind for file in one.files for kind in file.kinds}
    contrast = CONTRAST.search(said) and not PLAIN.search(said)
    elsewhere = (first.body_part and not first.body_part.startswith(HEADS)) or ELSEWHERE.search(said)
    known = {
        "scout": "scout" in kinds,
        "secondary": "secondary" in kinds or bool(REPORT.search(said)),
        "burnt-in": "burnt-in" in kinds,
        "geometry": first.orientation is None or first.place is None,
        "axial": first.orientation is not None and _off_axial(first.orientation) > STEEP,
        "derived": "derived" in kinds or bool(REFORMED.search(said)),
        "contrast": "contrast" in kinds or bool(contrast),
        "bone": "bone" in kinds or bool(BONE.search(said)),
        "body": bool(elsewhere),
        "few": one.slices < rule.least_slices,
        "mixed": len({(file.pixels, _rounded(file.orientation)) for file in one.files}) > 1,
    }
    found = [word for word in PROSE if known.get(word)]
    return found or ["missing"] * (not _whole(one))


def _rounded(numbers: tuple[float, ...] | None) -> tuple[float, ...]:
    return tuple(round(each, 2) for each in numbers or ())


def _off_axial(orientation: Sequence[float]) -> float:
    normal = np.cross(orientation[:3], orientation[3:])
    return float(np.degrees(np.arccos(min(1.0, abs(float(normal[2]))))))


def _whole(one: Series) -> bool:
    """Whether the slices form one stack; files that are there twice count once."""
    heights = np.unique(np.round([file.height for file in one.files], 2))
    copies = len({file.image for file in one.files})
    try:
        usual_gap(heights, "")
    except Refused:
        return False
    return len(heights) == copies or one.slices > len(one.files)
