"""Secure aggregation around any scheme that needs only sums: the server never sees a single site's update.

Bonawitz, Ivanov, Kreuter, Marcedone, McMahan, Patel, Ramage, Segal, Seth: Practical Secure Aggregation for
Privacy-Preserving Machine Learning, CCS 2017, figure 4: masks of pairs, a mask of each site's own, and shares of both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import Field

from brainct.core.learner import Learner, Model
from brainct.core.masking import is_key
from brainct.core.scheme import About, ClientState, Inner, Memory, Report, Scheme, Task, registered
from brainct.core.weights import Weights
from brainct.errors import Refused
from brainct.schemes import _masking, _secagg_keys, _summing, _unmasking
from brainct.schemes._masking import GIVEN, MEMBERS
from brainct.schemes._secagg_keys import KEYS
from brainct.schemes._unmasking import OPEN, ROUND
from brainct.schemes.fedavg import fedavg

ABOUT = About(
    paper="Bonawitz et al., CCS 2017 (double masking)",
    family="wrappers",
    summary="Sites mask their updates so that the server can read only the sum over all sites.",
    when="nobody may see a single site's update, the server's operators included",
    sends="as the inner scheme, with 8 bytes for each number from a site; each round has a second exchange "
    "without weights, of 2 kB to and 0.3 kB from a site for each in the sum; round 0 has these alone",
    client_state="as the inner scheme; a secret of its own for each run; the next sum's keys; the sums it took part in",
    lost_site="left out of the round's sum, if more than two thirds of the sites replied both times, else the round "
    "changes nothing; it returns in the round after it sent its key again; with fewer than `least` replies a round "
    "can't be closed",
    privacy="of weights the server sees a round's sum over all sites that replied; it sees each site's number of "
    "scans and steps, and no training loss; keys are signed with the sites' certificates, and masks cancel only if "
    "all sites were given the same job and model; in a sum of n, any n - 1 together know the last one's update",
    blocks={"update_noise": "a site masks its update before the site's policy could change it"},
)
FEDAVG = fedavg()
AtLeastThree = Annotated[int, Field(ge=3)]


@registered(ABOUT)
def secagg(inner: Inner = FEDAVG, least: AtLeastThree = 3, members: Literal["any", "fixed"] = "any") -> Scheme:
    """The inner scheme, which gets sum_k a_k w_k / sum_k a_k in place of each site's weights w_k.

    inner: a scheme that allows secure aggregation; in a job {"scheme": NAME, "arguments": {...}}.
    least: sites in a sum, >= 3: of two, each would know the other's.
    members: `any`, so that the sites of a sum may differ from round to round; a server that claims losses and sends
    nearly the same model twice then has a site's update as the difference of two sums, nearly. `fixed`: all sums are
    over all sites of the run; a round that loses one changes nothing, nor does the next, which agrees on new keys.

    a_k is the inner scheme's `aggregation_weight`, such as the number of scans. Round 0 has keys and shares and trains
    nothing; the inner scheme's round 0 is round 1. Then site k sends a_k w_k rounded to multiples of 2^-32, as integers
    modulo 2^64, plus a stream of ChaCha20 from a seed of its own, plus for each other site l of the sum a stream that
    only k and l can make: added if k comes before l, subtracted if it comes after. In the sum over all the latter
    cancel exactly if all sites were given the same model by the same job, whose digests the streams derive from. In a
    follow-up exchange of the same round each site shows its shares of the survivors' seeds, and of the lost sites'
    private keys, with which the server removes what did not cancel: never both of one site, so that a late reply can't
    be read. t = floor(2n/3) + 1 of n shares give a secret: a server that sends sites different lists of survivors needs
    a third of them on its side. Keys and seeds change every round; their shares go out with the round before, encrypted
    for each site. The model does not depend on masks and is bit-identical in all backends. Integer tensors are averaged
    and rounded. No site masks two updates of one round, or helps to open two sums over different sites of one model.

    If the inner scheme asks its sites for different tensors, the sum is over the largest group with the same ones. With
    fewer than t replies the round changes nothing, and the inner scheme's memory stays; a lost site is asked for
    its key again and has no share until it replied. Nobody can look at a single site's update: each site checks its
    own, and a sum that honest sites could not have made is refused and ends the run. Peak memory: the inner scheme's,
    and a round's reports in 8 bytes a number.
    """
    fixed = members == "fixed"
    terms = _secagg_keys.Terms(inner, _secagg_keys.weight_of(inner), least, fixed)

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
            return _unmasking.reply_shares(task, learner, client_state, terms)
        if MEMBERS in task.extra:
            return _masking.reply_masked(task, learner, client_state, terms)
        return Report({}, 1, extra={KEYS: _secagg_keys.own(learner, task.extra[ROUND] + 1)}), client_state

    def follow(memory: Memory, round: int, reports: Mapping[str, Report]) -> Mapping[str, Task]:
        return _summing.asked(memory, round, reports, terms)

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        after = {**memory, **_summing.shares_for_next(reports), "done": round + 1}
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

    def personalise(task: Task, learner: Learner, client_state: ClientState) -> Weights:
        return inner.personalise(task, learner, client_state.get("inner", {}))

    def adapt_input(task: Task, learner: Learner, client_state: ClientState) -> Learner:
        return inner.adapt_input(task, learner, client_state.get("inner", {}))

    five = replace(inner, start=start, assign=assign, reply=reply, combine=combine, model=model)
    eight = replace(five, personalise=personalise, adapt_input=adapt_input, follow=follow)
    ten = replace(eight, quorum=quorum, expects=expects, extra=lambda memory: inner.extra(memory["inner"]))
    return replace(ten, hides_updates=True, fixed_members=fixed, sent_model=None)
