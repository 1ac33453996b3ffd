"""What tests of the command share."""

import json

import pytest

from brainct.job import folders
from tests.conftest import TINY


@pytest.fixture
def small_job(tmp_path):
    """A job folder that runs in a second."""
    folders.render(tmp_path / "jobs")
    file = tmp_path / "jobs" / "feddc" / "app" / "config" / "config_fed_server.json"
    content = json.loads(file.read_text())
    content["workflows"][0]["args"] |= {"rounds": 2, "network": TINY}
    file.write_text(json.dumps(content))
    return tmp_path / "jobs" / "feddc"
