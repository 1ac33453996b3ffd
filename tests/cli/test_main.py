"""The command as a person types it: exit codes, the last lines, and no traceback whatever is wrong."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from brainct.catalogue.traffic import traffic
from brainct.core.weights import nbytes
from brainct.ct.model import model_of
from brainct.job import folders
from brainct.job.config import plan_of
from brainct.run.rehearse import rehearse
from brainct.schemes import SCHEMES
from brainct.security.policy_file import FILTER
from tests.conftest import PHANTOM, ROOT, tiny_plan
from tests.support.command import refused, type_in


def test_rehearse_ends_with_the_table_the_folder_and_the_hash(capsys, small_job, small_site, tmp_path):
    code, out, err = type_in(capsys, "rehearse", small_job, "--sites", 2, "--out", tmp_path / "out")
    lines = out.splitlines()
    assert code == 0
    assert lines[0].split("  ")[0] == "site"
    assert [line.split()[0] for line in lines[2:4]] == ["site-1", "site-2"]
    assert lines[-2] == f"results: {tmp_path / 'out'}"
    record = json.loads((tmp_path / "out" / "record.json").read_text())
    assert lines[-1] == f"model sha256: {record['model_sha256']}"
    assert "SYNTHETIC PHANTOM" in err


def test_without_a_site_file_the_command_warns_that_scans_are_synthetic(capsys, monkeypatch):
    monkeypatch.delenv("BRAINCT_SITE", raising=False)
    code, out, _ = type_in(capsys, "data", "--size", 32)
    assert code == 0
    assert "SYNTHETIC PHANTOM scans, not patients" in out


def test_results_go_to_a_new_folder_each_time(capsys, small_job, small_site, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        assert type_in(capsys, "rehearse", small_job, "--sites", 2)[0] == 0
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["feddc-1-1", "feddc-1-2"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sites", 0], "--sites is 0; wanted at least 1"),
        (["--names", "a,a"], "wanted at least one, each once"),
        (["--rounds", 0], "rounds is 0"),
        (["--workers", 0], "--workers is 0; wanted at least 1"),
        (["--lose", "site-9@1"], "--lose site-9@1: wanted SITE@ROUND, one of the sites site-1"),
        (["--lose", "site-1"], "wanted SITE@ROUND"),
        (["--init", "nowhere.safetensors"], "checkpoint nowhere.safetensors does not exist"),
    ],
)
def test_a_wrong_argument_is_refused(capsys, small_job, small_site, tmp_path, arguments, words):
    refused(capsys, words, "rehearse", small_job, "--out", tmp_path / "out", *arguments)
    assert not (tmp_path / "out" / "record.json").exists()


def test_a_folder_that_is_no_job_is_refused(capsys, tmp_path):
    refused(capsys, "is no job folder", "rehearse", tmp_path)


def pictures(folder, labels, same=False):
    """A folder of small pictures with a label file; returns it."""
    rng = np.random.default_rng(0)
    (folder / "scans").mkdir(parents=True)
    picture = rng.integers(0, 255, (40, 40), dtype=np.uint8)
    for number, _ in labels:
        picture = picture if same else rng.integers(0, 255, (40, 40), dtype=np.uint8)
        Image.fromarray(picture).save(folder / "scans" / f"{number:03}.png")
    rows = "".join(f"{number},{label}\n" for number, label in labels)
    (folder / "labels.csv").write_text("id, hemorrhage\n" + rows)
    return folder


SITE = """kind: png_csv
root: {root}
labels: labels.csv
id_column: id
images: scans/{{id:03d}}.png
columns: {{any: hemorrhage}}
"""


def spoil_header(folder):
    path = folder / "labels.csv"
    path.write_text(path.read_text().replace("hemorrhage", "bleeding"))


def truncate(folder):
    path = folder / "scans" / "003.png"
    path.write_bytes(path.read_bytes()[:200])


def empty(folder):
    for path in (folder / "scans").iterdir():
        path.unlink()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (spoil_header, "hemorrhage"),
        (truncate, "003.png"),
        (empty, "label"),
        (lambda folder: (folder / "scans" / "004.png").unlink(), "004.png"),
        (
            lambda folder: (folder / "scans" / "099.png").write_bytes((folder / "scans" / "001.png").read_bytes()),
            "099.png",
        ),
    ],
)
def test_unusable_scans_end_a_rehearsal_with_the_reason(capsys, small_job, tmp_path, monkeypatch, change, words):
    folder = pictures(tmp_path / "data", [(number, number % 2) for number in range(12)])
    change(folder)
    (tmp_path / "site.yaml").write_text(SITE.format(root=folder))
    monkeypatch.setenv("BRAINCT_SITE", str(tmp_path / "site.yaml"))
    refused(capsys, words, "rehearse", small_job, "--sites", 1, "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: phantom\nroots: /scans\n", "roots"),
        ("kind: dicom\n", "kind"),
        (SITE.format(root="/nowhere/at/all"), "/nowhere/at/all"),
        ("kind: [phantom\n", "site.yaml"),
        (PHANTOM + "device: cuda:99\n", "cuda:99"),
    ],
)
def test_a_wrong_site_file_ends_a_rehearsal_with_the_reason(capsys, small_job, tmp_path, monkeypatch, text, words):
    (tmp_path / "site.yaml").write_text(text)
    monkeypatch.setenv("BRAINCT_SITE", str(tmp_path / "site.yaml"))
    refused(capsys, words, "rehearse", small_job, "--sites", 2, "--out", tmp_path / "out")


def test_all_images_the_same_and_more_sites_than_images_are_refused(capsys, small_job, tmp_path, monkeypatch):
    labels = [(number, number % 2) for number in range(12)]
    same = pictures(tmp_path / "same", labels, same=True)
    few = pictures(tmp_path / "few", labels)
    monkeypatch.setenv("BRAINCT_SITE", str(tmp_path / "site.yaml"))
    (tmp_path / "site.yaml").write_text(SITE.format(root=same))
    refused(capsys, "same", "rehearse", small_job, "--sites", 1, "--out", tmp_path / "a")
    (tmp_path / "site.yaml").write_text(SITE.format(root=few) + "partition: {how: iid}\n")
    refused(capsys, "sites", "rehearse", small_job, "--sites", 20, "--out", tmp_path / "b")


def test_a_checkpoint_of_another_network_is_refused(capsys, small_job, small_site, tmp_path):
    assert type_in(capsys, "rehearse", small_job, "--sites", 2, "--out", tmp_path / "a")[0] == 0
    file = small_job / "app" / "config" / "config_fed_server.json"
    file.write_text(file.read_text().replace("[8, 8]", "[8, 16]"))
    model = tmp_path / "a" / "model.safetensors"
    refused(capsys, "the job's is cnn", "rehearse", small_job, "--init", model, "--out", tmp_path / "b")
    (tmp_path / "cut.safetensors").write_bytes(model.read_bytes()[:1000])
    cut = tmp_path / "cut.safetensors"
    refused(capsys, "can't be read", "rehearse", small_job, "--init", cut, "--out", tmp_path / "b")


def test_jobs_render_and_check(capsys, tmp_path):
    assert type_in(capsys, "jobs", "render", "--folder", tmp_path)[0] == 0
    assert type_in(capsys, "jobs", "check", "--folder", tmp_path)[0] == 0
    (tmp_path / "feddc" / "meta.json").unlink()
    code, _, err = type_in(capsys, "jobs", "check", "--folder", tmp_path)
    assert code == 1
    assert "jobs/feddc/meta.json is missing" in err


def test_schemes_lists_every_scheme_with_its_arguments(capsys):
    code, out, _ = type_in(capsys, "schemes")
    assert code == 0
    assert max(map(len, out.splitlines())) <= 120
    rows = {row.split("│")[1].strip(): row for row in out.splitlines() if row.count("│") == 6}
    assert set(SCHEMES) <= set(rows)
    assert "daisy_period=1" in rows["feddc"]
    assert " ".join(f"{count:,}" for count in traffic("fedsgd")).split()[0] in rows["fedsgd"]


def test_the_bytes_of_a_dry_run_are_those_that_the_schemes_send():
    plan = plan_of({**folders.JOBS["fedavg"], "rounds": 1}, "the job")
    whole = nbytes(model_of(plan.network, plan.seed, plan.rounds).weights)
    assert whole == 107_736
    to, back = traffic("fedavg")
    assert whole < to < whole + 8000, "the model, and names and brackets around its tensors"
    assert whole < back < whole + 8000
    assert 5 * traffic("cyclic")[0] == pytest.approx(to, abs=8)
    assert traffic("local") < (1000, 1000)
    assert traffic("scaffold")[0] > 2 * whole
    assert traffic("dynamic")[1] < back


def test_the_committed_page_of_schemes_is_what_the_registry_says(capsys, tmp_path):
    assert type_in(capsys, "schemes", "--write", "--docs", tmp_path)[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == ["schemes.md"]
    assert (tmp_path / "schemes.md").read_text() == (ROOT / "docs" / "schemes.md").read_text()


def test_one_scheme_is_shown_with_its_block_and_its_schema(capsys):
    assert "### `fedprox`" in type_in(capsys, "schemes", "fedprox")[1]
    code, out, _ = type_in(capsys, "schemes", "fedprox", "--schema")
    assert code == 0
    assert json.loads(out)["properties"]["mu"]["minimum"] == 0
    refused(capsys, "unknown scheme 'fedmax'", "schemes", "fedmax")


def test_the_command_imports_without_torch_monai_nvflare_and_sklearn():
    code = "import sys, brainct.cli; print(sorted({'torch', 'monai', 'nvflare', 'sklearn'} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("a site is called ''; wanted letters", ["--names", "a,,b"]),
        ("a site is called '../../evil'", ["--names", "../../evil,b"]),
        ("wanted SITE@ROUND, one of the sites site-1, site-2 and of the rounds 0 to 1", ["--lose", "site-1@99"]),
    ],
)
def test_impossible_site_names_are_refused(capsys, small_job, small_site, words, arguments):
    refused(capsys, words, "rehearse", small_job, "--sites", 2, *arguments)


def test_spaces_around_a_site_name_are_ignored(capsys, small_job, small_site, tmp_path):
    assert type_in(capsys, "rehearse", small_job, "--names", "a, b", "--out", tmp_path / "out")[0] == 0
    assert sorted(json.loads((tmp_path / "out" / "record.json").read_text())["sites"]) == ["a", "b"]


def test_an_error_of_the_system_is_one_line_without_a_traceback(capsys, small_job, small_site, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = type_in(capsys, "rehearse", small_job, "--sites", 1, "--out", tmp_path / "file" / "out")
    assert code == 2
    assert "Not a directory" in err.splitlines()[-1]
    assert "Traceback" not in err


def test_a_stopped_run_says_how_to_continue(capsys, small_job, small_site, tmp_path, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("brainct.run.rehearse.rehearse", stopped)
    code, _, err = type_in(capsys, "rehearse", small_job, "--out", tmp_path / "out")
    assert code == 130
    assert f"stopped; `brainct resume {tmp_path / 'out'}` continues after the last closed round" in err


@pytest.mark.parametrize("scheme", ["local", "fedct"])
def test_an_untrained_model_is_refused_by_predict(capsys, small_site, tmp_path, scheme):
    rehearse(tiny_plan(scheme, rounds=2, evaluate_every=0), ["a", "b"], tmp_path / "out", log=lambda line: None)
    model = tmp_path / "out" / "model.safetensors"
    refused(capsys, "the model is untrained", "predict", model, "--out", tmp_path / "p.csv")


def test_predictions_are_written_whole_or_not_at_all(capsys, small_site, tmp_path):
    rehearse(tiny_plan(rounds=1, evaluate_every=0), ["a"], tmp_path / "out", log=lambda line: None)
    model = tmp_path / "out" / "model.safetensors"
    refused(capsys, "its folder does not exist", "predict", model, "--out", tmp_path / "none" / "p.csv")
    small_site.write_text(small_site.read_text() + "windows: [[40, 80]]\n")
    refused(capsys, "1 HU windows, the job's network takes 3", "predict", model, "--out", tmp_path / "p.csv")
    assert not (tmp_path / "p.csv").exists()


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        ("got --schemes, --sites together with --plan", ["--plan", "plan.yaml", "--schemes", "feddc", "--sites", "3"]),
        ("no ledger.jsonl below nowhere", ["--schemes", "feddc", "--table", "--out", "nowhere"]),
    ],
)
def test_options_that_would_be_ignored_and_ledgers_that_are_not_there_are_refused(
    capsys, tmp_path, monkeypatch, words, arguments
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plan.yaml").write_text("seeds: 1\n")
    refused(capsys, words, "compare", *arguments)
    assert not (tmp_path / "nowhere").exists()


def test_defaults_are_shown_in_the_help(capsys):
    assert "(default: runs/JOB-SEED-NUMBER)" in " ".join(
        type_in(capsys, "rehearse", "--help")[1].replace("│", " ").split()
    )


def test_runs_list_refuses_a_folder_that_is_no_kit(capsys, tmp_path):
    refused(capsys, "is not a FLARE kit", "runs", "list", tmp_path / "none")
    (tmp_path / "startup").mkdir()
    assert type_in(capsys, "runs", "list", tmp_path)[1] == "no runs\n"
    refused(capsys, "no run at", "resume", tmp_path / "typo")


def test_a_site_without_a_budget_ledger_is_refused_where_other_sites_have_one(capsys, tmp_path):
    scope = {"name": "x", "task_result_filters": [{"path": FILTER, "args": {"clip": 1.0}}]}
    (tmp_path / "privacy.json").write_text(json.dumps({"scopes": [scope], "default_scope": "x"}))
    assert (
        "releases that its privacy budget pays for: 0"
        in type_in(capsys, "privacy", tmp_path / "privacy.json", "--site", "a")[1]
    )
    (tmp_path / "privacy" / "site-1").mkdir(parents=True)
    refused(
        capsys,
        "no budget ledger of site 'Site-1'; wanted one of site-1",
        "privacy",
        tmp_path / "privacy.json",
        "--site",
        "Site-1",
    )


def test_windows_is_refused_before_anything_else(capsys, monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    refused(capsys, "this is Windows", "jobs", "check")
