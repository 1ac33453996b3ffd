"""Secure aggregation around any scheme that needs sums alone: the server never sees a single hospital's update.

Bonawitz, Ivanov, Kreuter, Marcedone, McMahan, Patel, Ramage, Segal, Seth: Practical Secure Aggregation for
Privacy-Preserving Machine Learning, CCS 2017: the masks of pairs (section 4.0.1). For a site that is lost the paper
reconstructs its masks from shares; here, where sites are few and mostly there, the round is done again without it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from brainct import masks
from brainct.errors import Refused
from brainct.scheme import About, Keep, Learner, Memory, Model, Report, Scheme, Task, check_report, registered
from brainct.schemes import _keys
from brainct.schemes._keys import KEYS
from brainct.schemes._ranges import whole
from brainct.schemes.fedavg import fedavg
from brainct.weights import Weights

ABOUT = {
    "secagg": About(
        paper="Bonawitz et al., CCS 2017 (masks of pairs)",
        family="wrappers",
        sends="round 0: 2 kB from each site, its signed key; then as the inner scheme, all sites' keys to each, and 8 "
        "bytes for each number from it",
        keeps="as the inner scheme; a secret of its own for each run; the last round that it masked",
        lost="the round changes nothing and the next is done without it; it returns in the round after it sent its key "
        "again; with fewer than `least` answers a round can't be closed",
        use="no single hospital's update may be seen, not by the server's people either",
        privacy="of weights the server sees a round's sum over all sites; it sees each site's number of scans, its "
        "training loss and what else the inner scheme sends; keys are signed with the hospitals' certificates, so that "
        "a server which hands out keys of its own gets nothing",
        no_secure_aggregation="",
        no_noise="what leaves is masked before the site's policy could change it",
    )
}
FEDAVG = fedavg()
ROUND = "secagg_round"
"""In a task's `extra`, beside the keys: the round. In what a site keeps: the last one that it masked."""


@registered
def secagg(inner: Scheme = FEDAVG, least: int = 3) -> Scheme:
    """The inner scheme, which gets sum_k a_k w_k / sum_k a_k in place of each site's weights w_k.

    inner: one whose row allows secure aggregation; in a job {"scheme": NAME, "arguments": {...}}. a_k: its
    `coefficient`, such as the number of scans. least: sites in a sum, >= 3: of two, each would know the other's.

    Round 0 collects the sites' public keys, X25519, signed with the hospitals' certificates where there are any, and
    trains nothing; the inner scheme's round 0 is round 1. Then site k sends a_k w_k rounded to multiples of 2^-32, as
    integers modulo 2^64, plus for each other site l of the round a stream of ChaCha20 that only k and l can make: added
    where k comes before l, taken away where it comes after. In the sum over all of the round they cancel exactly, so
    that the model does not depend on them, and is the same to the bit in each way to run. Integer tensors are averaged
    and rounded. No site masks two updates of one round, whose difference would tell what it sent.

    Where the inner scheme asks its sites for different tensors, those of whom it asks what most are asked are summed.
    Without one of the round's sites the masks stay, and so the inner scheme's memory; the site is asked for its key
    again and has no share until it answered. Nobody can look at what one site sends: each checks its own, and a sum
    that honest sites could not have is refused and ends the run. Peak memory: the inner scheme's, and a round's reports
    in 8 bytes a number.
    """
    coefficient = _keys.coefficient(inner)
    whole("secagg: least", least, 3)

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        if len(sites) < least or model.rounds == 1:
            wanted = f"at least {least} sites, and a round for their keys before the others"
            raise Refused(f"secagg: the run has {len(sites)} sites and {model.rounds} rounds; wanted {wanted}")
        within = inner.start(replace(model, rounds=max(0, model.rounds - 1)), sites, seed)
        return {"inner": within, "keys": {}, "summed": 0, "done": 0, "rounds": model.rounds}

    def assign(memory: Memory, round: int, sites: Sequence[str]) -> Mapping[str, Task]:
        tasks = adding(memory)
        said = {KEYS: {site: memory["keys"][site] for site in tasks}, ROUND: round}
        asked = {site: Task({}) for site in sites if site not in memory["keys"] or not tasks}
        return asked | {site: replace(task, extra={**task.extra, **said}) for site, task in tasks.items()}

    def adding(memory: Memory) -> Mapping[str, Task]:
        """The inner scheme's tasks of the next sum; none where too few sites' keys are known."""
        there = sorted(memory["keys"])
        tasks = _keys.alike(inner.assign(memory["inner"], memory["summed"], there) if len(there) >= least else {})
        if 0 < len(tasks) < least:
            asked = f"{inner.name} asks {len(tasks)} of {len(there)} sites"
            raise Refused(f"secagg: {asked}; wanted at least {least} in a sum")
        return tasks

    def reply(task: Task, learner: Learner, keep: Keep) -> tuple[Report, Keep]:
        if KEYS not in task.extra:
            return Report({}, 1, extra={KEYS: _keys.own(learner)}), keep
        (name, keys), within = _keys.agreed(task.extra[KEYS], learner, least), _within(task)
        round, last = task.extra[ROUND], keep.get(ROUND, -1)
        if round <= last:
            raise Refused(f"the server asks for round {round} after round {last} was masked; it sends nothing")
        report, kept = inner.reply(within, learner, keep.get("inner", {}))
        check_report(report, within, inner, "its own update")
        values = masks.fixed(report.weights, coefficient(within, report), len(keys))
        masked = masks.masked(values, learner.key(), name, keys, [round])
        return replace(report, weights=masked), {"inner": kept, ROUND: round}

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        tasks, said = adding(memory), {site: x.extra[KEYS] for site, x in reports.items() if KEYS in x.extra}
        there = {site: report for site, report in reports.items() if site in tasks and site not in said}
        keys = {site: key for site, key in memory["keys"].items() if site not in tasks or site in there} | said
        after = {**memory, "keys": keys, "done": round + 1}
        if not tasks or len(there) < len(tasks):
            return after
        within = inner.combine(memory["inner"], memory["summed"], averaged(tasks, there))
        return {**after, "inner": within, "summed": memory["summed"] + 1}

    def averaged(tasks: Mapping[str, Task], reports: Mapping[str, Report]) -> dict[str, Report]:
        """The reports with the mean of all in place of each one's weights, which nobody knows."""
        shares = sum(coefficient(tasks[site], report) for site, report in reports.items())
        like = inner.expects(next(iter(tasks.values())), next(iter(reports.values())))
        mean = masks.mean([report.weights for report in reports.values()], shares, like)
        found = {site: replace(report, weights=mean) for site, report in reports.items()}
        for site, report in found.items():
            check_report(report, tasks[site], inner, f"the sum over {len(found)} sites, of which one masked wrongly")
        return found

    def expects(task: Task, report: Report) -> Weights:
        own = report.extra.get(KEYS)
        if (KEYS in task.extra) == (own is not None) or not (own is None or _keys.is_own(own)):
            raise Refused("sent its update for its key, its key for its update, or a key that is not 64 hex digits")
        asked = inner.expects(_within(task), report) if KEYS in task.extra else {}
        return {key: value.to(torch.int64) for key, value in asked.items()}

    def model(memory: Memory) -> Weights:
        if not memory["summed"] and 0 < memory["rounds"] <= memory["done"]:
            raise Refused("secagg: in no round did all sites answer that were asked; there is no trained model")
        return inner.model(memory["inner"])

    def quorum(asked: int) -> int:
        """As the inner scheme's, at least `least`."""
        return min(asked, max(least, inner.quorum(asked)))

    def use(task: Task, learner: Learner, keep: Keep) -> Weights:
        return inner.use(task, learner, keep.get("inner", {}))

    def see(task: Task, learner: Learner, keep: Keep) -> Learner:
        return inner.see(task, learner, keep.get("inner", {}))

    six = replace(inner, start=start, assign=assign, reply=reply, combine=combine, model=model, use=use, see=see)
    return replace(six, quorum=quorum, expects=expects, extra=lambda memory: inner.extra(memory["inner"]), sealed=True)


def _within(task: Task) -> Task:
    return replace(task, extra={key: value for key, value in task.extra.items() if key not in (KEYS, ROUND)})
