"""Loaded by each Python process of a federation under test: at the server, notes everything in each site's message.

The environment variable CAPTURE names a folder. Each message of a site becomes two files there: the answer in it, and
the places of all else that is in it.
"""

import importlib.abc
import importlib.util
import json
import os
import sys
import uuid
from pathlib import Path

MODULE = "nvflare.private.fed.server.server_runner"


def note(module):
    real = module.ServerRunner.process_submission

    def process_submission(self, client, task_name, task_id, result, fl_ctx):
        from nvflare.app_common.utils.fl_model_utils import FLModelUtils

        from brainct.core import serialization
        from brainct.flare import messages
        from brainct.security.disclosures import leaves

        file = Path(os.environ["CAPTURE"]) / f"{client.name}-{uuid.uuid4().hex}"
        answer = messages.from_model(FLModelUtils.from_shareable(result))
        file.with_suffix(".safetensors").write_bytes(serialization.pack(answer))
        context = fl_ctx.get_peer_context().get_all_public_props()
        about = {
            "places": [place for place, _ in leaves(dict(result))],
            "context": {key: str(item) for key, item in context.items()},
        }
        file.with_suffix(".json").write_text(json.dumps(about))
        return real(self, client, task_name, task_id, result, fl_ctx)

    module.ServerRunner.process_submission = process_submission


class Noting(importlib.abc.MetaPathFinder):
    """Patches the module when it is imported."""

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
