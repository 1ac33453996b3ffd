"""Backup and restoring of kits: to the same bytes, and without giving a privacy budget back."""

import json
import tarfile

import pytest

from brainct.core.privacy_event import Event
from brainct.errors import Declined, Refused
from brainct.kit import formats, policy_files
from brainct.kit.backup import back_up, restore
from brainct.security.ledger import Ledger
from brainct.security.policy import Budget
from brainct.site.agent import SiteAgent
from tests.conftest import PHANTOM, tiny_plan
from tests.support.agreed import Agreed
from tests.support.command import refused, type_in
from tests.support.kit import Authority, hospital_kit, server_kit
from tests.support.requests import request

BUDGET = Budget(epsilon=10.0)


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture
def kit(tmp_path, authority):
    folder = hospital_kit(tmp_path / "hospital-a", authority)
    policy_files.install_policy(folder, privacy="strict")
    (folder / "local" / "brainct.yaml").write_text(PHANTOM)
    return folder


def ledger_of(kit):
    return Ledger(kit / "local" / "privacy" / "hospital-a")


def state_of(kit):
    return kit / "brainct" / "client_state"


def contents(folder):
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mode & 0o777)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("lock", "format.json") and not path.name.endswith(".lock")
    }


def used(kit):
    """The kit of a hospital that has replied in one round and paid for two releases."""
    Agreed("hospital-a", state_of(kit), None).reply_plain(request(tiny_plan("feddc"), sites=["hospital-a"]))
    for number, mu in enumerate((0.1, 0.5)):
        assert ledger_of(kit).spend(f"release {number}", Event("update", mu=mu), BUDGET, "a-run", number)
    ledger_of(kit).secret()
    (kit / "log.txt").write_text("not in the backup")
    return kit


def test_everything_that_a_run_needs_is_restored_byte_by_byte_on_an_empty_folder(kit, tmp_path):
    back_up(used(kit), tmp_path / "safe" / "a.tgz")
    assert (tmp_path / "safe" / "a.tgz").stat().st_mode & 0o077 == 0
    before = contents(kit)
    restore(tmp_path / "safe" / "a.tgz", tmp_path / "new", last=True)
    assert before.pop("log.txt")
    assert contents(tmp_path / "new") == before
    assert "brainct/client_state/a-run/hospital-a.safetensors" in before
    assert "local/privacy/hospital-a/secret" in before
    assert "startup/client.key" in before
    assert ledger_of(tmp_path / "new").releases() == ledger_of(kit).releases()
    assert not [path for path in (tmp_path / "new").rglob("*") if path.is_dir() and path.stat().st_mode & 0o077]


def test_an_older_ledger_gives_nothing_back_before_its_owner_said_what_left(kit, tmp_path, capsys):
    back_up(used(kit), tmp_path / "a.tgz")
    for number in range(5):
        assert ledger_of(kit).spend(f"later {number}", Event("update", mu=0.5), BUDGET, "a-run", 2 + number)
    restore(tmp_path / "a.tgz", tmp_path / "new")
    restored, command = ledger_of(tmp_path / "new"), ("privacy", tmp_path / "new" / "local" / "privacy.json")
    with pytest.raises(Declined, match="what left after it is not counted yet"):
        restored.spend("another", Event("update", mu=0.1), BUDGET, "b-run", 0)
    refused(capsys, "what left after it is not counted yet", *command, "--site", "hospital-a")
    code, out, _ = type_in(capsys, *command, "--site", "hospital-a", "--left-since", 5)
    assert code == 0
    assert "epsilon" in out
    assert restored.spent(BUDGET.delta)["all"] == ledger_of(kit).spent(BUDGET.delta)["all"]
    refused(capsys, "waits for nothing", *command, "--site", "hospital-a", "--left-since", 0)


def test_what_is_missing_cannot_be_counted_by_an_empty_ledger(kit, tmp_path):
    ledger_of(kit).secret()
    back_up(kit, tmp_path / "a.tgz")
    restore(tmp_path / "a.tgz", tmp_path / "new")
    with pytest.raises(Refused, match="counts no release by which to measure"):
        ledger_of(tmp_path / "new").settle(1, BUDGET.delta)
    ledger_of(tmp_path / "new").settle(0, BUDGET.delta)
    assert ledger_of(tmp_path / "new").releases() == {}


def test_a_run_restored_from_an_older_backup_is_not_answered_twice(kit, tmp_path, small_site):
    plan = tiny_plan("feddc", rounds=3)
    back_up(used(kit), tmp_path / "a.tgz")
    second = request(plan, round=1, sites=["hospital-a"])
    for folder, last in (("older", False), ("last", True)):
        restore(tmp_path / "a.tgz", tmp_path / folder, last)
        reply = Agreed("hospital-a", state_of(tmp_path / folder), small_site).reply_plain(second)
        assert ("error" in reply) is not last
        if not last:
            assert "was restored from a backup of" in reply["error"]


def test_a_site_restored_from_an_older_backup_resumes_no_run_that_it_lacks_and_begins_new_ones(
    kit, tmp_path, small_site
):
    plan = tiny_plan("feddc", rounds=3)
    back_up(kit, tmp_path / "a.tgz")
    restore(tmp_path / "a.tgz", tmp_path / "new")
    agent = SiteAgent("hospital-a", state_of(tmp_path / "new"), small_site)
    for new, words in ((False, "was restored from a backup of"), (True, "")):
        reply = agent.reply_plain(request(plan, "describe", new=new, sites=["hospital-a"]))
        assert words in reply.get("error", "")
        assert ("error" in reply) is not new


def test_a_servers_storage_moves_with_its_kit(tmp_path, authority, capsys):
    kit = server_kit(tmp_path / "server", authority)
    policy_files.install_policy(kit)
    (kit / "jobs-storage").mkdir()
    (kit / "jobs-storage" / "job").write_text("x")
    assert type_in(capsys, "backup", kit, tmp_path / "s.tgz")[0] == 0
    code, out, _ = type_in(capsys, "restore", tmp_path / "s.tgz", tmp_path / "elsewhere")
    assert code == 0
    assert f"the storage is in {tmp_path / 'elsewhere'} (was {kit})" in out
    policy = (tmp_path / "elsewhere" / "local" / "resources.json").read_text()
    assert str(kit) not in policy.replace(str(tmp_path / "elsewhere"), "")
    assert policy_files.install_policy(tmp_path / "elsewhere") == [
        f"elsewhere/local/{name}.json: up to date" for name in ("authorization", "log_config", "resources")
    ]
    assert (tmp_path / "elsewhere" / "jobs-storage" / "job").read_text() == "x"


def changed(archive):
    """The archive with one file in it changed."""
    with tarfile.open(archive) as tar:
        tar.extractall(archive.parent / "open", filter="data")
    (archive.parent / "open" / "local" / "privacy.json").write_text("{}")
    with tarfile.open(archive, "w:gz") as tar:
        for path in sorted((archive.parent / "open").rglob("*")):
            if path.is_file():
                tar.add(path, path.relative_to(archive.parent / "open").as_posix())


def cut(archive):
    archive.write_bytes(archive.read_bytes()[:-200])


def later(archive):
    """The archive as a later version would write it."""
    with tarfile.open(archive) as tar:
        tar.extractall(archive.parent / "open", filter="data")
    file = archive.parent / "open" / "backup.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": formats.FORMAT + 1}))
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(file, "backup.json")


@pytest.mark.parametrize(
    ("harm", "words"), [(changed, "files in it were changed"), (cut, "no whole backup"), (later, "is of format 2")]
)
def test_an_archive_that_is_not_what_was_written_is_refused_and_nothing_restored(kit, tmp_path, harm, words):
    back_up(kit, tmp_path / "a.tgz")
    harm(tmp_path / "a.tgz")
    with pytest.raises(Refused, match=words):
        restore(tmp_path / "a.tgz", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_what_would_lose_something_is_refused(kit, tmp_path):
    back_up(kit, tmp_path / "a.tgz")
    with pytest.raises(Refused, match="exists already"):
        back_up(kit, tmp_path / "a.tgz")
    with pytest.raises(Refused, match="is inside the kit"):
        back_up(kit, kit / "a.tgz")
    with pytest.raises(Refused, match="is no startup kit"):
        back_up(tmp_path, tmp_path / "b.tgz")
    with pytest.raises(Refused, match="is not empty"):
        restore(tmp_path / "a.tgz", kit)
    privacy = kit / "local" / "privacy.json"
    privacy.write_text(privacy.read_text().replace('"budget"', '"folder": "/elsewhere", "budget"'))
    with pytest.raises(Refused, match="the privacy ledger is outside the kit, in /elsewhere"):
        back_up(kit, tmp_path / "b.tgz")


def test_a_kit_of_version_0_1_is_migrated_and_one_of_a_later_version_refused(kit, capsys):
    old = kit / "brainct" / "keep" / "a-run"
    old.mkdir(parents=True)
    (old / "hospital-a.safetensors").write_text("x")
    (old / "hospital-a.safetensors").chmod(0o644)
    with pytest.raises(Refused, match="of an earlier brainct; run `brainct kits install`"):
        formats.check_format(kit)
    code, out, _ = type_in(capsys, "kits", "install", kit, "--privacy", "strict")
    assert code == 0
    assert "hospital-a: format 0 -> 1: the client state of 1 runs is in brainct/client_state" in out
    moved = state_of(kit) / "a-run" / "hospital-a.safetensors"
    assert (moved.read_text(), moved.stat().st_mode & 0o777) == ("x", 0o600)
    assert not old.parent.exists()
    formats.check_format(kit)
    stamp = {**json.loads((kit / formats.FILE).read_text()), "format": formats.FORMAT + 1}
    (kit / formats.FILE).write_text(json.dumps(stamp))
    refused(capsys, "which a later brainct wrote", "kits", "install", kit)
    with pytest.raises(Refused, match="install the later version again"):
        back_up(kit, kit.parent / "a.tgz")
