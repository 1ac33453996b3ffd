"""Secure aggregation around any scheme that needs sums alone: the server never sees a single hospital's update.

Bonawitz, Ivanov, Kreuter, Marcedone, McMahan, Patel, Ramage, Segal, Seth: Practical Secure Aggregation for
Privacy-Preserving Machine Learning, CCS 2017, figure 4: masks of pairs, a mask of each site's own, and shares of both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch

from brainct.core.arguments import one_of
from brainct.core.learner import Learner, Model
from brainct.core.masking import is_key
from brainct.core.scheme import About, ClientState, Memory, Report, Scheme, Task, registered
from brainct.core.weights import Weights
from brainct.errors import Refused
from brainct.schemes import _masking, _secagg_keys, _summing, _unmasking
from brainct.schemes._masking import GIVEN, MEMBERS
from brainct.schemes._ranges import whole
from brainct.schemes._secagg_keys import KEYS
from brainct.schemes._unmasking import OPEN, ROUND
from brainct.schemes.fedavg import fedavg

ABOUT = {
    "secagg": About(
        paper="Bonawitz et al., CCS 2017 (double masking)",
        family="wrappers",
        sends="as the inner scheme, with 8 bytes for each number from a site; each round has a second exchange "
        "without weights, of 2 kB to and 0.3 kB from a site for each in the sum; round 0 has these alone",
        keeps="as the inner scheme; a secret of its own for each run; the next sum's keys; which sums it had a part in",
        lost="left out of the round's sum, where more than two thirds of the sites answered both times, else the round "
        "changes nothing; it returns in the round after it sent its key again; with fewer than `least` answers a round "
        "can't be closed",
        use="no single hospital's update may be seen, not by the server's people either",
        privacy="of weights the server sees a round's sum over all sites that answered; it sees each site's number of "
        "scans and steps, and no training loss; keys are signed with the hospitals' certificates, and masks cancel if "
        "all sites were given the same job and model, else not; in a sum of n, any n - 1 together know the last one's",
        no_secure_aggregation="",
        no_noise="what leaves is masked before the site's policy could change it",
    )
}
FEDAVG = fedavg()


@registered
def secagg(inner: Scheme = FEDAVG, least: int = 3, members: str = "any") -> Scheme:
    """The inner scheme, which gets sum_k a_k w_k / sum_k a_k in place of each site's weights w_k.

    inner: one whose row allows secure aggregation; in a job {"scheme": NAME, "arguments": {...}}. a_k: its
    `coefficient`, such as the number of scans. least: sites in a sum, >= 3: of two, each would know the other's.
    members: `any`, so that the sites of a sum may be others from round to round; a server that claims losses and sends
    nearly the same model twice then has a site's update as the difference of two sums, nearly. `fixed`: all sums are
    over all sites of the run; a round that loses one changes nothing, nor does the next, in which keys are agreed anew.

    Round 0 has keys and shares and trains nothing; the inner scheme's round 0 is round 1. Then site k sends a_k w_k
    rounded to multiples of 2^-32, as integers modulo 2^64, plus a stream of ChaCha20 from a seed of its own, plus for
    each other site l of the sum a stream that only k and l can make: added where k comes before l, taken away where it
    comes after. In the sum over all the latter cancel exactly if all sites were given the same model by the same job,
    digests of which they are made of. In a follow-up exchange of the same round each site shows its shares of the
    survivors' seeds, and of the private keys of those that were lost, with which the server takes off what did not
    cancel: never both of one site, so that what came late can't be read. t = floor(2n/3) + 1 of n shares give a secret:
    a server that tells sites different lists of survivors needs a third of them on its side. Keys and seeds are others
    in each round; their shares go out with the round before, encrypted for each site. The model does not depend on
    masks, and is the same to the bit in each way to run. Integer tensors are averaged and rounded. No site masks two
    updates of one round, or helps to open two sums over different sites of one model.

    Where the inner scheme asks its sites for different tensors, those of whom it asks what most are asked are summed.
    With fewer than t answers the round changes nothing, and the inner scheme's memory stays; a lost site is asked for
    its key again and has no share until it answered. Nobody can look at what one site sends: each checks its own, and a
    sum that honest sites could not have is refused and ends the run. Peak memory: the inner scheme's, and a round's
    reports in 8 bytes a number.
    """
    whole("secagg: least", least, 3)
    fixed = one_of("secagg: members", members, ("any", "fixed")) == "fixed"
    terms = _secagg_keys.Terms(inner, _secagg_keys.coefficient(inner), least, fixed)

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        if len(sites) < least or model.rounds == 1:
            wanted = f"at least {least} sites, and a round for their keys before the others"
            raise Refused(f"secagg: the run has {len(sites)} sites and {model.rounds} rounds; wanted {wanted}")
        within = inner.start(replace(model, rounds=max(0, model.rounds - 1)), sites, seed)
        counts = {"summed": 0, "done": 0, "rounds": model.rounds}
        return {"inner": within, "sites": list(sites), **_summing.NO_SUM, **counts}

    def assign(memory: Memory, round: int, sites: Sequence[str]) -> Mapping[str, Task]:
        tasks = _summing.adding(memory, terms)
        said = {MEMBERS: sorted(tasks), ROUND: round}
        asked = {site: Task({}, {ROUND: round}) for site in sites if site not in tasks}
        return asked | {site: replace(task, extra={**task.extra, **said}) for site, task in tasks.items()}

    def reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
        if OPEN in task.extra:
            return _unmasking.answered(task, learner, client_state, terms)
        if MEMBERS in task.extra:
            return _masking.masked(task, learner, client_state, terms)
        return Report({}, 1, extra={KEYS: _secagg_keys.own(learner, task.extra[ROUND] + 1)}), client_state

    def follow(memory: Memory, round: int, reports: Mapping[str, Report]) -> Mapping[str, Task]:
        return _summing.asked(memory, round, reports, terms)

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        after = {**memory, **_summing.dealt(reports), "done": round + 1}
        mean = _summing.mean(memory, round, reports, terms)
        if not mean:
            return after
        return {
            **after,
            "inner": inner.combine(memory["inner"], memory["summed"], mean),
            "summed": memory["summed"] + 1,
        }

    def expects(task: Task, report: Report) -> Weights:
        if OPEN in task.extra:
            _unmasking.check_answer(task, report.extra)
            return {}
        if not _secagg_keys.is_own(report.extra.get(KEYS)) or (MEMBERS in task.extra) != is_key(
            report.extra.get(GIVEN)
        ):
            raise Refused("sent its update for its key, its key for its update, or a key that is not 64 hex digits")
        wanted = inner.expects(_masking.within_of(task), report) if MEMBERS in task.extra else {}
        return {key: value.to(torch.int64) for key, value in wanted.items()}

    def model(memory: Memory) -> Weights:
        if not memory["summed"] and 0 < memory["rounds"] <= memory["done"]:
            raise Refused("secagg: in no round did enough sites answer for a sum; there is no trained model")
        return inner.model(memory["inner"])

    def quorum(asked: int) -> int:
        """As the inner scheme's, at least `least`."""
        return min(asked, max(least, inner.quorum(asked)))

    def use(task: Task, learner: Learner, client_state: ClientState) -> Weights:
        return inner.use(task, learner, client_state.get("inner", {}))

    def see(task: Task, learner: Learner, client_state: ClientState) -> Learner:
        return inner.see(task, learner, client_state.get("inner", {}))

    six = replace(inner, start=start, assign=assign, reply=reply, combine=combine, model=model, use=use, see=see)
    eight = replace(six, quorum=quorum, expects=expects, follow=follow, sealed=True, fixed=fixed)
    return replace(eight, extra=lambda memory: inner.extra(memory["inner"]))
