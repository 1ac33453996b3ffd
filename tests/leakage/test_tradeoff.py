"""From rows to a verdict: halves drawn anew, bounds next to attacks, who is beaten in accuracy and leakage at once."""

import numpy as np
import pytest

from brainct.leakage.accuracy_tradeoff import tradeoffs_of
from brainct.leakage.attack_results import corrected_p, leaking_variants, membership, redraw_halves, summarise
from brainct.leakage.attackers import FINAL, OWN, SERVER
from brainct.leakage.bounds import auc_of_epsilon
from brainct.leakage.federation_row import AttackerView, FederationRow, format_bits
from brainct.leakage.study import draw_halves
from tests.support.rows import row as other_row

SIZES = {"site-1": 12, "site-2": 13}
COUNT = 16


def study(name, auroc=0.8, leak=0.0, attacker=SERVER, **more):
    """Rows of a scheme whose signals are normal and higher by `leak` where a scan was trained on."""
    found = []
    for number in range(COUNT):
        rng = np.random.default_rng([number, sum(name.encode())])
        members = draw_halves(SIZES, 1, number)
        signals = {site: (rng.normal(size=len(of)) + leak * of).tolist() for site, of in members.items()}
        about = {"key": f"{name}-{number}", "code": "c", "name": name, "scheme": "fedavg", "number": number}
        about |= {"members": {site: format_bits(of) for site, of in members.items()}}
        aurocs = {"site-1": auroc + 0.02 * rng.normal(), "site-2": auroc + 0.02 * rng.normal()}
        found.append(
            FederationRow(
                **about, views={attacker: AttackerView(signals=signals)} if attacker else {}, aurocs=aurocs, **more
            )
        )
    return found


def summarised(*studies):
    return summarise([row for rows in studies for row in rows], 100, 200)


def test_halves_that_are_drawn_anew_are_halves_of_each_site():
    rows = study("fedavg")
    drawn = np.stack([redraw_halves(rows, at) for at in range(50)])
    assert (drawn[:, :, :12].sum(2) == 6).all()
    assert (drawn[:, :, 12:].sum(2) == 6).all()
    assert drawn.mean((0, 1)) == pytest.approx([6 / 12] * 12 + [6 / 13] * 13, abs=0.06)
    assert not np.array_equal(drawn[0], membership(rows))
    assert np.array_equal(redraw_halves(rows, 3), drawn[3])


def test_what_leaks_is_shown_and_what_does_not_is_not():
    found = summarised(study("fedavg", leak=2.0), study("quiet"))
    assert leaking_variants(found) == ["fedavg"]
    p = corrected_p(found)
    assert max(p[one.variant, one.attacker, one.attack] for one in found[0].results) < 0.05


def test_a_stolen_model_is_no_leak_of_the_protocol():
    found = summarised(study("fedavg", leak=2.0, attacker=OWN), study("quiet"))
    assert leaking_variants(found) == []
    assert found[0].worst is None
    assert found[0].stolen.auc.value > 0.8


def test_a_scheme_better_in_both_beats_one_worse_in_both():
    found = tradeoffs_of(
        summarised(study("fedavg", 0.8, 1.5), study("better", 0.9, 0.5), study("none", 0.7, attacker=None))
    )
    fedavg, better, none = found
    assert fedavg.unbeaten < 0.05 < 0.95 < better.unbeaten
    assert none.unbeaten > 0.9
    assert (fedavg.auroc, fedavg.auc) == (None, None)
    assert better.auroc[0] == pytest.approx(0.1, abs=0.02)
    assert better.auc[0] < -0.1
    assert better.auc[1][0] < better.auc[0] < better.auc[1][1] < 0
    assert none.price[0] == 0.0
    assert fedavg.price[0] > better.price[0] >= 0


def test_a_model_without_accuracy_has_no_price():
    [fedavg] = tradeoffs_of(summarised(study("fedavg", 0.5, 1.0)))
    assert (fedavg.price, fedavg.gain, fedavg.joining) == (None, None, None)


def test_what_joining_costs_is_leakage_over_the_gain_on_training_alone():
    found = {one.name: one for one in tradeoffs_of(
        summarised(study("fedavg", 0.8, 1.5), study("local", 0.7, attacker=None), study("worse", 0.6, 1.5))
    )}  # fmt: skip
    assert found["fedavg"].gain[0] == pytest.approx(0.1, abs=0.02)
    leaked = found["fedavg"].price[0] * 0.3
    assert found["fedavg"].joining[0] == pytest.approx(leaked / 0.1, rel=0.2)
    assert found["worse"].joining is None
    assert (found["local"].gain, found["local"].joining) == (None, None)


def test_noise_of_labels_bounds_attacks_as_epsilon_does():
    [found] = summarised(study("fedavg", attacker=FINAL, epsilon=2.0))
    assert found.results[0].bounds[0] == pytest.approx(auc_of_epsilon(2.0))
    assert summarised(study("fedavg", attacker=OWN, epsilon=2.0))[0].results[0].bounds is None


def test_only_federations_that_all_schemes_finished_are_compared():
    found = summarised(study("fedavg")[:10], study("other")[3:])
    assert [row.number for row in found[0].rows] == list(range(3, 10))
    assert [row.number for row in found[1].rows] == list(range(3, 10))
    assert summarised(study("fedavg")[:3]) == []


def test_a_row_that_was_tried_again_counts_once():
    again = [row.model_copy(update={"status": "failed", "error": "x"}) for row in study("fedavg")]
    assert len(summarised(study("fedavg"), study("fedavg"), again)[0].rows) == COUNT


def test_ledgers_of_comparisons_are_still_read(tmp_path):
    from brainct.compare import ledger

    ledger.append_row(tmp_path / "ledger.jsonl", other_row())
    assert ledger.read_rows(tmp_path / "ledger.jsonl") == [other_row()]
