"""RSNA Intracranial Hemorrhage Detection 2019: `ID,Label`, six rows an image, `ID_<9 hex>_<finding>,0|1`."""

import numpy as np

from brainct.ct.folds import FINDINGS
from brainct.ct.read.label_table import ANY, Labels, LabelTable
from brainct.errors import Refused

CELLS = {"0": 0.0, "1": 1.0}


def fits(table: LabelTable) -> bool:
    """Whether this is the long table: two columns, and ids that end in a finding."""
    return table.columns == ("ID", "Label") and table.rows[0].cells["ID"].rpartition("_")[2] in FINDINGS


def labels_by_image(table: LabelTable) -> dict[str, Labels]:
    """(6,) labels of each image, by its id such as ID_12cadc6af. Equal rows are read once, as the set has four.

    Refused if a row is not of this layout, contradicts another, or `any` is not the union of the subtypes.
    """
    found: dict[str, Labels] = {}
    for row in table.rows:
        where = f"{table.name}, row {row.line}"
        image, _, finding = row.cells["ID"].rpartition("_")
        if not image or finding not in FINDINGS:
            raise Refused(f"{where}: ID {row.cells['ID']!r}, wanted ID_<image>_<finding>, one of {', '.join(FINDINGS)}")
        if row.cells["Label"] not in CELLS:
            raise Refused(f"{where}: Label {row.cells['Label']!r}, wanted 0 or 1")
        labels = found.setdefault(image, np.full(len(FINDINGS), np.nan, np.float32))
        at, value = FINDINGS.index(finding), CELLS[row.cells["Label"]]
        if not np.isnan(labels[at]) and labels[at] != value:
            raise Refused(f"{where}: a second row of this image and finding with another label: correct one")
        labels[at] = value
    for image, labels in found.items():
        subtypes = labels[:ANY]
        if not np.isnan(labels).any() and labels[ANY] != subtypes.max():
            raise Refused(f"{table.name}: {image}: `any` is not the union of its subtypes: correct it")
    return found
