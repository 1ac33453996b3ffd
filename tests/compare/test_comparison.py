"""A comparison becomes runs: the baselines, grids before their winners, and keys over all that matters."""

import pytest
import yaml

from brainct.compare.comparison_file import read_comparison, read_comparisons
from brainct.compare.ended_runs import EndedRuns
from brainct.compare.planned_runs import planned_runs
from brainct.errors import Refused
from tests.support.rows import SMALL, row, tiny_comparison


def runs(comparison, rows=()):
    return planned_runs(comparison, EndedRuns(rows))


def ended(spec, valid=0.5, **more):
    about = {"key": spec.key, "code": spec.code, "grid": dict(spec.point), "budget": spec.budget}
    return row(spec.entry.label, spec.seed, valid_score=valid, valid_loss=0.2, **about | more)


def names(specs):
    return [spec.entry.label for spec in specs]


def test_the_baselines_are_always_compared_and_a_file_may_state_its_own():
    assert names(runs(tiny_comparison())) == ["fedavg", "pooled", "alone", "finetune"]
    own = {"name": "pooled", "scheme": "sitenorm", "pooled": True}
    specs = runs(tiny_comparison(schemes=["feddc", own]))
    assert names(specs) == ["fedavg", "pooled", "alone", "finetune", "feddc"]
    assert specs[1].plan.scheme == "sitenorm"


def test_the_lowest_budget_comes_first_then_the_seeds_in_turn():
    comparison = tiny_comparison(seeds=2, budgets=[2, 1], federations=[SMALL, SMALL | {"name": "second"}])
    order = [
        (spec.budget, spec.seed, spec.federation.label) for spec in runs(comparison) if spec.entry.label == "fedavg"
    ]
    own = "2x4 scanner"
    assert order == [(b, s, f) for b in (1, 2) for s in (1, 2) for f in (own, "second")]


def test_a_budget_multiplies_the_rounds_and_leaves_the_extra_ones():
    entries = [{"scheme": "sitenorm", "extra_rounds": 1}, {"scheme": "feddc", "rounds": 7}]
    specs = runs(tiny_comparison(schemes=entries, rounds=5, budgets=[1, 3]))
    rounds = {(spec.entry.label, spec.budget): spec.plan.rounds for spec in specs}
    assert rounds["fedavg", 1] == 5
    assert (rounds["sitenorm", 1], rounds["sitenorm", 3]) == (6, 16)
    assert (rounds["feddc", 1], rounds["feddc", 3]) == (7, 21)
    assert {(spec.budget, spec.plan.evaluate_every) for spec in specs} == {(1, 1), (3, 3)}


GRID = {"scheme": "fedprox", "grid": {"mu": [0.1, 1.0], "fit.rate": [0.01, 0.02]}}


def test_a_grids_points_run_on_the_first_seeds_and_its_winner_on_the_others_once_all_have_ended():
    comparison = tiny_comparison(schemes=[GRID], seeds=[5, 6, 7], tune_seeds=2, budgets=[1, 2])
    tuning = [spec for spec in runs(comparison) if spec.entry.label == "fedprox"]
    assert [(spec.seed, spec.budget) for spec in tuning] == [(5, 1)] * 4 + [(6, 1)] * 4
    assert [spec.plan.fit.rate for spec in tuning[:4]] == [0.01, 0.02, 0.01, 0.02]
    assert [spec.plan.arguments["mu"] for spec in tuning[:4]] == [0.1, 0.1, 1.0, 1.0]
    rows = [
        ended(spec, valid=0.9 if spec.point["mu"] == 1.0 and spec.plan.fit.rate == 0.02 else 0.6) for spec in tuning
    ]
    assert len([spec for spec in runs(comparison, rows[:-1]) if spec.entry.label == "fedprox"]) == 8
    more = [spec for spec in runs(comparison, rows) if spec.entry.label == "fedprox" and spec not in tuning]
    assert [(spec.seed, spec.budget) for spec in more] == [(7, 1), (5, 2), (6, 2), (7, 2)]
    assert {(spec.point["mu"], spec.point["fit.rate"]) for spec in more} == {(1.0, 0.02)}


@pytest.mark.parametrize(("values", "untuned"), [([0.1], 3), ([0.1, 1.0], 2)])
def test_a_grid_of_one_point_has_nothing_to_tune_and_one_of_two_has(values, untuned):
    comparison = tiny_comparison(schemes=[{"scheme": "fedprox", "grid": {"mu": values}}], seeds=3, tune_seeds=1)
    assert len([spec for spec in runs(comparison) if spec.entry.label == "fedprox"]) == untuned


def test_a_grid_without_a_validation_fold_is_refused_at_once():
    with pytest.raises(Refused, match="`fedprox` has a grid, but 2x4 scanner has no validation fold"):
        tiny_comparison(schemes=[GRID], federations=[SMALL | {"valid": 0}])


def test_a_grid_without_validation_scores_has_no_winner_to_run():
    comparison = tiny_comparison(schemes=[GRID], seeds=5)
    tuning = [spec for spec in runs(comparison) if spec.entry.label == "fedprox"]
    rows = [ended(spec, valid=None) for spec in tuning]
    assert [spec for spec in runs(comparison, rows) if spec.entry.label == "fedprox"] == tuning


def test_rows_of_other_code_count_only_where_they_are_accepted():
    comparison = tiny_comparison()
    rows = [ended(spec, code="0123" + "f" * 60) for spec in runs(comparison)]
    assert EndedRuns(rows)(runs(comparison)[0]) is None
    assert EndedRuns(rows, ["0123"])(runs(comparison)[0]) == rows[0]


def test_a_key_follows_what_matters_to_the_result_and_nothing_else():
    def key(scheme="fedprox", **changes):
        entry = {"scheme": scheme, **changes.pop("entry", {})}
        return runs(tiny_comparison(schemes=[entry], **changes))[-1].key

    same = key()
    assert key(entry={"name": "other words"}) == same
    assert key(entry={"arguments": {"mu": 0.01}}) == same
    assert key(levels=[0.5]) == same
    assert key(federations=[SMALL | {"name": "other words"}]) == same
    others = [
        key(entry={"arguments": {"mu": 0.5}}),
        key(entry={"pooled": True}),
        key(seeds=[2]),
        key(rounds=2),
        key(fit={"rate": 0.1}),
        key(federations=[SMALL | {"alpha": 0.1}]),
        key("feddc"),
    ]
    assert len({same, *others}) == 8


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"schemes": ["fedavgg"]}, "unknown scheme 'fedavgg'"),
        ({"schemes": [{"scheme": "fedprox", "arguments": {"nu": 1}}]}, "`fedprox`: scheme fedprox"),
        ({"schemes": [{"scheme": "fedprox", "grid": {"mu": [0.1, -1]}}]}, "`fedprox`: "),
        ({"schemes": ["feddc", "feddc"]}, "two schemes are called 'feddc'"),
        ({"federations": [SMALL, SMALL]}, "two federations are called '2x4 scanner'"),
        ({"sedes": 3}, "unknown key 'sedes'"),
        ({"seeds": []}, "seeds"),
        ({"fit": {"rate": -1}}, "fit.rate is -1"),
    ],
)
def test_a_wrong_comparison_is_refused_before_anything_runs(changes, words):
    with pytest.raises(Refused, match="(?s)" + words):
        tiny_comparison(**changes)


def test_a_comparison_file_finds_its_data_next_to_itself(tmp_path):
    (tmp_path / "plan.yaml").write_text("seeds: 2\nfederations: [{data: site.yaml, sites: 3, skew: iid}]\n")
    (tmp_path / "site.yaml").write_text("kind: class_folders\nroot: a\nclasses: {a: [any], b: []}\n")
    comparison = read_comparison(tmp_path / "plan.yaml")
    assert comparison.seeds == [1, 2]
    assert comparison.federations[0].data == tmp_path / "site.yaml"
    for text, words in (("- a", "got list"), ("a: [", "not valid YAML")):
        (tmp_path / "plan.yaml").write_text(text)
        with pytest.raises(Refused, match=words):
            read_comparison(tmp_path / "plan.yaml")
    with pytest.raises(Refused, match="no comparison file at"):
        read_comparison(tmp_path / "none.yaml")


def test_a_list_of_comparison_files_has_a_folder_for_each_ledger_and_paths_relative_to_their_file(tmp_path):
    for file, text in {
        "site.yaml": "kind: class_folders\nroot: a\nclasses: {a: [any], b: []}\n",
        "one/plan.yaml": "seeds: 2\nfederations: [{data: ../site.yaml, sites: 3, skew: iid}]\n",
        "one/more.yaml": "seeds: 3\n",
        "plan.yaml": "plans: {first: [one/plan.yaml, one/more.yaml], second: [one/more.yaml]}\n",
    }.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    found = read_comparisons(tmp_path / "plan.yaml")
    assert [(folder, len(comparison.seeds)) for folder, comparison in found] == [
        ("first", 2),
        ("first", 3),
        ("second", 3),
    ]
    assert found[0][1].federations[0].data == tmp_path / "site.yaml"
    assert read_comparisons(tmp_path / "one" / "more.yaml") == [("", found[1][1])]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("plans: {a: [none.yaml]}", "no comparison file at .*none.yaml"),
        ("plans: {a: []}", "plan.yaml: plans.a is"),
        ("plans: {../a: [plan.yaml]}", r"plans.\.\./a"),
        ("plans: {a: [plan.yaml]}\nseeds: 2", "unknown key 'seeds'"),
        ("plans: plan.yaml", "plans is 'plan.yaml'"),
        ("plans: {a: [plan.yaml]}", "unknown key 'plans'"),
    ],
)
def test_a_wrong_list_of_comparison_files_is_refused(text, words, tmp_path):
    (tmp_path / "plan.yaml").write_text(text)
    with pytest.raises(Refused, match=words):
        read_comparisons(tmp_path / "plan.yaml")


def test_the_comparison_file_of_all_results_names_every_ledger_and_every_file(tmp_path, monkeypatch):
    from tests.conftest import ROOT

    monkeypatch.setenv("BRAINCT_HEAD_CT", str(tmp_path))
    results = ROOT / "docs" / "results"
    folders = {folder for folder, _ in read_comparisons(results / "comparison.yaml")}
    benches = {"causal", "papers", "phantom_detail", "start"}  # each has a ledger of its own bench
    assert folders | benches == {path.parent.name for path in results.glob("*/ledger.jsonl")}
    plans = yaml.safe_load((results / "comparison.yaml").read_text())["plans"]
    named = {path for paths in plans.values() for path in paths}
    assert named == {str(path.relative_to(results)) for path in results.glob("*/*.yaml")}


def test_the_comparison_file_in_the_docs_is_valid(tmp_path, monkeypatch):
    from tests.conftest import ROOT

    monkeypatch.setenv("BRAINCT_HEAD_CT", str(tmp_path))
    text = (ROOT / "docs" / "compare.md").read_text().split("```yaml\n")[1].split("```")[0]
    (tmp_path / "plan.yaml").write_text(text)
    (tmp_path / "head_ct_valid.yaml").write_text(
        (ROOT / "poc" / "sites" / "head_ct.yaml").read_text().replace("train: 1, valid: 0", "train: 0.75, valid: 0.25")
    )
    comparison = read_comparison(tmp_path / "plan.yaml")
    assert {"feddc", "fedprox", "sitenorm", "scaffold"} <= {entry.label for entry in comparison.entries}
