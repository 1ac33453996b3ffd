"""The command as a person types it."""

import pytest

from brainct.cli import main


def type_in(capsys, *words):
    """Exit code, standard output and standard error of `brainct WORDS`."""
    with pytest.raises(SystemExit) as ended:
        main.main([str(word) for word in words])
    printed = capsys.readouterr()
    return ended.value.code or 0, printed.out, printed.err


def refused(capsys, words, *arguments):
    code, out, err = type_in(capsys, *arguments)
    assert code == 2
    assert words in " ".join(err.split())
    assert "Traceback" not in err + out
