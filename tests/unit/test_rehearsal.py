"""A dry run expects of time and disk what the first mebibyte shows."""

from __future__ import annotations

import gzip
import itertools
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.convert import convert, make_plan, planning
from pipeline.convert.memory import divide
from pipeline.convert.rehearsal import rehearse
from support.datasets import make_options
from support.texts import numbered_text

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.plan import MemoryPlan


@pytest.mark.parametrize("packed", [False, True])
def test_time_grows_with_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, packed: bool) -> None:
    """Beyond the half second of every beginning, time is in proportion to the text."""
    ticks = itertools.count()
    monkeypatch.setattr(time, "perf_counter", lambda: float(next(ticks)))
    monkeypatch.setattr(time, "process_time", lambda: float(next(ticks)))
    text = numbered_text(20_000, num_features=4).encode()  # 1.7 MB
    body = text.partition(b"\n")[2]
    seconds, sizes = [], []
    for num_times in (1, 4):
        path = tmp_path / f"{num_times}.csv"
        path.write_bytes(
            gzip.compress(text + body * (num_times - 1), 1) if packed else text + body * (num_times - 1)
        )
        plan = make_plan(path, make_options())
        rehearsal = rehearse(plan)
        assert rehearsal is not None
        seconds.append(rehearsal.seconds - 0.5)
        sizes.append(plan.estimates.text_bytes)
    assert seconds[1] / seconds[0] == pytest.approx(sizes[1] / sizes[0])
    # A clock shows 2 ticks from its beginning to its end; the text is unpacked once, and read as often.
    assert seconds[0] == pytest.approx(2 * 2.2 * sizes[0] / (1 << 20), rel=0.01)


@pytest.mark.parametrize("runs_bytes", [200_000, 60_000])
def test_spilling_is_foreseen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runs_bytes: int) -> None:
    """With memory for a part of the runs, about what does not fit is expected on disk, and gets there."""
    path = tmp_path / "raw.csv"
    path.write_text(numbered_text(4000, num_features=6))
    options = make_options(range_bytes=16 << 10)

    def little(*given: Any, **named: Any) -> MemoryPlan:
        return replace(divide(*given, **named), runs_bytes=runs_bytes)

    plenty = rehearse(make_plan(path, options))
    monkeypatch.setattr(planning.memory, "divide", little)
    rehearsal = rehearse(make_plan(path, options))
    assert plenty is not None
    assert rehearsal is not None
    assert (plenty.spilled_bytes, plenty.runs_bytes) == (0, rehearsal.runs_bytes)
    summary = convert(path, tmp_path / "shards", options)
    assert 0 < rehearsal.spilled_bytes < rehearsal.runs_bytes
    assert summary.spilled_bytes == pytest.approx(rehearsal.spilled_bytes, rel=0.3)
    assert summary.text_bytes == path.stat().st_size - len("label,id,f0,f1,f2,f3,f4,f5\n")


def test_what_cannot_be_read_has_no_rehearsal(tmp_path: Path) -> None:
    """A fault in the first mebibyte is left to be told by the conversion."""
    path = tmp_path / "raw.csv"
    path.write_text("label,a\n0,1\n1,\n1,2\n")
    assert rehearse(make_plan(path, make_options())) is None
