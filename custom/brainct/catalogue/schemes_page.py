"""docs/schemes.md and docs/rounds/, made from the registry: a row a scheme, a picture a family, the rules for all."""

from pathlib import Path

from brainct.catalogue.round_diagrams import PICTURED, file_of, says, svg
from brainct.catalogue.traffic import traffic
from brainct.errors import Refused
from brainct.schemes import SCHEMES, about
from brainct.security.page import with_list

COLUMNS = (
    "scheme",
    "paper",
    "travels in a round",
    "bytes to / from",
    "a site keeps",
    "lost",
    "quorum",
    "arguments",
    "use",
    "privacy",
    "secure aggregation",
    "clipping and noise",
    "private training",
)
HEAD = """# Schemes

Made by `brainct schemes --write` from the registry; `brainct jobs check` says when it is out of date. P is the bytes of
the model (107,736 for the default network), H those of its head, m the number of sites asked. `quorum` is the least
number of replies that closes a round. The last three columns say what a site's privacy policy may demand of a scheme
([privacy.md](privacy.md)); a wrapper allows no more than the scheme within it. Ranges of the arguments, with the
paper's symbols: each scheme's docstring.

`bytes`: to and from a site in a round of the scheme's job, the mean over 5 sites and 5 rounds of a dry run. Not every
network suits every scheme: a job that names another than the default has the bytes of that one.

"""
ROUNDS = """
## One round, by family

Made from `custom/brainct/catalogue/round_diagrams.py` by the same command.
"""
TAIL = """
## Rules that hold for all

- Floating tensors are averaged, BatchNorm's running statistics included; integer and boolean tensors are counters: the
  elementwise largest is kept. The networks here have no BatchNorm, and building one that has is refused.
- Sums run in float64 over the sites' names in sorted order, never in order of arrival.
- The optimiser starts anew in every round; its state never travels.
- A scheme is pure functions that run without FLARE; its whole state is plain data, hashed and saved without pickle.
"""


def schemes() -> str:
    """The whole page."""
    titles = "| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|\n"
    rows = "".join(_row(name) for name in sorted(SCHEMES))
    return HEAD + titles + rows + ROUNDS + "".join(_pictured(family) for family in families()) + TAIL


def families() -> dict[str, list[str]]:
    """The registry's families and their schemes, both sorted."""
    found: dict[str, list[str]] = {}
    for name in sorted(SCHEMES):
        found.setdefault(about(name).family, []).append(name)
    return dict(sorted(found.items()))


def pages() -> dict[str, str]:
    """What is made: text by its path below docs."""
    return {"schemes.md": schemes()} | {f"rounds/{file_of(one)}": svg(one) for one in families() if one in PICTURED}


def write(docs: Path) -> None:
    """Write all pages."""
    for path, text in pages().items():
        (docs / path).parent.mkdir(parents=True, exist_ok=True)
        (docs / path).write_text(text)
    if (docs / "privacy.md").is_file():
        (docs / "privacy.md").write_text(with_list((docs / "privacy.md").read_text()))


def check(docs: Path) -> list[str]:
    """What is out of date below docs, in sentences."""
    findings = [
        f"family {family!r} has no picture of its round; add a row to PICTURED in pictures_of_rounds.py"
        for family in families()
        if family not in PICTURED
    ]
    for path, text in pages().items():
        if not (docs / path).is_file() or (docs / path).read_text() != text:
            findings.append(f"docs/{path} is not what the registry says; run `brainct schemes --write`")
    strange = sorted(path.name for path in (docs / "rounds").glob("*") if f"rounds/{path.name}" not in pages())
    page = docs / "privacy.md"
    if page.is_file() and with_list(page.read_text()) != page.read_text():
        findings.append("docs/privacy.md does not list what may leave a site; run `brainct schemes --write`")
    return findings + [f"docs/rounds/{name} is of no family; remove it" for name in strange]


def bytes_of(name: str) -> str:
    """Bytes to and from a site in a round."""
    return " / ".join(f"{count:,}" for count in traffic(name))


def _row(name: str) -> str:
    scheme, row = SCHEMES[name](), about(name)
    if not scheme.quorum.__doc__:
        raise Refused(f"{name}: its `quorum` has no docstring; give it one line, which its row in the docs shows")
    quorum = scheme.quorum.__doc__.splitlines()[0].rstrip(".").lower()
    arguments = ", ".join(f"`{key}={value}`" for key, value in scheme.arguments.items()) or "none"
    cells = [
        f"`{name}`",
        row.paper,
        row.sends,
        bytes_of(name),
        row.keeps,
        row.lost,
        quorum,
        arguments,
        row.use,
        row.privacy,
        _allowed(row.no_secure_aggregation),
        _allowed(row.no_noise),
        _allowed(row.no_private_training),
    ]
    return "| " + " | ".join(cells) + " |\n"


def _pictured(family: str) -> str:
    names = ", ".join(f"`{name}`" for name in families()[family])
    if family not in PICTURED:
        return f"\n**{family}**: {names}\n"
    return f"\n**{family}**: {names}\n\n![{says(family)}](rounds/{file_of(family)})\n"


def _allowed(reason: str) -> str:
    return f"no: {reason}" if reason else "possible"
