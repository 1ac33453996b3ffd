"""The follow-up exchange of secure aggregation: the secrets that unmask a sum, and the shares for the next one.

Bonawitz et al., CCS 2017, figure 4: rounds 3 and 1 of the paper in one exchange. A survivor shows its share of each
site's seed, if that site's values are in the sum, or of its private key, if they are not: never both.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from brainct.core import secret_sharing, serialization
from brainct.core.learner import Learner
from brainct.core.scheme import ClientState, Report, Task
from brainct.errors import Declined, Refused
from brainct.schemes import _secagg_keys
from brainct.schemes._secagg_keys import Terms

ROUND = "secagg_round"
"""In a task's `extra`: the round; in the client state: the last round that the site masked."""
NEXT = "secagg_next"
"""In a follow-up's `extra`: by site, the keys of all sites that the next sum may contain."""
OPEN = "secagg_open"
"""In a follow-up's `extra`: `survivors`, whose values are in the sum, `lost`, whose are not, `boxes` from each."""
SEEDS, PRIVATE, BOXES = "seeds", "private", "boxes"
"""In a follow-up's report: shares of each survivor's seed, of each lost site's private key; shares for the next sum."""

Said = Mapping[str, Mapping[str, str]]


def reply_shares(task: Task, learner: Learner, client_state: ClientState, terms: Terms) -> tuple[Report, ClientState]:
    """A site's half: its shares of this round's secrets, and boxes with shares for the next sum, once a round."""
    round, last = task.extra[ROUND], client_state.get("followed", -1)
    if round <= last:
        raise Declined(
            f"the server asks for shares of round {round} after those of round {last} were sent; this site sends none"
        )
    shown, client_state = _shown(task.extra[OPEN], round, learner, client_state, terms)
    boxes, shares = _next_shares(task.extra[NEXT], round + 1, learner, terms.least)
    return Report({}, 1, extra={**shown, BOXES: boxes}), {**client_state, "shares": shares, "followed": round}


def _shown(
    asked: Mapping[str, Any], round: int, learner: Learner, client_state: ClientState, terms: Terms
) -> tuple[dict[str, Any], ClientState]:
    if not asked:
        return {SEEDS: {}, PRIVATE: {}}, client_state
    shares, survivors, lost = client_state.get("shares", {}), asked["survivors"], asked["lost"]
    _check(shares, survivors, lost, round, client_state, terms)
    cipher, name = _secagg_keys.secret(learner, "cipher"), shares["name"]

    def share(sender: str, which: int) -> str:
        words = [shares["context"], round, sender, name]
        found = secret_sharing.decrypt_shares(
            asked["boxes"].get(sender, ""), cipher, shares["keys"][sender]["cipher"], words
        )
        return secret_sharing.in_hex(found[which]) if found else ""

    shown = {SEEDS: {site: share(site, 0) for site in survivors}, PRIVATE: {site: share(site, 1) for site in lost}}
    once = {kind: {site: one for site, one in found.items() if one} for kind, found in shown.items()}
    return once, {**client_state, **_helped(client_state, survivors, round)}


def _check(
    shares: Mapping[str, Any],
    survivors: Sequence[str],
    lost: Sequence[str],
    round: int,
    client_state: ClientState,
    terms: Terms,
) -> None:
    """Refuse a list of survivors that an honest server can't have."""
    every, masked = sorted([*survivors, *lost]), client_state.get(ROUND, -1) == round
    if shares.get("round") != round or len(set(every)) < len(every) or not set(every) <= shares["keys"].keys():
        raise Declined(
            f"the server's list of survivors of round {round} is of an unknown sum; this site shows no share"
        )
    if (
        (shares["name"] in survivors) != masked
        or (masked and every != client_state["members"])
        or shares["name"] in lost
    ):
        raise Declined(
            f"the server's list of survivors of round {round} is not of the sites that masked; this site shows no share"
        )
    if not terms.enough(survivors, every):
        wanted = (
            "all, as `members` is fixed" if terms.fixed_members else f"more than two thirds, and at least {terms.least}"
        )
        raise Declined(f"the server says that {len(survivors)} of {len(every)} sites are in the sum; wanted {wanted}")
    if masked and client_state.get("helped", {}).get(client_state["given"], _of(survivors)) != _of(survivors):
        raise Declined("the server asks for a second sum, over other sites, of one model; this site shows no share")


def _helped(client_state: ClientState, survivors: Sequence[str], round: int) -> dict[str, Any]:
    """The client state after a sum that the site masked and helped to open."""
    if client_state.get(ROUND, -1) != round:
        return {}
    models = {client_state["given"]: _of(survivors)} if client_state["given"] else {}
    return {"helped": {**client_state.get("helped", {}), **models}, "opened": client_state.get("opened", 0) + 1}


def _of(survivors: Sequence[str]) -> str:
    return serialization.sha256(sorted(survivors))[:32]


def _next_shares(said: Said, round: int, learner: Learner, least: int) -> tuple[dict[str, str], dict[str, Any]]:
    """By holder, the box with its shares of this site's seed and private key; and the client state of the next sum."""
    if not said:
        return {}, {}
    name, context = (
        _secagg_keys.own_name(said, learner, round, least),
        _secagg_keys.context(said, learner.credentials.job_digest(), round),
    )
    holders, cipher = sorted(said), _secagg_keys.secret(learner, "cipher")
    pairs = [
        secret_sharing.shares_of(
            value,
            len(holders),
            secret_sharing.threshold(len(holders)),
            _secagg_keys.secret(learner, "shares", kind, context),
        )
        for kind, value in (
            ("seed", _secagg_keys.seed(learner, round)),
            ("private", _secagg_keys.private(learner, round)),
        )
    ]
    boxes = {
        holder: secret_sharing.encrypt_shares(pair, cipher, said[holder]["cipher"], [context, round, name, holder])
        for holder, *pair in zip(holders, *pairs, strict=True)
    }
    keys = {site: {"cipher": one["cipher"], "mask": one["mask"]} for site, one in said.items()}
    return boxes, {"round": round, "name": name, "context": context, "keys": keys}


def check_answer(task: Task, extra: Mapping[str, Any]) -> None:
    """Refuse a follow-up report other than the shares that were asked for and a box for each holder."""
    asked = task.extra[OPEN] or {"survivors": [], "lost": []}
    wanted = {SEEDS: (asked["survivors"], secret_sharing.LENGTH), PRIVATE: (asked["lost"], secret_sharing.LENGTH)}
    wanted[BOXES] = (list(task.extra[NEXT]), secret_sharing.BOX)
    for kind, (sites, length) in wanted.items():
        found = extra.get(kind)
        if not isinstance(found, Mapping) or not found.keys() <= set(sites):
            raise Refused(f"its {kind} are of other sites than those asked for")
        if not all(secret_sharing.is_hex(one, length) for one in found.values()):
            raise Refused(f"its {kind} are not all {length} bytes in hex digits")
    if extra.keys() != wanted.keys() or len(extra[BOXES]) < len(task.extra[NEXT]):
        raise Refused("sent more or less than its shares")
