"""Ridge: one round gives the head in closed form, whatever the partition, on the features of a frozen network.

Hoerl, Kennard: Ridge Regression, Technometrics 1970; in one federated round as in He, Tong, Fang, Sun, Zeng, Li, Chen,
Zhuang: AFL: A Single-Round Analytic Approach for Federated Learning with Pre-trained Models, CVPR 2025. Here the Gram
matrices themselves are summed; balanced classes and missing labels are this project's addition.
"""

from collections.abc import Mapping, Sequence

import torch

from brainct.core.arguments import Positive
from brainct.core.learner import Learner, Model
from brainct.core.scheme import About, ClientState, Memory, Report, Scheme, Task, registered
from brainct.core.weights import Weights
from brainct.schemes._gram import GRAMS, expected, head_of, matrices_of, shape_for, solve_head
from brainct.schemes.fedavg import equal_weight

ABOUT = About(
    needs_all_rounds="its head is solved from one exchange, and later rounds only wait for sites that missed it",
    paper="Hoerl, Kennard, Technometrics 1970; He et al., CVPR 2025 (AFL)",
    family="one round",
    summary="One exchange of sums over the scans' features gives the best last layer of a fixed network.",
    when="only one exchange is possible, or a network trained elsewhere is to be fitted to these sites",
    sends="once: P to and 8 F (D+1) (D+2) bytes from each site, F the findings, D the head's inputs; then counts",
    client_state="a digest of the model whose features it sent",
    lost_site="asked again in the next round; left out if there is none",
    privacy="from the matrix of a class with at most D scans, the head's inputs of these scans can be derived up to a "
    "rotation, of a single scan wholly; only the sum is needed, so use secure aggregation",
    blocks={
        "update_noise": "sites send sums over the features of scans, which are not an update of a model",
        "private_training": "sites send sums over the features of their scans without noise",
    },
)


@registered(ABOUT)
def ridge(lam: Positive = 0.01) -> Scheme:
    """w_j = (G_j + alpha I)^-1 c_j for each finding j, G_j = sum_i a_i phi_i phi_i^T and c_j = sum_i a_i y_i phi_i.

    lam: lambda > 0; alpha = lambda times the features' mean scatter around their mean (the trace of the centred G_j
    over D), so that it means the same for every scale of the features; the bias is not penalised.

    phi_i: input of the network's last linear layer for training scan i, not augmented, and a 1. y_i: 1 with the
    finding, -1 without; a scan without a known label has no share in this finding. a_i = 1/n of its class over all
    sites, so that neither a rare finding nor a site's prevalence moves the line between the classes. A site can't know
    that n, so it sends one matrix for each class and finding, and the server divides; n and c_j are in the last
    columns. The score s estimates 2p - 1 and becomes the logit 2s, equal to that of p to first order; AUROC does not
    depend on it. A finding with one class only, over all sites, keeps the head that it had.

    All else in the network stays as it was, seeded or from a checkpoint. Later rounds only ask the sites that were
    lost, and change nothing once all replied. The model is the same for every partition of the same scans. A site
    remembers for which model it sent matrices, and sends none for another. A held-out site gets the network with its
    new head. Peak memory: the model, and without a round's reports two sets of 2 F matrices.
    """

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        head = head_of(model, "ridge")
        grams = torch.zeros(shape_for(model.weights[f"{head}.weight"]), dtype=torch.float64)
        # heard: {site: examples} of the sites whose matrices are in the sum
        return {"weights": model.weights, "head": head, GRAMS: grams, "heard": {}}

    def assign(memory: Memory, round: int, sites: Sequence[str]) -> Mapping[str, Task]:
        heard, first = memory["heard"], Task(memory["weights"], {GRAMS: memory["head"]})
        return {site: Task({}, {"scans": heard[site]}) if site in heard else first for site in sites}

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        fresh = {site: report for site, report in reports.items() if site not in memory["heard"]}
        if not fresh:
            return memory
        grams = sum((report.weights[GRAMS] for report in fresh.values()), memory[GRAMS])
        heard = {**memory["heard"], **{site: report.examples for site, report in fresh.items()}}
        weights = {**memory["weights"], **solve_head(grams, memory["weights"], memory["head"], lam)}
        return {**memory, "weights": weights, GRAMS: grams, "heard": heard}

    five = (start, assign, _reply, combine, lambda memory: memory["weights"])
    return Scheme(*five, expects=_expects, aggregation_weight=equal_weight, needs=frozenset({"network", "labels"}))


def _reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
    if not task.weights:
        return Report({}, task.extra["scans"]), client_state
    return matrices_of(task, learner, client_state, "ridge")


def _expects(task: Task, report: Report) -> Weights:
    return expected(task) if task.weights else {}
