"""The site file: what it may say, and how it is refused."""

from pathlib import Path

import pytest

from brainct.ct.folds import WINDOWS
from brainct.ct.site_choices import Partition
from brainct.ct.site_config import SiteFile, read_site_file
from brainct.errors import Refused

POC = Path(__file__).parents[2] / "poc" / "sites"


def refusal_of(folder: Path, text: str) -> str:
    (folder / "brainct.yaml").write_text(text)
    with pytest.raises(Refused) as refusal:
        read_site_file(folder / "brainct.yaml")
    return str(refusal.value)


def test_a_short_file_gets_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "brainct.yaml").write_text("kind: phantom\n")
    file = read_site_file(tmp_path / "brainct.yaml")
    assert (file.batch_size, file.device, file.windows) == (8, "auto", WINDOWS)
    assert file.split.fractions == (0.6, 0.2, 0.2)
    assert (file.phantom.scans, file.phantom.prevalence, file.partition) == (80, None, None)


def test_root_is_relative_to_the_site_file(tmp_path: Path) -> None:
    (tmp_path / "brainct.yaml").write_text("kind: png_csv\nroot: scans/ct\n")
    assert read_site_file(tmp_path / "brainct.yaml").root == tmp_path / "scans" / "ct"


def test_root_takes_environment_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCANS_OF_OURS", "/srv/ours")
    (tmp_path / "brainct.yaml").write_text("kind: png_csv\nroot: ${SCANS_OF_OURS}/ct\n")
    assert read_site_file(tmp_path / "brainct.yaml").root == Path("/srv/ours/ct")


def test_an_unset_variable_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SCANS_OF_OURS", raising=False)
    text = refusal_of(tmp_path, "kind: png_csv\nroot: ${SCANS_OF_OURS}\n")
    assert "environment variable SCANS_OF_OURS is not set: set SCANS_OF_OURS to the folder" in text


def test_all_problems_are_listed_at_once_in_plain_words(tmp_path: Path) -> None:
    text = refusal_of(
        tmp_path, "kind: phantom\nbatchsize: 8\nbatch_size: 0\nwindows: [[40, 0]]\nphantom: {scans: many}\n"
    )
    assert text.startswith("brainct.yaml: 4 to fix\n- ")
    assert "unknown key `batchsize`: did you mean `batch_size`?" in text
    assert "`batch_size`: got 0, wanted greater than or equal to 1" in text
    assert "`windows`: wanted at least one [level, width] in HU, each width more than 0" in text
    assert "`phantom.scans`: got 'many', wanted a valid integer" in text
    assert "pydantic" not in text
    assert "type=" not in text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("kind: sound", "`kind`: got 'sound', wanted 'phantom', 'png_csv', 'class_folders', 'manifest', 'dicom'"),
        ("root: scans", "`kind` is missing"),
        ("kind: phantom\nbatch_size: '8'", "`batch_size`: got '8', wanted a valid integer"),
        ("kind: phantom\nbatch_size: true", "`batch_size`: got True, wanted a valid integer"),
        ("kind: phantom\ndevice: gpu", "`device`: got 'gpu', wanted auto, cpu, cuda or cuda:N"),
        ("kind: phantom\nsplit: {train: 0.5}", "`split`: train, valid and test add up to 0.9, wanted 1"),
        ("kind: phantom\nsplit: {train: 0, valid: 0, test: 1}", "`split.train`: got 0, wanted more than 0"),
        ("kind: phantom\nsplit: {train: -1, valid: 1, test: 1}", "`split.train`: got -1, wanted greater than or"),
        ("kind: phantom\nsplit: {training: 1}", "unknown key `split.training`: did you mean `train`?"),
        ("kind: phantom\nphantom: {prevalence: 2}", "`phantom.prevalence`: got 2, wanted less than or equal to 1"),
        ("kind: phantom\npartition: {how: iid}", "`partition` is not read by kind phantom, only by png_csv"),
        ("kind: phantom\nroot: x", "`root` is not read by kind phantom"),
        ("kind: manifest\nroot: x\nimages: '{id}.png'", "`images` is not read by kind manifest, only by png_csv"),
        ("kind: manifest", "`root` is missing: kind manifest needs the folder"),
        ("kind: class_folders\nroot: x", "`classes` is missing: name each folder with its findings"),
        ("kind: class_folders\nroot: x\nclasses: {a: [bl/eed]}", "wanted 1 to 40 letters, digits, spaces and + - _"),
        ("kind: png_csv\nroot: x\ncolumns: {all: y}", "neither `all` nor beginning with `study `"),
        ("kind: png_csv\nroot: x\nimages: a.png", "`images`: got 'a.png', wanted one {id} in a file name"),
        ("kind: png_csv\nroot: x\nimages: '{id.x}.png'", "`images`: got '{id.x}.png', wanted one {id}"),
        ("kind: png_csv\nroot: x\nimages: '{id'", "`images`: got '{id', wanted one {id}"),
        (
            "kind: png_csv\nroot: x\npartition: {how: fair}",
            "`partition.how`: got 'fair', wanted 'iid', 'dirichlet' or 'size'",
        ),
        (
            "kind: png_csv\nroot: x\npartition: {how: size, alpha: 0}",
            "`partition.alpha`: got 0, wanted greater than or equal",
        ),
        ("kind: png_csv\nroot: x\npartition: {alpha: 1}", "`how: iid` has none: remove it"),
        ("kind: png_csv\nroot: x\npartition: {test_scans: all}", "got 'all', wanted a number of scans >= 1, or `rest`"),
        ("kind: png_csv\nroot: x\npartition: {test: own, test_scans: 4}", "with `test: own` set `split.test` instead"),
        (
            "kind: png_csv\nroot: x\npartition: {test_scans: rest}",
            "`partition.test_scans: rest` needs `partition.scans`",
        ),
        ("kind: phantom\nkind: manifest", "line 1: not valid YAML: key kind is given twice"),
        ("kind: [phantom", "not valid YAML: expected ',' or ']'"),
        ("phantom", "wanted lines of `key: value` beginning with `kind:`, got str"),
        ("", "wanted lines of `key: value` beginning with `kind:`, got NoneType"),
    ],
)
def test_a_wrong_choice_is_refused_with_what_was_got_and_wanted(tmp_path: Path, text: str, words: str) -> None:
    refusal = refusal_of(tmp_path, text)
    assert refusal.startswith("brainct.yaml")
    assert words in refusal


def test_a_missing_site_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no site file at .*nowhere.yaml: create it"):
        read_site_file(tmp_path / "nowhere.yaml")


def test_a_site_file_in_binary_is_refused(tmp_path: Path) -> None:
    (tmp_path / "brainct.yaml").write_bytes(b"kind: \xff\xfe phantom")
    with pytest.raises(Refused, match="not a text file in UTF-8"):
        read_site_file(tmp_path / "brainct.yaml")


def test_folders_called_yes_and_no_are_words(tmp_path: Path) -> None:
    (tmp_path / "brainct.yaml").write_text("kind: class_folders\nroot: .\nclasses: {yes: [any], no: []}\n")
    assert read_site_file(tmp_path / "brainct.yaml").classes == {"yes": ("any",), "no": ()}


def test_a_site_file_cannot_be_changed_after_reading() -> None:
    with pytest.raises(ValueError, match="frozen"):
        SiteFile(kind="phantom").batch_size = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("head_ct.yaml", "png_csv"), ("phantom.yaml", "phantom"), ("manifest_example.yaml", "manifest")],
)
def test_the_site_files_we_ship_can_be_read(name: str, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAINCT_HEAD_CT", "/data/head_ct")
    assert read_site_file(POC / name).kind == kind


def test_the_head_ct_file_gives_each_site_sixteen_scans_and_tests_on_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAINCT_HEAD_CT", "/data/head_ct")
    file = read_site_file(POC / "head_ct.yaml")
    assert file.partition == Partition(how="iid", scans=16, test="shared", test_scans="rest", seed=0)
    assert (file.batch_size, file.split.valid, file.root) == (8, 0, Path("/data/head_ct"))


@pytest.mark.parametrize(("old", "new"), [("shared", "shared"), ("dealt", "own")])
def test_the_old_key_deal_is_read_as_partition(tmp_path: Path, old: str, new: str) -> None:
    file = tmp_path / "brainct.yaml"
    file.write_text(f"kind: png_csv\nroot: .\ndeal: {{how: size, alpha: 2, seed: 3, test: {old}}}\n")
    found = read_site_file(file)
    file.write_text(f"kind: png_csv\nroot: .\npartition: {{how: size, alpha: 2, seed: 3, test: {new}}}\n")
    assert found == read_site_file(file)


def test_the_old_and_the_new_key_together_are_refused(tmp_path: Path) -> None:
    words = "`deal` is the old name of `partition`; remove one of the two"
    assert words in refusal_of(tmp_path, "kind: png_csv\nroot: x\ndeal: {}\npartition: {}")
