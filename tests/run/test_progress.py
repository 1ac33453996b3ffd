"""Where a run stands, for whoever watches it."""

from brainct.core.names import site_names
from brainct.run import progress
from brainct.run.inbox import Inbox
from brainct.run.rehearse import rehearse
from tests.conftest import tiny_plan


def test_the_numbers_are_those_of_the_record_and_of_the_open_exchange(tmp_path, small_site):
    plan = tiny_plan("fedavg", rounds=3, evaluate_every=2)
    run = rehearse(plan, site_names(3), tmp_path / "out", lose=[("site-2", 2)], log=lambda line: None).record
    found, last = progress.read(tmp_path / "out" / "state"), run.rounds[-1]
    assert (found["round"], found["of"], found["finished"]) == (3, 3, True)
    assert found["reported"] == ["site-1", "site-3"]
    assert found["lost"] == ["site-2"]
    losses = [last.metrics[site]["loss"] for site in ("site-1", "site-3")]
    assert found["loss"] == sum(losses) / 2
    values = [run.workload.headline(one)["auroc"] for one in run.rounds[1].validation.values()]
    known = [value for value in values if value is not None]
    assert found.get("headline") == ({"name": "auroc", "round": 2, "value": sum(known) / len(known)} if known else None)
    inbox = Inbox("round 2", ["site-1", "site-2"], 1, lambda site, message: message)
    inbox.accept("site-1", {"exchange": "round 2"})
    shown = progress.stats(run, inbox)
    assert (shown["exchange"], shown["asked"], shown["answered"]) == ("round 2", 2, 1)
    assert shown["waiting_for"] == shown["lost"] == "site-2"
    assert all(isinstance(value, int | float | str) for value in shown.values())


def test_a_folder_without_a_run_has_no_progress(tmp_path):
    assert progress.read(tmp_path) == {}
