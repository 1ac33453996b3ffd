"""One federation, rehearsed and listened to: what left each site, and what each attacker would measure on it."""

import math
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from brainct.compare.one_run import delivered, kib_of
from brainct.core import serialization
from brainct.core.determinism import generator, one_thread
from brainct.errors import Refused
from brainct.job.config import Plan
from brainct.leakage.design import Spec, halves
from brainct.leakage.rows import Row, View, written
from brainct.leakage.views import Heard, Spy, views
from brainct.run.inbox import Inbox
from brainct.run.record import Record
from brainct.run.rounds import Order, Run
from brainct.schemes._votes import VOTES
from brainct.security import policy as policies
from brainct.security.reply_filter import Answers, FilteredAgent, reply_filter_of
from brainct.site.agent import SiteAgent
from brainct.training.data import Dataset, Fold

Opened = Mapping[str, Dataset]


def federation(spec: Spec, opened: Opened) -> Row:
    """Train one federation on its halves of the sites' pools, and give its row; one that fails says why.

    opened: the sites' scans, whose training folds are the pools.
    """
    began = time.monotonic()
    one_thread()
    try:
        with tempfile.TemporaryDirectory(prefix="brainct-") as folder:
            row = _done(spec, opened, Path(folder))
    except Exception as error:  # one federation's fault must not end the others
        said = str(error) if isinstance(error, Refused) else f"{type(error).__name__}: {error}"
        row = Row(**_choices(spec), status="failed", error=said)
    return row.model_copy(update={"seconds": round(time.monotonic() - began, 3)})


def _choices(spec: Spec) -> dict[str, Any]:
    choices = spec.study.federation.model_dump(mode="json", exclude={"data"})
    data = spec.study.federation.data
    return {
        "key": spec.key,
        "code": spec.code,
        "name": spec.variant.called,
        "scheme": spec.variant.scheme,
        "number": spec.number,
        "plan": spec.plan.model_dump(mode="json"),
        "policy": spec.variant.policy,
        "choices": choices | {"data": data.name if data else "phantom"},
    }


def _done(spec: Spec, opened: Opened, folder: Path) -> Row:
    names, plan, policy, seed = spec.study.federation.names, spec.plan, spec.variant.policy, spec.study.seed
    members = halves(sizes(opened, names), seed, spec.number)
    trained = {site: trained_on(opened[site], members) for site, members in members.items()}
    agents = {site: SiteAgent(site, folder / "client_state", None, _opener(trained), redact=False) for site in names}
    listening = Listening({site: behind(policy, agent, folder, seed, spec.number) for site, agent in agents.items()})
    record = Record(folder / "run", plan, plan.build(), "rehearse", board=False)
    Run(plan, names, listening, record, log=lambda line: None)()
    task = delivered(folder / "run" / "model.safetensors")
    spies = {site: Spy(plan, site, opened[site]) for site in names}
    own = {site: agent.delivered(plan, task, names, "run") for site, agent in agents.items()}
    return Row(
        **_choices(spec),
        versions=record.content["versions"],
        members={site: written(members[site]) for site in names},
        views=_rounded(views(plan.build(), spies, listening.heard, task, own)),
        aurocs={site: found["any"]["auroc"] for site, found in record.content["test"].items()},
        kib_per_site=kib_of(record.content, names)[-1],
        mu=mu_of(spec.variant.policy, plan.rounds),
        epsilon=epsilon_of(plan, trained[names[0]], listening.heard),
        model_sha256=record.content["model_sha256"],
    )


def mu_of(policy: Mapping[str, Any], rounds: int) -> float | None:
    """mu of all of a site's noised updates together; None where there is no noise."""
    checked = policies.policy_of(policy)
    return math.sqrt(rounds) * policies.update(checked).mu if checked.noise else None


def epsilon_of(plan: Plan, scans: Dataset, heard: Sequence[Heard]) -> float | None:
    """epsilon of all labels that a site gave, if `fedct` flipped them; None where it did not, or for another scheme."""
    each = plan.arguments.get("epsilon") if plan.scheme == "fedct" else None
    if each is None:
        return None
    votes = max(Counter(one.site for one in heard if VOTES in one.sent).values(), default=0)
    return float(each * votes * len(plan.arguments["findings"]) * len(scans.public().inputs))


def sizes(opened: Opened, names: Sequence[str]) -> dict[str, int]:
    """Scans of each site's pool."""
    return {site: len(opened[site].folds["train"]) for site in names}


def trained_on(scans: Dataset, members: Any) -> Dataset:
    """The site's scans with only the members in the training fold."""
    pool = scans.folds["train"]
    return replace(scans, folds={**scans.folds, "train": Fold(pool.inputs[members], pool.labels[members])})


def behind(policy: Mapping[str, Any], agent: SiteAgent, folder: Path, seed: int, *words: str | int) -> Answers:
    """The desk behind a policy, {} for none; the secret of its noise follows from the seed and the words."""
    if not policy:
        return agent
    secret = generator(seed, "leakage", "secret", *words, agent.site).bytes(32)
    serialization.write(folder / "privacy" / agent.site / "secret", secret, private=True)
    return FilteredAgent(agent, reply_filter_of(policy, folder, agent.site))


@dataclass
class Listening:
    """Carries orders to site agents in this process and notes each task and the report that left for it."""

    agents: Mapping[str, Answers]
    heard: list[Heard] = field(default_factory=list)

    def __call__(self, orders: Mapping[str, Order], inbox: Inbox[Any]) -> None:
        for site in sorted(orders):
            order, answer = orders[site], self.agents[site].answer(orders[site])
            if order["what"] == "reply" and "weights" in answer:
                self.heard.append(Heard(order["round"], site, order["task"]["weights"], dict(answer["weights"])))
            inbox.accept(site, answer)


def _rounded(found: Mapping[str, View]) -> dict[str, View]:
    """Five decimals of a confidence tell as much as all."""
    return {
        name: View(signals={site: [round(x, 5) for x in of] for site, of in view.signals.items()}, votes=view.votes)
        for name, view in found.items()
    }


def _opener(scans: Opened) -> Any:
    def opened(file: Path | None, site: str, sites: Sequence[str], plan: Plan) -> Dataset:
        return scans[site]

    return opened
