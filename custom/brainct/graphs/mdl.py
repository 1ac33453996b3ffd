"""The description length of a variable given ordered parents, in bits: additive splines, integers, coefficients.

Mian, Marx, Vreeken: Discovering Fully Oriented Causal Networks, AAAI 2021 (GLOBE), with a fixed additive basis in place
of MARS. Rissanen: A universal prior for integers, Annals of Statistics 1983.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np

from brainct.graphs.moments import FLOOR, Family, Floats

NORMALISER = math.log2(2.865064)


def integer(z: int) -> float:
    """L_N(z) = log2 z + log2 log2 z + ... over the positive terms, plus log2 2.865064; 0 for z < 1."""
    if z < 1:
        return 0.0
    bits, term = NORMALISER, math.log2(z)
    while term > 0:
        bits, term = bits + term, math.log2(term)
    return bits


def coefficient(c: float) -> float:
    """Bits of a number to three or four digits: its digits, how often it was multiplied by 10, its sign."""
    size, shifts = abs(c), 0
    if size <= 1e-12:
        return 0.0
    while size < 1000:
        size, shifts = size * 10, shifts + 1
    return integer(math.ceil(size)) + integer(shifts + 1) + 1.0


def subsets(n: int, k: int) -> float:
    """log2 of the number of subsets of k out of n."""
    return math.log2(math.comb(n, k)) if 0 <= k <= n else 0.0


def _powers(degree: int) -> Callable[[Floats], Floats]:
    return lambda x: np.stack([x**each for each in range(1, degree + 1)], 1)


def _hinges(x: Floats) -> Floats:
    """x, and max(0, x - t) at the quartiles t."""
    return np.stack([x, *(np.maximum(0.0, x - t) for t in np.quantile(x, [0.25, 0.5, 0.75]))], 1)


BASIS: tuple[Callable[[Floats], Floats], ...] = (_powers(1), _powers(2), _powers(3), _hinges)
"""The transforms of one parent."""


class DescriptionLength:
    """Bits of one site's rows, standardised there: the score compares directions, so that scales must not matter."""

    def __init__(self, rows: Floats):
        deviation = rows.std(0)
        self._x = (rows - rows.mean(0)) / np.where(deviation > 0, deviation, 1.0)
        self.constant = deviation <= 1e-12
        self._fitted = lru_cache(maxsize=100_000)(self._fit)
        self._column = lru_cache(maxsize=4096)(self._transformed)

    def bits(self, family: Family) -> float:
        """L_model + L_data of (i, *parents); parents join in their order, each with its best transform.

        0 for a variable that is constant here. What the graph itself costs is not in it.
        """
        return 0.0 if self.constant[family[0]] else self._fitted(family)[0]

    def _transformed(self, parent: int, kind: int) -> Floats:
        columns = BASIS[kind](self._x[:, parent])
        return np.asarray(columns - columns.mean(0))

    def _fit(self, family: Family) -> tuple[float, tuple[int, ...]]:
        """Bits, and each parent's transform."""
        if len(family) == 1:
            return self._coded(family, ()), ()
        earlier = self._fitted(family[:-1])[1]
        found = [(self._coded(family, (*earlier, kind)), (*earlier, kind)) for kind in range(len(BASIS))]
        return min(found)

    def _coded(self, family: Family, kinds: Sequence[int]) -> float:
        y, n = self._x[:, family[0]], len(self._x)
        if not kinds:
            return self._residual(n, float(y @ y) / n)
        design = np.concatenate([self._column(j, kind) for j, kind in zip(family[1:], kinds, strict=True)], 1)
        beta = np.linalg.lstsq(design, y, rcond=1e-10)[0]
        rest = y - design @ beta
        each = integer(1) + subsets(len(kinds), 1) + math.log2(len(BASIS))
        model = integer(len(beta)) + len(kinds) * each + math.fsum(coefficient(float(one)) for one in beta)
        return model + self._residual(n, float(rest @ rest) / n)

    @staticmethod
    def _residual(n: int, variance: float) -> float:
        return 0.5 * n * math.log2(2 * math.pi * math.e * max(variance, FLOOR))


def mdl(lengths: DescriptionLength, family: Family, variables: int) -> float:
    """Minus the bits, with those that name the parents: L_N(|pa|) + log2 C(V-1, |pa|); higher is better."""
    family = (family[0], *sorted(family[1:]))
    count = len(family) - 1
    return -(lengths.bits(family) + integer(count) + subsets(variables - 1, count))
