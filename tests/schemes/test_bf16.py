"""What is true of weights that travel in bfloat16 alone."""

import pytest
import torch

from brainct.core.weights import nbytes
from brainct.errors import Refused
from brainct.run.rehearse import rehearse
from brainct.schemes.bf16 import bf16, halved
from brainct.schemes.fedavg import fedavg
from brainct.schemes.feddc import feddc
from brainct.schemes.secagg import secagg
from tests.conftest import seeded_model, tiny_plan

SITES = ["site-1", "site-2"]


def test_a_task_is_half_as_large_and_each_weight_is_within_one_part_in_256():
    model = seeded_model(tiny_plan())
    scheme = bf16()
    task = scheme.assign(scheme.start(model, SITES, 0), 0, SITES)["site-1"]
    assert nbytes(task.weights) == nbytes(model.weights) / 2
    for key, value in model.weights.items():
        assert ((task.weights[key].float() - value).abs() <= value.abs() / 256).all()


def test_whole_numbers_and_float64_travel_as_they_are():
    given = {"count": torch.arange(3), "double": torch.ones(2, dtype=torch.float64), "w": torch.ones(2)}
    assert [value.dtype for value in halved(given).values()] == [torch.int64, torch.float64, torch.bfloat16]


def test_sites_that_get_the_same_weights_share_them():
    scheme = bf16()
    tasks = scheme.assign(scheme.start(seeded_model(tiny_plan()), SITES, 0), 0, SITES)
    assert tasks["site-1"].weights is tasks["site-2"].weights


@pytest.mark.usefixtures("small_site")
def test_a_run_trains_in_float32_and_delivers_it_with_half_the_bytes(tmp_path):
    runs = {}
    for name, choices in {"plain": {}, "bf16": {"inner": {"scheme": "fedavg"}}}.items():
        plan = tiny_plan("bf16" if choices else "fedavg", rounds=2, arguments=choices)
        runs[name] = rehearse(plan, SITES, tmp_path / name, log=lambda line: None).record
    sent = [row.bytes_sent["site-1"] for row in runs["plain"].rounds]
    half = [row.bytes_sent["site-1"] for row in runs["bf16"].rounds]
    assert all(0.45 < small / large < 0.65 for small, large in zip(half, sent, strict=True))
    received = [runs[name].rounds[1].bytes_received["site-1"] for name in ("plain", "bf16")]
    assert received[1] < 0.7 * received[0]
    assert runs["bf16"].model_bytes == runs["plain"].model_bytes
    assert runs["bf16"].model_sha256 != runs["plain"].model_sha256


class Watched(Exception):
    """Raised with the dtypes that training got."""


class Watching:
    def fit(self, weights, **choices):
        raise Watched({value.dtype for value in weights.values()})


@pytest.mark.parametrize("inner", [fedavg(), feddc()], ids=lambda inner: inner.name)
def test_the_inner_scheme_trains_on_float32(inner):
    scheme = bf16(inner)
    tasks = scheme.assign(scheme.start(seeded_model(tiny_plan()), SITES, 0), 0, SITES)
    with pytest.raises(Watched) as seen:
        scheme.reply(tasks["site-1"], Watching(), {})
    assert seen.value.args[0] == {torch.float32}


def test_sums_of_whole_numbers_are_refused():
    with pytest.raises(Refused, match="bf16: inner is secagg, which sends sums of whole numbers"):
        bf16(secagg())
