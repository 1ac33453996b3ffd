"""What one hospital signs, the others believe; what anybody else signs in its name, nobody does."""

import shutil

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from brainct.errors import Refused
from brainct.security.signing import PROOF, Identity, identity_in, nobody
from tests.support.kit import Authority, hospital_kit

WORDS = "words that matter"


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """Startup folders of a project: two hospitals, one of `nvflare cert`, and certificates of no hospital."""
    folder, authority = tmp_path_factory.mktemp("kits"), Authority()
    for name, role, days, begun in (
        ("hospital-a", "", 360, 1),
        ("hospital-b", "", 360, 1),
        ("hospital-e", "client", 360, 1),
        ("server", "", 360, 1),
        ("lead@consortium.example", "lead", 360, 1),
        ("hospital-old", "", -1, 9),
        ("hospital-new", "", 9, -1),
    ):
        hospital_kit(folder / name, authority, name=name, role=role, days=days, begun=begun)
    hospital_kit(folder / "stranger", Authority("another project"), name="hospital-b")
    return folder


def identity(project, name):
    return Identity(project / name / "startup")


@pytest.mark.parametrize("name", ["hospital-b", "hospital-e", "hospital-a"])
def test_what_a_hospital_signed_is_believed_and_is_the_same_each_time(project, name):
    proof = identity(project, name).sign(WORDS)
    identity(project, "hospital-a").verify(name, WORDS, proof)
    assert identity(project, name).sign(WORDS) == proof
    assert abs(len(proof) - PROOF) < 400


@pytest.mark.parametrize(
    ("signer", "says", "words"),
    [
        ("hospital-b", "other words", "hospital-b has not signed it with a certificate of this project"),
        ("stranger", WORDS, "hospital-b has not signed it with a certificate of this project"),
        ("hospital-e", WORDS, "hospital-b has not signed it, but client hospital-e"),
        ("server", WORDS, "hospital-b has not signed it, but server"),
    ],
)
def test_what_another_signed_or_other_words_are_refused(project, signer, says, words):
    proof = identity(project, signer).sign(says)
    with pytest.raises(Refused, match=f"^{words}$"):
        identity(project, "hospital-a").verify("hospital-b", WORDS, proof)


@pytest.mark.parametrize("name", ["server", "lead@consortium.example"])
def test_neither_the_server_nor_a_person_is_taken_for_a_hospital_of_its_name(project, name):
    proof = identity(project, name).sign(WORDS)
    with pytest.raises(Refused, match=f"{name} has not signed it, but (lead )?{name}"):
        identity(project, "hospital-a").verify(name, WORDS, proof)


@pytest.mark.parametrize("name", ["hospital-old", "hospital-new"])
def test_a_certificate_counts_while_it_is_valid(project, name):
    with pytest.raises(Refused, match=rf"{name} signed it with a certificate that is valid from \d.* to \d.* only"):
        identity(project, "hospital-a").verify(name, WORDS, identity(project, name).sign(WORDS))


def test_a_certificate_with_another_hospitals_signature_is_refused(project):
    certificate, own = identity(project, "hospital-b").sign(WORDS).split(".")
    _, other = identity(project, "hospital-a").sign(WORDS).split(".")
    for proof in (
        f"{certificate}.{other}",
        f"{certificate}.",
        f"{certificate}",
        f"{own}.{certificate}",
        "",
        "a.b",
        "é.é",
    ):
        with pytest.raises(Refused, match="hospital-b has not signed it with a certificate of this project"):
            identity(project, "hospital-a").verify("hospital-b", WORDS, proof)


def test_a_certificate_that_a_hospital_issued_itself_is_refused(project, tmp_path):
    """Whoever holds a hospital's key could sign a certificate with it; FLARE's root has not."""
    kit, forger = hospital_kit(tmp_path / "kit", Authority(), name="hospital-b"), Authority()
    forger.key = load_pem_private_key((project / "hospital-a" / "startup" / "client.key").read_bytes(), None)
    forger.issue(kit / "startup", "client", "hospital-b")
    with pytest.raises(Refused, match="hospital-b has not signed it with a certificate of this project"):
        identity(project, "hospital-a").verify("hospital-b", WORDS, Identity(kit / "startup").sign(WORDS))


def test_without_a_kit_there_is_no_identity_and_a_torn_kit_is_refused(project, tmp_path):
    assert identity_in(None) is identity_in(tmp_path) is nobody() is None
    for file in ("client.key", "rootCA.pem", "fed_client.json"):
        kit = shutil.copytree(project / "hospital-a", tmp_path / file)
        (kit / "startup" / file).write_text("torn")
        with pytest.raises(Refused, match="the kit's startup folder can't be read"):
            identity_in(kit / "startup")
