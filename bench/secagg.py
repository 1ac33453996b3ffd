"""What secure aggregation costs on top of plain averaging: CPU seconds and bytes of a round, one site lost or none.

    python bench/secagg.py [--sites 4 8 32] [--networks tiny densenet-small] [--repeats 5] [--kit FOLDER]

Both schemes' own functions in this one process, site after site, with the checks that a round makes of each report.
Nobody trains (a site's model takes a step in its place), nothing is sent or written, and no signature is made or
checked: their bytes count, and what they cost is measured apart if `--kit` names the startup folder of a hospital's
kit. `site` is the mean over sites of both of its replies, `server` all that the server computes; nobody waits for the
lost site. Medians over the repeats, in each of which the schemes take turns.
"""

import argparse
import statistics
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from brainct.catalogue.traffic import Stepping
from brainct.core import serialization
from brainct.core.determinism import one_thread
from brainct.core.report_check import check_report
from brainct.core.scheme import Report, Scheme, Task, followed
from brainct.ct.model import model_of
from brainct.ct.networks import build
from brainct.job.config import Plan, plan_of
from brainct.schemes.fedavg import fedavg
from brainct.schemes.secagg import secagg
from brainct.security.signing import Identity
from brainct.training.networks import parameters_of

NETWORKS: dict[str, dict[str, Any]] = {
    "tiny": {"architecture": "cnn", "size": 32, "options": {"widths": [8, 8]}},
    "densenet-small": {"architecture": "densenet-small"},
    "cnn-wide": {"architecture": "cnn", "options": {"widths": [64, 128, 256, 512]}},
}


class Federation:
    """One scheme, and what its rounds took: seconds at the server and at a site, bytes to and from a site."""

    def __init__(self, scheme: Scheme, plan: Plan, sites: int):
        self.scheme, self.plan, self.number = scheme, plan, 0
        self.sites = [f"site-{number:02}" for number in range(1, sites + 1)]
        self.memory = scheme.start(replace(model_of(plan.network, plan.seed, plan.rounds), rounds=0), self.sites, 0)
        self.keeps: dict[str, Any] = {site: {} for site in self.sites}

    def round(self, lost: Collection[str] = ()) -> dict[str, float]:
        """One round; a lost site's reply does not come."""
        spent = {"site": 0.0, "to": 0, "from": 0}
        began = time.process_time()

        def ask(site: str, task: Task) -> Report:
            started = time.process_time()
            learner = Stepping(self.plan, site, self.number)
            report, self.keeps[site] = self.scheme.reply(task, learner, self.keeps[site])
            spent["site"] += time.process_time() - started
            check_report(report, task, self.scheme, site)
            return report

        def weigh(site: str, task: Task) -> Report:
            nonlocal began
            report, started = ask(site, task), time.process_time()
            spent["to"] += serialization.size({"weights": task.weights, "extra": task.extra})
            said = {"weights": report.weights, "examples": 1, "metrics": report.metrics, "extra": report.extra}
            spent["from"] += serialization.size(said)
            began += time.process_time() - started
            return report

        tasks = self.scheme.assign(self.memory, self.number, self.sites)
        reports = {site: weigh(site, task) for site, task in sorted(tasks.items()) if site not in lost}
        reports = followed(self.scheme, self.memory, self.number, reports, weigh)
        self.memory = self.scheme.combine(self.memory, self.number, reports)
        whole, self.number = time.process_time() - began, self.number + 1
        count = len(self.sites) - len(lost)
        per_site = {key: value / count for key, value in spent.items()}
        return {**per_site, "server": whole - spent["site"]}


def measured(plan: Plan, sites: int, repeats: int) -> dict[str, dict[str, float]]:
    """Medians over the repeats, by scheme and whether a site is lost."""
    plainly, securely = (Federation(scheme, plan, sites) for scheme in (fedavg(), secagg()))
    for _ in range(2):
        plainly.round(), securely.round()
    rows: dict[str, list[dict[str, float]]] = {}
    for _ in range(repeats):
        for lost in ([], securely.sites[:1]):
            for federation in (plainly, securely):
                rows.setdefault(f"{federation.scheme.name}, {len(lost)} lost", []).append(federation.round(lost))
        securely.round(), plainly.round()  # the lost site's keys come in, and it is back in the sum after that
    return {
        name: {key: statistics.median(one[key] for one in found) for key in found[0]} for name, found in rows.items()
    }


def signature(startup: Path, repeats: int = 200) -> str:
    """What a signature costs the site that makes it and each site that checks it."""
    own, words = Identity(startup), "x" * 400
    began = time.process_time()
    proofs = [own.sign(words) for _ in range(repeats)]
    made = time.process_time()
    for proof in proofs:
        own.verify(_name(startup), words, proof)
    checked = time.process_time()
    return (
        f"a signature: {1e3 * (made - began) / repeats:.2f} ms to make, {1e3 * (checked - made) / repeats:.2f} to check"
    )


def _name(startup: Path) -> str:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    subject = x509.load_pem_x509_certificate((startup / "client.crt").read_bytes()).subject
    return str(subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, nargs="+", default=[4, 8, 32])
    parser.add_argument("--networks", nargs="+", default=["tiny", "densenet-small"], choices=list(NETWORKS))
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--kit", type=Path)
    chosen = parser.parse_args()
    one_thread()
    print("network         sites  scheme            site s  server s   kB to site  kB from site")
    for name, network in ((name, NETWORKS[name]) for name in chosen.networks):
        numbers = parameters_of(build(network["architecture"], **network.get("options", {})))
        print(f"{name}: {numbers:,} numbers")
        choices = {"scheme": "fedavg", "network": network, "rounds": 3, "fit": {"augment": None}}
        plan = plan_of(choices, "the benchmark's plan")
        for sites in chosen.sites:
            for scheme, row in measured(plan, sites, chosen.repeats).items():
                cost = f"{row['site']:7.4f}  {row['server']:8.4f}  {row['to'] / 1e3:11.1f}  {row['from'] / 1e3:12.1f}"
                print(f"{name:14}  {sites:5}  {scheme:16}  {cost}", flush=True)
    if chosen.kit:
        print(signature(chosen.kit))


if __name__ == "__main__":
    main()
