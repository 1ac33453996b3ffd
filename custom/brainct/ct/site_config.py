"""The site file `brainct.yaml`: where a hospital's scans lie and how they are read; it never travels with a job."""

import difflib
import json
import os
import re
import string
from collections import Counter
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from brainct.ct.folds import WINDOWS
from brainct.ct.read.opened import content
from brainct.errors import Refused

Kind = Literal["phantom", "png_csv", "class_folders", "manifest"]
Finding = Literal["epidural", "intraparenchymal", "intraventricular", "subarachnoid", "subdural", "any"]
Fraction = Annotated[float, Field(ge=0, le=1)]

LARGEST = 2**16
"""Bytes of a site file."""
_Seed = Annotated[int, Field(ge=0, lt=2**63)]
_Count = Annotated[int, Field(ge=1, le=10**7)]

ON_DISK = ("png_csv", "class_folders", "manifest")
MEANT_FOR = {
    "root": ON_DISK,
    "labels": ("png_csv", "manifest"),
    "columns": ("png_csv", "manifest"),
    "id_column": ("png_csv",),
    "images": ("png_csv",),
    "classes": ("class_folders",),
    "allow_missing": ON_DISK,
    "fov_mm": ("manifest",),
    "deal": ON_DISK,
    "public": ON_DISK,
    "pictures": ON_DISK,
    "phantom": ("phantom",),
}
"""The keys that only some kinds read; elsewhere they are refused, because they would be a choice without effect."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class Split(_Part):
    """Fractions of the folds (sum 1) and the seed that decides which scan goes where."""

    train: Fraction = 0.6
    valid: Fraction = 0.2
    test: Fraction = 0.2
    seed: _Seed = 0

    @model_validator(mode="after")
    def _adds_up(self) -> "Split":
        if abs(sum(self.fractions) - 1) > 1e-6:
            raise ValueError(f"`split`: train, valid and test add up to {sum(self.fractions):g}, wanted 1")
        if self.train == 0:
            raise ValueError("`split.train`: got 0, wanted more than 0: a site without training scans cannot take part")
        return self

    @property
    def fractions(self) -> tuple[float, float, float]:
        """Train, valid, test: the order of `scans.FOLDS`."""
        return self.train, self.valid, self.test


class Deal(_Part):
    """How one data set is dealt out to the sites of a simulation; a real hospital leaves it out.

    how: `iid` equal shares; `dirichlet` equal shares, `any` skewed; `size` unequal shares.
    alpha: concentration of the Dirichlet distribution, >= 0.001: small is very unequal, 100 is nearly equal.
    scans: training scans per site (for `size` their mean over sites), None for all there are.
    test: `shared` gives every site the same held-out scans, `dealt` gives each site some of its own.
    test_scans: size of the shared test fold; None takes the split's fraction, `rest` all that was not dealt.
    public: scans set aside as the public set of all sites, without their labels, >= 1; None for no such set.
    """

    how: Literal["iid", "dirichlet", "size"] = "iid"
    alpha: Annotated[float, Field(ge=0.001)] = 0.5
    seed: _Seed = 0
    scans: _Count | None = None
    test: Literal["shared", "dealt"] = "shared"
    test_scans: int | str | None = None
    public: _Count | None = None

    @field_validator("test_scans", mode="plain")
    @classmethod
    def _count_or_rest(cls, got: object) -> object:
        if got is None or got == "rest" or (isinstance(got, int) and not isinstance(got, bool) and got >= 1):
            return got
        raise ValueError(f"`deal.test_scans`: got {got!r}, wanted a number of scans >= 1, or `rest`")

    @model_validator(mode="after")
    def _consistent(self) -> "Deal":
        if self.how == "iid" and "alpha" in self.model_fields_set:
            raise ValueError("`deal.alpha` is for `how: dirichlet` and `how: size`; `how: iid` has none: remove it")
        if self.test == "dealt" and self.test_scans is not None:
            raise ValueError("`deal.test_scans` is for `test: shared`; with `test: dealt` set `split.test` instead")
        if self.test_scans == "rest" and self.scans is None:
            raise ValueError("`deal.test_scans: rest` needs `deal.scans`: without it no scan is left over")
        return self


class PhantomChoices(_Part):
    """The synthetic scans of one site: how many, seed, difficulty, share of positives, and scanner, by its name.

    None for the last two: those that belong to the site's name.
    public: scans of the public set, which depends on this, the seed and the difficulty, and not on the site's name.
    """

    scans: _Count = 80
    seed: _Seed = 0
    difficulty: Annotated[float, Field(gt=0)] = 1.0
    prevalence: Fraction | None = None
    scanner: str | None = None
    public: _Count = 96

    @field_validator("scanner")
    @classmethod
    def _known_scanner(cls, got: str | None) -> str | None:
        from brainct.ct.phantom import SCANNERS

        known = [scanner.name for scanner in SCANNERS]
        if got is not None and got not in known:
            raise ValueError(f"`phantom.scanner`: got {got!r}, wanted one of {', '.join(known)}")
        return got


class PublicSet(_Part):
    """The public scans that every site of the federation holds alike: a folder with a manifest.

    root: the folder, as the site file's `root`. labels: the manifest in it, like a site's own; its
    findings may be empty and are not used.
    """

    root: Path
    labels: str = "labels.csv"


class SiteFile(_Part):
    """One site's choices.

    windows: (level, width) in HU. fov_mm: side of the square or cube shown, in mm. pictures: whether a report that is
    made on a machine with this file may show single scans; the phantom's always may.
    """

    kind: Kind
    root: Path | None = None
    labels: str = "labels.csv"
    columns: Mapping[Finding, str] | None = None
    id_column: str = "id"
    images: str = "{id}.png"
    classes: Mapping[str, tuple[Finding, ...]] | None = None
    windows: tuple[tuple[float, float], ...] = WINDOWS
    split: Split = Split()
    batch_size: _Count = 8
    device: str = "auto"
    allow_missing: bool = False
    fov_mm: Annotated[float, Field(gt=0)] | None = None
    deal: Deal | None = None
    public: PublicSet | None = None
    pictures: bool = False
    phantom: PhantomChoices = PhantomChoices()

    @field_validator("device")
    @classmethod
    def _known_device(cls, got: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", got):
            raise ValueError(f"`device`: got {got!r}, wanted auto, cpu, cuda or cuda:N")
        return got

    @field_validator("windows")
    @classmethod
    def _wide(cls, got: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        if not got or any(width <= 0 for _, width in got):
            raise ValueError("`windows`: wanted at least one [level, width] in HU, each width more than 0")
        return got

    @field_validator("images")
    @classmethod
    def _only_the_id(cls, got: str) -> str:
        try:
            fields = [name for _, name, _, _ in string.Formatter().parse(got) if name is not None]
        except ValueError:
            fields = []
        if fields != ["id"]:
            raise ValueError(f"`images`: got {got!r}, wanted one {{id}} in a file name, such as head_ct/{{id:03d}}.png")
        return got

    @model_validator(mode="after")
    def _fits_its_kind(self) -> "SiteFile":
        said = [
            f"`{key}` is not read by kind {self.kind}, only by {', '.join(kinds)}: remove it"
            for key, kinds in MEANT_FOR.items()
            if key in self.model_fields_set and self.kind not in kinds
        ]
        if self.kind != "phantom" and self.root is None:
            said.append(f"`root` is missing: kind {self.kind} needs the folder that holds the scans")
        if self.kind == "class_folders" and not self.classes:
            said.append("`classes` is missing: name each folder with its findings, {hemorrhage: [any], normal: []}")
        if self.public is not None and self.deal is not None and self.deal.public is not None:
            said.append("`public` and `deal.public` both name a public set: remove one of the two")
        if said:
            raise ValueError("; ".join(said))
        return self


def read_site_file(path: Path | str) -> SiteFile:
    """The checked site file, `${NAME}` in `root` replaced and `root` made absolute; Refused lists all that is wrong."""
    path = Path(path)
    given = _parsed(path)
    given = _rooted(given, path)
    if isinstance(given.get("public"), Mapping):
        given = {**given, "public": _rooted(given["public"], path)}
    try:
        return SiteFile.model_validate_json(json.dumps(given, default=str))
    except ValidationError as error:
        problems = [_plain(each) for each in error.errors()]
        raise Refused("\n- ".join([f"{path.name}: {len(problems)} to put right", *problems])) from None


def _rooted(given: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The same keys, `root` made absolute from the site file's folder."""
    if not isinstance(given.get("root"), str):
        return dict(given)
    return {**given, "root": str(path.resolve().parent / _expanded(given["root"], path.name))}


class _Yaml(yaml.SafeLoader):
    """YAML in which yes, no, on and off are words (folders are called that), no key may stand twice, and nothing is
    said by reference: an alias may hold itself, or stand for a billion words."""

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.current_event.start_mark
            raise yaml.MarkedYAMLError(problem="an alias (*), wanted the value itself", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        count = Counter(str(self.construct_object(key, deep=True)) for key, _ in node.value)
        twice = sorted(key for key, times in count.items() if times > 1)
        if twice:
            raise yaml.MarkedYAMLError(problem=f"key {twice[0]} stands twice", problem_mark=node.start_mark)
        return super().construct_mapping(node, deep)


_BOOL = "tag:yaml.org,2002:bool"
_Yaml.yaml_implicit_resolvers = {
    first: [each for each in each_of if each[0] != _BOOL] for first, each_of in _Yaml.yaml_implicit_resolvers.items()
}
_Yaml.add_implicit_resolver(_BOOL, re.compile(r"^(?:true|false)$", re.IGNORECASE), list("tTfF"))


def _parsed(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise Refused(
            f"no site file at {path.absolute()}: create it (see poc/sites/) or correct the path in BRAINCT_SITE"
        )
    # the site's own people name this file, so it may be a link, as a container's mounted configuration is
    text = content(path.resolve(), path.name, most=LARGEST)
    try:
        given = yaml.load(text.decode("utf-8-sig"), Loader=_Yaml)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise Refused(f"{path.name}, line {line}: not valid YAML: {error.problem or error.context}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise Refused(f"{path.name}: not a text file in UTF-8: save it again as UTF-8") from None
    except RecursionError:
        raise Refused(f"{path.name}: nested too deeply, wanted lines of `key: value`: write it anew") from None
    except Exception as error:  # a date, a number or a !!tag that can't be one fails PyYAML in many ways
        raise Refused(f"{path.name}: holds a value that is none ({type(error).__name__}): correct it") from None
    if not isinstance(given, dict):
        raise Refused(f"{path.name}: wanted lines of `key: value` beginning with `kind:`, got {type(given).__name__}")
    return {str(key): value for key, value in given.items()}


def _expanded(root: str, name: str) -> str:
    def value(match: re.Match[str]) -> str:
        found = os.environ.get(match[1])
        if not found:
            raise Refused(
                f"{name}: `root` is {root}, but the environment variable {match[1]} is not set: "
                f"set {match[1]} to the folder that holds the scans, or write that folder as `root`"
            )
        return found

    return re.sub(r"\$\{(\w+)\}", value, root)


def _plain(error: ErrorDetails) -> str:
    parts = [str(part) for part in error["loc"] if part != "[key]"]
    key, got, text = ".".join(parts), error["input"], error["msg"]
    if error["type"] == "value_error":
        return str(error["ctx"]["error"])
    if error["type"] == "missing":
        return f"`{key}` is missing"
    if error["type"] == "extra_forbidden":
        return f"unknown key `{key}`{_meant(parts)}"
    return f"`{key}`: got {got!r:.80}, wanted {text.removeprefix('Input should be ')}"


def _meant(parts: list[str]) -> str:
    models: dict[str, type[BaseModel]] = {
        "split": Split,
        "deal": Deal,
        "phantom": PhantomChoices,
        "public": PublicSet,
    }
    known = list((models[parts[0]] if len(parts) > 1 else SiteFile).model_fields)
    close = difflib.get_close_matches(parts[-1], known, n=1)
    return f": did you mean `{close[0]}`?" if close else f": wanted one of {', '.join(known)}"
