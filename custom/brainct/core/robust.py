"""Robust aggregation: one model from several, a few of which may be Byzantine; pure and without randomness.

Distances and norms run in float64 over all floating tensors. Counters follow `weights.mean`: the largest is kept, so a
Byzantine site can set them. m is the number of models, f of Byzantine ones, P the bytes of a float32 model.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from brainct.core import weights as w
from brainct.core.weights import Weights
from brainct.errors import Refused

Points = NDArray[np.float64]


def trimmed_mean(models: Sequence[Weights], trim: int) -> dict[str, Tensor]:
    """In each coordinate the mean without the `trim` smallest and the `trim` largest values.

    trim: b in Yin, Chen, Ramchandran, Bartlett, ICML 2018, 0 <= b < m/2. With at most b Byzantine models each
    coordinate lies between the honest sites' least and largest. Peak memory: 3m of the largest tensor in float64.
    """
    if not 0 <= 2 * trim < len(models):
        raise Refused(f"a trimmed mean takes {trim} values from each side of {len(models)}; wanted some to be left")
    return _by_tensor(models, lambda stack: stack.sort(0).values[trim : len(stack) - trim].mean(0))


def coordinate_median(models: Sequence[Weights]) -> dict[str, Tensor]:
    """The median in each coordinate, of an even number the mean of the middle two; breakdown: f < m/2."""
    return trimmed_mean(models, (len(models) - 1) // 2)


def median_of_threes(models: Sequence[Weights]) -> dict[str, Tensor]:
    """In each coordinate the iterated median of three, in the order given; m = 3^h; tolerates f = 2^h - 1."""
    if len(models) != 3 ** _levels(len(models), 3):
        raise Refused(f"an iterated median of three needs 3, 9, 27, ... models, not {len(models)}")

    def tournament(stack: Tensor) -> Tensor:
        while len(stack) > 1:
            stack = stack.view(-1, 3, *stack.shape[1:]).median(1).values
        return stack[0]

    return _by_tensor(models, tournament)


def multi_krum(models: Sequence[Weights], byzantine: int, chosen: int) -> dict[str, Tensor]:
    """The mean of the `chosen` models with the lowest Krum scores; with one, Krum, bit-identical to an input.

    Blanchard, El Mhamdi, Guerraoui, Stainer, NeurIPS 2017: a model's score is the sum of squared distances to its
    m - f - 2 nearest others. byzantine: f, m >= 2f + 3. chosen: 1 ... m - f. Ties go to the model that comes first.
    """
    if byzantine < 0 or len(models) < 2 * byzantine + 3 or not 1 <= chosen <= len(models) - byzantine:
        raise Refused(
            f"Krum of {len(models)} models chooses {chosen} with {byzantine} Byzantine ones among them; wanted f >= 0 "
            f"Byzantine ones, at least 2f + 3 models and 1 to m - f chosen"
        )
    squares = squared_distances(models).sort(1).values
    scores = squares[:, 1 : len(models) - byzantine - 1].sum(1)
    best = torch.argsort(scores, stable=True)[:chosen].tolist()
    return w.mean([(1.0, models[index]) for index in sorted(best)])


def geometric_median(
    models: Sequence[Weights], iterations: int = 200, tolerance: float = 1e-9, smoothing: float = 1e-6
) -> dict[str, Tensor]:
    """The point with the least sum of distances to the models, by smoothed Weiszfeld steps from the coordinate median.

    Weiszfeld 1937; smoothed as in Pillutla, Kakade, Harchaoui, IEEE TSP 2022. A model's pull is 1 / max(nu, distance);
    nu is `smoothing` times the first median distance. Ends after `iterations` steps, or when a step is shorter than
    `tolerance` times the median distance. Breakdown: f < m/2; |z - c| <= 2/(m - 2f) sum of honest |x_i - c| for any c.
    Peak memory: 2(m + 3) P.
    """
    points, z = _flat(models), _flat([coordinate_median(models)])[0]
    nu = smoothing * _median(_distances(points, z))
    for _ in range(iterations):
        distances = _distances(points, z)
        scale = _median(distances)
        if scale == 0:  # half of the models are equal to z: no point has a smaller sum
            break
        pull = 1 / distances.clamp(min=nu)
        before, z = z, (pull / pull.sum()) @ points
        if float(torch.linalg.vector_norm(z - before)) <= tolerance * scale:
            break
    return _shaped(z, models)


def centered_clipping(
    models: Sequence[Weights], center: Weights, tau: float | None, iterations: int
) -> dict[str, Tensor]:
    """v <- v + 1/m sum (x_i - v) min(1, tau / |x_i - v|), from v = center; one iteration is norm clipping.

    Karimireddy, He, Jaggi, ICML 2021, there on momentum, here on models. tau > 0: in one iteration f Byzantine ones
    move v by at most f tau / m, and all together by tau. tau None: the median of |x_i - v|, at most the largest honest
    one while f < m/2. Peak memory: 2(m + 3) P.
    """
    if not models:
        raise Refused("a clipped mean of no models was asked for; wanted at least one")
    points, v = _flat(models), _flat([center])[0]
    for _ in range(iterations):
        distances = _distances(points, v)
        radius = _median(distances) if tau is None else tau
        kept = torch.where(distances <= radius, 1.0, radius / distances.clamp(min=radius))
        v = (1 - kept).mean() * v + kept @ points / len(points)
    return _shaped(v, models)


def squared_distances(models: Sequence[Weights]) -> Tensor:
    """(m, m) |x_i - x_j|^2, tensor by tensor, so that models on disk cost 2m of the largest tensor."""
    total = torch.zeros(len(models), len(models), dtype=torch.float64)
    for key in _floating(models[0]):
        stack = torch.stack([model[key].double().reshape(-1) for model in models])
        total += torch.cdist(stack, stack, compute_mode="donot_use_mm_for_euclid_dist").square()
    return total


def radon_weights(points: Points) -> Points:
    """(r,) convex weights of r = d+2 points (r, d) whose combination is a Radon point of them.

    With lambda != 0, sum lambda_i p_i = 0 and sum lambda_i = 0, the point is sum |lambda_i| p_i / sum |lambda_i|: the
    mean of the positive and of the negative side's combination, which are the same point. Neither a shift nor a scale
    of all points changes lambda; columns have length one in the SVD, so that one far point does not drown the others.
    """
    r, d = points.shape
    if r != d + 2:
        raise Refused(f"a Radon point in {d} dimensions needs {d + 2} points, not {r}")
    centred = points - np.median(points, axis=0)
    spread = np.median(np.linalg.norm(centred, axis=1)) or 1.0
    columns = np.vstack([centred.T / spread, np.ones(r)])
    lengths = np.linalg.norm(columns, axis=0)
    null = np.abs(np.linalg.svd(columns / lengths)[2][-1]) / lengths
    weights: Points = null / null.sum()
    return weights


def radon_point(points: Points) -> Points:
    """(d,) a point in the convex hulls of both sides of a partition of d+2 points (d+2, d)."""
    return radon_weights(points) @ points


def radon_machine(points: Points) -> Points:
    """(m,) convex weights of the iterated Radon point of m = r^h points (m, r-2), grouped in the order given.

    Kamp, Boley, Missura, Gaertner, NeurIPS 2017, Algorithm 1. One Radon point has Tukey depth 2, so h levels
    tolerate 2^h - 1 arbitrary points of r^h.
    """
    count, r = len(points), points.shape[1] + 2
    if r < 3 or count != r ** _levels(count, r) or count == 1:
        works = ", ".join(str(r**h) for h in range(1, 4))
        raise Refused(f"a Radon machine in {r - 2} dimensions needs {works}, ... models, not {count}")
    weights = np.eye(count)
    while len(points) > 1:
        groups = range(0, len(points), r)
        levels = [radon_weights(points[g : g + r]) for g in groups]
        weights = np.stack([level @ weights[g : g + r] for g, level in zip(groups, levels, strict=True)])
        points = np.stack([level @ points[g : g + r] for g, level in zip(groups, levels, strict=True)])
    final: Points = weights[0]
    return final


def sketch(models: Sequence[Weights], dims: int, rng: np.random.Generator) -> Points:
    """(m, dims) a Gaussian random projection of each model; models of at most `dims` numbers as they are, zero padded.

    Linear: the sketch of a convex combination is that of the sketches. Runs tensor by tensor.
    """
    points: Points = np.zeros((len(models), dims))
    if (size := numbers(models[0])) <= dims:
        points[:, :size] = _flat(models).numpy()
        return points
    for key in _floating(models[0]):
        projection = rng.standard_normal((models[0][key].numel(), dims))
        points += np.stack([model[key].double().reshape(-1).numpy() @ projection for model in models])
    return points


def combine_models(models: Sequence[Weights], shares: Points) -> dict[str, Tensor]:
    """The convex combination of models; a model of share 0 is left out, and so are its counters."""
    return w.mean([(float(share), model) for share, model in zip(shares, models, strict=True) if share > 0])


def numbers(model: Weights) -> int:
    """The number of values in a model's floating tensors."""
    return sum(model[key].numel() for key in _floating(model))


def _levels(count: int, r: int) -> int:
    """The largest h with r^h <= count."""
    h = 0
    while r > 1 and r ** (h + 1) <= count:
        h += 1
    return h


def _by_tensor(models: Sequence[Weights], rule: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
    """Apply a rule from (m, ...) float64 to (...) to each floating tensor; counters by the rule of `weights.mean`."""
    counters = _counters(models)
    return {
        key: rule(torch.stack([model[key].double() for model in models])).to(value.dtype)
        if value.is_floating_point()
        else counters[key]
        for key, value in models[0].items()
    }


def _counters(models: Sequence[Weights]) -> dict[str, Tensor]:
    keys = models[0].keys() - set(_floating(models[0]))
    return w.mean([(1.0, {key: model[key] for key in keys}) for model in models])


def _floating(model: Weights) -> list[str]:
    return sorted(key for key, value in model.items() if value.is_floating_point())


def _flat(models: Sequence[Weights]) -> Tensor:
    """(m, N) float64: every floating tensor of each model, one after the other; filled in model by model."""
    points = torch.empty(len(models), numbers(models[0]), dtype=torch.float64)
    for row, model in zip(points, models, strict=True):
        row.copy_(torch.cat([model[key].reshape(-1) for key in _floating(model)]))
    return points


def _shaped(point: Tensor, models: Sequence[Weights]) -> dict[str, Tensor]:
    """The model that a flat vector stands for; its counters come from the models."""
    first, keys = models[0], _floating(models[0])
    parts = dict(zip(keys, torch.split(point, [first[key].numel() for key in keys]), strict=True))
    shaped = {key: part.view(first[key].shape).to(first[key].dtype) for key, part in parts.items()}
    return {key: {**shaped, **_counters(models)}[key] for key in first}


def _distances(points: Tensor, center: Tensor) -> Tensor:
    """(m,) |x_i - center|, one model after the other, so that no second (m, N) is held."""
    return torch.stack([torch.linalg.vector_norm(point - center) for point in points])


def _median(values: Tensor) -> float:
    return float(np.median(values.numpy()))
