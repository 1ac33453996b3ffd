"""Our recipe: the shipped job folders byte for byte, in each of FLARE's environments, with the rehearsal's hash."""

import json
import os
import subprocess
import sys

import pytest
from nvflare.recipe import PocEnv, ProdEnv, SimEnv

from brainct.core.names import site_names
from brainct.errors import Refused
from brainct.flare.local_federation import Federation, free_port, provision
from brainct.flare.recipe import Recipe, results
from brainct.flare.simulator import make_workspace
from brainct.job import folders
from brainct.run.rehearse import rehearse
from tests.conftest import ROOT, TINY
from tests.support.fewer import project_of

LEAD = "lead@consortium.example"
SMALL = {"rounds": 3, "network": TINY, "fit": {"augment": None}}


def files(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", folders.JOBS)
def test_an_exported_job_is_the_renderers_byte_for_byte(name, tmp_path):
    Recipe(name=name, **folders.JOBS[name]).export(str(tmp_path))
    assert files(tmp_path / name) == files(ROOT / "jobs" / name)


def test_a_scheme_alone_is_its_shipped_job(tmp_path):
    Recipe("feddc").export(str(tmp_path))
    assert files(tmp_path / "feddc") == files(ROOT / "jobs" / "feddc")


def test_a_choice_replaces_that_of_the_shipped_job(tmp_path):
    Recipe("feddc", name="short", rounds=3).export(str(tmp_path))
    assert folders.read(tmp_path / "short") == folders.read(ROOT / "jobs" / "feddc").model_copy(update={"rounds": 3})


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        ({"scheme": "fedavgg"}, "unknown scheme"),
        ({"scheme": "feddc", "arguments": {"daisy_period": 0}}, "daisy_period is 0"),
        ({"scheme": "feddc", "roundz": 3}, "roundz"),
    ],
)
def test_a_wrong_choice_is_refused_when_the_recipe_is_made(choices, words):
    with pytest.raises(Refused, match=words):
        Recipe(**choices)


def test_code_and_per_site_choices_are_refused(tmp_path):
    recipe = Recipe("feddc")
    recipe.add_client_file(__file__)
    with pytest.raises(Refused, match="holds choices alone"):
        recipe.export(str(tmp_path))
    with pytest.raises(Refused, match=r"site-1; each site states its own in local/brainct.yaml"):
        Recipe("feddc").set_per_site_config({"site-1": {"rate": 1}})


def test_a_workspace_allows_our_two_classes_and_keeps_its_own_list(tmp_path):
    make_workspace(tmp_path)
    file = tmp_path / "local" / "resources.json"
    assert json.loads(file.read_text()) == json.loads((ROOT / "poc/simulator/local/resources.json").read_text())
    file.write_text('{"class_allow_list": ["nvflare.", "brainct."]}')
    make_workspace(tmp_path)
    assert file.read_text() == '{"class_allow_list": ["nvflare.", "brainct."]}'


def test_a_workspace_that_leaves_out_our_classes_is_refused_with_the_command_that_makes_one(tmp_path):
    (tmp_path / "feddc" / "local").mkdir(parents=True)
    (tmp_path / "feddc" / "local" / "resources.json").write_text('{"class_allow_list": ["brainct.flare.site.Site"]}')
    with pytest.raises(Refused, match="does not allow brainct.flare.server.Rounds; add them .* `brainct simulate JOB"):
        Recipe("feddc").execute(SimEnv(num_clients=2, workspace_root=str(tmp_path)))


def rehearsed(folder, sites, **choices):
    Recipe("feddc", **choices).export(str(folder / "jobs"))
    plan = folders.read(folder / "jobs" / "feddc")
    return rehearse(plan, sites, folder / "rehearsed", log=lambda line: None).content["model_sha256"]


def delivered(folder):
    return json.loads((folder / "record.json").read_text())["model_sha256"]


@pytest.mark.slow
def test_in_flares_simulator(tmp_path, small_site, monkeypatch):
    run = Recipe("feddc", **SMALL).execute(SimEnv(clients=["a", "b"], workspace_root=str(tmp_path / "simulator")))
    assert delivered(results(run, tmp_path / "out")) == rehearsed(tmp_path, ["a", "b"], **SMALL)


@pytest.mark.slow
def test_a_run_that_fails_in_the_simulator_raises(tmp_path, small_site):
    with pytest.raises(RuntimeError, match="Simulation failed with return code 2"):
        Recipe("feddc", quorum=3, **SMALL).execute(SimEnv(num_clients=2, workspace_root=str(tmp_path)))


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # FLARE never waits for its processes
def test_in_flares_proof_of_concept(tmp_path, small_site, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NVFLARE_POC_WORKSPACE", str(tmp_path / "poc"))
    monkeypatch.chdir(ROOT)
    run = Recipe("feddc", **SMALL).execute(PocEnv(num_clients=2))
    try:
        assert delivered(results(run, tmp_path / "out")) == rehearsed(tmp_path, site_names(2), **SMALL)
    finally:
        run.exec_env.stop(clean_up=True)


@pytest.mark.slow
@pytest.mark.nightly
def test_at_provisioned_hospitals(tmp_path, small_site):
    project = project_of(["hospital-a", "hospital-b"], tmp_path / "project")
    kits = provision(project, tmp_path / "federation", port=free_port())
    with Federation(kits, tmp_path / "home") as federation:
        federation.start()
        federation.ready()
        env = ProdEnv(str(kits / LEAD), username=LEAD, login_timeout=60)
        found = delivered(results(Recipe("feddc", **SMALL).execute(env), tmp_path / "out"))
    assert found == rehearsed(tmp_path, ["hospital-a", "hospital-b"], **SMALL)


@pytest.mark.slow
def test_the_notebook_runs(small_site, monkeypatch):
    cells = json.loads((ROOT / "examples" / "recipe.ipynb").read_text())["cells"]
    names = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), names)
    assert len(names["record"].model_sha256) == 64


def example(folder, *words):
    """The example as a person types it."""
    command = [sys.executable, str(ROOT / "examples" / "job.py"), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env={**os.environ})


@pytest.mark.slow
def test_the_example_exports_the_shipped_job(tmp_path):
    done = example(tmp_path, "sim", "--export", "--export-dir", "here")
    assert done.returncode == 0, done.stderr
    assert files(tmp_path / "here" / "feddc") == files(ROOT / "jobs" / "feddc")


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_the_example_ends_with_the_rehearsals_hash_in_each_environment(tmp_path, small_site, monkeypatch):
    monkeypatch.setenv("NVFLARE_POC_WORKSPACE", str(tmp_path / "poc"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "custom"))
    printed = [ended(tmp_path, "sim"), ended(tmp_path, "poc")]
    kits = provision(project_of([], tmp_path / "project", added=site_names(4)), tmp_path / "f", port=free_port())
    with Federation(kits, tmp_path / "home") as federation:
        federation.start()
        federation.ready()
        printed.append(ended(tmp_path, "prod", str(kits / LEAD), LEAD))
    assert printed == [f"model sha256: {rehearsed(tmp_path, site_names(4))}"] * 3


def ended(folder, *words):
    """The last line of the example."""
    done = example(folder, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    print(words[0], done.stdout.splitlines()[-1])
    return done.stdout.rstrip().splitlines()[-1]
