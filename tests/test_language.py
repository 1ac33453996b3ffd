"""One word for one concept: retired words occur nowhere in the package, its tests, its pages and its scripts.

A finding prints `file:line: word -> replacement`. docs/glossary.md has the words that are used instead.
"""

import re
from fnmatch import fnmatch
from pathlib import Path

from tests.conftest import ROOT

RETIRED = {
    "liars?": "Byzantine site",
    "may lie": "may be Byzantine",
    "deal(s|t|ing)?": "partition",
    "mend(s|ed|ing)?": "fix, problem to fix",
    "(lay|lays|laid)": "install, put",
    "desks?": "site agent",
    "discreet": "redact",
    "guards?": "reply filter, check",
    "carriers?": "transport",
    "judg(e|es|ed|ing)": "evaluate",
    "sealed": "hides_updates",
    "answering": "with_predictor",
    "whereof": "of which",
    "beforehand": "before",
    "beside": "next to, with, in addition to",
    "dear": "expensive",
    "none that": "not allowed, no ... that",
    "nobody knows": "unknown",
    "(go|goes|going|gone|went) on with": "continue, resume",
    "to the bit": "bit-identical",
    "tells? apart": "distinguish",
    "hospital outside": "held-out site",
}
"""Each as a regular expression of whole words, also within names such as `_dealt_out`; with what is said instead."""

FOLDERS = ("custom/brainct", "tests", "docs", "provisioning", "poc")
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")
KINDS = {".py", ".md", ".yaml", ".yml", ".json", ".sh", ".j2", ".svg", ".css", ".toml", ""}

EXEMPT = {
    "tests/test_language.py": "names the words",
    "docs/results/*table.md": "data: written by `brainct compare` from the ledgers of these runs",
    "docs/results/*.yaml": "data: the plans by which these runs were started",
}
"""Files that are not read, and why."""

JOB_KEY = r"(?<!\w)liars(?=\s*[=:,)\]*+\-\"'`]|\s*$|\s+is\b)"
ALLOWED = {
    ("custom/brainct/schemes/*.py", JOB_KEY): "the robust schemes' argument, a key of job folders in use",
    ("tests/*.py", JOB_KEY): "the same argument",
    ("docs/schemes.md", JOB_KEY): "the same argument",
    ("custom/brainct/ct/site_config.py", r"\bdealt?\b"): "the old key of site files in use",
    ("tests/ct/test_site_config.py", r"(?<![A-Za-z])dealt?(?![A-Za-z])"): "the same key",
    ("CHANGELOG.md", r"`(test: )?dealt?`"): "the same key",
    ("CHANGELOG.md", r"`sealed`"): "the old name of a field, with the new one",
    ("custom/brainct/cli/kits.py", '"lay"'): "the old name of `brainct kits install`",
}
"""(files, a regular expression of what may stay in them) -> why."""


def named() -> dict[str, Path]:
    """Every text file of the folders and pages, by its path from the root."""
    paths = [ROOT / page for page in PAGES] + [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    texts = [path for path in sorted(paths) if path.is_file() and path.suffix in KINDS]
    return {path.relative_to(ROOT).as_posix(): path for path in texts if "__pycache__" not in path.parts}


def exempt(name: str) -> bool:
    return any(fnmatch(name, pattern) for pattern in EXEMPT)


WORDS = re.compile("|".join(rf"(?<![A-Za-z])(?:{word})(?![A-Za-z])" for word in RETIRED), re.I)


def findings(text: str, name: str) -> list[str]:
    """`name:line: word -> replacement` for every retired word."""
    allowed = [part for files, part in ALLOWED if fnmatch(name, files)]
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        for part in allowed:
            line = re.sub(part, "", line)
        found += [f"{name}:{number}: {hit[0]} -> {_replacement(hit[0])}" for hit in WORDS.finditer(line)]
    return found


def _replacement(word: str) -> str:
    return next(instead for retired, instead in RETIRED.items() if re.fullmatch(retired, word, re.I))


def test_no_retired_word_is_left():
    texts = {name: path.read_text("utf-8") for name, path in named().items() if not exempt(name)}
    found = [line for name, text in texts.items() for line in findings(text, name)]
    assert found == [], "\n" + "\n".join(found)


def test_a_finding_names_file_line_word_and_replacement():
    text = f"Fine.\n{'Li' + 'ars'} are found in _{'deal' + 't'}_out, not in ideal or mendicant."
    assert findings(text, "a.md") == ["a.md:2: Liars -> Byzantine site", "a.md:2: dealt -> partition"]


def test_every_exemption_is_needed():
    texts = {name: path.read_text("utf-8") for name, path in named().items()}
    assert [pattern for pattern in EXEMPT if not any(fnmatch(name, pattern) for name in texts)] == []
    for files, part in ALLOWED:
        assert any(re.search(part, text, re.M) for name, text in texts.items() if fnmatch(name, files)), files
