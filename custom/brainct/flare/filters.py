"""The site's privacy policy in FLARE: two filters in the site's privacy.json, which no job can evade."""

from pathlib import Path
from typing import Any

from nvflare.apis.filter import Filter
from nvflare.apis.fl_constant import FilterKey, FLContextKey, ReturnCode
from nvflare.apis.fl_context import FLContext
from nvflare.apis.shareable import Shareable, make_reply
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from brainct.errors import Refused
from brainct.flare import logs, messages
from brainct.security.policy_file import reply_filter_of
from brainct.security.reply_filter import ReplyFilter

_REQUEST = "brainct.request"
AT_SERVER = (
    "FLARE's simulator applies privacy.json on the server instead of the sites, so this run is refused; "
    "rehearse with BRAINCT_PRIVACY, or run in POC or provisioned"
)


class Remember(Filter):  # type: ignore[misc]
    """In `task_data_filters`: remembers the server's request for `Privacy`."""

    def process(self, shareable: Shareable, fl_ctx: FLContext) -> Shareable:
        """Called by FLARE for each incoming task, which it does not change."""
        request = messages.from_model(FLModelUtils.from_shareable(shareable))
        fl_ctx.set_prop(_REQUEST, request, private=True, sticky=False)
        return shareable


class Privacy(Filter):  # type: ignore[misc]
    """In `task_result_filters`: a reply leaves only as the policy allows, whatever job and executor made it.

    policy: the keys of brainct.security.policy.Policy, and `folder`, see brainct.security.policy_file.reply_filter_of.
    A result that is not a reply, or whose request `Remember` did not see, does not leave.
    """

    def __init__(self, **policy: Any):
        super().__init__()
        reply_filter_of(policy, Path(), "")  # a wrong policy stops every job at the site before it begins
        self._policy = policy
        self._filter: ReplyFilter | None = None

    def process(self, shareable: Shareable, fl_ctx: FLContext) -> Shareable:
        """Called by FLARE for each result before it leaves."""
        if fl_ctx.get_prop(FLContextKey.FILTER_DIRECTION) == FilterKey.IN:
            return FLModelUtils.to_shareable(messages.to_model({"error": AT_SERVER}))
        if shareable.get_return_code() != ReturnCode.OK:
            return make_reply(shareable.get_return_code())
        request = fl_ctx.get_prop(_REQUEST)
        if request is None:
            raise Refused("privacy.json names brainct.flare.filters.Privacy alone; add Remember to task_data_filters")
        reply = messages.from_model(FLModelUtils.from_shareable(shareable))
        allowed = self._filter_of(fl_ctx).reply_plain(request, reply)
        if "error" not in reply:
            logs.audit_refusal(allowed, fl_ctx)
        return FLModelUtils.to_shareable(messages.to_model(allowed))

    def _filter_of(self, fl_ctx: FLContext) -> ReplyFilter:
        if self._filter is None:
            config_dir = Path(fl_ctx.get_engine().get_workspace().get_site_config_dir())
            self._filter = reply_filter_of(self._policy, config_dir, fl_ctx.get_identity_name())
        return self._filter
