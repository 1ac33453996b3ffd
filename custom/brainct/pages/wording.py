"""Numbers and lists as pages and tables write them."""

from collections.abc import Sequence


def decimals(value: float | None, places: int = 2) -> str:
    """A number, or a dash."""
    return "–" if value is None else f"{value:.{places}f}"


def percent(share: float) -> str:
    """A share in percent, with a space that does not break."""
    return f"{100 * share:.0f}\u00a0%"


def interval(ends: tuple[float, float] | None) -> str:
    """Two ends, or nothing."""
    return "" if ends is None else f"{ends[0]:.2f} to {ends[1]:.2f}"


def size(count: float) -> str:
    """Bytes in the unit that fits."""
    for unit in ("bytes", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "bytes" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def duration(seconds: float) -> str:
    """Seconds, minutes or hours."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def counted(count: int, one: str, many: str = "") -> str:
    """A number with its noun."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def sites_in_words(names: Sequence[str], all_names: Sequence[str]) -> str:
    """Hospitals by name, or how many if it is all of several."""
    everybody = len(names) > 2 and set(names) == set(all_names)
    return f"all {len(names)} hospitals" if everybody else listing(names)


def listing(names: Sequence[str], most: int = 8) -> str:
    """Names joined by commas; a long list is cut, and how many are left out is said."""
    if len(names) > most + 1:
        return f"{', '.join(names[:most])} and {len(names) - most} more"
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def spans(numbers: Sequence[int]) -> str:
    """Whole numbers, rising, as `0-3, 5`."""
    parts: list[list[int]] = []
    for each in numbers:
        if parts and parts[-1][-1] == each - 1:
            parts[-1][1:] = [each]
        else:
            parts.append([each])
    return ", ".join("–".join(map(str, part)) for part in parts)
