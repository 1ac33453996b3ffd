"""What the sites' descriptions must have in common before a run begins, and what their people should know."""

from collections.abc import Mapping
from typing import Any

from brainct.core.names import listing, reasons_of
from brainct.core.version import fingerprint
from brainct.errors import Refused
from brainct.job.config import Plan

Descriptions = Mapping[str, Mapping[str, Any]]
"""By site, as protocol.reply_schema.described gives them."""


def notes(sites: Descriptions) -> dict[str, list[str]]:
    """What the sites' people should know, each note once, with the sites to which it applies."""
    found: dict[str, list[str]] = {}
    for site, about in sorted(sites.items()):
        failed = ["its last site check ended with FAIL"] * (about.get("check", {}).get("verdict") == "FAIL")
        for note in [*about["notes"], *failed]:
            found.setdefault(note, []).append(site)
    return found


def for_record(sites: Descriptions) -> dict[str, Any]:
    """The descriptions as the record has them: the same whether a run was resumed or not."""
    return {site: {key: about[key] for key in about if key != "kept"} for site, about in sites.items()}


def check_package(sites: Descriptions) -> None:
    """Refuse sites that have another brainct than the server: they could compute something else than was rehearsed."""
    own, others = fingerprint(), {site: about.get("package", "an unknown one") for site, about in sites.items()}
    if differ := {site: other for site, other in others.items() if other != own}:
        raise Refused(
            f"the server's brainct is {own}, but {', '.join(reasons_of(differ, '{} has {}'))}; install the same one "
            "everywhere, machine by machine in any order; runs begin once all have it. `brainct site package` says "
            "which is installed"
        )


def check_joining(sites: Descriptions, site: str, about: Mapping[str, Any], plan: Plan, public: bool) -> None:
    """Refuse a site that answers after the run has begun, where the run would not have begun with it either."""
    every = {**sites, site: about}
    if public:
        public_samples(every)
    plan.kind.shared(every, plan)  # what the others began with stays; only whether the site fits is asked


def public_samples(sites: Descriptions) -> int:
    """The number of public samples; refused, with the sites of each set, when sites have different ones."""
    holders: dict[str, list[str]] = {}
    for site in sorted(sites):
        public = sites[site]["public"]
        holders.setdefault(f"{public['scans']} scans {public['fingerprint'][:16]}", []).append(site)
    if len(holders) > 1:
        sets = "; ".join(f"{listing(whose)}: {which}" for which, whose in holders.items())
        raise Refused(f"the sites have different public sets ({sets}); give every site the same one")
    samples: int = next(iter(sites.values()))["public"]["scans"]
    return samples
