"""SCAFFOLD: control variates correct each site's gradients for its drift.

Karimireddy, Kale, Mohri, Reddi, Stich, Suresh: SCAFFOLD: Stochastic Controlled Averaging for Federated Learning,
ICML 2020, Algorithm 1, option II.
"""

from collections.abc import Mapping, Sequence

from brainct.core import weights as w
from brainct.core.arguments import Positive
from brainct.core.learner import Learner, Model
from brainct.core.scheme import About, ClientState, Memory, Report, Scheme, Task, registered
from brainct.errors import Refused
from brainct.schemes._acknowledged import acknowledged, counted, no_reports, state_with
from brainct.schemes._optimisers import plain_sgd
from brainct.schemes._partial import refuse_nan
from brainct.schemes.fedavg import equal_weight

ABOUT = About(
    paper="Karimireddy et al., ICML 2020, Algorithm 1, option II",
    family="drift",
    summary="Each site corrects its gradients by how its mean gradient differs from that of all sites.",
    when="sites differ, train many plain SGD steps in a round, and all of them reply in most rounds",
    sends="2P to and 2P from each site: the model and a control variate",
    client_state="its control variate before and after its last report, 2P",
    lost_site="left out of both means; it takes its control variate of that round back",
    privacy="a control variate is a site's mean gradient; the server needs only sums, and with `secagg` around it sees "
    "nothing else",
    blocks={
        "update_noise": "in addition to its model a site sends its mean gradient, on which site and server must agree"
    },
)
CONTROL = "control/"


@registered(ABOUT)
def scaffold(server_rate: Positive = 1.0) -> Scheme:
    """y_k <- y_k - eta (g_k - c_k + c), K times; x <- x + eta_g mean(y_k - x), c <- mean(c_k) over all sites.

    server_rate: eta_g, > 0; 1 takes the mean of the models.

    c_k <- c_k - c + (x - y_k) / (K eta) after each training; c_k starts at 0. The derivation holds for plain SGD at a
    constant rate in a round. With Adam or momentum (x - y_k) / (K eta) is not a gradient, and a site that trains so
    refuses. Weight decay counts as a part of the loss. Means are plain as in the paper, 1/m. A lost site takes its last
    change of c_k back, so that c stays the mean of all c_k. Peak memory at the server, without the reports: 9 models.
    """

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        return {"weights": model.weights, "control": w.filled(model.weights, 0.0), "arrived": no_reports(sites)}

    def assign(memory: Memory, round: int, sites: Sequence[str]) -> Mapping[str, Task]:
        sent = _join(memory["weights"], memory["control"])
        return {site: Task(sent, {"arrived": memory["arrived"][site]}) for site in sites}

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        mean, change = _split(w.mean([(1.0, report.weights) for report in reports.values()]))
        beyond = w.scale(w.difference(mean, memory["weights"]), server_rate - 1)
        share = len(reports) / len(memory["arrived"])
        return {
            "weights": w.add(mean, beyond),
            "control": w.add(memory["control"], w.scale(change, share)),
            "arrived": counted(memory["arrived"], reports),
        }

    def sent_model(task: Task, report: Report) -> w.Weights:
        return _split(report.weights)[0]

    five = (start, assign, _reply, combine, lambda memory: memory["weights"])
    return Scheme(*five, aggregation_weight=equal_weight, sent_model=sent_model)


def _reply(task: Task, learner: Learner, client_state: ClientState) -> tuple[Report, ClientState]:
    model, control = _split(task.weights)
    own = acknowledged(task, client_state, w.filled(model, 0.0))
    fitted = plain_sgd("scaffold", learner.fit(model, correction=w.add(control, w.scale(own, -1))))
    refuse_nan(fitted)
    if not fitted.rate > 0:
        raise Refused(f"scaffold: the learning rate is {fitted.rate}; wanted one above 0 in every round")
    gradient = w.scale(w.difference(model, fitted.weights), 1 / (fitted.steps * fitted.rate))
    change = w.add(w.scale(control, -1), gradient)
    report = Report(_join(fitted.weights, change), fitted.examples, metrics=fitted.metrics)
    return report, state_with(task, own, w.add(own, change))


def _join(model: w.Weights, control: w.Weights) -> w.Weights:
    return {**model, **{CONTROL + key: value for key, value in control.items()}}


def _split(weights: w.Weights) -> tuple[w.Weights, w.Weights]:
    """The model's tensors, and the control's under the model's keys."""
    control = {key.removeprefix(CONTROL): value for key, value in weights.items() if key.startswith(CONTROL)}
    return {key: value for key, value in weights.items() if not key.startswith(CONTROL)}, control
