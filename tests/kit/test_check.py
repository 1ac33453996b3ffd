"""The site check: every result is provoked in a kit with real certificates and a real TLS server."""

import json
import socket
import ssl
import subprocess
import sys
import threading

import pytest

from brainct.core.version import fingerprint
from brainct.ct.workload import CT
from brainct.errors import Refused
from brainct.kit import policy_files
from brainct.kit.check import check_kit
from brainct.kit.check_page import as_html
from brainct.kit.verdict import VERDICT_FILE, CheckResult, last_verdict, save_verdict, worst
from brainct.protocol.reply_schema import described
from brainct.security.policy_file import FILTER, REMEMBER
from tests.conftest import PHANTOM, ROOT, tiny_plan
from tests.support.kit import Authority, hospital_kit, person_kit, server_kit

POLICY = ROOT / "provisioning" / "policy"


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture
def kit(tmp_path, authority):
    return with_policy(hospital_kit(tmp_path / "hospital-a", authority))


def with_policy(folder):
    policy_files.install_policy(folder, POLICY)
    (folder / "local" / "brainct.yaml").write_text(PHANTOM)
    return folder


def results(kit, **choices):
    return check_kit(kit, choices.pop("required", fingerprint()), choices.pop("connect", False))


def of(found, subject):
    """(status, message) of each result on one subject."""
    return [(each.status, each.message) for each in found if each.subject == subject]


def change(kit, name, key, value):
    file = kit / "local" / name
    file.write_text(json.dumps({**json.loads(file.read_text()), key: value}))


def test_a_kit_with_our_policy_passes(kit):
    found = results(kit)
    assert worst([each for each in found if each.subject not in ("disk", "memory")]) != "FAIL"
    for what in (
        "kit",
        "path",
        "policy",
        "logs",
        "rights",
        "privacy",
        "certificate hospital-a",
        "package",
        "scans, train",
    ):
        assert {status for status, _ in of(found, what)} == {"PASS"}, what
    assert ("WARN", "SYNTHETIC PHANTOM scans, not patients") in of(found, "scans")


@pytest.mark.parametrize("place", ["at dir", "a#b", "a'b"])
def test_a_kit_in_a_path_at_which_flare_splits_its_command_lines_fails(tmp_path, authority, place):
    (tmp_path / place).mkdir()
    found = of(results(with_policy(hospital_kit(tmp_path / place / "hospital-a", authority))), "path")
    assert [status for status, _ in found] == ["FAIL"]
    assert "in its path, at which FLARE 2.9 splits its own command lines; move it" in found[0][1]


@pytest.mark.parametrize(
    ("file", "key", "value", "what", "words"),
    [
        ("resources.json", "class_list_enforcement_mode", "warn", "policy", "wanted 'enforce'"),
        ("resources.json", "class_allow_list", ["*"], "policy", "also allows *"),
        ("resources.json", "class_allow_list", ["brainct."], "policy", "also allows brainct."),
        ("resources.json", "class_allow_list", [], "policy", "missing or empty"),
        ("resources.json", "allow_log_streaming", True, "logs", "may send this site's logs"),
        (
            "resources.json",
            "components",
            [{"path": "nvflare.app_common.logging.site_log_streamer.SiteLogStreamer"}],
            "logs",
            "may send this site's logs",
        ),
        ("resources.json", "components", [], "shell", "whoever runs the server can read any file here"),
        ("authorization.json", "permissions", {"project_admin": "any"}, "rights", "project_admin may bring code"),
        ("authorization.json", "permissions", {"lead": {"byoc": "any"}}, "rights", "lead may bring code"),
        ("privacy.json", "default_scope", "elsewhere", "privacy", "no default_scope"),
    ],
)
def test_a_wider_policy_than_ours_fails(kit, file, key, value, what, words):
    change(kit, file, key, value)
    assert any(status == "FAIL" and words in message for status, message in of(results(kit), what))


@pytest.mark.parametrize(
    ("name", "what"), [("resources.json", "policy"), ("authorization.json", "rights"), ("privacy.json", "privacy")]
)
def test_a_missing_or_damaged_policy_file_fails_by_name_and_the_other_checks_still_run(kit, name, what):
    (kit / "local" / name).write_text("{")
    assert [status for status, words in of(results(kit), what) if f"{name} is not JSON" in words] == ["FAIL"]
    (kit / "local" / name).unlink()
    found = results(kit)
    assert [status for status, words in of(found, what) if f"{name} is not in local/" in words] == ["FAIL"]
    assert of(found, "scans, train")


@pytest.mark.parametrize(
    ("days", "begun", "status", "words"),
    [
        (31, 1, "PASS", "valid until"),
        (29, 1, "WARN", "valid until"),
        (-0.5, 1, "FAIL", "expired on"),
        (360, -1, "FAIL", "is this machine's clock right?"),
    ],
)
def test_a_certificate_warns_in_its_last_month_and_fails_once_it_has_expired(
    tmp_path, authority, days, begun, status, words
):
    kit = with_policy(hospital_kit(tmp_path / "hospital-a", authority, days=days, begun=begun))
    ((found, message),) = of(results(kit), "certificate hospital-a")
    assert found == status
    assert words in message


def test_a_certificate_of_another_project_fails(kit, tmp_path):
    Authority().issue(tmp_path / "other", "client", "hospital-a")
    (kit / "startup" / "rootCA.pem").write_bytes((tmp_path / "other" / "rootCA.pem").read_bytes())
    assert [status for status, _ in of(results(kit), "certificate")] == ["FAIL"]


def test_a_key_of_another_certificate_fails_and_an_open_one_warns(kit, tmp_path, authority):
    (kit / "startup" / "client.key").chmod(0o644)
    assert [status for status, _ in of(results(kit), "key")] == ["WARN"]
    authority.issue(tmp_path / "other", "client", "hospital-a")
    (kit / "startup" / "client.key").write_bytes((tmp_path / "other" / "client.key").read_bytes())
    assert any(
        status == "FAIL" and "does not belong to client.crt" in words
        for status, words in of(results(kit), "certificate")
    )


def test_the_package_is_compared_with_what_the_federation_agreed_on(kit):
    assert of(results(kit, required="0.1.0-0123456789abcdef"), "package")[0][0] == "FAIL"
    assert of(results(kit, required=None), "package")[0][0] == "WARN"


def test_one_changed_letter_in_any_source_file_is_another_package(tmp_path):
    (tmp_path / "ct").mkdir()
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "ct" / "b.py").write_text("y = 1\n")
    before = fingerprint(tmp_path)
    (tmp_path / "ct" / "b.py").write_text("y = 2\n")
    fingerprint.cache_clear()
    changed = fingerprint(tmp_path)
    (tmp_path / "ct" / "b.py").rename(tmp_path / "b.py")
    fingerprint.cache_clear()
    assert len({before, changed, fingerprint(tmp_path)}) == 3


def test_scans_that_cannot_be_opened_fail_with_the_reason(kit):
    (kit / "local" / "brainct.yaml").write_text("kind: manifest\nroot: /nowhere\nlabels: manifest.csv\n")
    ((status, words),) = of(results(kit), "scans")
    assert status == "FAIL"
    assert "hospital-a" in words


def test_a_server_that_stores_jobs_elsewhere_fails(tmp_path, authority):
    kit = server_kit(tmp_path / "server", authority)
    policy_files.install_policy(kit, POLICY)
    assert [status for status, _ in of(results(kit), "storage")] == ["PASS"]
    moved = kit.rename(tmp_path / "moved")
    ((status, words),) = of(results(moved), "storage")
    assert status == "FAIL"
    assert "not inside this kit" in words


@pytest.fixture
def serve(tmp_path):
    """Starts a TLS server that demands a client's certificate, under the given name; returns its port."""
    sockets = []

    def start(authority, name="server"):
        authority.issue(tmp_path / name, "server", name)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / name / "server.crt", tmp_path / name / "server.key")
        context.load_verify_locations(tmp_path / name / "rootCA.pem")
        context.verify_mode = ssl.CERT_REQUIRED
        listening = socket.create_server(("127.0.0.1", 0))
        sockets.append(listening)
        threading.Thread(target=answer, args=(context, listening), daemon=True).start()
        return listening.getsockname()[1]

    def answer(context, listening):
        try:
            plain, _ = listening.accept()
            with plain, context.wrap_socket(plain, server_side=True) as secured:
                secured.recv(1)
        except OSError:
            return

    yield start
    for each in sockets:
        each.close()


def test_a_server_of_the_project_passes(tmp_path, authority, serve):
    kit = with_policy(hospital_kit(tmp_path / "hospital-a", authority, serve(authority)))
    ((status, words),) = of(results(kit, connect=True), "server")
    assert status == "PASS", words


def test_a_missing_server_or_one_with_another_name_or_of_another_project_fails(tmp_path, authority, serve):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        ports = serve(authority, "impostor"), serve(Authority(), "server"), unused.getsockname()[1]
        for number, (port, words) in enumerate(
            zip(ports, ("is impostor; wanted server", "CERTIFICATE_VERIFY_FAILED", "refused"), strict=True)
        ):
            kit = with_policy(hospital_kit(tmp_path / str(number) / "hospital-a", authority, port))
            ((status, message),) = of(results(kit, connect=True), "server")
            assert status == "FAIL"
            assert words in message


def test_a_kit_is_named_by_its_certificate_whatever_its_folder_is_called(tmp_path, authority):
    kit = with_policy(hospital_kit(tmp_path / "renamed", authority, name="hospital-b"))
    ((status, message),) = of(results(kit), "kit")
    assert (status, message) == ("PASS", f"hospital-b, a hospital's, in {kit}")


def test_a_persons_kit_is_refused(tmp_path):
    with pytest.raises(Refused, match="is no kit of a server or hospital"):
        check_kit(person_kit(tmp_path / "lead"))


def test_the_command_prints_the_results_writes_the_page_and_exits_by_the_verdict(kit, tmp_path):
    (kit / "local" / "privacy.json").unlink()
    command = [sys.executable, "-m", "brainct.cli", "site", "check", str(kit), "--no-connect", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    last = done.stdout.splitlines()[-1]
    assert last.startswith("FAIL: ")
    content = json.loads((tmp_path / "check.json").read_text())
    assert content["verdict"] == "FAIL"
    assert content["package"] == fingerprint()
    assert f"{sum(each['status'] == 'PASS' for each in content['findings'])} PASS" in last
    assert last_verdict(kit) == {**last_verdict(kit), "verdict": "FAIL", "package": fingerprint()}
    text = (tmp_path / "check.html").read_text()
    assert "<h1>Site check: FAIL</h1>" in text
    assert content["time"][:10] in text
    assert content["kit"].startswith("hospital-a, a hospital's, in ")
    assert "hospital-a, a hospital" in text
    assert "<script" not in text


def test_the_saved_verdict_fits_the_reply_schema_and_a_damaged_one_is_none(kit):
    assert last_verdict(kit) is None
    save_verdict([CheckResult("kit", "PASS", "x"), CheckResult("key", "WARN", "y")], kit)
    about = {"kind": "phantom", "folds": {}, "fingerprint": "0" * 64, "notes": []}
    message = described(CT, "a", {"about": {**about, "check": last_verdict(kit)}}, tiny_plan())["check"]
    assert (message["verdict"], message["package"]) == ("WARN", fingerprint())
    for broken in ("{", "[]", "{}", '"PASS"'):
        (kit / VERDICT_FILE).write_text(broken)
        assert last_verdict(kit) is None


def test_a_message_cannot_become_markup_in_the_page():
    assert "<b>" not in as_html([CheckResult("kit", "PASS", "<b>bold</b>")])


@pytest.mark.parametrize(
    ("filters", "before", "words"),
    [
        ([{"path": FILTER, "args": {"noise": 1.0}}], [{"path": REMEMBER}], "noise without clip"),
        ([{"path": FILTER, "args": {"folder": 3}}], [{"path": REMEMBER}], "folder is 3"),
        ([{"path": FILTER, "args": {}}], [], "but not brainct.flare.filters.Remember"),
        (
            [{"path": "brainct.flare.filters.Privat"}],
            [],
            "names brainct.flare.filters.Privat; brainct's result filter is",
        ),
    ],
)
def test_a_privacy_policy_that_would_stop_every_job_fails_before_the_first_job(kit, filters, before, words):
    scope = {"name": "hospital", "properties": {}, "task_data_filters": before, "task_result_filters": filters}
    change(kit, "privacy.json", "scopes", [scope])
    ((status, message),) = of(results(kit), "privacy")
    assert (status, words in message) == ("FAIL", True), message
