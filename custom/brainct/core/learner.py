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
    names, in order. given: whether the weights are a start model instead of the seeded ones.
    """

    weights: Weights
    layers: tuple[Layer, ...] = ()
    architecture: str = ""
    rounds: int = 0
    public: int = 0
    outputs: tuple[str, ...] = ()
    given: bool = False


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
class PublicLabels:
    """Labels of the public set to train on, together with the site's own samples.

    labels: (|U|, F), 0, 1, or NaN for none. own: share of the site's own samples in the loss, in [0, 1].
    """

    labels: torch.Tensor
    own: float = 0.5


@dataclass(frozen=True)
class Transform:
    """What a network's input goes through after augmentation.

    apply: a batch to a batch of the same shape. known: plain data from which `apply` follows entirely.
    """

    apply: Callable[[torch.Tensor], torch.Tensor]
    known: Any


Record = Callable[[str, torch.Tensor, torch.Tensor], None]
"""Called with a module's path, its input and its output for one batch."""


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
    """What a scheme may ask of a site. Bound to one site and one round, which seed all that is random in it.

    Folds are `train`, `valid`, `test` and `public`, the public set, whose labels are all NaN. Where the site's privacy
    policy has it train with DP-SGD, whatever else would read the training fold is Refused.
    """

    @property
    def site(self) -> str: ...

    @property
    def round(self) -> int: ...

    @property
    def credentials(self) -> Credentials: ...

    def initial(self) -> Model:
        """The model before round 0; the same at every site, without any traffic."""
        ...

    def fit(
        self,
        weights: Weights,
        *,
        epochs: int | None = None,
        steps: int | None = None,
        penalty: Callable[[Weights], torch.Tensor] | None = None,
        correction: Weights | None = None,
        frozen: Collection[str] = (),
        constant_rate: bool = False,
        public_labels: PublicLabels | None = None,
    ) -> Fitted:
        """Train from these weights for the job's epochs or steps, or for those given here.

        penalty: added to each batch's loss; maps the parameters by name to a scalar with a gradient. correction: added
        to the gradient, by parameter name. frozen: parameters that stay as they are. constant_rate: train at the job's
        full learning rate, whatever the round.
        """
        ...

    def gradient(self, weights: Weights, *, batch: bool = False) -> Fitted:
        """The gradient of the mean loss over the training fold, or over the first mini-batch of `fit`."""
        ...

    def samples(self, fold: str = "train") -> tuple[torch.Tensor, torch.Tensor]:
        """Inputs (N, ...) and labels (N, F) of a fold; no sample where the site has no such fold."""
        ...

    def observe(self, weights: Weights, layers: Sequence[str], record: Record) -> torch.Tensor:
        """Run the training fold, not augmented, and record each layer's batches; returns the labels (N, F)."""
        ...

    def adapted(
        self, inputs: Transform | None = None, predictor: Callable[[str], torch.Tensor] | None = None
    ) -> "Learner":
        """This learner with another input, or with predictions (N, F) for a fold from a function."""
        ...

    def predict(self, weights: Weights, fold: str = "test") -> torch.Tensor:
        """(N, F) predictions for a fold, in its order."""
        ...

    def evaluate(self, weights: Weights, fold: str = "test") -> Mapping[str, Any]:
        """The workload's scores on a fold."""
        ...
