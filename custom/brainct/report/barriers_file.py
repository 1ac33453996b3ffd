"""barriers.json as `brainct barriers` writes it, as far as a page shows it."""

from pydantic import BaseModel, ConfigDict

from brainct.report.tolerant import Number


class _Read(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True)


class FullBarrier(_Read):
    """The whole network's way from one model to the other."""

    barrier: Number = None
    excess: list[float] = []


class LayerBarrier(_Read):
    """One layer's way, the rest being one model or the other."""

    path: str
    base_a: float
    base_b: float
    excess_a: list[float] = []
    excess_b: list[float] = []

    @property
    def barrier(self) -> float:
        """The larger of both bases'."""
        return max(self.base_a, self.base_b)

    def excess(self, base: str) -> list[float]:
        """The loss above the line between both ends, at the even points; empty in a file without it."""
        return self.excess_a if base == "a" else self.excess_b


class Rises(_Read):
    """Rises of the loss by kind of direction, at each length; None where there is no such direction."""

    path: str = ""
    interpolation: list[float] | None = None
    random: list[float] | None = None
    training: list[float] | None = None
    null: list[float] | None = None


class Perturbations(_Read):
    """How the loss rises when A is moved as far as shares (`scales`) of the way to B: the network, and each layer."""

    scales: list[float] = []
    whole: Rises = Rises()
    layers: list[Rises] = []


class Measured(_Read):
    """What the loss of barriers is."""

    fold: str = "unknown"
    finding: str = "all"
    scans: int = 0


class Barriers(_Read):
    """barriers.json, as far as a page shows it."""

    pairs: list[list[str]] = []
    loss: Measured = Measured()
    alphas: list[float] = []
    full: FullBarrier = FullBarrier()
    layers: list[LayerBarrier] = []
    cumulative: dict[str, list[float]] = {}
    perturbations: Perturbations = Perturbations()
