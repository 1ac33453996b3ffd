"""The optimisers' fused steps, and where images lie in memory: faster, and the bits that leave a learner stay plain."""

import os

import pytest
import torch
from torch import nn

from brainct.core.determinism import same_bits_on_a_gpu
from brainct.core.weights import sha256
from brainct.training.config import Fit
from brainct.training.descent import optimizer_of
from tests.conftest import first_weights, tiny_learner, tiny_plan


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_a_fused_optimiser_takes_the_steps_of_the_plain_one(name):
    fit = Fit(optimizer=name, momentum=0.5 if name == "sgd" else 0.0, weight_decay=0.1)
    ours, theirs = (nn.Parameter(torch.linspace(-1, 1, 37)) for _ in range(2))
    plain = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[name]
    extra = {"momentum": 0.5} if name == "sgd" else {}
    optimizers = optimizer_of(fit, {"w": ours}, 0.01), plain([theirs], 0.01, weight_decay=0.1, fused=False, **extra)
    assert optimizers[0].defaults["fused"]
    for _ in range(3):
        for optimizer, parameter in zip(optimizers, (ours, theirs), strict=True):
            optimizer.zero_grad()
            parameter.pow(4).sum().backward()
            optimizer.step()
    assert float((ours - theirs).abs().max()) < 1e-6


def test_a_network_gets_images_with_their_channels_next_to_each_other():
    learner, seen = tiny_learner(tiny_plan()), []
    learner.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    learner.fit(first_weights(tiny_plan()))
    assert seen
    assert all(one.is_contiguous(memory_format=torch.channels_last) for one in seen)


def test_what_leaves_a_learner_lies_in_memory_as_it_does_once_it_was_sent():
    """A sum over a tensor depends on its layout in the last bits, and a rehearsal hands weights on as they are."""
    learner, weights = tiny_learner(tiny_plan()), first_weights(tiny_plan())
    for found in (learner.fit(weights), learner.gradient(weights), learner.gradient(weights, batch=True)):
        assert all(value.is_contiguous() for value in found.weights.values())


def test_bfloat16_trains_in_mixed_precision_and_gives_the_same_bits_twice():
    weights, fits = first_weights(tiny_plan()), []
    for precision in ("float32", "bfloat16", "bfloat16"):
        learner, seen = tiny_learner(tiny_plan(fit={"precision": precision})), []
        learner.network.conv1.register_forward_hook(lambda _, given, output, seen=seen: seen.append(output.dtype))
        fits.append(learner.fit(weights).weights)
        assert set(seen) == {getattr(torch, precision)}
        assert learner.predict(weights).dtype == torch.float32
    assert sha256(fits[1]) == sha256(fits[2]) != sha256(fits[0])
    for key, value in fits[0].items():
        assert fits[1][key].dtype == torch.float32
        assert float((fits[1][key] - value).abs().max()) < 0.02


def test_a_gpu_is_told_to_give_the_same_bits():
    """No GPU is here: what is tested is what torch was told."""
    before = torch.are_deterministic_algorithms_enabled()
    try:
        same_bits_on_a_gpu()
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.backends.cudnn.allow_tf32
        assert not torch.backends.cuda.matmul.allow_tf32
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"]
    finally:
        torch.use_deterministic_algorithms(before)
