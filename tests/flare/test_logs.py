"""What comes through to the console in FLARE's default mode, and in the modes that `-l` asks for."""

import copy
import io
import logging
import logging.config

import pytest
from nvflare.fuel.utils.log_utils import logmode_config_dict

from brainct.flare import logs

LINES = [
    ("brainct", logging.INFO, "round 3: 4 of 4 sites"),
    ("nvflare.private.fed.server.server_runner", logging.INFO, "got result from client"),
    ("brainct.flare.server.Rounds", logging.INFO, "asked to abort"),
    ("nvflare.fuel.f3.streaming.byte_receiver", logging.WARNING, "Receiving unknown req_id"),
    ("nvflare.private.fed.client.communicator.Communicator", logging.WARNING, "Failed to get_task from server."),
    ("nvflare.private.fed.server", logging.ERROR, "something broke"),
    ("nvflare.private.fed.client.client_runner", logging.WARNING, f"{logs.LATE} after 5.0 seconds"),
]


@pytest.fixture
def root():
    """The root logger, put back as it was."""
    logger = logging.getLogger()
    before = logger.handlers[:], logger.level
    yield logger
    logger.handlers[:], level = before
    logger.setLevel(level)


def shown(root, mode):
    config = copy.deepcopy(logmode_config_dict[mode])
    filters = [logging.config.DictConfigurator(config).configure_filter(config["filters"][name])
               for name in config["handlers"]["consoleHandler"]["filters"]]  # fmt: skip
    handler = logging.StreamHandler(io.StringIO())
    for each in filters:
        handler.addFilter(each)
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    logs.quiet_console()
    for name, level, text in LINES:
        logging.getLogger(name).log(level, text)
    return handler.stream.getvalue().splitlines()


def test_by_default_a_user_reads_our_lines_and_errors(root):
    assert shown(root, "concise") == ["round 3: 4 of 4 sites", "something broke"]


def test_with_another_log_mode_all_of_flare_is_shown(root):
    assert shown(root, "full") == [text for _, _, text in LINES]
