"""What a scheme may ask of a site: the learner, what training gives, and what is known of the network."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing
import torch

from brainct.core.weights import Weights


@dataclass(frozen=True)
class Layer:
    """A module that holds tensors of its own: its path in the network, its type's name, its tensors' keys.

    groups: of a GroupNorm, into how many groups it parts its channels; 0 for any other module.
    """

    path: str
    kind: str
    keys: tuple[str, ...]
    groups: int = 0


@dataclass(frozen=True)
class Model:
    """The weights before round 0, and what a scheme may know of the network and the run.

    layers: of the network, in order. architecture: its name. rounds: that are to come, 0 where unknown. public:
    samples of the public set that is the same at all sites, >= 0; counted for a scheme that needs one. outputs: their
    names, in order.
    """

    weights: Weights
    layers: tuple[Layer, ...] = ()
    architecture: str = ""
    rounds: int = 0
    public: int = 0
    outputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Fitted:
    """What local training gave: weights, and the training scans, steps, learning rate and mean loss behind them.

    loss: None where it must not be told. optimizer: in words; `sgd` is plain SGD, with momentum it is another one.
    """

    weights: Weights
    examples: int
    steps: int
    rate: float
    loss: float | None
    optimizer: str = "sgd"

    @property
    def metrics(self) -> dict[str, float]:
        """The loss as a report's metrics; none where it must not be told."""
        return {} if self.loss is None else {"loss": self.loss}


@dataclass(frozen=True)
class Moments:
    """The training scans' input channels in sums; the mean over a scan's pixels counts once, all pixels in it.

    scans: n, >= 0. sum: (C,) float64, of the scans' means. scatter: (C,) float64, of the scans' mean squared deviations
    from sum / n: a site's variance is scatter / n, and the mean variance within sites is a ratio of sums as well.
    """

    scans: int
    sum: torch.Tensor
    scatter: torch.Tensor


class Credentials(Protocol):
    """What one site alone can draw, sign or recognise in one round of a run; see security.credentials."""

    def seed(self, *words: str | int) -> int:
        """A number in [0, 2^32) from the run's seed, the site and these words, the same in every round."""
        ...

    def private_uniform(self, count: int, *words: str | int) -> "np.typing.NDArray[np.float64]":
        """(count,) uniform in [0, 1) from the site's secret; Refused where the site has none."""
        ...

    def run_key(self) -> bytes:
        """32 bytes of the site's secret of this run, the same in all its rounds."""
        ...

    def job_digest(self) -> str:
        """64 hex digits over all choices of the job: the same at all sites that were given the same job."""
        ...

    def sign(self, *words: str) -> str:
        """A proof for the other sites that this one said these words; empty where it has no certificate."""
        ...

    def verify(self, site: str, proof: str, *words: str) -> None:
        """Refuse a proof that is not that site's for these words; without a certificate nothing is checked."""
        ...


class Learner(Protocol):
    """What a scheme may ask of a site. Bound to one site and one round, which seed all that is random in it."""

    @property
    def site(self) -> str: ...

    @property
    def round(self) -> int: ...

    def initial(self) -> Model: ...

    def fit(
        self,
        weights: Weights,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        penalty: Callable[[Weights], torch.Tensor] | None = None,
        correction: Weights | None = None,
        frozen: Collection[str] = (),
        decay: bool = True,
        pseudo: torch.Tensor | None = None,
        own: float = 0.5,
    ) -> Fitted: ...

    def gradient(self, weights: Weights, *, batch: bool = False) -> Fitted: ...

    def features(self, weights: Weights, layer: str) -> tuple[torch.Tensor, torch.Tensor]: ...

    def activations(self, weights: Weights, layers: Sequence[str]) -> tuple[dict[str, torch.Tensor], int]: ...

    def moments(self) -> Moments: ...

    def normalised(self, mean: Sequence[float], variance: Sequence[float]) -> "Learner": ...

    def fold(self, name: str = "train") -> tuple[torch.Tensor, torch.Tensor]: ...

    def answering(self, predict: Callable[[str], torch.Tensor]) -> "Learner": ...

    def seed(self, *words: str | int) -> int: ...

    def key(self) -> bytes: ...

    def choices(self) -> str: ...

    def vouch(self, *words: str) -> str: ...

    def check_vouched(self, site: str, proof: str, *words: str) -> None: ...

    def hidden(self, count: int, *words: str | int) -> "np.typing.NDArray[np.float64]": ...

    def predict(self, weights: Weights, fold: str = "test") -> torch.Tensor: ...

    def evaluate(self, weights: Weights, fold: str = "test") -> Mapping[str, Any]: ...
