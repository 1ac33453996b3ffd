"""Renewal by FLARE's own provisioning: the named participants get new certificates, the others keep theirs."""

import json
import tarfile

import pytest

from brainct.errors import Refused
from brainct.flare.local_federation import provision
from brainct.flare.provisioning import renew
from brainct.kit import authority
from tests.conftest import ROOT

pytestmark = pytest.mark.slow
PROJECT, POLICY = ROOT / "provisioning" / "project.yml", ROOT / "provisioning" / "policy"


def test_renewing_one_site_touches_no_other_and_a_failure_touches_nothing(tmp_path):
    kits = provision(PROJECT, tmp_path, POLICY)
    state = kits.parent / "state"
    before = json.loads((state / "cert.json").read_text())
    installed = {path: path.read_bytes() for path in kits.rglob("*") if path.is_file()}
    (archive,) = renew(PROJECT, tmp_path / "kits", ["hospital-b"], tmp_path / "sent")
    after = json.loads((state / "cert.json").read_text())
    assert [name for name in before if before[name] != after[name]] == ["hospital-b"]
    assert {path: path.read_bytes() for path in kits.rglob("*") if path.is_file()} == installed
    assert [path.name for path in kits.parent.iterdir() if path.name.startswith("prod")] == ["prod_00"]
    with tarfile.open(archive) as packed:
        certificate = packed.extractfile("hospital-b/startup/client.crt").read().decode()
    assert certificate == after["hospital-b"]["cert"]
    assert state.stat().st_mode & 0o077 == (state / "cert.json").stat().st_mode & 0o077 == 0

    _, lines = authority.revoke(authority.authority_in(state), ["hospital-b"], only_former=True)
    assert len(lines) == 1
    _, lines = authority.revoke(authority.authority_in(state), ["hospital-b"])
    assert len(lines) == 1

    with pytest.raises(Refused, match="no certificate of hospital-z"):
        renew(PROJECT, tmp_path / "kits", ["hospital-z"], tmp_path / "sent")
    (tmp_path / "other.yml").write_text("name: brainct\n")
    with pytest.raises(Refused, match="ended with"):
        renew(tmp_path / "other.yml", tmp_path / "kits", ["hospital-a"], tmp_path / "sent")
    assert json.loads((state / "cert.json").read_text()) == after
