"""Hostile jobs and people against one provisioned federation with mutual TLS and the sites' policies in force."""

import json
import os
import shutil
import socket
import ssl
import time
import zipfile
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from nvflare.fuel.f3.cellnet.cell_cipher import InvalidCertChain
from nvflare.fuel.hci.client import file_transfer

from brainct.flare.admin import ended_meta, session_of
from brainct.flare.local_federation import Federation, free_port, provision
from brainct.job import folders
from brainct.run.rehearse import rehearse
from tests.conftest import ROOT
from tests.support.fewer import project_of
from tests.support.hostile import ATTACKS
from tests.support.simulator import small_job

pytestmark = pytest.mark.slow
HOSPITALS = ["hospital-a", "hospital-b"]
LEAD, MEMBER, ADMIN = "lead@consortium.example", "radiology@hospital-a.example", "admin@consortium.example"
sign, pack = file_transfer.sign_folders, file_transfer.zip_directory_to_file


def two_hospitals(folder: Path) -> Path:
    """The kits of provisioning/project.yml with two hospitals, its policy, and updates that are clipped and noised."""
    project = project_of(HOSPITALS, folder)
    kits = provision(project, folder / "f", ROOT / "provisioning" / "policy", free_port())
    server = kits / "server" / "local" / "resources.json"
    server.write_text(server.read_text().replace('"max_jobs": 1', '"max_jobs": 8'))
    for name in HOSPITALS:
        file = kits / name / "local" / "privacy.json"
        policy = json.loads(file.read_text())
        row = policy["scopes"][0]["task_result_filters"][0]
        row["args"] = {"clip": 0.5, "noise": 0.2, "folder": str(folder / "ledgers")}
        file.write_text(json.dumps(policy))
    return kits


def changed(job: Path, file: str, old: str, new: str) -> Path:
    """The job with another text in one of its files."""
    path = job / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    return job


def expired(kits: Path, folder: Path) -> Path:
    """The lead's kit with a certificate that the consortium's own root signed and that ended yesterday."""
    shutil.copytree(kits / LEAD, folder / LEAD)
    file = folder / LEAD / "startup" / "client.crt"
    state = json.loads((kits.parent / "state" / "cert.json").read_text())
    root = serialization.load_pem_private_key(state["root_pri_key"].encode(), None)
    old, now = x509.load_pem_x509_certificate(file.read_bytes()), datetime.now(timezone.utc)
    begin, end = now - timedelta(days=9), now - timedelta(days=1)
    new = x509.CertificateBuilder(old.issuer, old.subject, old.public_key(), old.serial_number, begin, end)
    for extension in old.extensions:
        new = new.add_extension(extension.value, extension.critical)
    file.write_bytes(new.sign(root, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    return folder / LEAD


def knock(kit: Path) -> str:
    """What the server's TLS says to this kit's certificate; FLARE's own client does not even try an expired one."""
    startup = kit / "startup"
    about = json.loads((startup / "fed_admin.json").read_text())["admin"]
    context = ssl.create_default_context(cafile=str(startup / "rootCA.pem"))
    context.load_cert_chain(startup / "client.crt", startup / "client.key")
    with (
        socket.create_connection((about["host"], about["port"])) as plain,
        context.wrap_socket(plain, server_hostname=about["host"]) as secured,
    ):
        secured.settimeout(5)
        try:
            return "let in" if secured.recv(1) else "closed"
        except TimeoutError:
            return "let in"  # the server waits for the first word
        except OSError:
            return "closed"


def submitted(session, folder: Path, monkeypatch) -> dict[str, str]:
    """The jobs' ids by what is wrong with them."""
    site = "brainct.flare.site.Site"
    client, server = "app/config/config_fed_client.json", "app/config/config_fed_server.json"
    made = {name: small_job(folder / name.replace(" ", "-"), "fedavg", rounds=2) for name in NAMES}
    made["scheme against the policy"] = small_job(folder / "policy", "fedsgd", rounds=2)
    (made["byoc folder"] / "app" / "custom").mkdir()
    (made["byoc folder"] / "app" / "custom" / "evil.py").write_text("raise SystemExit")
    changed(made["unlisted class"], client, site, "nvflare.app_common.np.np_trainer.NPTrainer")
    changed(made["weaker privacy scope"], "meta.json", '"min_clients"', '"scope": "none", "min_clients"')

    def signed_and_changed(job, *how):
        sign(job, *how)
        changed(Path(job), server, '"rounds": 2', '"rounds": 3')

    def with_traversal(*what):
        pack(*what)
        with zipfile.ZipFile(what[-1], "a") as archive:
            archive.writestr("../../evil", "evil")

    tricks = {
        "unsigned job": ("sign_folders", lambda *_: None),
        "altered job": ("sign_folders", signed_and_changed),
        "zip traversal": ("zip_directory_to_file", with_traversal),
    }
    ids = {}
    for name, job in made.items():
        with monkeypatch.context() as patch:
            if name in tricks:
                patch.setattr(file_transfer, *tricks[name])
            ids[name] = session.submit_job(str(job))
    return ids


NAMES = (
    "honest",
    "byoc folder",
    "unlisted class",
    "weaker privacy scope",
    "scheme against the policy",
    "unsigned job",
    "altered job",
    "zip traversal",
)


def all_ended(session, ids, seconds=240):
    """The metas of the jobs, all ended."""
    metas, until = {}, time.monotonic() + seconds
    while len(metas) < len(ids) and time.monotonic() < until:
        metas |= {name: meta for name in ids.keys() - metas.keys() if (meta := ended_meta(session, ids[name]))}
        time.sleep(0.5)
    return metas


def logs(folder: Path, *names: str) -> str:
    """Everything below a folder that is called like this."""
    return "".join(path.read_text() for name in names for path in sorted(folder.rglob(name)))


def test_hostile_jobs_and_people_at_provisioned_hospitals(tmp_path, small_site, monkeypatch):
    kits = two_hospitals(tmp_path)
    with Federation(kits, tmp_path / "home") as federation:
        federation.start()
        federation.ready()
        with federation.session(MEMBER) as session, pytest.raises(Exception) as refusal:  # noqa: PT011
            session.submit_job(str(small_job(tmp_path / "member", "fedavg")))
        assert ATTACKS["member submits"].line in str(refusal.value)

        assert knock(kits / LEAD) == "let in"
        late = expired(kits, tmp_path / "expired")
        assert knock(late) == "closed"
        with pytest.raises(InvalidCertChain) as refusal:
            session_of(late)
        assert ATTACKS["expired certificate"].line in str(refusal.value)

        with federation.session(LEAD) as session:
            ids = submitted(session, tmp_path / "jobs", monkeypatch)
            metas = all_ended(session, ids)
            session.download_job_result(ids["honest"], str(tmp_path / "results"))
            said = session.download_job_result(ids["scheme against the policy"], str(tmp_path / "results"))
        federation.shut_down(ADMIN)
        assert federation.stop() == 0

    assert {name for name, meta in metas.items() if meta["status"] == "FINISHED:COMPLETED"} == {"honest"}
    for name in ("byoc folder", "weaker privacy scope", "unsigned job", "altered job"):
        assert ATTACKS[name].line in metas[name]["job_deploy_detail"]
    assert ATTACKS["zip traversal"].line in logs(kits / "server", "log.txt")
    assert not list(tmp_path.rglob("evil"))
    assert ATTACKS["unlisted class"].line in logs(kits / "hospital-a", "log.txt")
    policy = ATTACKS["scheme against the policy"].line
    assert policy in logs(Path(said), "log.txt")
    for name in ("log.txt", "audit.log"):
        assert policy in logs(kits / "hospital-a" / ids["scheme against the policy"], name)
    assert "radiology@hospital-a.example" in logs(kits / "server", "audit.log")

    record = json.loads(next((tmp_path / "results" / ids["honest"]).rglob("record.json")).read_text())
    before = logs(tmp_path / "ledgers", "ledger.json")
    monkeypatch.setenv("BRAINCT_PRIVACY", str(kits / "hospital-a" / "local" / "privacy.json"))
    job = folders.read(tmp_path / "jobs" / "honest" / "fedavg")
    rehearsed = rehearse(job, HOSPITALS, tmp_path / "rehearsed", log=lambda line: None).content
    assert rehearsed["model_sha256"] == record["model_sha256"]
    assert '"noise": 0.2' in str(record["sites"]["hospital-a"]["notes"])
    assert logs(tmp_path / "ledgers", "ledger.json") == before != ""
    assert len(os.listdir(tmp_path / "ledgers")) == 2
