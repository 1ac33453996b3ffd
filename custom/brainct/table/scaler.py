"""Columns to mean 0 and deviation 1 over the training samples of all sites, from sums that sites send at the roll call.

The sums add up to the pooled mean and deviation exactly, by the law of total variance, whatever the partition. Random
projection: Johnson, Lindenstrauss, Contemporary Mathematics 1984.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from brainct.core.determinism import generator
from brainct.errors import Refused
from brainct.table.config import TableChoices
from brainct.table.read import Floats
from brainct.training.data import Dataset, Fold, Public


@dataclass(frozen=True)
class Scaler:
    """(d,) mean and deviation of each column; projection: (d, k), or None."""

    mean: Floats
    deviation: Floats
    projection: Floats | None = None

    def applied(self, inputs: torch.Tensor) -> torch.Tensor:
        """(N, d) float64 as read to (N, d) or (N, k) float32; a missing value becomes the mean."""
        values = np.nan_to_num((inputs.numpy() - self.mean) / self.deviation, nan=0.0)
        scaled = values if self.projection is None else values @ self.projection
        return torch.from_numpy(scaled.astype(np.float32))

    def dataset(self, data: Dataset) -> Dataset:
        """The data set with every fold's and the public set's inputs scaled."""

        def public() -> Public:
            found = data.public()
            return replace(found, inputs=self.applied(found.inputs))

        folds: dict[str, Fold] = {
            name: replace(fold, inputs=self.applied(fold.inputs)) for name, fold in data.folds.items()
        }
        return replace(data, folds=folds, public=public)


def sums_of(data: Dataset) -> dict[str, list[float]]:
    """Of each column over the training fold: count and sum of values, and sum of squared deviations from the mean."""
    values = data.folds["train"].inputs.numpy()
    known = ~np.isnan(values)
    count, total = known.sum(0), np.where(known, values, 0.0).sum(0)
    deviations = np.where(known, values - total / np.maximum(count, 1), 0.0)
    return {"count": count.tolist(), "sum": total.tolist(), "scatter": np.square(deviations).sum(0).tolist()}


def pooled(sums: Sequence[Mapping[str, Sequence[float]]]) -> dict[str, list[float]]:
    """Mean and deviation of each column over all sites' training samples; a constant column has deviation 1."""
    count, total, scatter = (np.array([one[key] for one in sums], np.float64) for key in ("count", "sum", "scatter"))
    if not (count.sum(0) > 0).all():
        raise Refused(f"column {int(np.argmin(count.sum(0))) + 1} of the job has no value at any site; leave it out")
    mean = total.sum(0) / count.sum(0)
    between = count * np.square(total / np.maximum(count, 1) - mean)
    deviation = np.sqrt((scatter + between).sum(0) / count.sum(0))
    constant = deviation <= 1e-12 * np.maximum(np.abs(mean), 1.0)
    return {"mean": mean.tolist(), "deviation": np.where(constant, 1.0, deviation).tolist()}


def scaler_of(choices: TableChoices, shared: Mapping[str, Any], seed: int) -> Scaler:
    """The scaler that is the same at all sites; shared: what `pooled` gave, if the job standardises."""
    columns = choices.columns
    projection = None
    if choices.project is not None:
        drawn = generator(seed, "table", "projection").standard_normal((columns, choices.project))
        projection = drawn / math.sqrt(columns)
    if not choices.standardise:
        return Scaler(np.zeros(columns), np.ones(columns), projection)
    mean, deviation = (np.array(shared.get(key, ()), np.float64) for key in ("mean", "deviation"))
    if mean.shape != (columns,) or deviation.shape != (columns,):
        raise Refused(f"the job standardises {columns} columns, but came without their means and deviations")
    return Scaler(mean, deviation, projection)
