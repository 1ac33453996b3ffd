"""Every method on the flow cytometry of Sachs et al. (Science 2005): nine conditions as nine sites.

The table is not the project's: it is read out of the package `cdt` 0.6.0 (licence file: MIT; metadata: Apache 2.0; of
the data themselves it says nothing), which `pip download` fetches into a temporary folder; none of it is copied here.
"""

import csv
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from causal_runs import Cell, methods, scored

from brainct.causal.generator import Drawn
from brainct.causal.structures import STRUCTURES

PACKAGE, FILE = "cdt==0.6.0", "cdt/data/resources/cyto_full_data.csv"
SHA256 = "fc331dcd0bc1d8765986b88cd1d23dd5a3f52e4ffc299fdf96de9d522ddf01aa"
COLUMNS = {"praf": "Raf", "pmek": "Mek", "plcg": "Plcg", "PIP2": "PIP2", "PIP3": "PIP3", "p44/42": "Erk",
           "pakts473": "Akt", "PKA": "PKA", "PKC": "PKC", "P38": "P38", "pjnk": "Jnk"}  # fmt: skip
ROWS = (853, 902, 911, 723, 810, 799, 848, 913, 707)
"""Cells of each condition, in the file's order. The file does not say where one ends; see `ends`."""
TARGETS = {2: "Akt", 3: "PKC", 4: "PIP2", 5: "Mek", 7: "PKC", 8: "PKA"}
"""Condition number -> what the paper's reagent acts on; LY294002 (6) acts on no measured protein."""
ABOUT = """
Flow cytometry of single cells under nine conditions (Sachs et al., Science 2005): 11 proteins, 7,466 cells, 707 to 913
a condition; here each condition is a site, and values are logarithms. The table is in the package `cdt` 0.6.0 (MIT by
its licence file, Apache 2.0 by its metadata, silent on the data's own licence), is read from there and is no part of
this project. The file does not say where a condition ends: the nine sizes are the published ones, and the best place to
split the rows of two neighbours lies within 7 rows of each of the eight borders (within 2 of seven of them). True
graph: the consensus of 17 edges, itself an opinion. True changes: the six conditions' own targets among the columns.
""".strip()


def table() -> np.ndarray:
    """(7466, 11) logarithms, columns as COLUMNS."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "-d", folder, PACKAGE]
        subprocess.run([sys.executable, "-m", "pip", *words], check=True)
        (wheel,) = Path(folder).glob("cdt-*.whl")
        raw = zipfile.ZipFile(wheel).read(FILE)
    assert hashlib.sha256(raw).hexdigest() == SHA256, "another file than the one that was looked at"
    head, *rows = csv.reader(io.StringIO(raw.decode()))
    assert head == list(COLUMNS)
    return np.log(np.array(rows, float))


def ends(values: np.ndarray) -> list[int]:
    """Of each border between two conditions: rows by which the likeliest split of both together is off."""
    borders, off = [0, *np.cumsum(ROWS)], []
    for low, middle, high in zip(borders, borders[1:], borders[2:], strict=False):
        fit = lambda part: len(part) * float(np.log(part.var(0) + 1e-9).sum())  # noqa: E731
        best = min(range(low + 30, high - 30), key=lambda at: fit(values[low:at]) + fit(values[at:high]))
        off.append(best - int(middle))
    return off


def measured() -> dict[str, Any]:
    """Method -> its numbers; ORION and the MDL score too, since nobody knows that the relations are straight."""
    values = table()
    off = ends(values)
    assert max(map(abs, off)) <= 7, off
    names = list(COLUMNS.values())
    truth = np.zeros((len(names), len(names)), np.int8)
    for i, j in STRUCTURES["sachs"]:
        truth[names.index(i), names.index(j)] = 1
    sites = np.split(values, np.cumsum(ROWS)[:-1])
    drawn = Drawn(sites, truth, frozenset((names.index(name), k) for k, name in TARGETS.items()))
    found = {name: run() for name, run in methods(Cell(ROWS, linear=False), drawn).items()}
    central, federated = found["ORION, central"][0], found["ORION, federated"][0]
    assert np.array_equal(central.graph, federated.graph)
    runs = {}
    for name, each in found.items():
        told = [scored(drawn, one) for one in each]
        runs[name] = {key: round(float(np.mean([one[key] for one in told])), 4) for key in told[0]}
        if len(each) == 1 and each[0].changed is not None:
            runs[name]["who"] = len(each[0].changed)
    return {"about": ABOUT, "runs": runs}
