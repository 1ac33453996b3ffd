"""A picture of where the model looked in a study, or of what it marked."""

from pathlib import Path

import numpy as np

from brainct.core import serialization
from brainct.ct.folds import main_finding
from brainct.deliver.answer import Answer, Reader
from brainct.deliver.study import Study


def write_picture(path: Path, reader: Reader, study: Study, answer: Answer) -> str:
    """A PNG of the slice with the highest probability, plain and under its saliency map or mask; what it shows.

    The finding is `any`, or the most probable one in a model without it.
    """
    from brainct.report.saliency import picture_png, saliency_map

    findings = reader.model.findings
    name = main_finding(findings) or findings[int(answer.probabilities.argmax())]
    which = findings.index(name)
    own = answer.each[:, which]
    slice_ = int(own.reshape(len(own), -1).max(1).argmax())
    image = study.images[slice_]
    heat = np.asarray(own[slice_]) if reader.model.masks else saliency_map(reader.network, image, which)
    serialization.write(path, picture_png(image, heat))
    of_slices = "" if len(own) == 1 else f", slice {slice_ + 1} of {len(own)} from below"
    nothing = "" if heat.any() else "; nothing in it stood out"
    return f"{name}, {100 * answer.probabilities[which]:.0f} %{of_slices}{nothing}"
