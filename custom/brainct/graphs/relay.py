"""Sharing found by scalars: sites send their own coefficients once, then only how well the relayed ones fit.

The server relays the coordinate-wise median of what the sites sent; a site replies with its log-likelihood under it;
the sites that lose more than the penalty and log m are set apart, the others' mean is relayed, and so on.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from brainct.graphs.moments import Family, Floats, Moments, likelihood, regression

REPEATS = 3
"""Relays after the sites sent their own coefficients."""


@dataclass(frozen=True)
class Own:
    """A site's mechanism of one family. parameters: (|pa| + 1,) coefficients and log s2."""

    n: float
    parameters: Floats

    @property
    def likelihood(self) -> float:
        """Under its own mechanism."""
        return likelihood(self.n, math.exp(self.parameters[-1]))


def own_of(moments: Moments, family: Family) -> Floats:
    """(|pa| + 1,) coefficients and log s2; log of 1 for a constant column."""
    if moments.constant[family[0]]:
        return np.zeros(len(family))
    beta, variance = regression(moments.covariance, family)
    return np.append(beta, math.log(variance))


def under(moments: Moments, family: Family, parameters: Floats) -> float:
    """-n/2 (log s2 + rss(beta)/s2): the log-likelihood under another site's mechanism, without its constant."""
    if moments.constant[family[0]]:
        return 0.0
    vector = np.append(1.0, -parameters[:-1])
    block = moments.covariance[np.ix_(list(family), list(family))]
    residual = float(vector @ block @ vector)
    return -0.5 * moments.n * (float(parameters[-1]) + residual * math.exp(-float(parameters[-1])))


def relayed(owns: Sequence[Own], apart: Sequence[int] | None) -> Floats:
    """What the server sends next: at first the median, then the mean of the sites that are not set apart."""
    rows = np.stack([one.parameters for one in owns])
    if apart is None:
        return np.asarray(np.median(rows, 0))
    kept = [k for k in range(len(owns)) if k not in apart] or list(range(len(owns)))
    beta = rows[kept, :-1].mean(0)
    return np.append(beta, math.log(float(np.exp(rows[kept, -1]).mean())))


def set_apart(owns: Sequence[Own], shared: Sequence[float], penalty: float) -> tuple[int, ...]:
    """The sites whose own mechanism is worth its penalty and log m."""
    limit = penalty + math.log(len(owns))
    return tuple(k for k, one in enumerate(owns) if one.likelihood - shared[k] > limit)


def value(owns: Sequence[Own], shared: Sequence[float], apart: Sequence[int], penalty: float) -> float:
    """This family's part of J."""
    rest = [shared[k] for k in range(len(owns)) if k not in apart]
    deviating = [owns[k].likelihood - penalty - math.log(len(owns)) for k in apart]
    return math.fsum([*rest, *([-penalty] if rest else []), *deviating])


def grouped(sites: Mapping[str, Moments], family: Family) -> tuple[float, tuple[int, ...]]:
    """The whole exchange for one family in one process: its part of J and who is set apart."""
    moments = [sites[name] for name in sorted(sites)]
    owns = [Own(one.n, own_of(one, family)) for one in moments]
    penalty = 0.5 * len(family) * math.log(math.fsum(one.n for one in moments))
    apart: tuple[int, ...] | None = None
    shared: list[float] = []
    for _ in range(REPEATS):
        sent = relayed(owns, apart)
        shared = [under(one, family, sent) for one in moments]
        apart = set_apart(owns, shared, penalty)
    assert apart is not None
    return value(owns, shared, apart, penalty), apart
