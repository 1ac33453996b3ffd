"""What a site's releases gave away, on its own disk: one row each, and never the same release twice."""

import json
import secrets
from contextlib import AbstractContextManager
from datetime import date
from pathlib import Path
from typing import Any

from brainct.core import serialization
from brainct.core.file_lock import locked
from brainct.core.privacy_event import KINDS, Event
from brainct.errors import Declined, Refused
from brainct.security.accounting import as_row, epsilon, of_row
from brainct.security.policy import Budget, affordable

LEDGER, RESTORED = "ledger.json", "restored.json"
"""The releases; and, after the restoring of an older backup, its time, until what left since is counted."""


def note_restored(ledger: "Ledger", backup: str) -> None:
    """Let a ledger that was restored from an older backup give nothing back before its owner said what is missing."""
    serialization.write(ledger.folder / RESTORED, json.dumps({"backup": backup}).encode(), private=True)


class Ledger:
    """What a site's releases gave away, over all rounds and runs; with the secret of its noise, on its own disk.

    folder: of this site alone, readable by nobody else; both files are made when they are first needed.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def secret(self) -> bytes:
        """32 bytes from the machine's own randomness, drawn once."""
        with self._locked():
            file = self.folder / "secret"
            if not file.exists():
                serialization.write(file, secrets.token_bytes(32), private=True)
            return file.read_bytes()

    def releases(self) -> dict[str, Any]:
        """Each release by its digest: its run's digest, round, day and what accounting.as_row says of it.

        Declined after the restoring of an older ledger, until `settle` has said what is missing in it.
        """
        if (self.folder / RESTORED).exists():
            when = json.loads((self.folder / RESTORED).read_text())["backup"]
            raise Declined(
                f"its privacy ledger is a backup of {when}, and what left after it is not counted yet; its "
                "people say how many replies those were, with `brainct privacy FILE --site SITE --left-since N`"
            )
        return self._rows()

    def _rows(self) -> dict[str, Any]:
        file = self.folder / LEDGER
        try:
            found = json.loads(file.read_text()) if file.exists() else {}
        except ValueError:
            found = None
        if not isinstance(found, dict) or not all(isinstance(row, dict) for row in found.values()):
            raise Refused(f"the privacy ledger {file.name} can't be read; restore it from a backup")
        return found

    def settle(self, left: int, delta: float) -> None:
        """After the restoring of an older ledger: count so many releases more, each as the one that gave away most."""
        with self._locked():
            file = self.folder / RESTORED
            if not file.exists():
                raise Refused("this privacy ledger waits for nothing: it was not restored from an older backup")
            rows = self._rows()
            if left and not rows:
                raise Refused(
                    "the restored ledger counts no release by which to measure those that are missing; lower "
                    "budget.epsilon in privacy.json by what they gave away, and say --left-since 0"
                )
            when = json.loads(file.read_text())["backup"]
            most: dict[str, Any] = max(rows.values(), key=lambda row: epsilon([of_row(row)], delta), default={})
            more = {f"after {when}, {number}": {**most, "run": f"after {when}"} for number in range(left)}
            serialization.write(self.folder / LEDGER, json.dumps({**rows, **more}, indent=1).encode(), private=True)
            file.unlink()

    def events(self) -> list[Event]:
        """All releases, as they are accounted for."""
        return [of_row(row) for row in self.releases().values()]

    def spent(self, delta: float) -> dict[str, float]:
        """The epsilon at this delta of each kind of release that there was, and under `all` that of all together."""
        events = self.events()
        kinds = {kind: [event for event in events if event.kind == kind] for kind in KINDS}
        return {**{kind: epsilon(own, delta) for kind, own in kinds.items() if own}, "all": epsilon(events, delta)}

    def spend(self, digest: str, event: Event, budget: Budget | None, run: str, round: int) -> bool:
        """Count a release before it is made; the very same one made again costs nothing. False: not affordable.

        digest: of everything that the release follows from, so that two that differ are never taken for one.
        """
        with self._locked():
            rows = self.releases()
            if digest in rows:
                return True
            if not affordable(budget, [of_row(row) for row in rows.values()], [event]):
                return False
            row = {"run": run, "round": round, "day": date.today().isoformat(), **as_row(event)}
            serialization.write(
                self.folder / LEDGER, json.dumps({**rows, digest: row}, indent=1).encode(), private=True
            )
            return True

    def begin(self, run: str, a_day: int) -> bool:
        """Note that a run begins, unless it is known already; False if `a_day` runs have begun today already."""
        today, file = date.today().isoformat(), self.folder / "runs.json"
        with self._locked():
            try:
                known: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
            except ValueError:
                raise Refused(
                    f"{file.name} next to the privacy ledger can't be read; restore it from a backup"
                ) from None
            if run not in known and sum(day == today for day in known.values()) >= a_day:
                return False
            serialization.write(
                file, json.dumps({**known, run: known.get(run, today)}, indent=1).encode(), private=True
            )
            return True

    def has_begun(self, run: str) -> bool:
        """Whether `begin` has let this run begin."""
        file = self.folder / "runs.json"
        return file.exists() and run in json.loads(file.read_text())

    def _locked(self) -> AbstractContextManager[None]:
        return locked(self.folder / "lock")
