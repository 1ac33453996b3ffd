"""What a site sends, whatever it is: an answer that is used, or the loss of that site by name; never another error."""

import json
from functools import partial

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brainct.core.scheme import Task
from brainct.core.version import fingerprint
from brainct.ct.workload import CT
from brainct.errors import Refused
from brainct.job.config import plan_of
from brainct.protocol.reply_schema import described, scored
from brainct.run.inbox import Inbox, Reports, report_reader
from brainct.run.record import RecordWriter
from brainct.run.roll_call import check_package, public_samples
from brainct.run.rounds import Run
from tests.conftest import first_weights, tiny_model, tiny_plan
from tests.support.families import TRAINING
from tests.support.hostile import ATTACKS
from tests.support.replies import ABOUT, SCORE
from tests.support.strange import DEEP, VALUES, mutated

SITES = list("abcdef")
KEPT = {"round": -1, "empty": True}
PUBLIC = {"scans": 4, "fingerprint": "1" * 64}
HONEST = {
    "about": {**ABOUT, "public": PUBLIC, "kept": KEPT, "package": fingerprint()},
    "scores": {"any": SCORE},
    "examples": 8,
    "metrics": {"loss": 0.5},
    "extra": {},
    "exchange": "round 3",
}
QUIET = settings(max_examples=3 * settings.default.max_examples, suppress_health_check=list(HealthCheck))
STRANGE = st.one_of(VALUES, mutated(HONEST), st.fixed_dictionaries({}, optional=dict.fromkeys(HONEST, VALUES)))


def taken(read, answer, what="round 3"):
    """The inbox after b's answer: it took it, or lost b with a sentence of one line."""
    inbox = Inbox(what, ["a", "b"], 1, read)
    used = inbox.accept("b", answer)
    assert used == ("b" in inbox.replies)
    assert used or any(key.startswith("b") for key in inbox.lost)
    assert all(words.isprintable() and len(words) < 600 for words in inbox.lost.values())
    return inbox


@QUIET
@given(answer=STRANGE)
def test_a_description_of_any_shape_is_used_or_refused(answer):
    found = taken(partial(described, CT, choices=CT.choices()), answer).replies
    check_package(found) if found.get("b", {}).get("package") == fingerprint() else None
    taken(lambda site, one: described(CT, site, one, CT.choices(), needed=("public", "kept")), answer)


@QUIET
@given(answer=STRANGE)
def test_scores_of_any_shape_are_used_or_refused(answer):
    taken(partial(scored, CT, choices=CT.choices()), answer)


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """Of each scheme: what it asks of b in round 0, with an honest answer's weights, and its reader."""
    found = {}
    for name in TRAINING:
        plan = tiny_plan(name)
        scheme = plan.build()
        tasks = scheme.assign(scheme.start(tiny_model(plan), SITES, 1), 0, SITES)
        task = tasks.get("b", next(iter(tasks.values())))
        read = report_reader({"a": task, "b": task}, scheme, Reports(tmp_path_factory.mktemp("reports")), "round 3")
        found[name] = dict(task.weights), read
    return found


@QUIET
@given(data=st.data())
def test_a_report_of_any_shape_is_used_or_refused_under_every_scheme(asked, data):
    weights, read = asked[data.draw(st.sampled_from(sorted(asked)))]
    answer = data.draw(STRANGE)
    if isinstance(answer, dict) and data.draw(st.booleans()):
        answer = {**answer, "weights": data.draw(st.sampled_from([weights, {}, {"w": torch.ones(2)}]))}
    taken(read, answer)
    if isinstance(answer, dict):
        try:
            read("b", answer)
        except Refused as refusal:
            said = str(refusal)
            assert said  # noqa: PT017  (whether it refuses is not what is asked)


def test_the_readers_take_an_honest_answer(asked):
    weights, read = asked["fedavg"]
    assert taken(read, {**HONEST, "weights": weights}).replies["b"].examples == 8
    assert taken(partial(described, CT, choices=CT.choices()), HONEST).replies["b"]["kept"] == KEPT


@pytest.mark.parametrize("about", [[1], 1, None, "x", True, [["kind", "phantom"]], {"kind": DEEP}])
def test_a_roll_call_that_is_no_table(about):
    inbox = taken(partial(described, CT, choices=CT.choices()), {"about": about}, "the roll call")
    assert inbox.lost["b"].startswith(ATTACKS["roll call of another shape"].line)


@pytest.mark.parametrize("answer", [None, [1], 7, "text", {"error": DEEP}, {"error": 10**5000}, {"exchange": DEEP}])
def test_an_answer_that_is_none_costs_that_site_and_nobody_else(answer):
    inbox = taken(partial(described, CT, choices=CT.choices()), answer)
    inbox.accept("a", HONEST)
    assert list(inbox.close()) == ["a"]


def test_an_answer_that_is_lost_is_not_combined(tmp_path):
    """What came with the report could not be counted, so b is lost; its report must not count either."""
    weights = first_weights(tiny_plan())
    reports = Reports(tmp_path)
    read = report_reader({"a": Task(weights), "b": Task(weights)}, tiny_plan().build(), reports, "round 3")
    inbox = taken(read, {**HONEST, "weights": weights, "more": float("nan")})
    assert "b" in inbox.lost
    assert list(reports) == []


@pytest.mark.parametrize("missing", ["public", "check", "package", "kept"])
@pytest.mark.parametrize("value", ["absent", None])
def test_a_site_that_leaves_out_what_the_run_needs_is_refused_by_name(tmp_path, missing, value):
    about = {**HONEST["about"], "check": None}
    about = {key: each for key, each in about.items() if key != missing} | ({} if value else {missing: None})
    plan = tiny_plan("fedct")

    def transport(orders, inbox):
        for site in orders:
            inbox.accept(site, {"about": about if site == "b" else HONEST["about"]})

    run = Run(plan, ["a", "b"], transport, RecordWriter(tmp_path / "run", plan, plan.build(), "test", board=False))
    if missing == "public":
        with pytest.raises(Refused, match="b, the roll call: lacks public"):
            run.exchanges.describe()
        return
    found = run.exchanges.describe()
    assert public_samples(found) == 4
    if missing == "package":
        with pytest.raises(Refused, match="b has an unknown one"):
            check_package(found)


JOB = {"scheme": "fedavg", "rounds": 3, "network": {"architecture": "cnn", "size": 32}, "fit": {"rate": 0.05}}


@QUIET
@given(choices=mutated(JOB) | mutated({**JOB, "arguments": {}, "seed": 1, "quorum": 2, "deadline": 5.0, "grace": 1.0}))
def test_a_plan_of_any_shape_is_one_that_can_be_written_down_or_refused(choices):
    try:
        plan = plan_of(choices, "the job") if isinstance(choices, dict) else None
    except Refused as refusal:
        said = str(refusal)
        assert said.startswith("the job: ")  # noqa: PT017
    else:
        json.dumps(plan and plan.model_dump(), allow_nan=False)


@pytest.mark.parametrize(
    "choices",
    [
        {"seed": 2**64},
        {"seed": 10**5000},
        {"rounds": 10**19},
        {"deadline": float("inf")},
        {"deadline": float("nan")},
        {"grace": 1e300},
        {"fit": {"rate": float("nan")}},
        {"arguments": {"mu": float("nan")}},
        {"arguments": DEEP},
        {"network": {"options": {"widths": DEEP}}},
        {"network": {"options": {"x": float("inf")}}},
    ],
)
def test_choices_that_no_run_can_be_made_from(choices):
    with pytest.raises(Refused, match="^the job: ") as refusal:
        plan_of({"scheme": "fedprox", **choices}, "the job")
    assert len(str(refusal.value)) < 600


def test_the_largest_seed_is_used():
    assert first_weights(tiny_plan(seed=2**64 - 1))


def test_the_deep_value_is_one_that_breaks_things():
    with pytest.raises(RecursionError):
        json.dumps(DEEP)
