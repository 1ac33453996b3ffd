"""Torch's compiler, which takes seconds to import, is imported by whoever needs it and by no training."""

import subprocess
import sys

CODE = """
import sys, torch
from brainct.training.config import Fit
from brainct.training.descent import optimizer_of

LOADED = "torch._dynamo.convert_frame"
for name in ("sgd", "adam", "adamw"):
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = optimizer_of(Fit(optimizer=name), {"weight": weight}, 0.1)
    weight.sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    assert not torch.equal(weight, torch.ones(2))
assert LOADED not in sys.modules
print(weight.tolist())
if sys.argv[1:]:
    import torch._dynamo.config
    assert torch._dynamo.config.suppress_errors is False
    assert LOADED in sys.modules and sys.modules["torch._dynamo"].optimize
    assert torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1)).item() == 2
"""


def printed(*words):
    done = subprocess.run([sys.executable, "-c", CODE, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_training_does_not_import_torchs_compiler():
    printed()


def test_whoever_asks_for_the_compiler_gets_the_real_one():
    printed("compile")


def test_the_steps_are_those_of_an_optimiser_that_imported_it():
    real = "import torch._dynamo\n" + CODE.replace("assert LOADED not in sys.modules", "assert LOADED in sys.modules")
    done = subprocess.run([sys.executable, "-c", real], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == printed()
