"""Progress shows bars on a terminal, lines elsewhere, nothing when quiet; and ends however the work ends."""

from __future__ import annotations

import io
import re
import sys
import textwrap
import threading
import time
from typing import TYPE_CHECKING

import click
import pytest

from pipeline.cli import display
from pipeline.cli.bars import Bars
from pipeline.cli.display import Lines, Meter, amount, choose, duration, escape
from pipeline.progress import SILENT, Progress
from support.terminal import run_in_terminal

if TYPE_CHECKING:
    from pathlib import Path


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


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (59.95, "1 min 0 s"), (3599.6, "1 h 0 min"), (90_000, "25 h 0 min")],
)
def test_durations_are_said_as_one_would(seconds: float, shown: str) -> None:
    """No minute has sixty seconds, no hour sixty minutes."""
    assert duration(seconds) == shown


def test_data_cannot_steer_a_terminal() -> None:
    """Whatever is not printable is written as an escape, on one line."""
    assert escape("a\x1b[2Jb\nc\u202e") == "a\\x1b[2Jb\\nc\\u202e"


def test_the_display_fits_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bars on a terminal, lines in a log and on a terminal that cannot draw, nothing when quiet."""
    assert choose(quiet=True) is SILENT
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert isinstance(choose(quiet=False), Lines)
    monkeypatch.setattr(sys, "stderr", Terminal())
    assert isinstance(choose(quiet=False), Bars)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(choose(quiet=False), Lines)


def advance(progress: Progress) -> None:
    """Advance a thousand times."""
    for _ in range(1000):
        progress.advance(1, records=2)


def work(progress: Progress) -> None:
    """Go through three stages, advancing from several threads."""
    progress.start("loading", total=None, unit="")
    progress.finish()
    progress.start("reading", total=4000, unit="bytes")
    threads = [threading.Thread(target=advance, args=(progress,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    progress.finish()
    progress.start("epoch 1/2", total=None, unit="records")
    progress.advance(1234)
    progress.finish("loss 0.5")


def test_lines_tell_each_stage_once(capsys: pytest.CaptureFixture[str]) -> None:
    """One line a stage on standard error: what, how much, how fast, what came of it, how long."""
    work(Lines())
    streams = capsys.readouterr()
    assert streams.out == ""
    first, second, third = streams.err.splitlines()
    assert re.fullmatch(r"loading: \d+\.\d s", first)
    assert re.fullmatch(r"reading: 4 kB, [\d.]+ [kMG]?B/s, 8,000 records, \d+\.\d s", second)
    assert re.fullmatch(r"epoch 1/2: 1,234 records, [\d,]+/s, loss 0\.5, \d+\.\d s", third)


def test_a_log_shows_that_long_work_lives(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A stage of minutes says once a minute how far it is and how long it will take."""
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    lines = Lines()
    lines.start("reading", total=1_000_000_000, unit="bytes")
    for _ in range(70):
        now[0] += 1
        lines.advance(1_000_000)
    assert capsys.readouterr().err.splitlines() == ["reading: 0.06 of 1.00 GB, 1 MB/s, 15 min 40 s left"]


def test_what_was_there_before_is_no_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A download that goes on after 900 of 1,000 MB does not promise to bring the rest in no time."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    meter = Meter("downloading", 1_000_000_000, "bytes")
    meter.add(900_000_000, 0)
    assert meter.seconds_left() is None
    now[0] = 10.0
    meter.add(10_000_000, 0)
    assert meter.rate == 1_000_000
    assert meter.seconds_left() == 90


def test_bars_draw_on_standard_error_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bars name the stage and leave standard output to results."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    work(Bars())
    for wording in ("reading", "8,000 records", "loss 0.5"):
        assert wording in screen.getvalue()
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
    bars.close()


def test_bars_end_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """When a command fails, its bar has stopped before the error is told, and the cursor is back."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")

    @click.command()
    def failing() -> None:
        choose(quiet=False).start("reading", total=10, unit="records")
        raise click.ClickException("the disk is full")

    with pytest.raises(click.ClickException):
        failing.main([], standalone_mode=False)
    assert "stopped after" in screen.getvalue()
    assert screen.getvalue().rindex("\x1b[?25h") > screen.getvalue().rindex("\x1b[?25l")


SCRIPT = textwrap.dedent("""
    from pipeline.cli.display import choose
    progress = choose(quiet=False)
    progress.start("reading", total=2_000_000_000, unit="bytes")
    progress.advance(1_990_000_000, records=7_000_000)
    progress.finish()
    progress.start("a stage with a long name", total=1_000_000, unit="records")
    progress.advance(250_000)
    progress.close()
    progress.start("epoch 1/30", total=10, unit="records")
    progress.finish("loss 0.3345, val 0.3411")
""")


@pytest.mark.parametrize("width", [44, 60, 80, 140])
def test_a_bar_keeps_to_its_line(width: int, tmp_path: Path) -> None:
    """In a terminal of any width each stage is one line, which tells the most that fits."""
    shown = run_in_terminal([sys.executable, "-W", "error", "-c", SCRIPT], cwd=tmp_path, width=width)
    assert (shown.status, shown.cursor_is_hidden) == (0, False)
    first, second, third = (line for line in shown.lines if line)
    assert first.startswith("reading            ━━━━━━━━━━")
    assert re.search(r" 0\.\d s$", first)
    assert second.startswith("a stage with a long name ━")
    assert third.startswith("epoch 1/30         ━")
    assert ("1.99 GB" in first, "7,000,000 records" in first) == (width > 50, width > 70)
    assert ("250,000 of 1,000,000 records" in second) == (width > 100)
    assert ("loss 0.3345, val 0.3411" in third) == (width > 50)


def test_silence_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    """The silent display prints nothing at all."""
    work(SILENT)
    streams = capsys.readouterr()
    assert (streams.out, streams.err) == ("", "")


def test_a_rate_has_three_digits() -> None:
    """More digits would only dance."""
    assert display.speed(1_310_222, "records") == "1,310,000/s"
    assert display.speed(70_931_222, "bytes") == "70.9 MB/s"
