"""The part of a run's page on barriers: how much worse the models between two sites' models are."""

from brainct.study.page import Section
from brainct.study.runfolder import RunFolder


def barriers(run: RunFolder) -> Section | None:
    return None
