"""Owns what long work looks like: bars on a terminal, one line a stage elsewhere, nothing when quiet."""

from __future__ import annotations

import sys
import threading
import time
from typing import TYPE_CHECKING

import click

from pipeline.progress import SILENT

if TYPE_CHECKING:
    import rich.progress

    from pipeline.progress import Progress

SECONDS_BETWEEN_REFRESHES = 0.2


def choose(*, quiet: bool) -> Progress:
    """Return the display that fits standard error."""
    if quiet:
        return SILENT
    return Bars() if sys.stderr.isatty() else Lines()


def amount(value: float, unit: str) -> str:
    """Return "12.3 MB" for bytes and "1,234 records" for anything else.

    >>> amount(738_492_371, "bytes"), amount(1_000_000, "records")
    ('738.5 MB', '1,000,000 records')
    """
    if unit != "bytes":
        return f"{value:,.0f} {unit}"
    for name in ("B", "kB", "MB", "GB"):
        if value < 1000:  # noqa: PLR2004  # decimal prefixes
            return f"{value:.4g} {name}"
        value /= 1000
    return f"{value:.4g} TB"


def escape(text: str) -> str:
    """Return `text` on one line and without control characters: data must not steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class Lines:
    """Writes one line to standard error as each stage ends: for logs, and for `dvc repro`."""

    def __init__(self) -> None:
        self._stage = self._unit = ""
        self._done = 0
        self._began = 0.0
        self._lock = threading.Lock()

    def start(self, stage: str, *, total: int | None, unit: str) -> None:  # noqa: ARG002  # the protocol's
        """Remember the stage."""
        self._stage, self._unit, self._done, self._began = stage, unit, 0, time.monotonic()

    def advance(self, amount: int) -> None:
        """Count."""
        with self._lock:
            self._done += amount

    def finish(self) -> None:
        """Write the line of the stage."""
        seconds = max(time.monotonic() - self._began, 1e-6)
        done, rate = amount(self._done, self._unit), amount(self._done / seconds, self._unit)
        click.echo(f"{self._stage}: {done} in {seconds:.1f} s ({rate}/s)", err=True)


class Bars:
    """Draws a bar per stage with rate and time left."""

    def __init__(self) -> None:
        self._progress: rich.progress.Progress | None = None
        self._task: rich.progress.TaskID | None = None

    def start(self, stage: str, *, total: int | None, unit: str) -> None:
        """Begin a bar."""
        from rich import progress  # noqa: PLC0415  # 50 ms that `--help` need not pay
        from rich.console import Console  # noqa: PLC0415

        self.finish()
        counts: tuple[progress.ProgressColumn, ...]
        if unit == "bytes":
            counts = (progress.DownloadColumn(), progress.TransferSpeedColumn())
        else:
            counts = (progress.MofNCompleteColumn(), progress.TextColumn(unit))
        self._progress = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            *counts,
            progress.TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
            refresh_per_second=1 / SECONDS_BETWEEN_REFRESHES,
        )
        self._progress.start()
        self._task = self._progress.add_task(stage, total=total)

    def advance(self, amount: int) -> None:
        """Move the bar."""
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task, amount)

    def finish(self) -> None:
        """Leave the bar as it stands."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None
