"""A forest, a tree or rules on measures that need no network: a table's columns, or the brightness of a CT.

Breiman: Random Forests, Machine Learning 2001; Breiman, Friedman, Olshen, Stone: Classification and Regression Trees,
1984; Friedman, Popescu: Predictive Learning via Rule Ensembles, Annals of Applied Statistics 2008, with the leaves of
small boosted trees as rules; all are scikit-learn's.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from brainct.core.learner import Learner
from brainct.errors import Refused

GRID = 4
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
TREES = 200
RULE_TREES, PENALTY = 50, 0.01
Kind = Literal["forest", "tree", "rules"]


def kinds_of(forests: Sequence[str], trees: Sequence[str], rules: Sequence[str]) -> dict[str, Kind]:
    """What the sites named have; refused for a site that is named twice."""
    named = [*forests, *trees, *rules]
    if twice := sorted({site for site in named if named.count(site) > 1}):
        raise Refused(f"fedct: forests, trees and rules name {', '.join(twice)} twice; a site has one model")
    found: dict[str, Kind] = dict.fromkeys(forests, "forest")
    return found | dict.fromkeys(trees, "tree") | dict.fromkeys(rules, "rules")


def refuse_unknown(kinds: Mapping[str, Kind], sites: Sequence[str]) -> None:
    """Refuse sites that are named for a kind of model and not in the run."""
    if unknown := sorted(set(kinds) - set(sites)):
        raise Refused(f"fedct: forests, trees and rules name {', '.join(unknown)}; the sites are {', '.join(sites)}")


def features(images: Tensor) -> NDArray[np.float32]:
    """(N, D) features of images (N, C, H, W[, Z]), without any training; of a table (N, D) its columns.

    Of images, for each channel: mean, deviation and quantiles of the pixels, means and maxima of a grid of 4 cells an
    edge, and quantiles of the absolute difference from the image turned left to right.
    """
    if images.ndim == 2:
        return images.numpy()
    pool: tuple[Callable[[Tensor, int], Tensor], ...] = (functional.adaptive_avg_pool2d, functional.adaptive_max_pool2d)
    if images.ndim == 5:
        pool = (functional.adaptive_avg_pool3d, functional.adaptive_max_pool3d)
    flat, sides = images.flatten(2), (images - images.flip(3)).abs().flatten(2)
    levels = torch.tensor(QUANTILES)
    parts = [flat.mean(2), flat.std(2, correction=0)]
    parts += [torch.from_numpy(np.quantile(part.numpy(), levels.numpy(), axis=2)) for part in (flat, sides)]
    parts = [part if part.ndim == 2 else part.movedim(0, 2) for part in parts]
    parts += [each(images, GRID) for each in pool]
    return torch.cat([part.flatten(1).float() for part in parts], 1).numpy()


def forest(learner: Learner, pseudo: Tensor | None, own: float, kind: Kind = "forest") -> Callable[[str], Tensor]:
    """(N, F) probabilities for a fold by forests, one an output, from the site's samples and the labelled part of U.

    pseudo: (|U|, F) of 0, 1 and NaN. own: the share of the site's samples in all weights. kind: what each output has
    instead of a forest. If the site and the votes know only one class of an output, that class gets probability 1; if
    they know none, 0.5. Trained anew at each call.
    """
    images, labels = learner.samples("train")
    seen, public = features(images), features(learner.samples("public")[0])
    given = torch.full((len(public), labels.shape[1]), torch.nan) if pseudo is None else pseudo
    grown = [
        _grown(
            seen, public, labels[:, j].numpy(), given[:, j].numpy(), own, learner.credentials.seed("forest", j), kind
        )
        for j in range(labels.shape[1])
    ]

    def predict(fold: str) -> Tensor:
        asked = learner.samples(fold)[0]
        if not len(asked):  # scikit-learn's trees refuse an empty array
            return torch.empty(0, len(grown))
        x = features(asked)
        return torch.stack([torch.from_numpy(each(x)) for each in grown], 1).float()

    return predict


def _grown(
    seen: NDArray[np.float32],
    public: NDArray[np.float32],
    labels: NDArray[np.float32],
    given: NDArray[np.float32],
    own: float,
    seed: int,
    kind: Kind,
) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.tree import DecisionTreeClassifier

    known, told = ~np.isnan(labels), ~np.isnan(given)
    y = np.concatenate([labels[known], given[told]])
    if len(np.unique(y)) < 2:
        constant = float(y[0]) if len(y) else 0.5
        return lambda x: np.full(len(x), constant)
    x = np.concatenate([seen[known], public[told]])
    weights = np.concatenate(
        [np.full(count, share / max(count, 1)) for count, share in ((known.sum(), own), (told.sum(), 1 - own))]
    )
    if kind == "rules":
        return _rules(x, y, weights, seed)
    if kind == "tree":
        trees = DecisionTreeClassifier(min_samples_leaf=2, random_state=seed)
    else:
        trees = RandomForestClassifier(TREES, min_samples_leaf=2, random_state=seed, n_jobs=1)
    trees.fit(x, y, sample_weight=weights)
    return lambda x: np.asarray(trees.predict_proba(x)[:, 1], np.float64)


def _rules(
    x: NDArray[np.float32], y: NDArray[np.float32], weights: NDArray[np.float64], seed: int
) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
    """The lasso on which rules hold for a sample, cut off at 0 and 1; a rule is the way to a leaf, two conditions."""
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.linear_model import Lasso
    from sklearn.preprocessing import OneHotEncoder

    boosted = GradientBoostingClassifier(n_estimators=RULE_TREES, max_depth=2, subsample=0.5, random_state=seed)
    boosted.fit(x, y, weights)
    leaves = OneHotEncoder(handle_unknown="ignore").fit(boosted.apply(x)[:, :, 0])
    lasso = Lasso(PENALTY).fit(leaves.transform(boosted.apply(x)[:, :, 0]), y, weights)
    return lambda x: np.asarray(lasso.predict(leaves.transform(boosted.apply(x)[:, :, 0])).clip(0, 1), np.float64)
