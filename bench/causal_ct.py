"""The table made of phantom scans: graph found against the one that made it, and which scanners count as changes."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from causal_runs import Found, played, pooled_search, scored

from brainct.causal.config import CausalChoices
from brainct.causal.dataset import open_site
from brainct.causal.generator import Drawn
from brainct.ct.phantom.causes import COLUMNS, EDGES
from brainct.graphs.moments import moments_of

USUAL, OTHERS = "trauma centre", {3: "old scanner", 4: "narrow export"}
SITES, ROWS = 5, 100
ABOUT = f"""
{SITES} sites with {ROWS} phantom patients each (`kind: phantom_scans`), 6 columns: age, INR and outcome as given, blood
volume from the masks, midline shift and mean HU measured on the images. The same patients' population everywhere; three
sites have one scanner, the fourth an old one, the fifth one with a narrow export range. True edges:
{", ".join(f"{i} → {j}" for i, j in EDGES)}. True changes: mean_hu at the two sites with another scanner, since the
scanner is what makes HU of tissue. `offsets: mechanism`, so that a shift of HU alone counts.
""".strip()


def tables(seed: int) -> list[np.ndarray]:
    """(100, 6) of each site, measured on its images."""
    choices, found = CausalChoices(columns=list(COLUMNS)), []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "site.yaml"
        for at in range(SITES):
            text = f"kind: phantom_scans\nrows: {ROWS}\nseed: {seed}\nscanner: {OTHERS.get(at, USUAL)}\n"
            file.write_text(text)
            found.append(open_site(file, f"site-{at + 1}", [], choices).rows)
    return found


def measured(seed: int) -> dict[str, Any]:
    """Method -> its numbers."""
    rows = tables(seed)
    truth = np.zeros((len(COLUMNS), len(COLUMNS)), np.int8)
    for i, j in EDGES:
        truth[COLUMNS.index(i), COLUMNS.index(j)] = 1
    drawn = Drawn(rows, truth, frozenset((COLUMNS.index("mean_hu"), at) for at in OTHERS))
    names = [f"x{at}" for at in range(len(COLUMNS))]
    tiers = [[names[0], names[1]], [names[2]], [names[3], names[4]], [names[5]]]
    every = {"share": "moments", "offsets": "mechanism"}
    runs = {
        "pooled GES": pooled_search([moments_of(one) for one in rows]),
        "PERI sum": played("peri", {}, rows),
        "environments, moments": played("peri_environments", every, rows),
        "environments, moments, with tiers": played("peri_environments", {**every, "tiers": tiers}, rows),
        "ORION": played("orion", {}, rows),
    }
    return {"about": ABOUT, "runs": {name: _scored(drawn, one) for name, one in runs.items()}}


def _scored(drawn: Drawn, one: Found) -> dict[str, Any]:
    graph = np.asarray(one.graph)
    right = int(((drawn.graph != 0) & (graph != 0) & (graph.T == 0)).sum())
    named = {COLUMNS[i] + f" at site {k + 1}" for i, k in one.changed or ()}
    return {**scored(drawn, one), "right": right, "changed": sorted(named)}
