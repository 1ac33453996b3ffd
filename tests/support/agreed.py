"""A site's agent in tests that begin in the middle of a run: it has agreed to whatever run it is first asked in."""

from contextlib import suppress

from brainct.errors import Refused
from brainct.job.config import plan_of
from brainct.protocol.terms import terms_of
from brainct.site.agent import SiteAgent
from tests.support.requests import describes


class Agreed(SiteAgent):
    """Fixes a run's terms as a roll call would, when the first request of that run comes."""

    def reply(self, request):
        if request.run and not describes(request) and self.state.terms(request.run) is None:
            with suppress(Refused):
                self.state.fix(request.run, terms_of(plan_of(request.plan, "the job"), request.sites))
        return super().reply(request)
