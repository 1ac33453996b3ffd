"""What a site's privacy policy has its learner do: train with DP-SGD, paid for from the site's budget."""

from collections.abc import Callable

from brainct.core.privacy_event import Event
from brainct.security.policy import Policy
from brainct.training.private import PrivateTraining


def private_training(
    policy: Policy, secret: Callable[[], bytes], spend: Callable[[str, Event], None]
) -> PrivateTraining | None:
    """What a learner needs to train as the policy says; None where it says nothing of training.

    secret: called only where it is needed, as Ledger.secret makes one. spend: see PrivateTraining.
    """
    return None if policy.training is None else PrivateTraining(policy.training, secret(), spend)
