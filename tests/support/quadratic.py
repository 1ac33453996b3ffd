"""Sites whose training can be followed on paper: quadratic losses, plain gradient descent, no network."""

import torch

from brainct.core.learner import Fitted, Model
from tests.support.by_hand import play

START = {"w": torch.tensor([3.0, -1.0], dtype=torch.float64)}


class Quadratic:
    """A site with loss L(w) = 1/2 sum_i a_i (w_i - b_i)^2, trained by `steps` steps of gradient descent."""

    def __init__(self, a, b, *, steps=10, rate=0.05, examples=1):
        self.a, self.b = torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)
        self.steps, self.rate, self.examples = steps, rate, examples
        self.asked = {}

    def initial(self):
        return Model(START)

    def loss(self, weights):
        return (self.a * (weights["w"] - self.b).square()).sum() / 2

    def fit(self, weights, *, epochs=None, steps=None, penalty=None, correction=None, frozen=(), decay=True):
        self.asked = {"weights": weights, "penalty": penalty, "correction": correction}
        now = weights["w"].clone().requires_grad_()
        steps = steps or self.steps
        for _ in range(steps):
            loss = self.loss({"w": now}) + (penalty({"w": now}) if penalty else 0)
            (gradient,) = torch.autograd.grad(loss, now)
            gradient = gradient + (correction["w"] if correction else 0)
            now = (now.detach() - self.rate * gradient).requires_grad_()
        return Fitted({"w": now.detach()}, self.examples, steps, self.rate, 0.0)

    def gradient(self, weights):
        return Fitted({"w": self.a * (weights["w"] - self.b)}, self.examples, 1, self.rate, 0.0)


def sites_that_differ(**choices):
    """Three sites with other curvatures and other minima: averages of their local minima miss the common one."""
    return {
        "site-1": Quadratic([1.0, 4.0], [0.0, 5.0], **choices),
        "site-2": Quadratic([5.0, 1.0], [2.0, -2.0], **choices),
        "site-3": Quadratic([2.0, 0.5], [-4.0, 1.0], **choices),
    }


def optimum(sites):
    """Where the mean of the sites' losses is least: sum_k a_k b_k / sum_k a_k."""
    return sum(x.a * x.b for x in sites.values()) / sum(x.a for x in sites.values())


def run(scheme, sites, rounds, lost=()):
    """Memory and keeps after these rounds, without the reports of the (site, round) that were lost."""

    def learner(plan, site, round, scans):
        return sites[site]

    names = sorted(sites)
    rows = play(scheme, None, rounds, model=Model(START), sites=names, seed=0, learner=learner, unheard=lost)
    return (rows[-1].memory, rows[-1].keeps) if rows else (scheme.start(Model(START), names, 0), {})


def rests_at(scheme, sites, rounds=400):
    """The model after many rounds."""
    return scheme.model(run(scheme, sites, rounds)[0])["w"]
