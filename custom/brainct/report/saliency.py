"""Example slices with saliency maps: of the phantom, or of a site if its site file allows pictures."""

import io
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from brainct.core.determinism import one_thread
from brainct.core.weights import Weights
from brainct.ct.config import ct_choices
from brainct.ct.dataset import open_site
from brainct.ct.folds import FINDINGS
from brainct.ct.learner import learner_of
from brainct.ct.metrics import THRESHOLD
from brainct.ct.model import network_like
from brainct.ct.site_config import SiteFile, read_site_file
from brainct.errors import Refused
from brainct.job.config import Plan, plan_of
from brainct.pages.page import Example, Section
from brainct.pages.picture import Picture
from brainct.pages.wording import percent
from brainct.report.run_folder import RunFolder
from brainct.run.model_file import FILE, ModelFile, read_model
from brainct.run.replay import adapted
from brainct.security.credentials import offline
from brainct.site.data import site_file_of
from brainct.training.data import Dataset
from brainct.training.learner import TorchLearner

MOST_SITES, MOST_RIGHT, MOST_WRONG = 4, 4, 4
EDGE = 208
"""Pixels of an example in the report."""


@dataclass(frozen=True)
class Case:
    """A test scan: its image (C, H, W[, D]), which findings are there, the probability of `any`, and its site."""

    site: str
    image: Tensor
    findings: tuple[str, ...]
    truth: bool
    probability: float

    @property
    def right(self) -> bool:
        """Whether the prediction at the threshold is the true class."""
        return (self.probability >= THRESHOLD) == self.truth


@dataclass(frozen=True)
class _SiteModel:
    """The delivered model, and the learner that evaluates it at one site as a site outside the run would."""

    learner: TorchLearner
    weights: Weights
    findings: Sequence[str]


def examples(run: RunFolder) -> Section | None:
    """Right and wrong predictions of the delivered model, where pictures are allowed; None without a model."""
    if not run.finished or not (run.folder / FILE).is_file():
        return None
    one_thread()
    plan, model = plan_of(run.record.plan, "the run's record"), read_model(run.folder / FILE)
    models: dict[str, _SiteModel] = {}
    notes: list[str] = []
    for site in run.sites:
        if len(models) < MOST_SITES and (scans := _scans_to_show(run, site, plan, notes)) and len(scans.folds["test"]):
            models[site] = _site_model(model, plan, site, scans)
    chosen = _choose_cases([case for one in models.values() for case in _cases(one)])
    notes = list(dict.fromkeys(notes))
    if not chosen:
        return Section("What it looked at", ["No pictures are shown."], notes=notes)
    text = [
        "Test scans as the network sees them: left in the brain window, right under the areas that raised the "
        "probability of a bleeding most (Grad-CAM, Selvaraju et al., ICCV 2017, by MONAI). Brightness compares places "
        "within one picture, never two pictures.",
        "A bright area shows where the model looked, not that it is right, and is no proof that it would look there in "
        "another scan. It is the delivered model that answers here, also where a hospital would use one of its own.",
    ]
    drawn = [_example(case, number, models[case.site]) for number, case in enumerate(chosen, 1)]
    return Section("What it looked at", text, examples=drawn, notes=notes)


def _scans_to_show(run: RunFolder, site: str, plan: Plan, notes: list[str]) -> Dataset | None:
    """The site's scans if they are on this machine, they are the run's, and their pictures may be shown."""
    try:
        path = site_file_of(None)
        file = read_site_file(path) if path else None
        if run.record.sites[site].kind != (file.kind if file else "phantom"):
            notes.append(f"{site}: its scans are not on this machine, so none are shown.")
            return None
        if not may_show_scans(file):
            notes.append(f"{site}: the site's file does not allow pictures (pictures: true), so none are shown.")
            return None
        choices = ct_choices(plan)
        scans = open_site(file, site, run.sites, choices.network.size, choices.network.dims, choices.wanted)
    except Refused:
        notes.append(f"{site}: its scans can't be opened here, so none are shown.")
        return None
    if scans.fingerprint != run.record.sites[site].fingerprint:
        notes.append(f"{site}: the scans on this machine are not those of the run, so none are shown.")
        return None
    return scans


def may_show_scans(file: SiteFile | None) -> bool:
    """Whether a page may show these scans: the phantom's always, a patient's only if the site file allows it."""
    return file is None or file.kind == "phantom" or file.pictures


def _site_model(model: ModelFile, plan: Plan, site: str, scans: Dataset) -> _SiteModel:
    choices = ct_choices(plan)
    network = network_like(choices.network, plan.seed, model.weights, choices.findings)
    learner = adapted(plan, model.task, learner_of(choices, scans, offline(plan, site), network))
    assert isinstance(learner, TorchLearner)
    return _SiteModel(learner, model.weights, choices.findings)


def _cases(used: _SiteModel) -> Iterator[Case]:
    learner, at = used.learner, used.findings.index("any")
    fold = learner.data.folds["test"]
    guesses = learner.predict(used.weights, "test")[:, at]
    for image, labels, guess in zip(fold.inputs, fold.labels, guesses, strict=True):
        if labels[at].isfinite():
            found = tuple(
                name for name, label in zip(used.findings, labels, strict=True) if label == 1 and name != "any"
            )
            yield Case(learner.site, image, found, bool(labels[at] == 1), float(guess))


def _choose_cases(cases: Sequence[Case]) -> list[Case]:
    """The surest right and the surest wrong answers, both classes and all sites in turn, wrong ones first."""
    surest = sorted(cases, key=lambda case: -abs(case.probability - THRESHOLD))
    wrong = [case for case in surest if not case.right]
    right = [case for case in surest if case.right]
    return [*_in_turn(wrong, MOST_WRONG), *_in_turn(right, MOST_RIGHT)]


def _in_turn(cases: Sequence[Case], most: int) -> list[Case]:
    """The first of each class and site, then the second of each, and so on; the rarer class is not crowded out."""
    ranked = {}
    for truth in (True, False):
        seen = Counter[str]()
        of_class = [case for case in cases if case.truth == truth]
        for place, case in enumerate(of_class):
            ranked[truth, place] = (seen[case.site], place, case)
            seen[case.site] += 1
    return [case for _, _, case in sorted(ranked.values(), key=lambda entry: entry[:2])[:most]]


def _example(case: Case, number: int, used: _SiteModel) -> Example:
    model = used.learner.module(used.weights)
    heat = saliency_map(model, case.image.to(used.learner.data.device), used.findings.index("any"))
    kinds = ", ".join(case.findings) or ("a bleeding of a kind not labelled" if case.truth else "no bleeding")
    truth = f"there is {kinds}" if not case.truth or not case.findings else f"there is a bleeding ({kinds})"
    verdict = "Right" if case.right else "Wrong"
    seen = "nothing stood out" if not heat.any() else f"it looked most at the {_where(heat)} of the picture"
    return Example(
        Picture(
            f"example-{number}-{verdict.lower()}",
            f"CT slice of a test scan of {case.site}, plain and with saliency. In truth {truth}; the model says "
            f"{percent(case.probability)}; {seen}.",
            f"{case.site}: {truth}. {seen[0].upper()}{seen[1:]}.",
            "png",
            picture_png(case.image, heat),
        ),
        case.right,
        f"{verdict}: the model says {percent(case.probability)} bleeding",
    )


def saliency_map(model: nn.Module, image: Tensor, output: int = FINDINGS.index("any")) -> NDArray[np.float64]:
    """Grad-CAM of one output for one image (C, H, W[, D]): (H, W[, D]) in [0, 1], 1 where most, 0 where nothing counts.

    The layer is the last one whose maps have at least an eighth of the image's edge: later ones are too coarse.
    """
    from monai.visualize import GradCAM

    images = image[None].clone().requires_grad_()  # the layer may be the first
    layer = _layer(model, images, image.shape[-1] / 8)
    raw = GradCAM(model, layer, postprocessing=lambda heat: heat)(images, class_idx=output)[0, 0]
    heat = raw.detach().double().cpu().numpy()
    most = heat.max()
    return heat / most if most > 0 else np.zeros_like(heat)


def _layer(model: nn.Module, images: Tensor, least: float) -> str:
    """The path of the last leaf module, in the order of a forward pass, whose output has this edge."""
    seen: list[str] = []

    def watch(path: str, output: Any) -> None:
        if output.ndim == images.ndim and min(output.shape[2:]) >= least:
            seen.append(path)

    leaves = [(path, part) for path, part in model.named_modules() if not list(part.children())]
    hooks = [
        part.register_forward_hook(lambda _, given, output, path=path: watch(path, output)) for path, part in leaves
    ]
    with torch.no_grad():
        model(images)
    for hook in hooks:
        hook.remove()
    return seen[-1]


def _where(heat: NDArray[np.float64]) -> str:
    """The part of the picture that holds the brightest spot, in words, as it is shown."""
    row, column = np.unravel_index(heat.argmax(), heat.shape)[:2]
    vertical = ("upper", "middle", "lower")[min(2, 3 * int(row) // heat.shape[0])]
    side = ("left", "centre", "right")[min(2, 3 * int(column) // heat.shape[1])]
    return f"{vertical} {side}"


def picture_png(image: Tensor, heat: NDArray[np.float64]) -> bytes:
    """The scan and, to its right, the scan under its saliency; of a volume the slice with the brightest spot."""
    grey = image[0].double().cpu().numpy()
    if grey.ndim == 3:
        level = int(np.unravel_index(heat.argmax(), heat.shape)[2]) if heat.any() else grey.shape[2] // 2
        grey, heat = grey[..., level], heat[..., level]
    plain, warm = _large(grey)[..., None].repeat(3, -1), _large(heat)[..., None]
    over = (1 - 0.7 * warm) * plain + 0.7 * warm * colormaps["inferno"](warm[..., 0])[..., :3]
    gap = np.zeros((EDGE, 4, 3))
    both = np.concatenate([plain, gap, over], axis=1)
    content = io.BytesIO()
    Image.fromarray((255 * both.clip(0, 1)).round().astype(np.uint8)).save(content, "PNG", optimize=True)
    return content.getvalue()


def _large(values: NDArray[np.float64]) -> NDArray[np.float64]:
    picture = Image.fromarray(values.astype(np.float32)).resize((EDGE, EDGE), Image.Resampling.BICUBIC)
    return np.asarray(picture, np.float64).clip(0, 1)
