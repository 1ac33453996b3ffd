"""A site's numbers reach the server's trackers, and no other site."""

from nvflare.apis.analytix import AnalyticsData
from nvflare.apis.dxo import from_shareable
from nvflare.apis.event_type import EventType
from nvflare.apis.fl_constant import EventScope, FLContextKey
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable
from nvflare.app_common.widgets.streaming import AnalyticsReceiver
from nvflare.widgets.fed_event import ServerFedEventRunner

from brainct.flare.statistics import track


class Kept(AnalyticsReceiver):
    """FLARE's receiver, which keeps what it is given."""

    def __init__(self):
        super().__init__()
        self.found = []

    def initialize(self, fl_ctx):
        """Nothing to open."""

    def save(self, fl_ctx, shareable, record_origin):
        """Keep it."""
        self.found.append((record_origin, shareable))

    def finalize(self, fl_ctx):
        """Nothing to close."""


class Engine:
    """FLARE's server, as far as events go: FLARE's own runner of events between sites, and a receiver."""

    def __init__(self):
        self.sent, self.receiver, self.runner = [], Kept(), ServerFedEventRunner()
        self.runner.fire_and_forget_request = lambda request, **how: self.sent.append(request)
        self.receiver.handle_event(EventType.START_RUN, FLContext())

    def new_context(self):
        return FLContext()

    def fire_event(self, event_type, fl_ctx):
        for component in (self.runner, self.receiver):
            component.handle_event(event_type, fl_ctx)


def test_the_numbers_of_a_site_reach_the_receivers_and_are_sent_to_no_site():
    engine = Engine()
    track(engine, "site-2", "loss", 0.25, 3)
    ((site, event),) = engine.receiver.found
    given = AnalyticsData.from_dxo(from_shareable(event))
    assert (site, given.tag, given.value, given.step) == ("site-2", "loss", 0.25, 3)
    assert not engine.sent


def test_flare_sends_an_event_without_a_direction_to_every_site():
    """Why `track` names one; if FLARE changes this, it need not."""
    engine = Engine()
    with engine.new_context() as fl_ctx:
        fl_ctx.set_prop(FLContextKey.EVENT_DATA, Shareable(), private=True, sticky=False)
        fl_ctx.set_prop(FLContextKey.EVENT_SCOPE, EventScope.FEDERATION, private=True, sticky=False)
        engine.runner.handle_event("fed.analytix_log_stats", fl_ctx)
    assert len(engine.sent) == 1
