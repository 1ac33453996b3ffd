"""How large a value of a report may be: in units of what the site was given, for each sample behind it."""

import pytest
import torch

from brainct.core.report_check import LARGEST, check_report
from brainct.core.scheme import Report, Task
from brainct.errors import Refused
from brainct.schemes import build


@pytest.mark.parametrize(("given", "unit"), [(0.01, 1.0), (1.0, 1.0), (50.0, 50.0)])
@pytest.mark.parametrize("examples", [1, 7])
def test_the_limit_grows_with_the_largest_value_given_and_with_the_samples_and_never_shrinks(given, unit, examples):
    task, limit = Task({"w": torch.tensor([given, -given / 2])}), LARGEST * unit * examples
    scheme = build("fedavg", {})
    check_report(Report({"w": torch.tensor([0.0, -limit])}, examples), task, scheme, "a")
    with pytest.raises(Refused, match="tensor w holds .* did training diverge"):
        check_report(Report({"w": torch.tensor([0.0, -limit * 1.01])}, examples), task, scheme, "a")
