"""Owns what long work looks like: bars on a terminal, plain lines elsewhere, nothing when quiet.

And the words for it: amounts, durations, text that cannot steer a terminal. Neighbours: `bars` draws,
`page` prints what came of the work.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING

import click

from pipeline.progress import SILENT

if TYPE_CHECKING:
    from pipeline.progress import Progress

SECONDS_BETWEEN_LINES = 60.0  # in a log: often enough to see that it lives
SECONDS_TO_TRUST = 0.5  # a rate measured for less than this says little
DECIMALS = {"B": 0, "kB": 0, "MB": 1, "GB": 2, "TB": 3}


def choose(*, quiet: bool) -> Progress:
    """Return the display that fits standard error; what it draws ends with the command, however that ends."""
    if quiet:
        return SILENT
    if not sys.stderr.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return Lines()
    from pipeline.cli.bars import Bars  # noqa: PLC0415  # rich: 50 ms that `--help` need not pay

    bars = Bars()
    if context := click.get_current_context(silent=True):
        context.call_on_close(bars.close)
    return bars


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


def amount_of(value: float, total: float, unit: str) -> str:
    """Return how much of a total it is, both in the unit of the total, with digits that do not dance.

    >>> amount_of(92_340_000, 740_700_000, "bytes"), amount_of(10, 5000, "records")
    ('92.3 of 740.7 MB', '10 of 5,000 records')
    """
    if unit != "bytes":
        return f"{value:,.0f} of {amount(total, unit)}"
    name = amount(total, unit).split()[1]
    scale = 1000 ** list(DECIMALS).index(name)
    return f"{value / scale:.{DECIMALS[name]}f} of {total / scale:.{DECIMALS[name]}f} {name}"


def speed(rate: float, unit: str) -> str:
    """Return units a second, to three digits: more of them would only dance.

    >>> speed(386_231_000, "bytes"), speed(1_310_222, "records")
    ('386 MB/s', '1,310,000/s')
    """
    rounded = float(f"{rate:.3g}")
    return f"{amount(rounded, unit) if unit == 'bytes' else f'{rounded:,.0f}'}/s"


def memory(num_bytes: float) -> str:
    """Return an amount of memory, in the binary units in which `--memory` is given.

    >>> memory(1 << 30), memory(200 << 20), memory(1_420_000_000)
    ('1 GiB', '200 MiB', '1.32 GiB')
    """
    if num_bytes < 1 << 30:
        return f"{num_bytes / (1 << 20):.0f} MiB"
    return f"{num_bytes / (1 << 30):.2f}".rstrip("0").rstrip(".") + " GiB"


def duration(seconds: float) -> str:
    """Return how long something takes, the way one would say it.

    >>> duration(0.31), duration(75), duration(4000)
    ('0.3 s', '1 min 15 s', '1 h 6 min')
    """
    if seconds < 59.95:  # noqa: PLR2004  # what is shown as a minute
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:  # noqa: PLR2004  # an hour
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def escape(text: str) -> str:
    """Return `text` on one line and without control characters: data must not steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class Meter:
    """Counts what a stage has done, from any thread, and tells how fast it goes and how long it still takes.

    What is reported at once, when the stage has just begun, was done by an earlier run: it is no speed.
    """

    def __init__(self, stage: str, total: int | None, unit: str) -> None:
        self.stage, self.total, self.unit = stage, total, unit
        self.done = self.records = self._first = 0
        self._began = self._first_at = time.monotonic()
        self._lock = threading.Lock()

    def add(self, amount: int, records: int) -> None:
        """Count so much more."""
        with self._lock:
            if not self.done:
                self._first, self._first_at = amount, time.monotonic()
            self.done += amount
            self.records += records

    @property
    def seconds(self) -> float:
        """How long it has taken by now."""
        return time.monotonic() - self._began

    @property
    def rate(self) -> float:
        """Units a second."""
        since_first = time.monotonic() - self._first_at
        if self.done > self._first and since_first > SECONDS_TO_TRUST:
            return (self.done - self._first) / since_first
        return self.done / max(self.seconds, 1e-6)

    def seconds_left(self) -> float | None:
        """Return how long it will take from now; None where nobody can know."""
        if self.total is None or not self.done or self.seconds < SECONDS_TO_TRUST:
            return None
        return max(self.total - self.done, 0) / max(self.rate, 1e-6)

    def amounts(self, *, of_total: bool) -> list[str]:
        """Return what is done, how fast, and the records in it, as far as there is anything to count."""
        if not self.unit or not self.done:
            return []
        known = of_total and self.total is not None
        done = amount_of(self.done, self.total or 0, self.unit) if known else amount(self.done, self.unit)
        return [
            done,
            speed(self.rate, self.unit),
            *([amount(self.records, "records")] if self.records else []),
        ]


class Lines:
    """Writes a line to standard error as each stage ends, and one a minute: for logs, and `dvc repro`."""

    def __init__(self) -> None:
        self._meter = Meter("", None, "")
        self._said_at = 0.0
        self._lock = threading.Lock()

    def start(self, stage: str, *, total: int | None, unit: str) -> None:
        """Remember the stage."""
        self._meter = Meter(stage, total, unit)
        self._said_at = time.monotonic()

    def advance(self, amount: int, *, records: int = 0) -> None:
        """Count, and tell how far it is if nothing was told for a minute."""
        self._meter.add(amount, records)
        now = time.monotonic()
        with self._lock:
            if now - self._said_at < SECONDS_BETWEEN_LINES:
                return
            self._said_at = now
        self._say(", ".join([*self._meter.amounts(of_total=True), *time_left(self._meter)]))

    def finish(self, result: str = "") -> None:
        """Write the line of the stage."""
        amounts = self._meter.amounts(of_total=False)
        self._say(", ".join([*amounts, *([result] if result else []), duration(self._meter.seconds)]))

    def _say(self, text: str) -> None:
        click.echo(f"{self._meter.stage}: {text}", err=True)


def time_left(meter: Meter) -> list[str]:
    """Return how long a stage will still take, in words; nothing where nobody can know."""
    left = meter.seconds_left()
    if left is None:
        return []
    return [f"{left:.0f} s left" if left < 60 else f"{duration(left)} left"]  # noqa: PLR2004  # a minute
