"""Owns what long work looks like on a terminal: a bar per stage, how much, how fast, how long yet.

Loads rich, so it is imported when there is something to draw. Neighbour: `display` chooses, and counts.

    reading            ━━━━━━━━╸━━━━━━━  43%  2.21 of 5.19 GB  386 MB/s  8 s left
    writing shards     ━━━━━━━━━━━━━━━━  1,000,000 records  1,310,222/s  0.8 s
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
from rich.text import Text

from pipeline.cli.display import Meter, duration, time_left

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.progress import Task

REFRESHES_PER_SECOND = 5
STAGE_WIDTH = 18  # "evaluating on test"; longer names move the bar
BAR_WIDTHS = (10, 24)  # at least, at most
SAYS_WIDTH = 50  # of what is said beside the bar, without the records
GAP = 2


class Bars:
    """Draws a bar per stage on standard error; bars of stages that are over stay where they are."""

    def __init__(self) -> None:
        self._drawing: Progress | None = None
        self._meter = Meter("", None, "")

    def start(self, stage: str, *, total: int | None, unit: str) -> None:
        """Begin a bar."""
        self.close()
        self._meter = Meter(stage, total, unit)
        console = Console(stderr=True, highlight=False)
        room = console.width - max(STAGE_WIDTH, len(stage)) - 2
        bar_width = min(max(room - SAYS_WIDTH - GAP, BAR_WIDTHS[0]), BAR_WIDTHS[1])
        self._drawing = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=bar_width),
            _Says(self._meter, width=max(room - bar_width - GAP, 0)),
            console=console,
            refresh_per_second=REFRESHES_PER_SECOND,
        )
        self._drawing.add_task(f"{stage:<{STAGE_WIDTH}}", total=total, state="running", result="")
        self._drawing.start()

    def advance(self, amount: int, *, records: int = 0) -> None:
        """Move the bar."""
        if self._drawing is not None:
            self._meter.add(amount, records)
            self._drawing.advance(self._drawing.task_ids[0], amount)

    def finish(self, result: str = "") -> None:
        """Fill the bar and leave it as it stands, with the `result`."""
        # A header is no record, and the total of a compressed file was guessed.
        self._end("done", result, completed=max(self._meter.total or 0, self._meter.done, 1))

    def close(self) -> None:
        """Leave the bar of a stage that is not finished where it stands, and give the terminal back."""
        self._end("stopped", "", completed=self._meter.done)

    def _end(self, state: str, result: str, *, completed: int) -> None:
        drawing, self._drawing = self._drawing, None
        if drawing is None:
            return
        total = completed if state == "done" else self._meter.total
        drawing.update(
            drawing.task_ids[0], completed=completed, total=total, state=state, result=result, refresh=True
        )
        drawing.stop()


class _Says(ProgressColumn):
    """What stands beside the bar; what matters least is left out where the terminal is narrow."""

    def __init__(self, meter: Meter, *, width: int) -> None:
        super().__init__()
        self._meter = meter
        self._width = width

    def render(self, task: Task) -> Text:
        """Return the text for the state in which the stage is."""
        meter, state = self._meter, task.fields["state"]
        amounts = meter.amounts(of_total=state != "done")
        if state == "running":
            share = [f"{min(meter.done / meter.total, 1):4.0%}"] if meter.total else []
            ends = time_left(meter) or [duration(meter.seconds)]
        else:
            share = [task.fields["result"]] if task.fields["result"] else []
            ends = [("stopped after " if state == "stopped" else "") + duration(meter.seconds)]
        return Text(_fitted(share, amounts, ends, self._width), no_wrap=True, overflow="ellipsis")


def _fitted(share: Sequence[str], amounts: Sequence[str], ends: Sequence[str], width: int) -> str:
    """Return all of it, or with fewer and fewer of the amounts, so that it fits."""
    for count in range(len(amounts), -1, -1):
        said = "  ".join([*share, *amounts[:count], *ends])
        if len(said) <= width:
            break
    return said
