"""The section of a run's page on every site's model at every site, as a matrix."""

import statistics
from collections.abc import Mapping, Sequence

from brainct.pages.charts import MOST_ROWS, matrix, rows_high
from brainct.pages.drawing import picture
from brainct.pages.page import Section
from brainct.pages.wording import counted, decimals
from brainct.report.run_folder import RunFolder
from brainct.report.tolerant import number

Scores = Mapping[str, Mapping[str, float | None]]
"""By model, then by hospital: one score."""

SENT = (
    "A row is the model that a hospital trained and sent last, before the server combined it with the others; a column "
    "is the hospital on whose test samples it was scored. The hospitals had agreed to score each other's models."
)
USED = (
    "A row is the model that a hospital uses after the run, with the part that never leaves it; a column is the "
    "hospital on whose test samples it was scored, on one machine that has all of them."
)


def cross_site(run: RunFolder) -> Section | None:
    """The matrix of the workload's first headline score; None for a run without one."""
    sent = {site: one.scores for site, one in run.record.cross_site.items()}
    found, words = (sent, SENT) if sent else (run.crossed, USED)
    name, title = next(iter(run.record.workload.headlines.items()))
    scores = {site: {where: number(row.get(name)) for where, row in rows.items()} for site, rows in found.items()}
    columns = sorted({where for row in scores.values() for where in row})
    if not columns:
        return None
    models = sorted(scores)
    cells = [[scores[model].get(where) for where in columns] for model in models]
    return Section(
        "Every hospital's model at every hospital",
        [words, *_in_words(scores, title)],
        pictures=[
            picture(
                "cross-site",
                f"{title} of {counted(len(models), 'model')} at {counted(len(columns), 'hospital')}: "
                + "; ".join(_spoken(model, columns, row) for model, row in zip(models, cells, strict=True)),
                f"{title}; rows: whose model, columns: whose test samples. Empty: no score.",
                matrix(models, columns, cells, title),
                rows_high(len(models), 1.6),
            )
        ],
        notes=[f"The picture has the first {MOST_ROWS} rows and columns."] if len(columns) > MOST_ROWS else [],
    )


def _in_words(scores: Scores, title: str) -> list[str]:
    own = [value for site, row in scores.items() if (value := row.get(site)) is not None]
    away = [
        value for site, row in scores.items() for where, value in row.items() if where != site and value is not None
    ]
    if not own or not away:
        return []
    return [
        f"At home, on its own hospital's samples, a model has {title} {decimals(statistics.fmean(own))} on average; at "
        f"other hospitals {decimals(statistics.fmean(away))}. Where home is much better, a model has learnt what holds "
        "at one hospital only."
    ]


def _spoken(model: str, columns: Sequence[str], row: Sequence[float | None]) -> str:
    return f"{model}: " + ", ".join(f"{decimals(value)} at {where}" for where, value in zip(columns, row, strict=True))
