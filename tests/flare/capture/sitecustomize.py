"""Loaded by each Python process of a federation under test: at the server, records everything in each site's message.

The environment variable CAPTURE names a folder. Each message of a site becomes two files there: the reply, and the
names of everything else in the message.
"""

import json
import os
import uuid
from pathlib import Path

from import_patches import install

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


if "CAPTURE" in os.environ:
    install({MODULE: note})
