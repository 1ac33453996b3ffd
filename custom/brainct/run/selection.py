"""Which round's model is best by the sites' validation scores, and whether a run ends early.

Everything follows from the record, so that a resumed run decides as an uninterrupted one.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from brainct.job.config import Plan, Selection
from brainct.run.run_record import RunRecord, Selected, SiteDescription

POLICY = "its privacy policy: "
"""How the note of a site's description begins that states its policy as JSON."""


@dataclass(frozen=True)
class Standing:
    """best: the round with the best score so far, None while no site sent one. scores: those of its sites.

    worse: evaluations since then in which the score did not rise.
    """

    best: int | None = None
    scores: Mapping[str, float] | None = None
    worse: int = 0

    @property
    def value(self) -> float | None:
        """The mean over the sites that sent a score."""
        return _mean(self.scores, sorted(self.scores)) if self.scores else None


def score_of(plan: Plan) -> str:
    """The headline by which models are chosen."""
    asked = plan.selection.score if plan.selection else None
    return asked or next(iter(plan.kind.headlines))


def standing(plan: Plan, record: RunRecord) -> Standing:
    """The best of the rounds evaluated so far.

    A round is better than the best one before if the mean over the sites that scored both is better by more than the
    plan's gain: a site that is missing once does not move the comparison. A round that shares no site with the best
    says nothing, nor does one without a score.
    """
    name, chosen, found = score_of(plan), plan.selection or Selection(), Standing()
    sign = -1.0 if name in plan.kind.lower_is_better else 1.0
    for row in record.rounds:
        headlines = {site: plan.kind.headline(scores).get(name) for site, scores in row.validation.items()}
        scores = {site: value for site, value in headlines.items() if value is not None}
        common = sorted(scores.keys() & (found.scores or scores).keys())
        if not common:
            continue
        if found.scores is None or sign * (_mean(scores, common) - _mean(found.scores, common)) > chosen.gain:
            found = Standing(row.round, scores)
        else:
            found = Standing(found.best, found.scores, found.worse + 1)
    return found


def stops(plan: Plan, record: RunRecord) -> bool:
    """Whether the plan's patience is at its end."""
    patience = plan.selection.patience if plan.selection else None
    return patience is not None and standing(plan, record).worse >= patience


def selected(plan: Plan, record: RunRecord, best_sha256: str) -> Selected:
    """What the record says of the choice. best_sha256: of the kept model; empty where none is kept."""
    found, closed = standing(plan, record), len(record.rounds)
    return Selected(
        score=score_of(plan),
        round=found.best,
        value=found.value,
        sites=sorted(found.scores or ()),
        score_forms=score_forms(record.sites),
        stopped_after=closed - 1 if closed < plan.rounds and stops(plan, record) else None,
        model_sha256=best_sha256,
    )


def score_forms(sites: Mapping[str, SiteDescription]) -> dict[str, str]:
    """By site whose policy does not send exact scores: how they leave, `rounded`, `noised` or `never`."""
    forms = {site: _form(about.notes) for site, about in sites.items()}
    return {site: form for site, form in sorted(forms.items()) if form != "exact"}


def _form(notes: Sequence[str]) -> str:
    for note in notes:
        if note.startswith(POLICY):
            scores = json.loads(note.removeprefix(POLICY)).get("scores", {})
            return str(scores.get("form", "exact"))
    return "exact"


def best_file(folder: Path, number: int) -> Path:
    """Where the model of a round is kept while it is the best."""
    return folder / f"best-{number}.safetensors"


def forget_others(folder: Path, plan: Plan, record: RunRecord) -> None:
    """Remove the models of rounds that were the best before."""
    best = standing(plan, record).best
    for path in folder.glob("best-*.safetensors"):
        if best is None or path != best_file(folder, best):
            path.unlink()


def _mean(scores: Mapping[str, float], sites: Sequence[str]) -> float:
    return sum(scores[site] for site in sites) / len(sites)
