"""The wheelhouse for machines without an index: hashes are demanded, and the wheel has what a hospital needs."""

import importlib.util
import subprocess
import sys
import zipfile

import pytest

from tests.conftest import ROOT

SCRIPT = ROOT / "provisioning" / "wheelhouse.py"


@pytest.fixture(scope="module")
def wheelhouse(tmp_path_factory):
    """The package's own wheel alone, with its line of hashes; the other wheels are hundreds of megabytes."""
    folder = tmp_path_factory.mktemp("wheelhouse")
    command = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(folder), str(ROOT)]
    subprocess.run([sys.executable, "-m", *command], check=True)
    spec = importlib.util.spec_from_file_location("wheelhouse", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    (folder / "requirements.txt").write_text("\n".join(script.requirements(folder)) + "\n")
    return folder


def install(wheelhouse, target):
    where = ["--no-index", "--find-links", str(wheelhouse), "--target", str(target)]
    command = ["pip", "install", "--quiet", "--no-deps", "--require-hashes", *where, "-r"]
    return subprocess.run(
        [sys.executable, "-m", *command, str(wheelhouse / "requirements.txt")], capture_output=True, text=True
    )


@pytest.mark.slow
def test_what_is_installed_offline_can_install_policies_and_a_changed_wheel_is_refused(wheelhouse, tmp_path):
    assert install(wheelhouse, tmp_path / "there").returncode == 0
    for part in ("policy/privacy/standard.json", "policy/hospital/resources.json", "policy/server/resources.json"):
        assert (tmp_path / "there" / "brainct" / "kit" / part).is_file()
    (wheel,) = wheelhouse.glob("*.whl")
    with zipfile.ZipFile(wheel, "a") as packed:
        packed.writestr("brainct/more.py", "")
    done = install(wheelhouse, tmp_path / "again")
    assert done.returncode != 0
    assert "DO NOT MATCH THE HASHES" in done.stderr
    assert not (tmp_path / "again").exists()


def test_the_build_of_torch_has_to_be_named(tmp_path):
    command = [sys.executable, str(SCRIPT), str(tmp_path / "out"), "--torch", "2.13.0"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "wanted a build as well, such as 2.13.0+cpu" in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_index_without_the_build_of_torch_is_said_at_once(tmp_path):
    command = [sys.executable, str(SCRIPT), str(tmp_path / "out"), "--torch", "2.13.0+no-such", "--index"]
    done = subprocess.run([*command, (tmp_path / "empty").as_uri()], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("torch 2.13.0+no-such did not come from file://")
    assert "Traceback" not in done.stderr
