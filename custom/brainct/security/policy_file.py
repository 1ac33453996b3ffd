"""The privacy.json of a site: FLARE's own file, in which the arguments of our filter are the site's policy."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from brainct.errors import Refused
from brainct.protocol.agent import Agent
from brainct.security import policy as policies
from brainct.security.ledger import Ledger
from brainct.security.reply_filter import FilteredAgent, ReplyFilter

ENVIRONMENT = "BRAINCT_PRIVACY"
FILTER, REMEMBER = "brainct.flare.filters.Privacy", "brainct.flare.filters.Remember"


def filtered(agent: Agent, site: str) -> Agent:
    """The agent as it is, or behind the policy of the privacy.json that BRAINCT_PRIVACY names: for rehearsals."""
    named = policy_file()
    return FilteredAgent(agent, reply_filter_in(named, site)) if named else agent


def reply_filter_in(file: Path, site: str, scope: str = "") -> ReplyFilter:
    """The reply filter that a privacy.json describes for this site, in this scope or in the default one."""
    return reply_filter_of(_arguments(file, scope), file.resolve().parent, site)


def reply_filter_if_any(file: Path | None, site: str) -> ReplyFilter | None:
    """The reply filter of a site's privacy.json; None without such a file, or where it names no policy."""
    if file is None or not file.is_file() or FILTER not in file.read_text():
        return None
    return reply_filter_in(file, site)


def policy_file() -> Path | None:
    """The privacy.json that BRAINCT_PRIVACY names, for rehearsals."""
    named = os.environ.get(ENVIRONMENT)
    return Path(named) if named else None


def reply_filter_of(arguments: Mapping[str, Any], base: Path, site: str) -> ReplyFilter:
    """The reply filter that a filter's arguments in privacy.json describe.

    In addition to the keys of policy.Policy they may have `folder`, for the ledger and the secret: relative to `base`,
    the folder of privacy.json; `privacy` by default. Each site has its own folder in it.
    """
    choices = dict(arguments)
    folder = choices.pop("folder", "privacy")
    if not isinstance(folder, str):
        raise Refused(f"the privacy policy: folder is {folder!r}; wanted the name of a folder")
    return ReplyFilter(policies.policy_of(choices), Ledger(base / folder / site), site)


def _arguments(file: Path, scope: str = "") -> dict[str, Any]:
    """The filter's arguments in a scope of a privacy.json, by default in its default scope."""
    try:
        content = json.loads(file.read_text())
        scopes = {scope["name"]: scope for scope in content["scopes"]}
        filters = scopes[scope or content["default_scope"]]["task_result_filters"]
        rows = [row for row in filters if row.get("path") == FILTER]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise Refused(f"{file} is not a privacy.json with a default scope ({type(error).__name__}: {error})") from None
    if len(rows) != 1:
        raise Refused(f"{file}: scope {scope or content['default_scope']} has {len(rows)} {FILTER}; wanted one")
    arguments: dict[str, Any] = rows[0].get("args", {})
    return arguments
