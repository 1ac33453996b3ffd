"""One answer a study: a probability for each finding, calibrated, from all its slices; of masks the volumes too."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from brainct.core.learner import Learner
from brainct.ct.calibration import calibrated
from brainct.ct.learner import learner_of
from brainct.ct.site_config import SiteFile
from brainct.ct.studies import pooled
from brainct.deliver.finished_model import FinishedModel, check_static
from brainct.deliver.scan_grid import marked_on_scan
from brainct.deliver.study import Study
from brainct.errors import Refused
from brainct.security.credentials import offline
from brainct.segment import learner as masks
from brainct.segment.config import SegmentChoices
from brainct.training.data import Dataset, Fold

Array = NDArray[np.float64]
WHERE = "this machine"


@dataclass(frozen=True)
class Answer:
    """study: its name. probabilities: (F,). present: (F,), whether each is at least its threshold.

    each: (N, F) probabilities of the slices, or (N, F, H, W[, D]) of their pixels. ml: (F,) millilitres of the masks,
    None without masks or where the voxels' size is unknown.
    """

    study: str
    probabilities: Array
    present: NDArray[np.bool_]
    each: Array
    slices: int
    ml: Array | None = None


class Reader:
    """A model that answers studies, one after another, with one network in memory."""

    def __init__(self, model: FinishedModel):
        check_static(model)
        self.model, self._network = model, model.module()
        self._thresholds = np.array(model.calibration.thresholds(model.findings))

    @property
    def network(self) -> nn.Module:
        """The network with the delivered weights, in evaluation."""
        return self._network.eval()

    def answer(self, study: Study, site: SiteFile | None = None) -> Answer:
        """The answer on a study; Refused where the model gives anything but finite probabilities."""
        model = self.model
        found = self._learner(study.images, site).predict(model.weights).double().numpy()
        if not np.isfinite(found).all():
            raise Refused(f"{study.name}: {model.file.name} gives no finite probability for it")
        found = calibrated(found, model.calibration.temperatures(model.findings), model.single_choice)
        of_slices = found.reshape(*found.shape[:2], -1).max(2) if model.masks else found
        whole = pooled(of_slices, np.zeros(len(found), np.int64), model.pooling)[0]
        ml = self._volumes(found, study) if model.masks else None
        return Answer(study.name, whole, whole >= self._thresholds, found, study.slices, ml)

    def _learner(self, images: Tensor, site: SiteFile | None) -> Learner:
        model = self.model
        pixels = images.shape[2:] if model.masks else ()
        labels = images.new_full((len(images), len(model.findings), *pixels), float("nan"))
        fold = Fold(images, labels)
        folds = {"train": fold, "test": fold}
        batch = site.batch_size if site else 8
        data = Dataset("study", folds, "0" * 64, (), batch, outputs=model.findings)
        context = offline(model.plan, WHERE, 0)
        if isinstance(model.choices, SegmentChoices):
            return masks.learner_of(model.choices, data, context, self._network)
        return learner_of(model.choices, data, context, self._network)

    def _volumes(self, found: Array, study: Study) -> Array | None:
        """Millilitres in each mask, on the voxels of the scan."""
        spacing = study.volume.spacing
        if spacing is None:
            return None
        ml: Array = marked_on_scan(self.model, study, found).sum((1, 2, 3)) * float(np.prod(spacing)) / 1000
        return ml
