"""The picture of what flows where in a run: three boxes, two arrows, in plain SVG."""

from html import escape

BOX = '<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="6" fill="{fill}" stroke="#333"/>'
FONT = 'font-family="sans-serif" font-size="12" fill="#222"'
BOLD = ' font-weight="bold"'


def data_flow(site: str, server: str, policy: str) -> bytes:
    """The SVG of one site's data flow. server: host and port. policy: its terms in a few words."""
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 860 330" width="860" height="330" role="img">',
        '<defs><marker id="tip" markerWidth="9" markerHeight="9" refX="8" refY="4" orient="auto">'
        '<path d="M0,0 L8,4 L0,8 z"/></marker></defs><rect width="860" height="330" fill="#fff"/>',
        _box(15, 15, 465, 295, "#eef4fb", [f"{site}: what is in here stays here"], bold=True),
        _box(35, 60, 190, 100, "#fff", ["scans and labels", "opened read-only, on", "the site's own disk"]),
        _box(265, 60, 195, 100, "#fff", ["training process", "model, losses, counts;", "client state on disk (0600)"]),
        _box(265, 195, 195, 95, "#fdf3dc", ["privacy policy", *_lines(policy, 27, 3)]),
        _box(35, 195, 190, 95, "#fff", ["privacy ledger, audit.log", "what left, when, at which", "price; stays here"]),
        _box(
            650,
            60,
            190,
            230,
            "#f3f3f3",
            ["server", server, "sees replies, never scans;", "checkpoint, record, model"],
        ),
        _arrow(225, 110, 263, 110),
        _arrow(362, 160, 362, 193),
        _arrow(265, 243, 227, 243),
        _arrow(460, 243, 648, 243, "replies, as listed below"),
        _arrow(648, 110, 462, 110, "model to train; a plan"),
        f'<text x="495" y="310" {FONT}>one outgoing TCP connection, mutual TLS</text></svg>',
    ]
    return "".join(parts).encode()


def _box(x: int, y: int, w: int, h: int, fill: str, lines: list[str], bold: bool = False) -> str:
    text = ""
    for number, line in enumerate(lines):
        weight = BOLD if bold or not number else ""
        text += f'<text x="{x + 10}" y="{y + 22 + 19 * number}" {FONT}{weight}>{escape(line)}</text>'
    return BOX.format(x=x, y=y, w=w, h=h, fill=fill) + text


def _arrow(x1: int, y1: int, x2: int, y2: int, words: str = "") -> str:
    line = f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#333" stroke-width="2" marker-end="url(#tip)"/>'
    return line + (f'<text x="{min(x1, x2) + 24}" y="{y1 - 8}" {FONT}>{escape(words)}</text>' if words else "")


def _lines(text: str, width: int, most: int) -> list[str]:
    """Words in lines of a box; what does not fit is cut."""
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines[:most] if len(lines) <= most else [*lines[: most - 1], f"{lines[most - 1][: width - 3]}..."]
