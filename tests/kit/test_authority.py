"""Renewing and revoking certificates: with real keys, real revocation lists and real TLS handshakes."""

import shutil
import socket
import ssl
import subprocess
import threading

import pytest
from cryptography.hazmat.primitives import serialization as keys

from brainct.errors import Refused
from brainct.flare.revocation import _List
from brainct.kit import authority, kit_update
from brainct.kit.certificate_checks import check_certificate
from brainct.kit.certificates import days_left, own_certificate
from tests.support.kit import Authority, hospital_kit, server_kit


@pytest.fixture(scope="module")
def issuer():
    return Authority()


@pytest.fixture
def ca(tmp_path, issuer):
    """The project's folder as `nvflare cert init` makes it."""
    folder = tmp_path / "ca"
    folder.mkdir()
    private = issuer.key.private_bytes(keys.Encoding.PEM, keys.PrivateFormat.PKCS8, keys.NoEncryption())
    (folder / "rootCA.key").write_bytes(private)
    (folder / "rootCA.pem").write_bytes(issuer.root.public_bytes(keys.Encoding.PEM))
    return authority.authority_in(folder)


@pytest.fixture
def server(tmp_path, issuer):
    return server_kit(tmp_path / "server", issuer)


def certificate_of(kit):
    return str(kit / "startup" / "client.crt")


def refused(context, kit):
    """Whether the server closes the connection in the handshake; TLS 1.3 tells a client with its first read."""
    here, there = socket.socketpair()
    outcome = []

    def serve():
        try:
            with context.wrap_socket(there, server_side=True) as secured:
                secured.sendall(b"in")
        except ssl.SSLError as error:
            outcome.append(error)
            there.close()

    thread = threading.Thread(target=serve)
    thread.start()
    client = ssl.create_default_context(cafile=str(kit / "startup" / "rootCA.pem"))
    client.check_hostname = False
    client.load_cert_chain(kit / "startup" / "client.crt", kit / "startup" / "client.key")
    try:
        with client.wrap_socket(here) as secured:
            said = secured.recv(2)
    except (ssl.SSLError, ConnectionError):
        said = b""
    thread.join()
    assert bool(outcome) == (said != b"in")
    return bool(outcome) and "revoked" in str(outcome[0])


def listening(server):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=server / "startup" / "rootCA.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(server / "startup" / "server.crt", server / "startup" / "server.key")
    return context, _List((server / "startup" / "rootCA.pem").resolve(), context)


def install(ca, server):
    shutil.copy(ca.folder / "revoked.pem", server / "local" / "revoked.pem")


def test_a_revoked_hospital_is_refused_from_the_next_connection_on_and_no_other(tmp_path, issuer, ca, server):
    kits = {name: hospital_kit(tmp_path / name, issuer, name=name) for name in ("hospital-a", "hospital-b")}
    context, revocations = listening(server)
    assert not revocations.changed()
    assert not refused(context, kits["hospital-a"])
    for number, name in enumerate(kits, 1):
        _, lines = authority.revoke(ca, [certificate_of(kits[name])])
        assert [line.partition(":")[0] for line in lines] == [name]
        install(ca, server)
        assert revocations.changed()
        assert [refused(context, kit) for kit in kits.values()] == [True] * number + [False] * (2 - number)
    assert authority.revoke(ca, [certificate_of(kits["hospital-a"])])[1] == []
    assert [each.message for each in check_certificate(server, "server") if each.subject == "revoked"] == [
        "2 certificates of the project are revoked"
    ]


def test_openssl_reads_the_list_and_finds_its_signature_good(tmp_path, issuer, ca):
    file, _ = authority.revoke(ca, [certificate_of(hospital_kit(tmp_path / "a", issuer))])
    command = ["openssl", "crl", "-in", str(file), "-noout", "-CAfile", str(ca.folder / "rootCA.pem")]
    assert "verify OK" in subprocess.run(command, capture_output=True, text=True, check=True).stderr
    assert file.stat().st_mode & 0o077 == 0


def test_a_list_that_the_project_did_not_sign_is_refused_and_changes_nothing(tmp_path, issuer, ca, server):
    kit = hospital_kit(tmp_path / "a", issuer)
    authority.revoke(ca, [certificate_of(kit)])
    foreign = Authority("brainct")
    (server / "startup" / "rootCA.pem").write_bytes(foreign.root.public_bytes(keys.Encoding.PEM))
    context, revocations = listening(server_kit(tmp_path / "other", foreign))
    install(ca, tmp_path / "other")
    with pytest.raises(Refused, match="is not signed by this project"):
        revocations.changed()
    assert not revocations.serials


def test_only_what_the_project_issued_can_be_revoked(tmp_path, ca):
    kit = hospital_kit(tmp_path / "a", Authority("another"))
    with pytest.raises(Refused, match="was not issued by the project"):
        authority.revoke(ca, [certificate_of(kit)])
    with pytest.raises(Refused, match="knows no certificate of hospital-z"):
        authority.revoke(ca, ["hospital-z"])
    with pytest.raises(Refused, match="holds no key of a project"):
        authority.authority_in(tmp_path)


def test_a_renewed_kit_replaces_startup_and_leaves_local_and_state(tmp_path, issuer):
    kit = hospital_kit(tmp_path / "at", issuer, days=10)
    (kit / "local" / "brainct.yaml").write_text("mine")
    (kit / "brainct").mkdir()
    new = hospital_kit(tmp_path / "new" / "hospital-a", issuer, days=360)
    archive = kit_update.pack_startup(new, tmp_path / "sent", "hospital-a")
    assert archive.stat().st_mode & 0o077 == 0
    assert 9 < days_left(kit)["hospital-a"] < 10.1
    old = own_certificate(kit)
    kit_update.update(kit, archive)
    assert 359 < days_left(kit)["hospital-a"] < 360.1
    assert (kit / "local" / "brainct.yaml").read_text() == "mine"
    assert (kit / "brainct").is_dir()
    assert (kit / "startup" / "client.key").read_bytes() == (new / "startup" / "client.key").read_bytes()
    assert kit_update.own_certificate(kit) != old
    assert (kit / kit_update.BEFORE / "client.crt").is_file()


def test_a_kit_is_not_updated_with_anothers_an_older_one_or_another_projects(tmp_path, issuer):
    kit = hospital_kit(tmp_path / "at", issuer)
    before = own_certificate(kit)
    for new, words in (
        (hospital_kit(tmp_path / "1" / "b", issuer, name="hospital-b"), "is the kit of hospital-b"),
        (hospital_kit(tmp_path / "2" / "a", issuer, days=20), "it is no renewal"),
        (hospital_kit(tmp_path / "3" / "a", Authority("another")), "is another project's"),
    ):
        with pytest.raises(Refused, match=words):
            kit_update.update(kit, new)
        assert own_certificate(kit) == before


def test_the_projects_key_becomes_its_owners_alone(tmp_path, ca):
    ca.folder.chmod(0o755)
    (ca.folder / "rootCA.key").chmod(0o644)
    assert authority.protect(ca.folder)
    assert [path.stat().st_mode & 0o077 for path in (ca.folder, ca.folder / "rootCA.key")] == [0, 0]
    assert not authority.protect(ca.folder)
