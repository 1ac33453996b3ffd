"""A site's desk in tests that begin in the middle of a run: it has agreed to whatever run it is asked about first."""

from contextlib import suppress

from brainct.errors import Refused
from brainct.job.config import plan_of
from brainct.protocol.terms import terms_of
from brainct.site.agent import SiteAgent
from tests.support.requests import describes


class Agreed(SiteAgent):
    """Fixes a run's terms as a roll call would, when the first order of that run comes."""

    def answer(self, order):
        run = order.get("run")
        if run and not describes(order) and self.state.terms(run) is None and "plan" in order:
            with suppress(Refused):
                self.state.fix(run, terms_of(plan_of(order["plan"], "the job"), order["sites"]))
        return super().answer(order)
