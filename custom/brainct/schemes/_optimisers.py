"""Which optimisers a scheme's mathematics allows at the sites."""

from brainct.core.learner import Fitted
from brainct.errors import Refused


def plain_sgd(name: str, fitted: Fitted) -> Fitted:
    """What plain SGD gave; with another optimiser a change of weights is not a sum of gradients, and is refused."""
    if fitted.optimizer != "sgd":
        raise Refused(
            f"{name} is derived for plain SGD, but training ran with {fitted.optimizer}; set the job's `optimizer` to "
            f"sgd and its `momentum` to 0, or choose a scheme that takes any optimiser, such as fedprox"
        )
    return fitted
