"""docs/schemes.md, made from the registry: a short table, and for each family a diagram and a block a scheme."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

from brainct.catalogue.families import FAMILIES
from brainct.catalogue.rooms import architecture_page
from brainct.catalogue.round_bytes import outdated, round_bytes
from brainct.core.arguments import in_words
from brainct.core.scheme import Capability, arguments_schema
from brainct.errors import Refused
from brainct.schemes import SCHEMES, about
from brainct.security.page import with_list

HEAD = """# Schemes

Made by `brainct schemes --write` from the registry; `brainct jobs check` says when it is out of date.

**bytes** are those to and from a site in a round of the scheme's job, the mean over 5 sites and 5 rounds of a dry run;
a job with another network than the default has the bytes of that one. In the blocks below P is the bytes of the model
(107,736 for the default network), H those of its head, and m the number of sites asked.

| scheme | in one sentence | bytes to / from a site | choose it when |
|---|---|---|---|
"""
CAPABILITIES = {
    "secure_aggregation": "secure aggregation",
    "update_noise": "clipping and noise on updates",
    "private_training": "private training (DP-SGD)",
}
"""Capability -> its name on the page; [privacy.md](privacy.md) describes the policies that demand it."""
NEEDS = {
    "network": "a layered network",
    "images": "image channels",
    "samples": "the raw inputs of a fold",
    "labels": "0/1 labels",
    "public": "a public set",
    "columns": "columns that are variables",
}
"""What a scheme may need of a workload -> its name on the page."""
TAIL = """
## Rules that hold for all schemes

- A wrapper allows no capability that the scheme inside it rules out; [privacy.md](privacy.md) describes the policies
  that demand one.
- Floating tensors are averaged, BatchNorm's running statistics included; integer and boolean tensors are counters, of
  which the elementwise largest is kept. The networks here have no BatchNorm, and building one that has it is refused.
- Sums run in float64 over the sites' names in sorted order, never in order of arrival.
- The optimiser starts anew in every round; its state never travels.
- A scheme is pure functions that run without FLARE; its whole state is plain data, hashed and saved without pickle.
"""


def schemes() -> str:
    """The whole page."""
    members = families()
    rows = "".join(_row(name) for names in members.values() for name in names)
    return HEAD + rows + "".join(_section(family, names) for family, names in members.items()) + TAIL


def families() -> dict[str, list[str]]:
    """The registry's families in the page's order, those without a diagram last, and their schemes, sorted."""
    found: dict[str, list[str]] = {family: [] for family in FAMILIES}
    for name in sorted(SCHEMES):
        found.setdefault(about(name).family, []).append(name)
    return {family: names for family, names in found.items() if names}


def write_docs(docs: Path) -> None:
    """Write docs/schemes.md, and the generated parts of docs/privacy.md and docs/architecture.md if they are there."""
    docs.mkdir(parents=True, exist_ok=True)
    (docs / "schemes.md").write_text(schemes())
    for name, generate in PARTLY.items():
        if (docs / name).is_file():
            (docs / name).write_text(generate((docs / name).read_text()))


def check_docs(docs: Path) -> list[str]:
    """What is out of date in docs, in sentences."""
    findings = [
        f"family {family!r} has no diagram of its round; add it to FAMILIES in catalogue/families.py"
        for family in families()
        if family not in FAMILIES
    ]
    if others := outdated():
        findings.append(f"round_bytes.json is out of date ({', '.join(others)}); run `brainct schemes --write`")
    if not (docs / "schemes.md").is_file() or (docs / "schemes.md").read_text() != schemes():
        findings.append("docs/schemes.md differs from the registry; run `brainct schemes --write`")
    for name, generate in PARTLY.items():
        page = docs / name
        if page.is_file() and generate(page.read_text()) != page.read_text():
            findings.append(f"the generated part of docs/{name} is out of date; run `brainct schemes --write`")
    return findings


PARTLY: dict[str, Callable[[str], str]] = {"privacy.md": with_list, "architecture.md": architecture_page}
"""Pages of which a part is generated: the list of what leaves a site, the picture of the rooms."""


def bytes_of(name: str) -> str:
    """Bytes to and from a site in a round."""
    return " / ".join(f"{count:,}" for count in round_bytes(name))


def block(name: str) -> str:
    """All that the page says of one scheme."""
    factory, row = SCHEMES[name], about(name)
    scheme = factory()
    lines = [
        f"\n### `{name}`\n",
        f"{row.summary} Choose it when {row.when}.\n",
        f"- Paper: {row.paper}",
        f"- Sends: {row.sends}; bytes to / from a site in a round: {bytes_of(name)}",
        f"- Client state: {row.client_state}",
        f"- Lost site: {row.lost_site}",
        f"- Quorum: {_quorum(name)}",
        f"- Privacy: {row.privacy}",
        *_capabilities(name),
    ]
    if scheme.needs:
        lines.append(f"- Needs of the workload: {', '.join(NEEDS[need] for need in NEEDS if need in scheme.needs)}")
    return "\n".join(lines) + "\n" + _arguments(arguments_schema(factory)["properties"])


def _row(name: str) -> str:
    row = about(name)
    return _cells(f"[`{name}`](#{name})", row.summary, bytes_of(name), row.when)


def _section(family: str, names: list[str]) -> str:
    title, blocks = f"\n## {family.capitalize()}\n", "".join(block(name) for name in names)
    if family not in FAMILIES:
        return title + blocks
    return f"{title}\n{FAMILIES[family].says}\n\n{FAMILIES[family].diagram()}{blocks}"


def _quorum(name: str) -> str:
    """The first line of the docstring of a scheme's quorum."""
    words = SCHEMES[name]().quorum.__doc__
    if not words:
        raise Refused(f"{name}: its `quorum` has no docstring; give it one line, which its block in the docs shows")
    return words.splitlines()[0].rstrip(".").lower()


def _capabilities(name: str) -> list[str]:
    """A line for those that are possible, and one with the reason for each that is not."""
    blocks = about(name).blocks
    possible = [CAPABILITIES[one] for one in get_args(Capability) if one not in blocks]
    ruled_out = [f"- Not possible: {CAPABILITIES[one]}, because {why}" for one, why in blocks.items()]
    return ([f"- Possible: {', '.join(possible)}"] if possible else []) + ruled_out


def _arguments(properties: dict[str, dict[str, Any]]) -> str:
    if not properties:
        return "\nNo arguments.\n"
    rows = [
        _cells(f"`{name}`", f"`{json.dumps(one['default'])}`" if "default" in one else "", in_words(one), _meaning(one))
        for name, one in properties.items()
    ]
    return "\n| argument | default | range | meaning |\n|---|---|---|---|\n" + "".join(rows)


def _meaning(argument: dict[str, Any]) -> str:
    return str(argument.get("description", ""))


def _cells(*cells: str) -> str:
    """A row of a table."""
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |\n"
