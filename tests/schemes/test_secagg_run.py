"""Secure aggregation over real agents: keys of a run, certificates, a server that asks twice or hands out others."""

import itertools
import json
from contextlib import suppress

import pytest

from brainct.core import serialization
from brainct.core.masking import public_key
from brainct.core.weights import sha256
from brainct.errors import Refused
from brainct.run.record import RecordWriter
from brainct.run.rounds import Run
from brainct.schemes._secagg_keys import KEYS
from brainct.schemes._unmasking import NEXT, OPEN, ROUND
from brainct.security.signing import Identity
from tests.conftest import tiny_plan, tiny_scans
from tests.support.agreed import Agreed
from tests.support.hostile import ATTACKS
from tests.support.kit import Authority, hospital_kit
from tests.support.requests import plain, reply_to, request, task_of, trains
from tests.support.summing import SITES


class Carrying:
    """Gives requests to real agents, each with a secret of its own, and notes what they send.

    kits: where the sites' kits lie, if they have any. change: what a server makes of a site's request, or of its reply.
    """

    def __init__(self, folder, kits=None, change=lambda site, what: what):
        scans = {site: tiny_scans(sum(site.encode())) for site in SITES}
        self.agents = {
            site: Agreed(
                site,
                folder / site,
                None,
                lambda f, site, *_: scans[site],
                startup=kits / site / "startup" if kits else None,
            )
            for site in SITES
        }
        self.sent, self.change = [], change

    def __call__(self, requests, inbox):
        for site in sorted(requests):
            reply = self.change(site, reply_to(self.agents[site], self.change(site, plain(requests[site]))))
            self.sent += [serialization.sha256(reply)] if trains(requests[site]) else []
            inbox.accept(site, reply)


def test_sites_draw_other_keys_for_each_run_and_the_model_is_bit_identical(tmp_path):
    plan, sent, models = tiny_plan("secagg", rounds=3, evaluate_every=0), [], []
    transport = Carrying(tmp_path / "client_state")
    for number in range(2):
        record = RecordWriter(tmp_path / str(number), plan, plan.build(), "test", board=False)
        name = f"run-{number}"
        models.append(sha256(Run(plan, SITES, transport, record, name=name, log=lambda line: None)()))
        files = [tmp_path / "client_state" / site / name / f"{site}.secret" for site in SITES]
        assert [file.stat().st_mode & 0o777 for file in files] == [0o600] * len(SITES)
        assert {len(file.read_bytes()) for file in files} == {32}
        sent.append({*transport.sent, *(file.read_bytes() for file in files)})
        transport.sent.clear()
    assert models[0] == models[1]
    assert not sent[0] & sent[1]


def test_a_site_that_starts_again_in_a_run_has_the_same_key(tmp_path):
    scans, asked = tiny_scans(1), request(tiny_plan("secagg"), sites=SITES, task=task_of({}, {ROUND: 0}))
    sites = ("site-1", "site-1", "site-2", "site-3")
    keys = [Agreed(site, tmp_path, None, lambda *_: scans).reply_plain(asked)["extra"] for site in sites]
    assert keys[0] == keys[1]
    assert all(first != second for first, second in itertools.pairwise(keys[1:]))


@pytest.fixture(scope="module")
def kits(tmp_path_factory):
    """The sites' kits, and the server's, of one project."""
    folder, authority = tmp_path_factory.mktemp("kits"), Authority()
    for name in (*SITES, "server"):
        hospital_kit(folder / name, authority, name=name)
    return folder


def federated(folder, transport, rounds=3, log=lambda line: None):
    plan = tiny_plan("secagg", rounds=rounds, evaluate_every=0)
    record = RecordWriter(folder, plan, plan.build(), "test", board=False)
    return sha256(Run(plan, SITES, transport, record, log=log)()), record.content


def test_with_the_hospitals_certificates_the_model_is_bit_identical(tmp_path, kits):
    signed, record = federated(tmp_path / "1", Carrying(tmp_path / "client_state", kits))
    assert signed == federated(tmp_path / "2", Carrying(tmp_path / "other"))[0]
    assert not any(row["lost"] for row in record["rounds"])


class Dishonest:
    """A server that gives out keys of its own, or of its own making, in place of one site's."""

    def __init__(self, victim, signer):
        self.victim, self.signer = victim, signer

    def __call__(self, site, what):
        heard = what.get("task", {}).get("extra", {}).get(NEXT)
        if not heard or site == self.victim:
            return what
        key = public_key(b"the server's own".ljust(32))
        words = [KEYS, serialization.sha256(what["plan"]), str(what["round"] + 1), key, key, key]
        proof = self.signer.sign(json.dumps(["brainct", self.victim, *words])) if self.signer else ""
        said = {**heard, self.victim: {"cipher": key, "mask": key, "seed": key, "proof": proof}}
        return {**what, "task": {**what["task"], "extra": {**what["task"]["extra"], NEXT: said}}}


def test_a_server_that_hands_out_keys_of_its_own_gets_nothing(tmp_path, kits):
    for number, signer in enumerate([None, *(Identity(kits / name / "startup") for name in ("server", "site-4"))]):
        transport, lines = Carrying(tmp_path / f"keep{number}", kits, Dishonest("site-2", signer)), []
        with pytest.raises(Refused, match="in no round did enough sites answer"):
            federated(tmp_path / str(number), transport, log=lines.append)
        said = next(line for line in lines if line.startswith("round 0, follow-up can't be closed: 1 of 4"))
        assert "site-1: " + ATTACKS["key of the server's"].line in said
        assert said.count("it sends nothing") == 3


@pytest.mark.parametrize("earlier", [False, True])
def test_an_honest_key_of_another_site_or_of_another_round_is_not_believed(tmp_path, kits, earlier):
    first = {}

    def swapped(site, what):
        heard = what.get("task", {}).get("extra", {}).get(NEXT)
        if not heard:
            return what
        names = dict(zip(SITES, [SITES[1], SITES[0], *SITES[2:]], strict=True))
        said = first.setdefault("heard", heard) if earlier else {names[name]: key for name, key in heard.items()}
        return {**what, "task": {**what["task"], "extra": {**what["task"]["extra"], NEXT: said}}}

    lines = []
    with suppress(Refused):
        federated(tmp_path / "1", Carrying(tmp_path / "client_state", kits, swapped), log=lines.append)
    said = [line for line in lines if "the server's list of keys has a key for site-" in line]
    assert said
    assert all("has not signed it with a certificate of this project; it sends nothing" in line for line in said)


def test_a_site_shows_its_shares_once_and_the_same_ones_when_it_is_asked_again(tmp_path):
    """Both kinds of shares of one site would open what it sent."""
    refused = []

    def asked_again(site, what):
        if site == "site-1" and what.get("round") == 1 and what.get("step") == 1:
            agent, extra = transport.agents[site], what["task"]["extra"]
            assert serialization.sha256(agent.reply_plain(what)) == serialization.sha256(agent.reply_plain(what))
            opening = {**extra[OPEN], "survivors": SITES[:3], "lost": SITES[3:]}
            refused.append(agent.reply_plain({**what, "task": task_of({}, {**extra, OPEN: opening})}))
        return what

    transport = Carrying(tmp_path / "client_state", change=asked_again)
    assert federated(tmp_path / "1", transport)[0] == federated(tmp_path / "2", Carrying(tmp_path / "other"))[0]
    assert [set(reply) for reply in refused] == [{"error", "exchange"}]


def test_a_site_masks_one_update_a_round_and_the_same_one_when_it_is_asked_again(tmp_path):
    """Of two updates under one mask the server could tell the difference."""
    refused = []

    def asked_again(site, what):
        if site == "site-1" and what.get("round") == 1 and what.get("step") == 0:
            agent = transport.agents[site]
            assert serialization.sha256(agent.reply_plain(what)) == serialization.sha256(agent.reply_plain(what))
            moved = {key: value + 0.1 for key, value in what["task"]["weights"].items()}
            refused.append(agent.reply_plain({**what, "task": {**what["task"], "weights": moved}})["error"])
        return what

    transport = Carrying(tmp_path / "client_state", change=asked_again)
    assert federated(tmp_path / "1", transport)[0] == federated(tmp_path / "2", Carrying(tmp_path / "other"))[0]
    assert refused == [
        "the server asks for round 1, but site-1 stored client state after round 1 of this run and replies to each "
        "request once: the server's state is an older copy; begin a new run"
    ]
