"""Owns the one way in which long work tells how far it is: a callback protocol without a display.

Neighbours: every use case takes a `Progress`; `cli` draws it, tests and library users pass `SILENT`.
"""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the stages of a long work, one after the other, never nested."""

    def start(self, stage: str, *, total: int | None, unit: str) -> None:
        """Begin `stage` of `total` units ("bytes", "records", "steps"); None when not known.

        A stage with the unit "" has nothing to count: it just takes its time.
        """

    def advance(self, amount: int, *, records: int = 0) -> None:
        """Report `amount` more units done, with `records` in them; called from any thread."""

    def finish(self, result: str = "") -> None:
        """End the stage; `result` is what came of it, in a few words."""


class Silent:
    """A `Progress` that shows nothing."""

    def start(self, stage: str, *, total: int | None, unit: str) -> None:
        """Ignore the stage."""

    def advance(self, amount: int, *, records: int = 0) -> None:
        """Ignore the progress."""

    def finish(self, result: str = "") -> None:
        """Ignore the end."""


SILENT = Silent()
