"""Whoever replies to a server's requests for one site: typed in this process, as plain data over a wire."""

from abc import ABC, abstractmethod
from typing import Any

from brainct.errors import Declined
from brainct.protocol.replies import Failure, Reply, reply_to_plain
from brainct.protocol.requests import Request, exchange_of, request_of_plain


class Agent(ABC):
    """Replies for one site."""

    site: str

    @abstractmethod
    def reply(self, request: Request) -> Reply:
        """What was asked for, or a Failure with the reason; raises nothing."""

    def reply_plain(self, value: Any) -> dict[str, Any]:
        """The same for a message that came over a wire, whatever is in it."""
        try:
            reply = self.reply(request_of_plain(value, self.site))
        except Declined as error:
            reply = Failure(str(error))
        return reply_to_plain(reply, exchange_of(value))
