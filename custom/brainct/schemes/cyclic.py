"""Cyclic weight transfer: one model goes from site to site, in the same order again and again.

Chang, Balachandar, Lam, Yi, Brown, Beers, Rosen, Rubin, Kalpathy-Cramer: Distributed deep learning networks among
institutions for medical imaging, JAMIA 25(8), 2018.
"""

from collections.abc import Mapping, Sequence

from brainct.core.learner import Model
from brainct.core.scheme import About, Memory, Report, Scheme, Task, registered
from brainct.schemes.fedavg import as_sent, reply

ABOUT = About(
    paper="Chang et al., JAMIA 2018",
    family="daisy-chaining",
    summary="One model travels from site to site, and each site trains it in turn.",
    when="a few sites have a handful of scans each and can train one after the other; m rounds make one cycle",
    sends="P to and P from one site",
    lost_site="its round closes empty, and the unchanged model goes to the next site",
    privacy="each site receives the model that the site before it trained, and knows which site that was; there is no "
    "sum, so secure aggregation is impossible",
    blocks={"secure_aggregation": "sites train one after the other, so there is no sum"},
)


@registered(ABOUT)
def cyclic() -> Scheme:
    """In round t site t mod m alone trains the model, in the order of the sites' names; then the next site gets it.

    It is FedDC with one model and a fixed order, without an average. m rounds make one cycle: compare it with other
    schemes at equal training, not at equal rounds. The last site of a run has the greatest influence on the model.
    Peak memory: 2 models.
    """

    def start(model: Model, sites: Sequence[str], seed: int) -> Memory:
        return {"weights": model.weights}

    def assign(memory: Memory, round: int, sites: Sequence[str]) -> Mapping[str, Task]:
        return {sorted(sites)[round % len(sites)]: Task(memory["weights"])}

    def combine(memory: Memory, round: int, reports: Mapping[str, Report]) -> Memory:
        for report in reports.values():
            return {"weights": dict(report.weights)}
        return memory

    def quorum(asked: int) -> int:
        """None: without the one site the round closes empty."""
        return asked

    five = (start, assign, reply, combine, lambda memory: memory["weights"])
    return Scheme(*five, quorum=quorum, sent_model=as_sent)
