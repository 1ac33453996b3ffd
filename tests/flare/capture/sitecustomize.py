"""Loaded by each Python process of a federation under test: at the server, notes everything in each site's message.

The environment variable CAPTURE names a folder. Each submission of a site becomes a file there: every value of it with
its place; what FLARE adds of its own is noted as well as what we send.
"""

import importlib.abc
import importlib.util
import json
import os
import sys
import uuid
from pathlib import Path

MODULE = "nvflare.private.fed.server.server_runner"


def walked(value, place=""):
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from walked(item, f"{place}/{key}")
    elif isinstance(value, list | tuple) and value:
        for index, item in enumerate(value):
            yield from walked(item, f"{place}/{index}")
    else:
        plain = value is None or isinstance(value, str | int | float | bool)
        yield place, value if plain else type(value).__name__


def note(module):
    real = module.ServerRunner.process_submission

    def process_submission(self, client, task_name, task_id, result, fl_ctx):
        peer = fl_ctx.get_peer_context()
        props = {} if peer is None else peer.get_all_public_props()
        found = {"message": list(walked(dict(result))), "context": list(walked(props))}
        (Path(os.environ["CAPTURE"]) / f"{client.name}-{uuid.uuid4().hex}.json").write_text(json.dumps(found))
        return real(self, client, task_name, task_id, result, fl_ctx)

    module.ServerRunner.process_submission = process_submission


class Noting(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name != MODULE:
            return None
        sys.meta_path.remove(self)
        try:
            spec = importlib.util.find_spec(name)
        finally:
            sys.meta_path.insert(0, self)
        real = spec.loader.exec_module

        def exec_module(module):
            real(module)
            note(module)

        spec.loader.exec_module = exec_module
        return spec


if "CAPTURE" in os.environ:
    sys.meta_path.insert(0, Noting())
