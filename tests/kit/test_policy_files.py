"""The policy is installed in servers' and hospitals' kits, and a site's own decision is not overwritten."""

import json

import pytest

from brainct.errors import Refused
from brainct.job import folders
from brainct.kit import authority, policy_files
from tests.conftest import ROOT
from tests.support.kit import Authority, hospital_kit, person_kit, server_kit

POLICY = ROOT / "provisioning" / "policy"


@pytest.fixture
def prod(tmp_path):
    authority = Authority()
    hospital_kit(tmp_path / "hospital-a", authority)
    server_kit(tmp_path / "server", authority)
    person_kit(tmp_path / "lead@consortium.example")
    (tmp_path / "state").mkdir()
    return tmp_path


def test_each_kind_of_kit_gets_its_policy_and_a_person_gets_none(prod):
    lines = policy_files.install_policy(prod, POLICY)
    assert lines == [
        f"{line}: installed"
        for line in (
            "hospital-a/local/authorization.json",
            "hospital-a/local/log_config.json",
            "hospital-a/local/privacy.json",
            "hospital-a/local/resources.json",
            "server/local/authorization.json",
            "server/local/log_config.json",
            "server/local/resources.json",
        )
    ]
    assert not (prod / "lead@consortium.example" / "local").exists()
    assert set(policy_files.install_policy(prod, POLICY)) == {line.replace("installed", "up to date") for line in lines}


def test_the_server_stores_jobs_in_its_own_kit(prod):
    policy_files.install_policy(prod / "server", POLICY)
    content = json.loads((prod / "server" / "local" / "resources.json").read_text())
    assert content["snapshot_persistor"]["args"]["storage"]["args"]["root_dir"] == f"{prod}/server/snapshot-storage"
    manager = next(part for part in content["components"] if part["id"] == "job_manager")
    assert manager["args"]["uri_root"] == f"{prod}/server/jobs-storage"


def test_a_file_that_the_site_changed_stays_unless_replace_which_keeps_a_copy(prod):
    policy_files.install_policy(prod, POLICY)
    privacy = prod / "hospital-a" / "local" / "privacy.json"
    installed = privacy.read_text()
    privacy.write_text("{}")
    assert (
        "hospital-a/local/privacy.json: differs, not changed; --replace installs the template"
        in policy_files.install_policy(prod, POLICY)
    )
    assert privacy.read_text() == "{}"
    policy_files.install_policy(prod, POLICY, replace=True)
    assert privacy.read_text() == installed
    assert privacy.with_name("privacy.json.before").read_text() == "{}"


@pytest.mark.parametrize("kind", ["server", "hospital"])
def test_the_policies_allow_exactly_the_two_classes_of_the_simulators_policy(kind):
    content = json.loads((POLICY / kind / "resources.json").read_text())
    simulator = json.loads((ROOT / "poc" / "simulator" / "local" / "resources.json").read_text())
    for key in ("class_allow_list", "class_list_enforcement_mode"):
        assert content[key] == simulator[key]
    assert content["class_allow_list"] == [folders.ROUNDS, folders.SITE]


def test_a_folder_without_a_kit_is_refused(tmp_path):
    with pytest.raises(Refused, match="holds no startup kit"):
        policy_files.install_policy(tmp_path, POLICY)


def test_a_policy_folder_without_templates_is_refused(prod, tmp_path):
    with pytest.raises(Refused, match="has no folder 'all'"):
        policy_files.install_policy(prod, tmp_path)


def test_a_kit_prepared_for_containers_keeps_its_launcher_and_gets_the_narrow_policy(prod):
    components = [
        {"id": "launcher", "path": "nvflare.app_opt.job_launcher.docker_launcher.ClientDockerJobLauncher"},
        {"id": "site_log_streamer", "path": "nvflare.app_common.logging.site_log_streamer.SiteLogStreamer"},
    ]
    default = {"class_allow_list": ["nvflare."], "allow_log_streaming": True, "components": components, "client": {}}
    local = prod / "hospital-a" / "local"
    (local / "resources.json.default").write_text(json.dumps(default))
    policy_files.install_policy(prod / "hospital-a", POLICY)
    content = json.loads((local / "resources.json").read_text())
    no_shell = {"id": "no_shell", "path": "brainct.flare.shell.NoShell", "args": {}}
    assert content["components"] == [components[0], no_shell]
    assert content["class_allow_list"] == [folders.ROUNDS, folders.SITE]
    assert content["class_list_enforcement_mode"] == "enforce"
    assert content["allow_log_streaming"] is False
    assert content["client"] == {}


def test_the_state_next_to_the_kits_becomes_its_owners_alone(prod):
    kits, state = prod / "prod_00", prod / "state"
    kits.mkdir()
    (state / "cert.json").write_text("{}")
    state.chmod(0o755)
    assert authority.protect_next_to(kits) == [f"{state}: holds every private key; now readable by its owner alone"]
    assert authority.protect_next_to(kits) == []


def test_a_relay_is_refused_before_any_policy_is_installed(prod):
    (prod / "relay-1" / "startup").mkdir(parents=True)
    (prod / "relay-1" / "startup" / "fed_relay.json").write_text("{}")
    with pytest.raises(Refused, match="relay-1 is a relay: brainct has no policy for relays"):
        policy_files.install_policy(prod, POLICY)
    assert not (prod / "server" / "local" / "resources.json").exists()


def test_the_templates_come_with_the_package():
    theirs, ours = (sorted(path.name for path in folder.glob("*/*.json")) for folder in (policy_files.POLICY, POLICY))
    assert theirs == ours != []
