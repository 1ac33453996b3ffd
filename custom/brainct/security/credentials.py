"""What one site alone can draw, sign or recognise in one round of a run, from its secrets and its kit's certificate."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brainct.core import serialization
from brainct.core.determinism import generator
from brainct.core.workload import Context
from brainct.errors import Refused
from brainct.job.config import Plan
from brainct.security.signing import Identity, no_identity


@dataclass(frozen=True)
class SiteCredentials:
    """See core.learner.Credentials.

    job: see `digest_of`. secret: known to this site only, for `private_uniform`; empty, the job's seed decides, as a
    rehearsal may; None refuses. run_secret: known to this site only, another for each run; empty, the job's seed
    decides. identity: that of the site's kit; None where there is no kit, as in a simulation: its sites sign nothing
    and believe everything.
    """

    seed_of_run: int
    site: str
    round: int
    job: str
    secret: str | None = ""
    run_secret: Callable[[], bytes] = bytes
    identity: Callable[[], Identity | None] = no_identity

    def seed(self, *words: str | int) -> int:
        """A number in [0, 2^32) that follows from the run's seed, the site and these words, the same in every round."""
        return int(generator(self.seed_of_run, self.site, *words).integers(2**32))

    def private_uniform(self, count: int, *words: str | int) -> NDArray[np.float64]:
        """(count,) uniform in [0, 1), from SHAKE-256 over the site's secret, the run's seed, site, round and the words.

        Nobody without the secret can derive them; with it they are the same again. Refused where there is no secret.
        """
        if self.secret is None:
            raise Refused(
                f"{self.site} has no secret to draw noise from: set BRAINCT_SECRET at the site to a long random text, "
                "the same for the whole run"
            )
        text = json.dumps([self.secret, self.seed_of_run, self.site, self.round, *words])
        bits = np.frombuffer(hashlib.shake_256(text.encode()).digest(8 * count), "<u8")
        return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def run_key(self) -> bytes:
        """32 bytes, the same in all rounds of a run: SHA-256 over the site's secret of the run, the seed, its name."""
        return hashlib.sha256(self.run_secret() + json.dumps([self.seed_of_run, self.site, "key"]).encode()).digest()

    def job_digest(self) -> str:
        """64 hex digits over all choices of the job."""
        return self.job

    def sign(self, *words: str) -> str:
        """A proof for the other sites, by this one's certificate; empty where it has none."""
        own = self.identity()
        return own.sign(_signed(self.site, words)) if own else ""

    def verify(self, site: str, proof: str, *words: str) -> None:
        """Refuse a proof that is not that site's for these words; where this site has no certificate, none is."""
        if own := self.identity():
            own.verify(site, _signed(site, words), proof)


def digest_of(plan: Plan) -> str:
    """64 hex digits over all choices of the plan: the same at all sites that the server gave the same job."""
    return serialization.sha256(plan.model_dump())


def offline(plan: Plan, site: str, round: int = 0, **own: Any) -> Context:
    """What a learner is bound to outside a federation: no secret and no certificate, the job's seed decides.

    own: fields of core.workload.Context that differ from its defaults.
    """
    credentials = SiteCredentials(plan.seed, site, round, digest_of(plan))
    return Context(plan.seed, plan.rounds, site, round, credentials, **own)


def _signed(site: str, words: Sequence[str]) -> str:
    """The words as a site signs them: nothing else in FLARE or here is signed in this form."""
    return json.dumps(["brainct", site, *words])
