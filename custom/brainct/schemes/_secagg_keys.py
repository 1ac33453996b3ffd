"""The terms and keys of secure aggregation: each site signs its keys, and every other site verifies them."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from brainct.core import masking, secret_sharing, serialization
from brainct.core.learner import Learner
from brainct.core.scheme import Report, Scheme, Task
from brainct.errors import Declined, Refused

KEYS = "secagg"
"""In a report's `extra`: the site's keys for the next sum, see `own`."""
LIST = "the server's list of keys"
LONGEST = 8192
"""Characters of a proof; with FLARE's certificates they are some 1,400."""


@dataclass(frozen=True)
class Terms:
    """What the sites of a run sum, and over which sites: see `secagg.secagg`."""

    inner: Scheme
    aggregation_weight: Callable[[Task, Report], float]
    least: int
    fixed_members: bool

    def enough(self, there: Collection[str], of: Collection[str]) -> bool:
        """Whether these of the sites that masked together are enough for a sum."""
        return len(there) >= max(self.least, secret_sharing.threshold(len(of))) and not (
            self.fixed_members and len(there) < len(of)
        )


def weight_of(inner: Scheme) -> Callable[[Task, Report], float]:
    """The inner scheme's aggregation weight; Refused if a sum of its reports is not enough."""
    found = inner.aggregation_weight
    if found is None or inner.hides_updates:
        why = (
            "hides every site's weights already" if inner.hides_updates else "needs more than a sum of what sites send"
        )
        raise Refused(f"secagg: {inner.name} {why}; docs/schemes.md says with which schemes it is possible")
    return found


def same_tensors(tasks: Mapping[str, Task]) -> Mapping[str, Task]:
    """The largest group of tasks that ask for the same tensors; the other sites are left out."""
    kinds = {site: tuple(sorted(task.weights)) for site, task in tasks.items()}
    most = Counter(kinds.values()).most_common(1)
    return {site: task for site, task in tasks.items() if kinds[site] == most[0][0]}


def secret(learner: Learner, *words: str | int) -> bytes:
    """32 bytes that follow from the site's secret of the run and these words."""
    info = json.dumps(["brainct", *words]).encode()
    return HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=info).derive(learner.credentials.run_key())


def private(learner: Learner, round: int) -> bytes:
    """The private key of a site's masks in the sum of this round."""
    return secret(learner, "mask", learner.credentials.job_digest(), round)


def seed(learner: Learner, round: int) -> bytes:
    """The seed of a site's own mask in the sum of this round."""
    return secret(learner, "seed", learner.credentials.job_digest(), round)


def commitment(seed: bytes) -> str:
    """A commitment to a seed: with it, nobody can later be given another one."""
    return hashlib.sha256(b"brainct seed" + seed).hexdigest()


def own(learner: Learner, round: int) -> dict[str, str]:
    """A site's public keys for the sum of this round, each 64 hex digits, and the `proof` that they are the site's.

    cipher: the X25519 public key with which the others encrypt shares for it, the same in all rounds of a run. mask:
    that of its masks in this sum. seed: see `commitment`. proof: a signature, empty in a simulation.
    """
    found = {
        "cipher": masking.public_key(secret(learner, "cipher")),
        "mask": masking.public_key(private(learner, round)),
        "seed": commitment(seed(learner, round)),
    }
    return {**found, "proof": learner.credentials.sign(*_said(learner, round, found))}


def _said(learner: Learner, round: int, one: Mapping[str, str]) -> list[str]:
    return [KEYS, learner.credentials.job_digest(), str(round), one["cipher"], one["mask"], one["seed"]]


def is_own(said: Any) -> bool:
    """Whether it has the form of what `own` gives."""
    names = {"cipher", "mask", "seed", "proof"}
    known = isinstance(said, Mapping) and set(said) == names and isinstance(said["proof"], str)
    return known and all(masking.is_key(said[key]) for key in names - {"proof"}) and len(said["proof"]) <= LONGEST


def own_name(said: Mapping[str, Mapping[str, str]], learner: Learner, round: int, least: int) -> str:
    """This site's name in the list of all keys for the sum of a round; Refused if honest sites can't have sent it."""
    for site, one in said.items():
        if not is_own(one):
            raise Declined(f"{LIST} has none for {site}; it sends nothing")
        try:
            learner.credentials.verify(site, one["proof"], *_said(learner, round, one))
        except Refused as error:
            raise Declined(f"{LIST} has a key for {site}, but {error}; it sends nothing") from None
    mine = masking.public_key(private(learner, round))
    names = [site for site, one in said.items() if one["mask"] == mine]
    different = min(len({one[key] for one in said.values()}) for key in ("cipher", "mask"))
    if different < max(least, len(said)) or len(names) != 1:
        found = f"{different} keys of {len(said)} sites, this one's {len(names)} times"
        raise Declined(f"{LIST} has {found}; wanted at least {least}, each once; it sends nothing")
    return names[0]


def context(said: Mapping[str, Mapping[str, str]], choices: str, round: int) -> str:
    """64 hex digits over the job, the round and all keys, to which the shares for one sum are bound."""
    keys = {site: [one["cipher"], one["mask"], one["seed"]] for site, one in said.items()}
    return serialization.sha256({"choices": choices, "round": round, "keys": keys})
