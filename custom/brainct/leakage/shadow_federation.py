"""One shadow federation: rehearse it, record all that leaves each site, and compute each attacker's view."""

import math
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from brainct.compare.evaluation import opener
from brainct.compare.federation import Opened
from brainct.compare.one_run import describe_error, kib_of
from brainct.core import serialization
from brainct.core.determinism import generator, one_thread
from brainct.job.config import Plan
from brainct.leakage.attackers import Exchange, ModelProbe, attacker_views
from brainct.leakage.federation_row import AttackerView, FederationRow, format_bits
from brainct.leakage.study import PlannedFederation, draw_halves
from brainct.protocol.agent import Agent
from brainct.protocol.replies import Update, reply_to_plain
from brainct.protocol.requests import Request, TrainRequest
from brainct.run.inbox import Inbox
from brainct.run.model_file import FILE, read_model
from brainct.run.record import RecordWriter
from brainct.run.rounds import Run
from brainct.schemes._votes import VOTES
from brainct.security import policy as policies
from brainct.security.policy_file import reply_filter_of
from brainct.security.reply_filter import FilteredAgent
from brainct.site.agent import SiteAgent
from brainct.training.data import Dataset, Fold


def train_federation(spec: PlannedFederation, opened: Opened) -> FederationRow:
    """Train one federation on its halves of the sites' pools and return its row; a failed row has the reason.

    opened: scans by site; the training folds are the pools.
    """
    began = time.monotonic()
    one_thread()
    try:
        with tempfile.TemporaryDirectory(prefix="brainct-") as folder:
            row = _train_and_view(spec, opened, Path(folder))
    except Exception as error:  # one federation's fault must not end the others
        row = FederationRow(**_choices(spec), status="failed", error=describe_error(error))
    return row.model_copy(update={"seconds": round(time.monotonic() - began, 3)})


def _choices(spec: PlannedFederation) -> dict[str, Any]:
    choices = spec.study.federation.model_dump(mode="json", exclude={"data"})
    data = spec.study.federation.data
    return {
        "key": spec.key,
        "code": spec.code,
        "name": spec.variant.label,
        "scheme": spec.variant.scheme,
        "number": spec.number,
        "plan": spec.plan.model_dump(mode="json"),
        "policy": spec.variant.policy,
        "choices": choices | {"data": data.name if data else "phantom"},
    }


def _train_and_view(spec: PlannedFederation, opened: Opened, folder: Path) -> FederationRow:
    names, plan, policy, seed = spec.study.federation.names, spec.plan, spec.variant.policy, spec.study.seed
    members = draw_halves(pool_sizes(opened, names), seed, spec.number)
    trained = {site: keep_members(opened[site], members) for site, members in members.items()}
    agents = {site: SiteAgent(site, folder / "client_state", None, opener(trained), redact=False) for site in names}
    recorder = Recorder({site: with_policy(policy, agent, folder, seed, spec.number) for site, agent in agents.items()})
    record = RecordWriter(folder / "run", plan, plan.build(), "rehearse", board=False)
    Run(plan, names, recorder, record, log=lambda line: None)()
    task = read_model(folder / "run" / FILE).task
    probes = {site: ModelProbe(plan, site, opened[site]) for site in names}
    own = {site: agent.delivered(plan, task, names, "run") for site, agent in agents.items()}
    return FederationRow(
        **_choices(spec),
        versions=dict(record.record.versions),
        members={site: format_bits(members[site]) for site in names},
        views=_rounded(attacker_views(plan.build(), probes, recorder.exchanges, task, own)),
        aurocs={site: found["any"]["auroc"] for site, found in record.record.test.items()},
        kib_per_site=kib_of(record.record, names)[-1],
        mu=mu_of(spec.variant.policy, plan.rounds),
        epsilon=epsilon_of(plan, trained[names[0]], recorder.exchanges),
        model_sha256=record.record.model_sha256,
    )


def mu_of(policy: Mapping[str, Any], rounds: int) -> float | None:
    """mu of all of a site's noised updates together; None without noise."""
    checked = policies.policy_of(policy)
    return math.sqrt(rounds) * policies.update(checked).mu if checked.noise else None


def epsilon_of(plan: Plan, scans: Dataset, exchanges: Sequence[Exchange]) -> float | None:
    """epsilon of all labels that a site sent, if `fedct` randomised them; None otherwise."""
    each = plan.arguments.get("epsilon") if plan.scheme == "fedct" else None
    if each is None:
        return None
    votes = max(Counter(one.site for one in exchanges if VOTES in one.sent).values(), default=0)
    return float(each * votes * len(plan.arguments["findings"]) * len(scans.public().inputs))


def pool_sizes(opened: Opened, names: Sequence[str]) -> dict[str, int]:
    """The number of scans in each site's pool."""
    return {site: len(opened[site].folds["train"]) for site in names}


def keep_members(scans: Dataset, members: Any) -> Dataset:
    """The site's scans with only these members in the training fold."""
    pool = scans.folds["train"]
    return replace(scans, folds={**scans.folds, "train": Fold(pool.inputs[members], pool.labels[members])})


def with_policy(policy: Mapping[str, Any], agent: SiteAgent, folder: Path, seed: int, *words: str | int) -> Agent:
    """The agent behind a reply filter with this policy, {} for none; its noise secret follows from seed and words."""
    if not policy:
        return agent
    secret = generator(seed, "leakage", "secret", *words, agent.site).bytes(32)
    serialization.write(folder / "privacy" / agent.site / "secret", secret, private=True)
    return FilteredAgent(agent, reply_filter_of(policy, folder, agent.site))


@dataclass
class Recorder:
    """A transport to site agents in this process that records each task with the report that left for it."""

    agents: Mapping[str, Agent]
    exchanges: list[Exchange] = field(default_factory=list)

    def __call__(self, requests: Mapping[str, Request], inbox: Inbox[Any]) -> None:
        for site in sorted(requests):
            request, reply = requests[site], self.agents[site].reply(requests[site])
            if isinstance(request, TrainRequest) and isinstance(reply, Update):
                self.exchanges.append(Exchange(request.round, site, request.task.weights, dict(reply.weights)))
            inbox.accept(site, reply_to_plain(reply, request.exchange))


def _rounded(found: Mapping[str, AttackerView]) -> dict[str, AttackerView]:
    """Confidences with five decimals, which is precise enough for every attack."""
    return {
        name: AttackerView(
            signals={site: [round(x, 5) for x in of] for site, of in view.signals.items()}, votes=view.votes
        )
        for name, view in found.items()
    }
