"""docs/add_a_workload.md, followed literally: one folder, one line, one job."""

import json
import re
import sys

import pytest
import yaml

from brainct.core import serialization
from brainct.errors import Refused
from brainct.job.config import plan_of
from brainct.job.workloads import WORKLOADS
from brainct.run.rehearse import rehearse
from brainct.security import disclosures
from tests.conftest import ROOT

PAGE = (ROOT / "docs" / "add_a_workload.md").read_text()


def block(kind):
    return re.search(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)[1]


@pytest.fixture
def followed(tmp_path, monkeypatch):
    """The folder and the line of the page; afterwards neither."""
    (tmp_path / "mean_of").mkdir()
    (tmp_path / "mean_of" / "__init__.py").touch()
    (tmp_path / "mean_of" / "workload.py").write_text(block("python"))
    monkeypatch.syspath_prepend(str(tmp_path))
    name, where = re.search(r'"(\w+)": "([\w.]+)"', block("text")).groups()
    monkeypatch.setitem(WORKLOADS, name, where)
    forget_rows()
    yield
    monkeypatch.undo()
    forget_rows()
    sys.modules.pop("mean_of.workload", None)


def forget_rows():
    for cached in (disclosures.rows, disclosures._parts, disclosures.row_of, disclosures.is_part, disclosures._pattern):
        cached.cache_clear()


@pytest.mark.usefixtures("followed")
def test_the_page_followed_literally_gives_the_mean_that_it_names(tmp_path, monkeypatch):
    (tmp_path / "site.yaml").write_text(block("yaml"))
    monkeypatch.setenv("BRAINCT_SITE", str(tmp_path / "site.yaml"))
    plan = plan_of(json.loads(block("json")), "the page's job")
    record = rehearse(plan, sorted(yaml.safe_load(block("yaml"))["values"]), tmp_path / "run", log=lambda line: None)
    sites = {site: scores["mean"]["distance"] for site, scores in record.record.test.items()}
    assert sites == {"site-1": 2.0, "site-2": 6.0}
    assert (
        float(serialization.load(tmp_path / "run" / "state" / "memory.safetensors")["memory"]["weights"]["mean"]) == 4
    )
    assert "ends with the mean over all measurements, 4.0" in PAGE


@pytest.mark.usefixtures("followed")
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"scheme": "fedct"}, "scheme fedct needs labels, public, which workload mean_of does not offer"),
        ({"stop": 1.0}, "unknown key 'stop'"),
        ({"workload": "unheard"}, "unknown workload 'unheard'; known are .*ct, "),
    ],
)
def test_a_job_that_the_workload_can_not_serve_is_refused_by_name(changes, words):
    with pytest.raises(Refused, match=words):
        plan_of({**json.loads(block("json")), **changes}, "the job")


def test_a_workload_that_lacks_a_part_can_not_be_made():
    from brainct.core.workload import Workload

    with pytest.raises(TypeError, match="abstract method"):
        type("Half", (Workload,), {"name": "half"})()
