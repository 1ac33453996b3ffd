"""CQ500 (Chilamkurthy et al., Lancet 2018): `reads.csv`, a row a study with the findings of three readers."""

from collections.abc import Mapping

import numpy as np

from brainct.ct.folds import FINDINGS
from brainct.ct.read.finding_names import plain
from brainct.ct.read.label_table import ANY, LabelRow, Labels, LabelTable
from brainct.ct.rsna_labels import labels_for
from brainct.ct.wanted import DEFAULT, Wanted
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


def labels_by_study(table: LabelTable, job: Wanted = DEFAULT) -> dict[str, Labels]:
    """(F,) labels of each study by its name without signs, such as cq500ct1: what two of three readers say.

    Where two say ICH, but no two the same type, the types are unknown. Other findings of the job have the column of
    their name, such as `midline shift` and R1:MidlineShift.
    """
    wanted = [f"{reader}:{column}" for reader in READERS for column in COLUMNS.values()]
    lacking = [column for column in wanted if column not in table.columns]
    if lacking:
        raise Refused(f"{table.name}: wanted the column `{lacking[0]}`, as in the published reads.csv")
    others = _other_columns(table, job)
    return {plain(row.cells["name"]): _labels(row, table.name, others, job) for row in table.rows}


def _other_columns(table: LabelTable, job: Wanted) -> dict[str, str]:
    """The column without its reader of each finding of the job that is none of RSNA's six and has one."""
    known = {plain(each.removeprefix("R1:")): each.removeprefix("R1:") for each in table.columns if each[:3] == "R1:"}
    wanted = {name: known[plain(name)] for name in job.findings if name not in FINDINGS and plain(name) in known}
    return {
        name: column
        for name, column in wanted.items()
        if all(f"{reader}:{column}" in table.columns for reader in READERS)
    }


def _labels(row: LabelRow, table: str, others: Mapping[str, str], job: Wanted) -> Labels:
    more = {name: np.array([_voted(row, column, table)], np.float32) for name, column in others.items()}
    found: Labels = labels_for(job, _majority(row, table)[None], more)[0]
    return found


def _voted(row: LabelRow, column: str, table: str) -> bool:
    votes = [row.cells[f"{reader}:{column}"] for reader in READERS]
    if not set(votes) <= {"0", "1"}:
        raise Refused(f"{table}, row {row.line}: {column} of three readers is {votes}, wanted 0 or 1 from each")
    return votes.count("1") >= 2


def _majority(row: LabelRow, table: str) -> Labels:
    labels = np.full(len(FINDINGS), np.nan, np.float32)
    for finding, column in COLUMNS.items():
        labels[FINDINGS.index(finding)] = _voted(row, column, table)
    if labels[:ANY].any():
        labels[ANY] = 1
    elif labels[ANY] == 1:
        labels[:ANY] = np.nan
    return labels
