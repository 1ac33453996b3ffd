"""The page of a search for causes: the graph and who differs as they were generated, and when not to believe them."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from brainct.causal.generator import draw, random_graph
from brainct.causal.structures import STRUCTURES, variables_of
from brainct.errors import Refused
from brainct.job.config import plan_of
from brainct.pages.graph_layout import HALF, ROOM, arranged
from brainct.report.build import report
from brainct.report.causal_words import ASSUMPTIONS
from brainct.report.run_folder import read_run
from brainct.report.run_page import run_page
from brainct.run.rehearse import rehearse
from tests.causal.tables import SITES, causal_plan, opener_of
from tests.support.reader import read


@pytest.fixture(scope="module")
def data():
    return draw(random_graph(5, 2.0, 2), [600] * 4, 2, 1)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A run of peri_environments at sites that differ, its folder."""
    folder = tmp_path_factory.mktemp("causal") / "run"
    rehearse(causal_plan("peri_environments", 5), SITES, folder, opener=opener_of(data.rows), log=lambda line: None)
    return folder


def test_the_page_names_each_edge_and_each_hospital_that_differs(run, data):
    seen = read(report([run])[0])
    weights = load_file(run / "model.safetensors")
    graph, changed = weights["graph"].numpy(), weights["changed"].numpy()
    for i, j in np.argwhere(graph & ~graph.T):
        assert f"x{i} → x{j}" in seen.text
    assert changed.any()
    for i, k in np.argwhere(changed):
        assert f"x{i} at" in seen.text
        assert f"x{i} {SITES[k]} " in seen.text
    assert "above 2 is clear" in seen.text
    assert all(one[:40] in seen.text for one in ASSUMPTIONS)
    assert "this is not differential privacy" in seen.text
    assert "Generated data, not patients" in seen.text
    names = {path.stem for path in (run / "report-pictures").glob("*.svg")}
    assert {"graph", "changes"} <= names


def test_page_one_has_no_jargon(run):
    answers = dict(run_page(read_run(run)).answers)
    said = " ".join(answers["What was searched for?"] + answers["How good is it?"] + answers["How sure is that?"])
    said += " ".join(answers["What left the hospitals?"])
    assert "the average of each column" in said
    assert "averages, spreads and correlations of a hospital's columns can be read" in said
    assert "p (p + 3)" not in said
    assert "`" not in said
    assert not [word for word in ("CPDAG", "DAG", "BIC", "regret", "Markov", "faithful", "SHD", "nats") if word in said]


def test_a_run_without_a_graph_has_a_page_and_a_broken_graph_is_refused(run, tmp_path):
    (tmp_path / "record.json").write_bytes((run / "record.json").read_bytes())
    assert "No column was found to depend on another one" in str(run_page(read_run(tmp_path)).answers)
    weights = load_file(run / "model.safetensors")
    choices = json.dumps({key: json.loads((run / "record.json").read_text())["plan"][key]
                          for key in ("scheme", "arguments", "workload", "columns")})  # fmt: skip
    for graph, extra in ((torch.zeros(3, 3, dtype=torch.int8), {}), (weights["graph"], {"edges": [[0]]})):
        save_file({"graph": graph}, tmp_path / "model.safetensors", {"plan": choices, "extra": json.dumps(extra)})
        with pytest.raises(Refused, match=r"^model.safetensors"):
            run_page(read_run(tmp_path))


def boxes_and_paths(labels, edges):
    found = arranged(labels, edges)
    boxes = [(x - w / 2, x + w / 2, y) for (x, y), w in zip(found.centres, found.widths, strict=True)]
    return found, boxes


@settings(max_examples=60, deadline=None)
@given(p=st.integers(1, 20), degree=st.floats(0.5, 3.5), seed=st.integers(0, 1000), letters=st.integers(1, 13))
def test_boxes_do_not_touch_and_no_edge_passes_through_one(p, degree, seed, letters):
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.random((p, p)) < degree / max(1, p - 1), 1)
    order = rng.permutation(p)
    edges = [(int(i), int(j)) for i, j in np.argwhere(upper[np.ix_(order, order)])]
    found, boxes = boxes_and_paths(["x" * letters] * p, edges)
    for at, (left, right, y) in enumerate(boxes):
        assert -ROOM / 2 - 0.9 < left < right < ROOM / 2 + 0.9
        for other_left, other_right, other_y in boxes[at + 1 :]:
            assert y != other_y or right <= other_left + 1e-9 or other_right <= left + 1e-9
    for (i, j), path in found.paths.items():
        assert [one[1] for one in path] == sorted({one[1] for one in path})
        assert found.centres[i][1] + 2 * HALF < found.centres[j][1]
        for x, y in path[1:-1]:
            assert not any(left < x < right for left, right, at in boxes if at == y)


@pytest.mark.parametrize("structure", ["asia", "sachs"])
def test_known_graphs_fit_on_the_page(structure):
    names = variables_of(structure)
    edges = [(names.index(i), names.index(j)) for i, j in STRUCTURES[structure]]
    _, boxes = boxes_and_paths(names, edges)
    assert max(right for _, right, _ in boxes) - min(left for left, _, _ in boxes) <= ROOM
    plan_of({"workload": "causal", "scheme": "peri", "columns": names}, "a job of this structure")
