"""The list of everything that leaves a site, as docs/privacy.md shows it."""

from brainct.core.disclosure import ALWAYS, CALL, ROUND, SCORES
from brainct.security import disclosures
from brainct.security.disclosures import ENVELOPE

BEGIN = "<!-- the list: made by `brainct schemes --write` from brainct.security.disclosures -->\n"
END = "<!-- end of the list -->\n"
TITLES = "| what | where in the reply | how it leaves | what a policy changes |\n|---|---|---|---|\n"


def with_list(page: str) -> str:
    """The page with the list between its two marks anew; unchanged where it has no marks."""
    before, mark, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    return f"{before}{mark}{what_leaves()}{end}{after}" if mark and end else page


def what_leaves() -> str:
    """A table for each kind of reply, and what FLARE adds."""
    parts = [f"\n**{title}**\n\n{TITLES}{_rows(when)}" for when, title in TITLED.items()]
    return "".join(parts) + _envelope()


TITLED = {
    CALL: "At the roll call",
    ROUND: "In each round, as the scheme needs it",
    SCORES: "At an evaluation, of held-out samples, for each output",
    ALWAYS: "In every reply",
}


def _rows(when: str) -> str:
    rows = [row for row in disclosures.rows() if row.when == when]
    return "".join(f"| {row.what} | `{row.where}` | {row.rule} | {row.policy or '-'} |\n" for row in rows)


def _envelope() -> str:
    rows = "".join(f"| `{place}` | {what} |\n" for place, what in ENVELOPE.items())
    return f"\n**FLARE's own envelope around each reply**\n\n| place | what |\n|---|---|\n{rows}"
