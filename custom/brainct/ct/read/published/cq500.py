"""CQ500 (Chilamkurthy et al., Lancet 2018): `reads.csv`, a row a study with the findings of three readers."""

import numpy as np

from brainct.ct.folds import FINDINGS
from brainct.ct.read.finding_names import plain
from brainct.ct.read.label_table import ANY, LabelRow, Labels, LabelTable
from brainct.errors import Refused

READERS = ("R1", "R2", "R3")
COLUMNS = {
    "epidural": "EDH",
    "intraparenchymal": "IPH",
    "intraventricular": "IVH",
    "subarachnoid": "SAH",
    "subdural": "SDH",
    "any": "ICH",
}


def fits(table: LabelTable) -> bool:
    """Whether this is `reads.csv`."""
    return "name" in table.columns and "R1:ICH" in table.columns


def labels_by_study(table: LabelTable) -> dict[str, Labels]:
    """(6,) labels of each study by its name without signs, such as cq500ct1: what two of three readers say.

    Where two say ICH, but no two the same type, the types are unknown.
    """
    wanted = [f"{reader}:{column}" for reader in READERS for column in COLUMNS.values()]
    lacking = [column for column in wanted if column not in table.columns]
    if lacking:
        raise Refused(f"{table.name}: wanted the column `{lacking[0]}`, as in the published reads.csv")
    return {plain(row.cells["name"]): _majority(row, table.name) for row in table.rows}


def _majority(row: LabelRow, table: str) -> Labels:
    labels = np.full(len(FINDINGS), np.nan, np.float32)
    for finding, column in COLUMNS.items():
        votes = [row.cells[f"{reader}:{column}"] for reader in READERS]
        if not set(votes) <= {"0", "1"}:
            raise Refused(f"{table}, row {row.line}: {column} of three readers is {votes}, wanted 0 or 1 from each")
        labels[FINDINGS.index(finding)] = votes.count("1") >= 2
    if labels[:ANY].any():
        labels[ANY] = 1
    elif labels[ANY] == 1:
        labels[:ANY] = np.nan
    return labels
