"""The pages of runs: what they say of whole, broken, hostile and old records, and whose scans they show."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from brainct.cli import main
from brainct.ct.folds import FINDINGS
from brainct.ct.model import network_of
from brainct.ct.networks import NETWORKS
from brainct.ct.site_config import SiteFile
from brainct.errors import Refused
from brainct.job.config import plan_of
from brainct.pages import wording
from brainct.report.build import report
from brainct.report.ct.pooling import pool_bins
from brainct.report.readable_record import Bin
from brainct.report.saliency import may_show_scans, saliency_map
from brainct.report.tolerant import number, text
from brainct.run.rehearse import rehearse
from tests.conftest import PHANTOM, tiny_plan
from tests.support.reader import read

SITES = ["site-1", "site-2", "site-3"]


def rehearsed(folder, site_file, lose=(), **choices):
    """A run's folder, trained for real on the phantom of this site file."""
    path = folder.parent / "site.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(site_file)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRAINCT_SITE", str(path))
        rehearse(tiny_plan(evaluate_every=1, **choices), SITES, folder, lose=lose, log=lambda line: None)
    return folder


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A run of three rounds in which site-2 missed round 1."""
    return rehearsed(tmp_path_factory.mktemp("whole") / "run", PHANTOM, lose=[("site-2", 1)])


@pytest.fixture
def run(whole, tmp_path, monkeypatch):
    """A copy of that run, on a machine with the same site file."""
    monkeypatch.setenv("BRAINCT_SITE", str(whole.parent / "site.yaml"))
    return shutil.copytree(whole, tmp_path / "run")


def changed(run, change):
    """The run with its record changed by a function."""
    record = json.loads((run / "record.json").read_text())
    change(record)
    (run / "record.json").write_text(json.dumps(record))
    return run


def page_of(*runs, **options):
    return read(report(list(runs), **options)[0])


@pytest.fixture(scope="module")
def written(whole):
    """The files that a report of the whole run is, the page first."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BRAINCT_SITE", str(whole.parent / "site.yaml"))
        return report([whole])


def test_a_whole_run_with_a_lost_site_answers_the_clinicians_questions(written):
    seen = read(written[0])
    for question in ("What was trained?", "By whom, on how much data?", "How good is it?", "How sure is that?",
                     "What was lost?", "What left the hospitals?"):  # fmt: skip
        assert question in seen.text
    assert "3 hospitals: site-1, site-2 and site-3." in seen.text
    assert "24 scans to learn from" in seen.text
    assert "site-2 was missing in 1 round of 3 (round 1)" in seen.text
    assert "site-2: lost on purpose by --lose" in seen.text
    assert "no medical device" in seen.text
    assert "Synthetic phantom scans" in seen.text


def test_the_numbers_on_the_page_are_the_records(whole, written):
    test = json.loads((whole / "record.json").read_text())["test"]
    seen = read(written[0])
    for scores in test.values():
        low, high = scores["any"]["auroc_interval"]
        assert f"{scores['any']['auroc']:.2f}" in seen.text
        assert f"{low:.2f} to {high:.2f}" in seen.text
        assert f"{scores['any']['brier']:.3f}" in seen.text
    total = {key: sum(scores["any"]["confusion"][key] for scores in test.values()) for key in ("tp", "fn", "fp")}
    assert f"{total['tp']} were found and {total['fn']} missed" in seen.text
    assert f"{total['fp']} were false alarms" in seen.text
    assert f"{total['tp']} of {total['tp'] + total['fn']} bleedings were found" in seen.text


def test_the_pictures_are_next_to_the_page(whole, written):
    page, *pictures = written
    assert page == whole / "report.html"
    names = {path.name for path in pictures}
    assert {"auroc-by-hospital.svg", "auroc-by-hospital.png", "participation.svg", "validation-auroc.svg"} <= names
    assert {path.parent for path in pictures} == {whole / "report-pictures"}
    assert (whole / "report-pictures" / "participation.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_same_run_gives_the_same_page(run, tmp_path):
    first, second = (report([run], tmp_path / f"{name}.html")[0].read_bytes() for name in "ab")
    assert first == second


def test_a_run_whose_test_scans_are_all_of_one_class_says_so(tmp_path):
    healthy = PHANTOM.replace("{scans: 16}", "{scans: 16, prevalence: 0.0}")
    seen = page_of(rehearsed(tmp_path / "run", healthy, rounds=1))
    assert "No hospital's test scans have both classes." in seen.text
    assert "– (no positive scan)" in seen.text


@pytest.mark.parametrize("closed", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_an_aborted_run_leaves_a_page_that_says_how_far_it_came(tmp_path, closed):
    with pytest.raises(Refused, match=f"round {closed}"):
        rehearsed(tmp_path / "run", PHANTOM, lose=[(site, closed) for site in SITES])
    seen = page_of(tmp_path / "run")
    assert f"{closed} of 3 rounds were closed" in seen.text
    assert "Nothing was tested." in seen.text


@pytest.mark.slow
def test_a_record_of_an_older_version_gives_dots_without_whiskers(run):
    new = ("auroc_interval", "ece", "calibration", "confusion", "sensitivity_at_90_specificity")

    def older(record):
        for scores in (one for site in record["test"].values() for one in site.values()):
            for key in new:
                del scores[key]

    seen = page_of(changed(run, older))
    assert "the record holds no intervals" in seen.text
    assert "Right and wrong answers" not in seen.text


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> $\\frac{1}$ {{ 7*7 }} \u202e\u0000\ud800 ]]> & \"'"


def test_what_a_site_sends_is_text_and_never_markup(run):
    def poison(record):
        record["sites"][HOSTILE] = record["sites"].pop("site-2")
        record["sites"]["site-1"]["notes"].append(HOSTILE)
        record["sites"]["site-1"]["kind"] = HOSTILE
        record["sites"]["site-1"]["fingerprint"] = HOSTILE
        record["test"][HOSTILE] = record["test"].pop("site-2")
        record["test"]["site-1"]["any"] |= {"auroc": None, "auroc_interval": None, "reason": HOSTILE}
        for row in record["rounds"]:
            for key in ("lost", "bytes_sent", "bytes_received", "metrics", "validation"):
                row[key] = {HOSTILE if site == "site-2" else site: value for site, value in row.get(key, {}).items()}
            row["lost"] = {site: HOSTILE for site in row["lost"]}

    seen = page_of(changed(run, poison))
    assert seen.text.count("<script>alert(1)</script>") > 5
    assert "{{ 7*7 }}" in seen.text


@pytest.mark.slow
def test_broken_scores_of_one_site_hide_no_others(run):
    def broken(record):
        record["test"]["site-1"] = "soon"
        record["test"]["site-2"]["any"] |= {"auroc": "<b>1.0</b>", "confusion": [1, 2], "calibration": "all"}
        record["sites"]["site-3"] = {"folds": "many"}

    seen = page_of(changed(run, broken))
    expected = json.loads((run / "record.json").read_text())["test"]["site-3"]["any"]["auroc"]
    assert f"AUROC {expected:.2f}, mean over 1 hospital" in seen.text


def test_text_and_numbers_of_others_are_bounded():
    assert number(True) is number("0.9") is number(float("nan")) is None
    assert number(1) == 1.0
    assert text("a\u202eb\x00c\ud800") == "a b c "
    assert len(text("x" * 10_000)) < 700


@pytest.mark.slow
def test_several_runs_are_shown_side_by_side(run, whole, tmp_path, monkeypatch):
    other = rehearsed(tmp_path / "other" / "run", PHANTOM, scheme="feddc", rounds=2)
    seen = page_of(run, other, out=tmp_path / "both.html")
    assert "A: fedavg, seed 1" in seen.text
    assert "B: feddc, seed 1" in seen.text
    assert "every hospital's fingerprint is the same in all runs" in seen.text
    strangers = changed(run, lambda record: record["sites"]["site-1"].update(fingerprint="0" * 64))
    assert "differ between the runs" in page_of(strangers, other, out=tmp_path / "both.html").text


def test_a_folder_that_is_not_a_runs_is_refused(run, tmp_path):
    (tmp_path / "empty").mkdir()
    for what, says in (
        ([tmp_path / "empty"], "not a run's folder"),
        ([run, run / "record.json"], "one ledger alone"),
        ([run] * 9, "8 fit side by side"),
    ):
        with pytest.raises(Refused, match=says):
            report(what)
    (run / "record.json").write_text("{")
    with pytest.raises(Refused, match="is not JSON"):
        report([run])


@pytest.mark.slow
def test_the_command_prints_the_path_of_the_page(run, capsys, tmp_path):
    with pytest.raises(SystemExit) as ended:
        main.main(["report", str(run), "--out", str(tmp_path / "page.html")])
    assert not ended.value.code
    assert str(tmp_path / "page.html") in capsys.readouterr().out
    assert (tmp_path / "page-pictures").is_dir()


def pictures_of(seen):
    """The scans that a page shows."""
    return [attributes for attributes in seen.all("img") if attributes["src"].startswith("data:image/png")]


def test_the_phantoms_scans_are_shown_and_strangers_are_not(run, written, monkeypatch, tmp_path):
    assert pictures_of(read(written[0]))
    other = tmp_path / "other.yaml"
    other.write_text(PHANTOM.replace("{scans: 16}", "{scans: 16, seed: 5}"))
    monkeypatch.setenv("BRAINCT_SITE", str(other))
    seen = page_of(run)
    assert not pictures_of(seen)
    assert "not those of the run" in seen.text


@pytest.mark.parametrize("allowed", [False, True])
def test_a_patients_scans_are_shown_only_if_the_sites_file_says_so(tmp_path, monkeypatch, allowed):
    rng = np.random.default_rng(0)
    for folder in ("bleeding", "none"):
        (tmp_path / "scans" / folder).mkdir(parents=True)
        for at in range(16):
            picture = Image.fromarray(rng.integers(0, 255, (32, 32), dtype=np.uint8))
            picture.save(tmp_path / "scans" / folder / f"{at}.png")
    own = "kind: class_folders\nroot: scans\nclasses: {bleeding: [any], none: []}\nbatch_size: 4\n"
    run = rehearsed(tmp_path / "run", own + "pictures: true\n" * allowed, rounds=1)
    monkeypatch.setenv("BRAINCT_SITE", str(tmp_path / "site.yaml"))
    seen = page_of(run)
    assert bool(pictures_of(seen)) == allowed
    assert ("does not allow pictures" in seen.text) != allowed


def test_pictures_are_off_until_a_site_turns_them_on(tmp_path):
    assert may_show_scans(None)
    assert may_show_scans(SiteFile(kind="phantom"))
    assert not may_show_scans(SiteFile(kind="manifest", root=tmp_path))
    assert may_show_scans(SiteFile(kind="manifest", root=tmp_path, pictures=True))


class OneMap(torch.nn.Module):
    """A network whose last map is the image itself and whose logits are its mean: Grad-CAM is then the image."""

    def __init__(self, sign):
        super().__init__()
        self.map = torch.nn.Conv2d(1, 1, 1, bias=False)
        torch.nn.init.constant_(self.map.weight, 1.0)
        self.sign = sign

    def forward(self, images):
        return self.sign * self.map(images).mean((2, 3)).expand(-1, 6)


def test_saliency_is_bright_where_the_evidence_is_and_nowhere_if_there_is_none():
    image = torch.zeros(1, 16, 16)
    image[0, 3:5, 10:12] = 2.0
    image[0, 12, 2] = 1.0
    heat = saliency_map(OneMap(1.0), image)
    assert np.allclose(heat, image[0].numpy() / 2)
    assert not saliency_map(OneMap(-1.0), image).any()


@pytest.mark.parametrize(("name", "dims"), [("cnn", 2), ("cnn", 3), ("vgg-small", 2), ("densenet-small", 2)])
def test_every_kind_of_network_can_be_asked_where_it_looked(name, dims):
    check_saliency(name, dims)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "dims"), [("densenet121", 2), ("efficientnet-b0", 2), ("densenet-small", 3)])
def test_every_large_network_can_be_asked_where_it_looked(name, dims):
    check_saliency(name, dims)


def check_saliency(name, dims):
    assert name in NETWORKS
    plan = plan_of({"scheme": "fedavg", "network": {"architecture": name, "size": 48, "dims": dims}}, "the test")
    image = torch.rand(3, *[48] * dims, generator=torch.Generator().manual_seed(1))
    heat = saliency_map(network_of(plan.network, plan.seed).eval(), image)
    assert heat.shape == tuple(image.shape[1:])
    assert heat.min() >= 0
    assert heat.max() in (0.0, 1.0)
    assert FINDINGS.index("any") == 5


def test_pooled_bins_keep_scans_positives_and_the_sum_of_probabilities():
    one = [Bin(low=0, high=0.3, scans=10, mean_probability=0.12, positives=1),
           Bin(low=0.3, high=1, scans=5, mean_probability=0.85, positives=4)]  # fmt: skip
    other = [Bin(low=0, high=1, scans=30, mean_probability=0.18, positives=6)]
    low, high = pool_bins([one, other])
    assert (low.scans, low.positives, high.scans, high.positives) == (40, 7, 5, 4)
    assert low.mean_probability == pytest.approx((10 * 0.12 + 30 * 0.18) / 40)
    assert (low.low, low.high, high.low, high.high) == (0.1, 0.2, 0.8, 0.9)
    assert pool_bins([]) == []


def test_numbers_and_lists_in_words():
    assert wording.spans([0, 1, 2, 5, 7, 8]) == "0–2, 5, 7–8"
    assert wording.listing(["a", "b", "c"]) == "a, b and c"
    assert wording.listing([str(at) for at in range(20)], 3) == "0, 1, 2 and 17 more"
    assert [wording.size(count) for count in (512, 2048, 3 * 2**20)] == ["512 bytes", "2.0 KiB", "3.0 MiB"]
    assert wording.counted(1, "hospital") == "1 hospital"


@pytest.mark.slow
def test_barriers_are_drawn_where_they_were_measured(run):
    barriers = {
        "pairs": [["site-1", "site-2"]],
        "alphas": [0.0, 0.5, 1.0],
        "full": {"barrier": 0.4, "excess": [0.0, 0.4, 0.0]},
        "layers": [
            {"path": "conv1", "base_a": 0.1, "base_b": 0.2, "excess_a": [0, 0.1, 0], "excess_b": [0, 0.2, 0]},
            {"path": "head", "base_a": 0.01, "base_b": 0.0, "excess_a": [0, 0.01, 0], "excess_b": [0, 0, 0]},
        ],
        "cumulative": {"top": [0.01, 0.4], "bottom": [0.2, 0.4], "random": [0.1, 0.4]},
        "loss": {"fold": "train", "finding": "all", "scans": 24},
        "perturbations": {
            "scales": [0.5, 1.0],
            "whole": {"interpolation": [0.1, 0.3], "random": [0.0, 0.01], "training": [0.2, 0.7], "null": None},
            "layers": [{"path": "conv1", "interpolation": [0.0, 0.125], "random": [0.0, 0.02], "training": [0.1, 0.2]}],
        },
    }
    (run / "barriers.json").write_text(json.dumps(barriers))
    seen = page_of(run)
    assert "Of single layers, conv1 has the highest, 0.2." in seen.text
    assert "all outputs on 24 scans of the train fold; all numbers are means over 1 pair of models" in seen.text
    assert "conv1 0.1 0.2 0.125 0.02 0.2 –" in seen.text
    spoken = " ".join(attributes["alt"] for attributes in seen.all("img"))
    assert "other model at last 0.3; random at last 0.01; training at last 0.7." in spoken
    names = {path.stem for path in (run / "report-pictures").glob("barriers-*.svg")}
    assert names == {f"barriers-{name}" for name in ("path", "a", "b", "cumulative", "perturbed", "perturbed-layers")}


def test_the_templates_are_shipped():
    from importlib.resources import files
    from pathlib import Path

    from tests.conftest import ROOT

    names = {path.name for path in files("brainct.pages").joinpath("templates").iterdir()}
    assert names == {"page.html.j2", "parts.html.j2", "page.css.j2"}
    assert '"pages/templates/*.j2"' in Path(ROOT / "pyproject.toml").read_text()


def test_pictures_of_an_earlier_report_are_deleted(tmp_path):
    """They may show what a site's policy forbids now."""
    from brainct.pages.page import Page, Section, write_page

    page = Page("a", "b", (), (), Section("c"), (), "d")
    (tmp_path / "report-pictures").mkdir()
    for name in ("example-1.png", "old.svg", "notes.txt"):
        (tmp_path / "report-pictures" / name).write_text("")
    write_page(page, tmp_path / "report.html")
    assert [path.name for path in (tmp_path / "report-pictures").iterdir()] == ["notes.txt"]


def test_a_file_that_is_not_a_report_is_never_overwritten(tmp_path):
    (tmp_path / "paper.html").write_text("my own page")
    with pytest.raises(Refused, match="exists and is not a report; name another file"):
        report([tmp_path], tmp_path / "paper.html")
