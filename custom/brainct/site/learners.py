"""Makes a site's learner for one request: its data and network, its credentials, how its policy has it train."""

import functools
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from brainct.core.learner import Learner
from brainct.core.weights import Weights
from brainct.core.workload import Context
from brainct.job.config import Plan
from brainct.protocol.requests import ModelRequest
from brainct.security.credentials import SiteCredentials, digest_of
from brainct.security.policy_file import reply_filter_if_any
from brainct.security.signing import identity_in
from brainct.site.state_store import StateStore

Starter = Callable[[Plan], Weights | None]
"""Gives the weights of a job's start model, checked against the hash in the job; None for a job without one."""

_NOT_YET: tuple[Plan | None, Weights | None] = (None, None)

SECRET = "BRAINCT_SECRET"


class Prepared:
    """What a workload prepares once for a job, such as its network; sites of one process may share it."""

    def __init__(self) -> None:
        self._last: tuple[str, Any] | None = None

    def of(self, plan: Plan) -> Any:
        """What this plan's workload prepares."""
        key = json.dumps([plan.workload, plan.seed, plan.model_dump(include=set(plan.kind.choices.model_fields))])
        if self._last is None or self._last[0] != key:
            self._last = (key, plan.kind.prepare(plan, plan.seed))
        return self._last[1]


class Learners:
    """Makes learners for one site.

    state: where the site's secrets are. startup: the folder of that name in the site's kit, with its certificate.
    privacy: the site's privacy.json. secrets: whether the site has secrets of its own; false in a rehearsal.
    start: reads the start model of a job.
    """

    def __init__(
        self,
        state: StateStore,
        startup: Path | None,
        privacy: Path | None,
        secrets: bool,
        prepared: Prepared,
        start: Starter | None = None,
    ):
        self._state, self._secrets, self._prepared = state, secrets, prepared
        self._identity = functools.cache(functools.partial(identity_in, startup))
        self._policy = reply_filter_if_any(privacy, state.site)
        self._digest: tuple[Plan, str] | None = None
        self._start, self._begun = start, _NOT_YET

    def learner(self, plan: Plan, data: Any, request: ModelRequest) -> Learner:
        """The learner for this request."""
        private = self._policy.private_training(request) if self._policy else None
        always = self._policy is not None and self._policy.policy.scores.noise is not None
        named = (self._credentials(plan, request), private, always, request.shared, self._start_of(plan))
        context = Context(plan.seed, plan.rounds, self._state.site, request.round, *named)
        return plan.kind.learner(plan, data, context, self._prepared.of(plan))

    def _start_of(self, plan: Plan) -> Weights | None:
        """The start model's weights, read once for a job whose training needs them."""
        if self._start is None or plan.training is None or plan.training.remember is None:
            return None
        if self._begun[0] is not plan:
            self._begun = (plan, self._start(plan))
        return self._begun[1]

    def _credentials(self, plan: Plan, request: ModelRequest) -> SiteCredentials:
        secret = os.environ.get(SECRET) or (None if self._secrets else "")
        run_secret = functools.partial(self._state.run_secret, request.run) if self._secrets else bytes
        named = (plan.seed, self._state.site, request.round)
        return SiteCredentials(*named, self._digest_of(plan), secret, run_secret, self._identity)

    def _digest_of(self, plan: Plan) -> str:
        if self._digest is None or self._digest[0] is not plan:
            self._digest = (plan, digest_of(plan))
        return self._digest[1]
