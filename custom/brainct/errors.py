"""The one error that users see: what was got, what was wanted, whose it is, what to do."""

LONGEST = 500
"""Characters of another party's words that are shown or kept."""


class Refused(ValueError):
    """Input that is refused rather than repaired; its text is shown to the user as it stands, without a traceback."""


class Declined(Refused):
    """A site's refusal whose reason follows from the server's request alone, so that the server may read it."""


def failed(site: str) -> str:
    """The reply of a site that failed after it had looked at its data.

    One sentence for every reason: a server that chooses what fails would read in the reason what the scans are.
    """
    return f"{site} can't answer this; the reason is in the site's own log"


def shown(value: object, most: int = 200) -> str:
    """A value as Python writes it, cut where it is long; in words where Python itself gives up."""
    try:
        return f"{value!r:.{most}}"
    except (ValueError, RecursionError):  # a number of thousands of digits, a list within itself
        return f"a {type(value).__name__} that can't be shown"


def one_line(words: object) -> str:
    """Another party's words as one printable line, cut where they are long: they can't pose as lines of ours."""
    said = str(words) if isinstance(words, str | Exception) else shown(words, LONGEST + 1)
    line = "".join(each if each.isprintable() else " " for each in said[: LONGEST + 1])
    return line if len(said) <= LONGEST else f"{line[:LONGEST]}..."
