"""Progress shows bars on a terminal, one line a stage elsewhere, nothing when quiet."""

from __future__ import annotations

import io
import re
import sys
import threading

import pytest

from pipeline.cli.display import Bars, Lines, amount, choose
from pipeline.progress import SILENT, Progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        """Return True."""
        return True


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (0, "bytes", "0 B"),
        (999, "bytes", "999 B"),
        (1000, "bytes", "1 kB"),
        (738_492_371, "bytes", "738.5 MB"),
        (64 << 20, "bytes", "67.11 MB"),
        (1.5e9, "bytes", "1.5 GB"),
        (7.4e12, "bytes", "7.4 TB"),
        (1_000_000, "records", "1,000,000 records"),
        (0.4, "steps", "0 steps"),
    ],
)
def test_amounts_are_short(value: float, unit: str, shown: str) -> None:
    """Bytes in decimal units with four digits, everything else with thousands marked."""
    assert amount(value, unit) == shown


def test_the_display_fits_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bars on a terminal, lines in a log, nothing when quiet."""
    assert choose(quiet=True) is SILENT
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert isinstance(choose(quiet=False), Lines)
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert isinstance(choose(quiet=False), Bars)


def advance(progress: Progress) -> None:
    """Advance a thousand times."""
    for _ in range(1000):
        progress.advance(1)


def work(progress: Progress) -> None:
    """Go through two stages, advancing from several threads."""
    progress.start("reading", total=4000, unit="bytes")
    threads = [threading.Thread(target=advance, args=(progress,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    progress.finish()
    progress.start("writing shards", total=None, unit="records")
    progress.advance(1234)
    progress.finish()


def test_lines_tell_each_stage_once(capsys: pytest.CaptureFixture[str]) -> None:
    """One line a stage on standard error: what, how much, how long, how fast; no count is lost."""
    work(Lines())
    streams = capsys.readouterr()
    assert streams.out == ""
    first, second = streams.err.splitlines()
    assert re.fullmatch(r"reading: 4 kB in \d+\.\d s \(.+ [kMG]?B/s\)", first)
    assert re.fullmatch(r"writing shards: 1,234 records in \d+\.\d s \([\d,]+ records/s\)", second)


def test_bars_draw_on_standard_error_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bars name the stage and leave standard output to results."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    work(Bars())
    assert "reading" in screen.getvalue()
    assert "writing shards" in screen.getvalue()
    assert capsys.readouterr().out == ""


def test_bars_may_end_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stage that never finished is ended by the next; finishing and advancing without one is harmless."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    bars = Bars()
    bars.finish()
    bars.advance(1)
    bars.start("one", total=None, unit="steps")
    bars.start("two", total=10, unit="steps")
    bars.finish()
    bars.finish()


def test_silence_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    """The silent display prints nothing at all."""
    work(SILENT)
    streams = capsys.readouterr()
    assert (streams.out, streams.err) == ("", "")
