"""docs/rounds/: for each family of schemes one round as a picture: what the server holds, what travels, what stays."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

NAMES = ("A", "B", "C")


@dataclass(frozen=True)
class Pictured:
    """One round of a family, in lines of text.

    holds, combines: at the server, at most 96 letters. down, up: beside the arrows to and from each hospital, all alike
    or one for each; at most 3 lines of 15 letters. does, stays: at each hospital, at most 2 lines of 34 letters,
    of 30 in the first that stays.
    """

    holds: str
    combines: str
    down: Sequence[str]
    up: Sequence[str]
    does: Sequence[str]
    stays: Sequence[str]


def _of(labels: Sequence[str], column: int) -> str:
    return labels[column] if len(labels) > 1 else labels[0]


PICTURED = {
    "averaging": Pictured(
        holds="one model",
        combines="the mean of the reported models, weighted by their numbers of scans",
        down=["the model"],
        up=["its model,\nnumber of\nscans"],
        does=["trains on its own scans"],
        stays=["its scans"],
    ),
    "baselines": Pictured(
        holds="one model; with `local` nothing",
        combines="one step along the mean gradient; with `local` nothing at all",
        down=["the model;\nlocal: nothing"],
        up=["a gradient;\nlocal: counts,\nlosses"],
        does=["gradient over its own scans;", "local: trains its own model"],
        stays=["its scans;", "local: its model"],
    ),
    "daisy-chaining": Pictured(
        holds="one model for each hospital, and who has which: the server alone knows",
        combines="in most rounds each model goes on to another hospital; every b rounds their mean to all",
        down=["the model\nthat C sent", "the model\nthat A sent", "the model\nthat B sent"],
        up=["it, trained\nfurther"],
        does=["trains the model that came,", "whoever trained it before"],
        stays=["its scans"],
    ),
    "drift": Pictured(
        holds="one model and, for some, a correction",
        combines="the mean of the models, and of what corrects for the hospitals' differences",
        down=["the model,\nthe server's\ncorrection"],
        up=["its model,\nchange of its\ncorrection"],
        does=["trains with a term that holds it", "back or turns its gradient"],
        stays=["its scans;", "for some its own correction"],
    ),
    "personalisation": Pictured(
        holds="the shared part of the model, or the whole",
        combines="the mean of the parts that were reported",
        down=["the shared\npart"],
        up=["the shared\npart, trained"],
        does=["joins it with its own part and", "trains both on its own scans"],
        stays=["its scans; its own part: head,", "normalisation, layers or model"],
    ),
    "server optimiser": Pictured(
        holds="one model, and the optimiser's momentum and second moments",
        combines="the mean change of the hospitals is a gradient; the server takes a step of its own along it",
        down=["the model"],
        up=["its model,\nnumber of\nscans"],
        does=["trains on its own scans"],
        stays=["its scans"],
    ),
    "robust": Pictured(
        holds="one model, and how many hospitals may send anything at all",
        combines="a middle of the models that a few liars can't drag away: median, trimmed mean, Radon point",
        down=["the model"],
        up=["its model", "anything,\nby fault or\nmalice", "its model"],
        does=["trains on its own scans"],
        stays=["its scans"],
    ),
    "matching": Pictured(
        holds="one model; with `fedma` layers done so far, which are frozen",
        combines="the hospitals' units are put into one order, each with those like it, and then averaged",
        down=["the model"],
        up=["its model,\nunits in its\nown order"],
        does=["trains on its own scans"],
        stays=["its scans"],
    ),
    "communication": Pictured(
        holds="the reference: the model that all had in common last",
        combines="few moved far: they and some others are averaged; too many: all are, a new reference",
        down=["a model, if it\nis balanced"],
        up=["how far it\nmoved", "moved too far:\nits model", "how far it\nmoved"],
        does=["trains its own model and measures", "how far it is from the reference"],
        stays=["its scans; its model;", "the reference"],
    ),
    "one round": Pictured(
        holds="one model with a fixed body",
        combines="the sums are added up and the best head follows from them in closed form",
        down=["the model"],
        up=["sums over its\nscans: two\nmatrices"],
        does=["asks the body for the inputs of", "the head and sums their products"],
        stays=["its scans"],
    ),
    "wrappers": Pictured(
        holds="what the scheme inside holds, and a few sums or means of its own",
        combines="as the scheme inside; then averages over rounds, or statistics of all hospitals' scans",
        down=["as the scheme\ninside; means\nover all"],
        up=["as the scheme\ninside; once\nsums of pixels"],
        does=["as the scheme inside, on scans", "in its own or common brightness"],
        stays=["its scans; what the", "scheme inside keeps"],
    ),
    "co-training": Pictured(
        holds="labels of a shared set of scans that no hospital labelled",
        combines="for each shared scan the answer that most hospitals gave",
        down=["the labels that\nmost gave"],
        up=["its labels of\nthe shared set"],
        does=["trains on its scans and on the", "shared ones, labelled by all"],
        stays=["its scans; its model, which", "may be of another kind"],
    ),
}
"""Family -> its round. A family of the registry that is not here is found by `brainct jobs check`."""


def file_of(family: str) -> str:
    """The picture's file below docs/rounds."""
    return family.replace(" ", "_").replace("-", "_") + ".svg"


def svg(family: str) -> str:
    """The picture as SVG, with words for those who don't see it; readable on light and dark pages."""
    one = PICTURED[family]
    columns = "".join(_column(one, at) for at in range(len(NAMES)))
    return _PAGE.format(title=escape(f"One round: {family}"), says=escape(says(family)), columns=columns, style=_STYLE,
                        holds=escape(one.holds), combines=escape(one.combines))  # fmt: skip


def says(family: str) -> str:
    """The picture in words."""
    one = PICTURED[family]
    ways = (f"to hospital {name}: {_flat(one.down, at)}; from it: {_flat(one.up, at)}" for at, name in enumerate(NAMES))
    each = f"each hospital: {' '.join(one.does)}; there stays: {' '.join(one.stays)}"
    return f"The server holds {one.holds}. {'. '.join(ways)}. {each}. The server combines: {one.combines}."


def _flat(labels: Sequence[str], column: int) -> str:
    return _of(labels, column).replace("\n", " ")


def _column(one: Pictured, at: int) -> str:
    left = 20 + 248 * at
    middle = left + 112
    rows = [
        f'  <path class="flow" d="M{left + 8} 92V196"/>\n',
        _lines(_of(one.down, at), left + 16, "says"),
        f'  <path class="flow" d="M{left + 126} 196V92"/>\n',
        _lines(_of(one.up, at), left + 134, "says"),
        f'  <rect class="scan" x="{left}" y="198" width="224" height="112" rx="8"/>\n',
        _text(middle, 218, f"hospital {NAMES[at]}", ' text-anchor="middle" font-weight="600"'),
    ]
    rows += [_text(middle, 238 + 16 * row, line, ' text-anchor="middle"') for row, line in enumerate(one.does)]
    rows += [
        _text(middle, 280 + 16 * row, line, ' text-anchor="middle" class="stays"')
        for row, line in enumerate([f"stays: {one.stays[0]}", *one.stays[1:]])
    ]
    return "".join(rows)


def _lines(label: str, x: int, kind: str) -> str:
    lines = label.split("\n")
    top = 148 - 8 * (len(lines) - 1)
    return "".join(_text(x, top + 16 * row, line, f' class="{kind}"') for row, line in enumerate(lines))


def _text(x: int, y: int, words: str, more: str) -> str:
    return f'  <text x="{x}" y="{y}"{more}>{escape(words)}</text>\n'


_STYLE = """
    .page { fill: #ffffff } text { fill: #1c2733; font-size: 12px } .head { font-size: 14px }
    .server { fill: #eef3fa; stroke: #31527a } .scan { fill: #fdf3e3; stroke: #a86b12 }
    .flow { stroke: #31527a; stroke-width: 1.5; fill: none; marker-end: url(#tip) } .tip { fill: #31527a }
    .says { fill: #31527a } .stays { fill: #7a4a00 }
    @media (prefers-color-scheme: dark) {
      .page { fill: #12161c } text { fill: #e6e9ee } .server { fill: #1c2836; stroke: #9fc0ea }
      .scan { fill: #2b2213; stroke: #d9a24a } .flow { stroke: #9fc0ea } .says, .tip { fill: #9fc0ea }
      .stays { fill: #efc27a }
    }
  """
_PAGE = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 760 324" font-family="system-ui, sans-serif" \
role="img" aria-label="{says}">
  <title>{title}</title>
  <desc>{says}</desc>
  <style>{style}</style>
  <defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" orient="auto">\
<path class="tip" d="M0 0 8 4 0 8z"/></marker></defs>
  <rect class="page" width="760" height="324" rx="10"/>
  <rect class="server" x="20" y="14" width="720" height="76" rx="8"/>
  <text class="head" x="380" y="36" text-anchor="middle" font-weight="600">server</text>
  <text x="380" y="57" text-anchor="middle">holds: {holds}</text>
  <text x="380" y="77" text-anchor="middle">combines: {combines}</text>
{columns}</svg>
"""
