"""The three policies that a hospital chooses from, each as it is installed, over whole rehearsed runs."""

import json

import pytest

from brainct.errors import Refused
from brainct.run.rehearse import rehearse
from brainct.security import policy_file
from brainct.security.ledger import Ledger
from tests.conftest import ROOT, TINY, tiny_plan

POLICIES = ROOT / "provisioning" / "policy" / "privacy"
SITES = ["a", "b", "c"]
FIXED = {"inner": {"scheme": "fedavg"}, "members": "fixed"}


@pytest.fixture
def under(tmp_path, small_site, monkeypatch):
    """Has rehearsals run under one of the policies, with the tests' tiny network in its list in place of its own."""

    def choose(name, small=True):
        content = json.loads((POLICIES / f"{name}.json").read_text())
        choices = content["scopes"][0]["task_result_filters"][0]["args"]
        if small and "limits" in choices:
            choices["limits"]["networks"] = [{"architecture": TINY["architecture"], "options": TINY["options"]}]
        (tmp_path / "local").mkdir(exist_ok=True)
        (tmp_path / "local" / "privacy.json").write_text(json.dumps(content))
        monkeypatch.setenv(policy_file.ENVIRONMENT, str(tmp_path / "local" / "privacy.json"))

    return choose


def run(folder, scheme="fedavg", **choices):
    plan = tiny_plan(scheme, **choices)
    return rehearse(plan, SITES, folder, log=lambda line: None).content


def test_open_and_standard_change_no_model_and_standard_rounds_scores(tmp_path, under):
    found = {}
    for name in ("open", "standard"):
        under(name)
        found[name] = run(tmp_path / name)
    assert found["open"]["model_sha256"] == found["standard"]["model_sha256"]
    exact, rounded = (found[name]["test"]["a"]["any"] for name in ("open", "standard"))
    assert exact["brier"] != round(exact["brier"], 2)
    assert rounded["reason"] == "too few scans"  # four test scans
    assert rounded["brier"] is None


@pytest.mark.parametrize("name", ["standard", "strict"])
def test_a_network_of_a_jobs_own_making_is_refused_at_the_roll_call(tmp_path, under, name):
    under(name, small=False)
    with pytest.raises(Refused, match="by its privacy policy the job's network is cnn with options"):
        run(tmp_path / "out", "secagg", arguments=FIXED)


def test_strict_takes_part_where_all_sums_are_over_the_same_sites_and_counts_all_that_leaves(tmp_path, under):
    under("strict")
    with pytest.raises(Refused, match="nobody may see a single hospital's update"):
        run(tmp_path / "fedavg")
    with pytest.raises(Refused, match='set `members` of "secagg" to "fixed"'):
        run(tmp_path / "any", "secagg")
    record = run(tmp_path / "fixed", "secagg", arguments=FIXED, evaluate_every=0)
    assert [sorted(row["metrics"]) for row in record["rounds"]] == [SITES] * 3
    assert all(not values for row in record["rounds"] for values in row["metrics"].values())
    for site in SITES:
        events = Ledger(tmp_path / "local" / "privacy" / site).events()
        assert [event.kind for event in events] == ["training"] * 2 + ["scores"]
        assert {(event.noise, event.sampling) for event in events if event.steps} == {(4.0, 0.1)}


def test_strict_ends_with_the_same_bits_on_the_same_secrets_and_with_others_on_others(tmp_path, under):
    under("strict")
    plan = {"arguments": FIXED, "evaluate_every": 0}
    one, again = (run(tmp_path / name, "secagg", **plan)["model_sha256"] for name in ("one", "again"))
    assert one == again
    assert len(Ledger(tmp_path / "local" / "privacy" / "a").events()) == 3, "what is repeated is paid for once"
    (tmp_path / "local" / "privacy" / "a" / "secret").write_bytes(b"another".ljust(32))
    assert run(tmp_path / "other", "secagg", **plan)["model_sha256"] != one
