"""Causal discovery as a workload: opens a site's rows, says what leaves, and gives what the schemes read."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field

from brainct.causal.config import CausalChoices
from brainct.causal.dataset import CausalData, open_site
from brainct.core.disclosure import CALL, NOISED, SCORES, WITHHELD, Row
from brainct.core.learner import Fitted, Learner, Model, PublicLabels
from brainct.core.reply_parts import Count, FoldName, Part
from brainct.core.simple_learner import SimpleLearner
from brainct.core.weights import Weights
from brainct.core.workload import Context, ScoreKeys, Workload
from brainct.errors import Refused
from brainct.graphs.cpdag import one_dag
from brainct.graphs.environments import families_of
from brainct.graphs.moments import likelihood, moments_of, regression

Number = Annotated[float, Field(ge=-1e300, le=1e300)]
RARE = "`least_class`: no, where one of a column's two values has fewer rows"
ROWS = (
    Row(CALL, "about/folds/{fold}/rows", "complete rows of the job's columns", "count", "exact"),
    Row(CALL, "about/folds/{fold}/dropped", "rows that lack a value", "count", "exact", WITHHELD),
    Row(CALL, "about/present/{n}", "whether the site has each of the job's columns", "yes or no", "exact", RARE),
    Row(CALL, "about/varies/{n}", "whether the column varies there", "yes or no", "exact", RARE),
    Row(CALL, "about/fewest/{n}", "rows with the rarer value of a column that has two", "count", "exact", WITHHELD),
    Row(SCORES, "scores/graph/gain", "how much better its rows fit the graph than one without edges", "number", "exact",
        NOISED),
    Row(SCORES, "scores/graph/rows", "rows of that", "count", "exact", WITHHELD),
)  # fmt: skip


class Rows(Part):
    """Rows of the one fold: complete ones, and those left out."""

    rows: Count
    dropped: Count | None


class Description(Part):
    """Rows, which of the job's columns are there and vary, and how rare the rarer of a column's two values is."""

    folds: dict[FoldName, Rows]
    present: Annotated[list[bool], Field(max_length=100)]
    varies: Annotated[list[bool], Field(max_length=100)]
    fewest: Annotated[list[Count | None], Field(max_length=100)]


class Score(Part):
    """gain: nats a row."""

    gain: Number | None
    rows: Count | None


class Scores(Part):
    """Of the one output, the graph."""

    scores: dict[Literal["graph"], Score]


class CausalLearner(SimpleLearner):
    """What the searches read of a site: its rows; nothing is trained."""

    def __init__(self, choices: CausalChoices, data: CausalData, context: Context):
        super().__init__(context)
        self.choices, self.data = choices, data

    def initial(self) -> Model:
        """The empty graph."""
        return CAUSAL.initial(self.choices, self.context.seed, self.context.rounds)

    def fit(
        self,
        weights: Weights,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        penalty: Callable[[Weights], torch.Tensor] | None = None,
        correction: Weights | None = None,
        frozen: Collection[str] = (),
        constant_rate: bool = False,
        public_labels: PublicLabels | None = None,
    ) -> Fitted:
        """Refused."""
        self._refuse("training")

    def samples(self, fold: str = "train") -> tuple[torch.Tensor, torch.Tensor]:
        """(n, p) rows, 0 in a column that some site lacks, and no labels; refused where the site has too few rows."""
        if self.data.refusal:
            raise Refused(f"{self.site} takes no part: {self.data.refusal}")
        common = np.array(self.context.shared.get("columns", self.data.present), bool)
        rows = np.where(common, self.data.rows, 0.0)
        return torch.from_numpy(rows), torch.empty(len(rows), 0)

    def evaluate(self, weights: Weights, fold: str = "test") -> Mapping[str, Any]:
        """Nats a row by which one DAG of the graph fits better than none, with the site's own coefficients."""
        if self.data.refusal:
            return {"graph": {"gain": None, "rows": 0}}
        moments = moments_of(self.samples()[0].numpy())
        gain = 0.0
        for family in families_of(one_dag(weights["graph"].numpy())):
            if len(family) > 1 and not moments.constant[family[0]]:
                ratio = regression(moments.covariance, family)[1] / moments.covariance[family[0], family[0]]
                gain += likelihood(1.0, ratio) + 0.5
        return {"graph": {"gain": gain, "rows": int(moments.n)}}


class CausalWorkload(Workload):
    """See core.workload.Workload."""

    name = "causal"
    offers = frozenset({"columns"})
    choices, description, scores = CausalChoices, Description, Scores
    disclosures = ROWS
    score_keys = ScoreKeys(numbers={"gain": None}, details=(), classes=("rows",), rest=())
    headlines = {"gain": "gain of the graph, nats a row"}

    def outputs(self, choices: CausalChoices) -> tuple[str, ...]:
        """One: the graph."""
        return ("graph",)

    def initial(self, choices: CausalChoices, seed: int, rounds: int) -> Model:
        """The empty graph; the outputs are the columns' names."""
        p = len(choices.columns)
        empty = {"graph": torch.zeros((p, p), dtype=torch.int8)}
        return Model(empty, architecture="graph", rounds=rounds, outputs=tuple(choices.columns))

    def open(self, file: Path | None, site: str, sites: Sequence[str], choices: CausalChoices) -> CausalData:
        """The site's rows; without a site file generated ones."""
        return open_site(file, site, sites, choices)

    def describe(self, data: CausalData, public: bool = False) -> dict[str, Any]:
        """Counts of rows, which columns are there and vary, rare values, a fingerprint, notes."""
        rows = {"train": {"rows": len(data.rows), "dropped": data.dropped}}
        flags = {"present": data.present.tolist(), "varies": data.varies.tolist()}
        flags |= {"fewest": data.fewest}
        return {"kind": data.kind, "folds": rows, "fingerprint": data.fingerprint, "notes": list(data.notes), **flags}

    def samples(self, description: Mapping[str, Any], fold: str) -> int:
        """Complete rows."""
        return int(description["folds"].get(fold, {}).get("rows", 0))

    def without_small(self, description: Mapping[str, Any], least: int, choices: CausalChoices) -> dict[str, Any]:
        """A column with a rare value counts as absent, and nothing of it leaves: its mean would give the count away."""
        common = [one is None or one >= least for one in description["fewest"]]
        flags = {key: [a and b for a, b in zip(description[key], common, strict=True)] for key in ("present", "varies")}
        folds = {name: {**fold, "dropped": None} for name, fold in description["folds"].items()}
        return {**description, **flags, "folds": folds, "fewest": [None] * len(common)}

    def shared(self, descriptions: Mapping[str, Mapping[str, Any]], choices: CausalChoices) -> dict[str, Any]:
        """The columns that all sites have; refused where one of these varies at fewer than two sites."""
        told = [one for _, one in sorted(descriptions.items())]
        common = [all(one["present"][at] for one in told) for at in range(len(choices.columns))]
        least = min(2, len(told))
        for at, name in enumerate(choices.columns):
            if common[at] and sum(one["varies"][at] for one in told) < least:
                raise Refused(f"column {name} varies at fewer than {least} sites; leave it out of the job's columns")
        if sum(common) < 2:
            raise Refused(
                "the sites have fewer than two of the job's columns in common; see `columns` of the site files"
            )
        return {"columns": common}

    def learner(self, choices: CausalChoices, data: CausalData, context: Context, prepared: Any) -> Learner:
        """The site's rows."""
        return CausalLearner(choices, data, context)

    def headline(self, scores: Mapping[str, Any]) -> Mapping[str, float | None]:
        """The gain."""
        return {"gain": scores.get("graph", {}).get("gain")}


CAUSAL = CausalWorkload()
