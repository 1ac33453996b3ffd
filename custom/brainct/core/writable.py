"""Whether a folder of results can be written, tried before anything is computed for it."""

import tempfile
from contextlib import suppress
from pathlib import Path

from brainct.errors import Refused


def check_writable(folder: Path) -> None:
    """Refuse a folder in which no file can be made; what the trial makes it removes again."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise Refused(f"results can't be written to {folder} ({error.strerror}); name another folder") from None
    finally:
        for path in made:
            with suppress(OSError):
                path.rmdir()
