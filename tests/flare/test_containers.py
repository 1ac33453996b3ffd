"""FLARE's preparation of kits for containers and clusters, on a provisioned kit, with the page's own commands."""

import json

import pytest
import yaml

from brainct.job import folders
from brainct.kit import check
from tests.conftest import ROOT
from tests.support.pages import blocks, desktop

pytestmark = pytest.mark.slow


def test_kits_prepared_for_docker_kubernetes_and_slurm_get_the_narrow_policy_back(tmp_path):
    with desktop(tmp_path / "clone") as place:
        place.follow(dict((number, commands) for number, _, commands in blocks("project_admin.md"))[10])
        ((_, _, commands),) = blocks("containers.md")
        place.follow(commands)
        for runtime, launcher in (("docker", "docker"), ("k8s", "k8s"), ("slurm", "slurm")):
            kit = place.folder / "prepared" / runtime
            content = json.loads((kit / "local" / "resources.json").read_text())
            assert content["class_allow_list"] == [folders.ROUNDS, folders.SITE]
            assert any(launcher in part["path"] for part in content["components"])
            findings = {each.subject: each.status for each in check.check_kit(kit, connect=False)}
            assert {findings[what] for what in ("policy", "logs", "rights", "privacy")} == {"PASS"}


def test_the_compose_file_mounts_the_kit_where_its_entry_point_looks():
    service = yaml.safe_load((ROOT / "provisioning" / "containers" / "compose.yml").read_text())["services"]["flare"]
    dockerfile = (ROOT / "provisioning" / "containers" / "Dockerfile").read_text()
    assert "$KIT/startup/sub_start.sh" in dockerfile
    assert "KIT" in service["environment"]
    assert "${KIT}:${KIT}" in service["volumes"]
    tag = dockerfile.split("-t ")[1].split(" ")[0]
    assert service["image"] == tag
