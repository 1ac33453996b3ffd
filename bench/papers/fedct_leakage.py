"""Do hard labels leak less than weights, if the attackers are equal?

Abourayya et al.: Little is Enough, AAAI 2025. Claimed: an attacker of shared labels is near chance (.51 to .53), one of
FedAvg's weights at .71 to .76. The authors' code attacks labels after one pass and weights after 500; here both
attackers have the same shadow federations and the same attack, LiRA of `brainct leakage`, on the last report of a site.
The federations are those recorded in docs/results/leakage, which `brainct leakage --plan` trains; this file runs the
attacks on their recorded reports again.

    python bench/papers/fedct_leakage.py
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from common import RESULTS, Claim, Paper, Rows, go

from brainct.compare.ledger import read_rows
from brainct.leakage.attack_results import LIRA, summarise
from brainct.leakage.federation_row import FederationRow

STUDIES = {"head CT": "head_ct", "phantom": "phantom"}
SCHEMES = ("fedavg", "fedct")
ATTACKER = "server, last report"


def attacked(study: str) -> dict[str, Any]:
    """By scheme AUROC and the attack's AUC with its interval and what chance gives."""
    rows = read_rows(RESULTS / "leakage" / STUDIES[study] / "ledger.jsonl", FederationRow)
    found = {}
    for one in summarise([row for row in rows if row.name in SCHEMES], resamples=300, draws=300):
        [attack] = [each for each in one.results if (each.attacker, each.attack) == (ATTACKER, LIRA)]
        ends = {"interval": attack.auc.interval, "chance": attack.auc.chance}
        pairs = {name: [round(end, 3) for end in both] for name, both in ends.items() if both}
        auroc = round(one.auroc.mean, 3) if one.auroc else None
        found[one.name] = {"auroc": auroc, "attack": round(attack.auc.value, 3), **pairs}
    return found


def runs(seed: int) -> Iterator[tuple[dict[str, Any], Callable[[], dict[str, Any]]]]:
    for study in STUDIES:
        yield {"study": study}, partial(attacked, study)


def numbers(rows: Rows) -> dict[str, str]:
    found = {}
    for row in rows:
        for scheme in SCHEMES:
            key, one = f"{STUDIES[row['study']]}_{scheme}", row[scheme]
            found |= {key: f"{one['attack']:.3f}", f"{key}_auroc": f"{one['auroc']:.3f}"}
            found |= {f"{key}_from": f"{one['interval'][0]:.3f}", f"{key}_to": f"{one['interval'][1]:.3f}"}
    return found


def table(rows: Rows) -> list[str]:
    lines = ["| scans | scheme | AUROC of the model | AUC of the attack | by chance |", "|---|---|---|---|---|"]
    for row in rows:
        for scheme in SCHEMES:
            one = row[scheme]
            ends = [f"[{low:.3f}, {high:.3f}]" for low, high in (one["interval"], one["chance"])]
            cells = [row["study"], f"`{scheme}`", f"{one['auroc']:.3f}", f"{one['attack']:.3f} {ends[0]}", ends[1]]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


PAPER = Paper(
    name="fedct_leakage",
    title="What hard labels give away",
    source="Abourayya, Kleesiek, Rao, Ayday, Rao, Webb, Kamp, AAAI 2025.",
    setting="""
Four hospitals with 14 scans each, of which a random half trains; 16 federations of each scheme, each attacked with the
other 15 as shadows, by a server that has one site's last report: its weights, or all its votes on the public scans. See
[leakage](leakage/README.md), whose federations these are. The paper: five clients, pictures, other networks.
""",
    claims=(
        Claim(
            "Hard labels leak less about training scans than weights do.",
            "AUC .51 to .53 against .71 to .76 (R)",
            "AGREES",
            "with equal attackers the AUC is {head_ct_fedct} against {head_ct_fedavg} on head CT, and {phantom_fedct} "
            "against {phantom_fedavg} on the phantom; the models' AUROC is lower too, {head_ct_fedct_auroc} against "
            "{head_ct_fedavg_auroc} and {phantom_fedct_auroc} against {phantom_fedavg_auroc}.",
        ),
    ),
    runs=runs,
    numbers=numbers,
    table=table,
    seeds=1,
)

if __name__ == "__main__":
    go(PAPER)
