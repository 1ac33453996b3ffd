"""What a data protection officer and an ethics board ask, filled from a site's check and a run's record."""

import json
from datetime import datetime, timezone
from pathlib import Path

from brainct.core.version import fingerprint
from brainct.errors import Refused
from brainct.kit.certificates import common_name, own_certificate
from brainct.kit.data_flow import data_flow
from brainct.kit.policy_files import kind_of
from brainct.kit.retention import stored
from brainct.kit.verdict import last_verdict
from brainct.pages.page import Page, Section, Table, write_page
from brainct.pages.picture import Picture
from brainct.run.run_record import FILE, RunRecord, read_record
from brainct.security import disclosures
from brainct.security.page import TITLED
from brainct.security.policy_file import reply_filter_if_any

OPEN = "to be filled in by the hospital"
QUESTIONS = (
    ("Controller, and agreement with the others (joint controllers, processor)", OPEN),
    ("Legal basis for the processing, such as consent, research clause, public interest", OPEN),
    ("Legal basis for sending replies to the server, and to which country", OPEN),
    ("Ethics vote: board, number, date", OPEN),
    ("Whether patients were told or asked, and how they object", OPEN),
    ("Who may receive the final model, and under which terms", OPEN),
)


def write_paper(kit: Path, run: Path, out: Path) -> list[Path]:
    """Write the page, and its picture next to it. kit: a hospital's. run: the folder of results, or its record.json."""
    if kind_of(kit) != "hospital":
        raise Refused(f"{kit} is not a hospital's kit; a data protection officer asks about what leaves a hospital")
    site, record = common_name(own_certificate(kit)), read_record(run if run.is_file() else run / FILE)
    if site not in record.sites:
        raise Refused(f"{site} took no part in this run; its sites are {', '.join(sorted(record.sites))}")
    return write_page(_page(kit, site, record), out)


def _page(kit: Path, site: str, record: RunRecord) -> Page:
    check = last_verdict(kit)
    warnings = [f"the last site check ended with {check['verdict']}"] if check and check["verdict"] == "FAIL" else []
    if check is None:
        warnings.append("no site check yet: run `brainct site check` on this kit first")
    if not record.finished:
        warnings.append("this run has not ended; the page shows its closed rounds")
    terms, server = _policy(kit, site), _server(kit)
    took = record.participation.get(site)
    rounds = took.took_part if took else sum(site in row.reported for row in record.rounds)
    return Page(
        title=f"Data protection sheet: {site}",
        subtitle=f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M} UTC; brainct {fingerprint()}; last site check "
        + (f"{check['verdict']} on {check['time']}" if check else "none"),
        warnings=warnings,
        answers=[
            ("What is done?", [_what(record)]),
            ("Which data are used here?", [_data(record, site)]),
            ("Do scans leave the hospital?", ["No. Replies to the server leave, as the tables below list them."]),
            ("How often was something sent in this run?", [f"In {rounds} of {len(record.rounds)} rounds."]),
            ("Under which policy?", [terms]),
        ],
        first=Section("Data flow", pictures=[_picture(site, server, terms)]),
        sections=[_leaves(), _open(), _threats(terms), _retention(kit), _withdrawal(record)],
        footer="Written by `brainct paper`; nothing on this page left the machine. It describes techniques and is no "
        "legal advice.",
        kicker="brainct paper",
    )


def _what(record: RunRecord) -> str:
    sites = len(record.sites)
    return (
        f"{sites} sites train one model together with the scheme {record.scheme}, {len(record.rounds)} rounds, on "
        f"{record.plan.get('workload', 'ct')} data; "
        f"package {record.package or record.version}, model {record.model_sha256[:16] or 'not finished'}."
    )


def _data(record: RunRecord, site: str) -> str:
    folds = ", ".join(f"{fold} {record.samples(site, fold)}" for fold in ("train", "valid", "test"))
    about = record.sites[site]
    return f"{about.kind}; samples by fold: {folds}. {' '.join(f'{note}.' for note in about.notes)}".strip()


def _policy(kit: Path, site: str) -> str:
    own = reply_filter_if_any(kit / "local" / "privacy.json", site)
    if own is None:
        return "No privacy policy: replies leave as the scheme made them."
    try:
        return "; ".join(own.account().splitlines()).removeprefix(f"{site}: ")
    except Refused as error:
        return str(error)


def _server(kit: Path) -> str:
    return str(json.loads((kit / "startup" / "fed_client.json").read_text())["servers"][0]["service"]["target"])


def _picture(site: str, server: str, terms: str) -> Picture:
    alt = f"Scans stay at {site}; replies pass its privacy policy and leave to the server {server}"
    return Picture("data-flow", alt, "What flows where in a run.", "svg", data_flow(site, server, terms))


def _leaves() -> Section:
    tables = [
        Table(title, ("what", "how it leaves", "what a policy changes"), _rows(when)) for when, title in TITLED.items()
    ]
    return Section("What leaves", ["These values and no others; the site checks each reply against this list."], tables)


def _rows(when: str) -> list[tuple[str, str, str]]:
    return [(row.what, row.rule, row.policy or "-") for row in disclosures.rows() if row.when == when]


def _open() -> Section:
    return Section(
        "For the hospital to fill in",
        ["A program knows none of this."],
        [Table("Open questions", ("question", "answer"), list(QUESTIONS))],
    )


def _threats(terms: str) -> Section:
    rows = [
        ("the server, honest", "each reply, as listed; from models, with some success, whether a known scan was used"),
        ("the server, malicious", "without noise or limits: single training scans, by crafted networks"),
        ("another hospital", "the shared models, and what they reveal"),
        ("an outsider on the network", "that there is traffic; mutual TLS hides its content"),
        ("a thief of this machine", "scans, keys and client state: encrypt the disk"),
        (
            "whoever has the final model",
            "with some success, whether a known scan was used; bounded by epsilon if noised",
        ),
    ]
    text = [f"Policy: {terms}", "In full, and what is not claimed: docs/threat_model.md and docs/leakage.md."]
    return Section("Who could learn what", text, [Table("Adversaries", ("who", "what they could learn"), rows)])


def _retention(kit: Path) -> Section:
    found = stored(kit)
    rows = [
        ("scans", "where they were; brainct makes no copy", "the hospital's own rules"),
        (
            "client state of runs",
            f"{len(found)} folders, {sum(each.bytes for each in found) / 1e6:.1f} MB",
            "`brainct runs prune`",
        ),
        ("privacy ledger", "this kit's local/privacy", "as long as any model that it counts"),
        ("logs and audit.log", "this kit", "log.txt: 11 files of 20 MB; audit.log: logrotate"),
        ("backups", "where `brainct backup` wrote them", "the nightly unit deletes them after 60 days"),
        ("replies, record, model", "the server", "the administrator's and the lead's rules"),
    ]
    return Section("Retention", tables=[Table("What is stored where", ("what", "where", "until when"), rows)])


def _withdrawal(record: RunRecord) -> Section:
    text = [
        "A patient withdraws: remove their rows from the table of scans that the site file names, and their scans; "
        "`brainct data` shows the lower counts. A run that has begun is refused from then on, since its data changed.",
        "What can be undone: the lead submits the same job again, and the new model is trained without the patient "
        "from the start; its record shows the lower counts. "
        "Delete the old model, its results at the server and the client state here (`brainct runs remove`).",
        "What can't be undone: copies of the old model that others have, replies that the server stored, and what the "
        "privacy budget paid for the old run. Nobody can take a patient out of a finished model: brainct offers no "
        "unlearning, because none is exact but training again.",
    ]
    return Section("Withdrawal of a patient", text)
