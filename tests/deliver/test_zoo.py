"""What of configurations in the model zoo's layout imports, and why the rest does not."""

import json

import pytest

from brainct.ct.bundle.importer import import_bundle
from brainct.errors import Refused
from brainct.job.config import plan_of
from tests.support.zoo import ZOO

NIGHTLY = ("SwinUNETR, 3-D",)
HEAVY = (
    "UNETR, 3-D",
    "DenseNet121, 3-D, size by reference",
    "UNet, 3-D, InstanceNorm",
    "SegResNet, 3-D, GroupNorm",
    "SegResNet, windows by expression",
)


def written(place, config):
    (place / "configs").mkdir()
    (place / "configs" / "train.json").write_text(json.dumps(config))
    return place


def marks(name):
    nightly = [pytest.mark.slow, pytest.mark.nightly]
    return nightly if name in NIGHTLY else [pytest.mark.slow] if name in HEAVY else []


@pytest.mark.parametrize("name", [pytest.param(one, marks=marks(one)) for one in ZOO])
def test_a_configuration_in_the_zoos_layout_imports_or_says_why_not(tmp_path, name):
    config, why = ZOO[name]
    bundle = written(tmp_path, config)
    if why:
        with pytest.raises(Refused, match=why):
            import_bundle(bundle, size=64)
        return
    found = import_bundle(bundle, size=64)
    plan = plan_of({"scheme": "fedavg", **found.choices}, name)
    assert plan.workload == ("segment" if found.masks else "ct")
    assert any("HU window" in line for line in found.mapped) == ("ScaleIntensityRanged" in json.dumps(config))
