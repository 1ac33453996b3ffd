"""What secure aggregation sums and under whose keys: each key is vouched for by its site and checked by every other."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from brainct import masks
from brainct.errors import Refused
from brainct.scheme import Learner, Report, Scheme, Task
from brainct.schemes._ranges import a_scheme

KEYS = "secagg"
"""In a task's `extra`: by site, the keys of all that are added up; in a report's: the site's own. See `own`."""
LIST = "the server's list of keys"
LONGEST = 8192
"""Characters of a proof; with FLARE's certificates they are some 1,400."""


def coefficient(inner: Scheme) -> Callable[[Task, Report], float]:
    """The inner scheme's; refused where its reports can't be summed before anyone sees them."""
    found = a_scheme("secagg: inner", inner).coefficient
    if found is None or inner.sealed:
        why = "shows nobody a site's weights anyway" if inner.sealed else "needs more than a sum of what sites send"
        raise Refused(f"secagg: {inner.name} {why}; docs/schemes.md says with which schemes it is possible")
    return found


def alike(tasks: Mapping[str, Task]) -> Mapping[str, Task]:
    """The tasks that ask for the same tensors, of those the most: a site that is asked for others is left out."""
    kinds = {site: tuple(sorted(task.weights)) for site, task in tasks.items()}
    most = Counter(kinds.values()).most_common(1)
    return {site: task for site, task in tasks.items() if kinds[site] == most[0][0]}


def own(learner: Learner) -> dict[str, str]:
    """A site's public `key`, 64 hex digits, and the `proof` that it is the site's: empty in a simulation."""
    key = masks.public_key(learner.key())
    return {"key": key, "proof": learner.vouch(KEYS, key)}


def is_own(said: Any) -> bool:
    """Whether it looks like what `own` gives."""
    known = isinstance(said, Mapping) and set(said) == {"key", "proof"} and isinstance(said["proof"], str)
    return known and masks.is_key(said["key"]) and len(said["proof"]) <= LONGEST


def agreed(said: Mapping[str, Mapping[str, str]], learner: Learner, least: int) -> tuple[str, dict[str, str]]:
    """This site's name and the public keys by site; refused if the list is not what honest sites sent."""
    for site, one in said.items():
        try:
            learner.check_vouched(site, one["proof"], KEYS, one["key"])
        except Refused as error:
            raise Refused(f"{LIST} has a key for {site}, but {error}; it sends nothing") from None
    mine, keys = masks.public_key(learner.key()), {site: one["key"] for site, one in said.items()}
    names, different = [site for site, key in keys.items() if key == mine], len(set(keys.values()))
    if different < max(least, len(keys)) or len(names) != 1:
        found = f"{different} keys of {len(keys)} sites, this one's {len(names)} times"
        raise Refused(f"{LIST} has {found}; wanted at least {least}, each once; it sends nothing")
    return names[0], keys
