"""The numbers for Prometheus, and the alerts that are made from them."""

import re
import shutil
import subprocess
import time

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from brainct.core.version import VERSION
from brainct.errors import Refused
from brainct.monitoring.collector import Federation
from brainct.run import progress
from brainct.run.run_record import Round, RunRecord
from tests.conftest import ROOT, tiny_plan
from tests.support.command import type_in
from tests.support.kit import Authority

RULES = ROOT / "provisioning" / "monitoring"


def record(lost):
    plan = tiny_plan("fedavg", rounds=9)
    about = {"fingerprint": "0" * 64}
    row = {"seconds": 2.5, "lost": dict.fromkeys(lost, "no reply in time"), "bytes_sent": {}, "bytes_received": {}}
    there = sorted({"hospital-a", "hospital-b"} - set(lost))
    metrics = {site: {"loss": 0.25} for site in there}
    return RunRecord(
        version=VERSION,
        scheme="fedavg",
        seed=1,
        plan=plan.model_dump(),
        sites={site: about for site in ("hospital-a", "hospital-b")},
        rounds=[Round(round=0, reported=there, metrics=metrics, **row)],
    )


@pytest.fixture
def kit(tmp_path):
    folder = tmp_path / "server"
    Authority().issue(folder / "startup", "server", "server", days=12)
    (folder / "startup" / "fed_server.json").write_text("{}")
    progress.write(folder / "brainct" / "runs" / "8f3a-1", record(lost=["hospital-b"]))
    return folder


def numbers(collector):
    registry = CollectorRegistry()
    registry.register(collector)
    families = text_string_to_metric_families(generate_latest(registry).decode())
    return {(one.name, *one.labels.values()): one.value for family in families for one in family.samples}


def test_a_run_its_sites_and_its_certificates_are_shown(kit):
    found = numbers(Federation([kit]))
    assert found["brainct_round", "8f3a-1", "fedavg"] == 1
    assert found["brainct_rounds", "8f3a-1", "fedavg"] == 9
    assert found["brainct_training_loss", "8f3a-1", "fedavg"] == 0.25
    assert found["brainct_round_seconds", "8f3a-1", "fedavg"] == 2.5
    assert found["brainct_site_replied", "8f3a-1", "hospital-a"] == 1
    assert found["brainct_site_lost", "8f3a-1", "hospital-b"] == 1
    assert found["brainct_certificate_days", "server.crt", "server", "server"] == pytest.approx(12, abs=0.01)
    assert found["brainct_certificate_days", "rootCA.pem", "server", "brainct"] == pytest.approx(1826, abs=0.01)
    assert not [key for key in found if key[0] in ("brainct_site_connected", "brainct_server_up")]


def test_a_site_that_should_be_connected_and_is_not_is_shown_as_missing(kit):
    found = numbers(Federation([kit], lambda: ["hospital-a"], ["hospital-c"]))
    connected = {key[1]: value for key, value in found.items() if key[0] == "brainct_site_connected"}
    assert connected == {"hospital-a": 1, "hospital-b": 0, "hospital-c": 0}
    assert found[("brainct_server_up",)] == 1
    gone = numbers(Federation([kit], lambda: None))
    assert gone[("brainct_server_up",)] == 0


def test_a_run_of_long_ago_is_not_shown(kit, monkeypatch):
    then = time.time()
    monkeypatch.setattr(time, "time", lambda: then + 8 * 86_400)
    assert not [key for key in numbers(Federation([kit])) if "8f3a-1" in key]


def test_a_folder_that_is_no_kit_is_refused(tmp_path, kit):
    with pytest.raises(Refused, match="no startup kit"):
        Federation([kit, tmp_path])


def test_the_command_prints_the_numbers_once(capsys, kit):
    code, out, _ = type_in(capsys, "metrics", kit, "--once")
    assert code == 0
    assert 'brainct_site_lost{run="8f3a-1",site="hospital-b"} 1.0' in out


def test_every_number_in_an_alert_is_exported(kit):
    rules = yaml.safe_load((RULES / "brainct.rules.yml").read_text())["groups"][0]["rules"]
    named = {name for rule in rules for name in re.findall(r"brainct_\w+", rule["expr"])}
    assert named <= {key[0] for key in numbers(Federation([kit], lambda: ["hospital-a"]))}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is Prometheus's own, `apt install prometheus`")
def test_the_alerts_fire_when_they_should():
    done = subprocess.run(["promtool", "test", "rules", "brainct.rules.test.yml"], cwd=RULES, capture_output=True)
    assert done.returncode == 0, done.stdout + done.stderr
