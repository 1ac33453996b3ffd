"""Requests and replies survive FLARE's own serialisation."""

import pytest
import torch

pytest.importorskip("nvflare")

from nvflare.app_common.abstract.fl_model import FLModel
from nvflare.app_common.utils.fl_model_utils import FLModelUtils

from brainct.core import serialization
from brainct.errors import Refused
from brainct.flare import messages
from tests.conftest import tiny_plan
from tests.support.requests import request, task_of

TASK = task_of({"w": torch.randn(3), "n": torch.tensor(4)})
REQUEST = request(tiny_plan(), round=3, sites=["a", "b"], task=TASK)


@pytest.mark.parametrize("value", [REQUEST, request(tiny_plan(), "describe"), {"scores": {"any": {"auroc": None}}}])
def test_a_request_comes_back_as_it_was(value):
    shareable = FLModelUtils.to_shareable(messages.to_model(value, 3))
    back = messages.from_model(FLModelUtils.from_shareable(shareable))
    assert serialization.sha256(back) == serialization.sha256(value)


def test_tensors_travel_as_tensors_under_their_names():
    model = messages.to_model(REQUEST)
    assert list(model.params) == ["/task/weights/w", "/task/weights/n"]
    assert all(isinstance(value, torch.Tensor) for value in model.params.values())


def test_a_foreign_message_is_refused():
    with pytest.raises(Refused, match="brainct did not write"):
        messages.from_model(FLModel(params={"w": torch.ones(1)}))


def test_a_reference_to_a_missing_tensor_is_refused():
    model = messages.to_model(REQUEST)
    del model.params["/task/weights/w"]
    with pytest.raises(Refused, match="refers to tensor '/task/weights/w', which did not come"):
        messages.from_model(model)
