"""Owns which runs stay in memory: all of them while the budget lasts, then the oldest go to disk.

Only as much is spilled as the budget asks for: a source that nearly fits is nearly not spilled. A run may
carry a note, of any kind, which is handed out again when the run has safely reached the disk.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

from pipeline.runs.ranks import RankIndex
from pipeline.runs.spilled import SpilledRun, cell_edges, spill

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pipeline.runs.run import Run
    from pipeline.storage.paths import AnyPath

Note = TypeVar("Note")

SPILLS_PER_BUDGET = 4  # a spill frees a quarter: few large files, and the other workers go on meanwhile


class RunStore(Generic[Note]):
    """Takes runs from any thread and keeps at most `budget_bytes` of them in memory.

    `on_spill(spilled, notes)` is called for every file, when it is safely on disk; `spilled` are files that
    are there from before.
    """

    def __init__(
        self,
        folder: AnyPath,
        *,
        budget_bytes: int,
        cell_bits: int,
        on_spill: Callable[[SpilledRun, Sequence[Note]], None],
        spilled: Sequence[SpilledRun] = (),
    ) -> None:
        self._folder = folder
        self._budget_bytes = budget_bytes
        self._cell_bits = cell_bits
        self._on_spill = on_spill
        self._edges = cell_edges(cell_bits)
        self._in_memory: list[tuple[Run, Note]] = []
        self._spilled = list(spilled)
        self._kept_bytes = self._freeing_bytes = 0
        self._room = threading.Condition()

    def add(self, run: Run, note: Note) -> None:
        """Take `run`; the calling thread spills older runs, or waits for another's spill, to make room.

        Raises:
            OSError: the disk is full or fails.
        """
        with self._room:
            self._in_memory.append((run, note))
            self._kept_bytes += run.num_bytes
            while self._freeing_bytes and self._kept_bytes + self._freeing_bytes > self._budget_bytes:
                self._room.wait()
            unit = self._budget_bytes // SPILLS_PER_BUDGET
            if self._freeing_bytes or self._kept_bytes + unit <= self._budget_bytes:
                return
            victims = self._take_oldest(unit)
            path = self._folder / f"run-{len(self._spilled):05d}"
        try:
            spilled = spill([run for run, _ in victims], path, self._edges)
            self._on_spill(spilled, [note for _, note in victims])
            self._spilled.append(spilled)
        finally:
            victims.clear()
            with self._room:
                self._freeing_bytes = 0
                self._room.notify_all()

    def _take_oldest(self, num_bytes: int) -> list[tuple[Run, Note]]:
        """Remove and return the oldest runs, at least `num_bytes` of them as far as there are so many."""
        count = 0
        while self._freeing_bytes < num_bytes and count < len(self._in_memory):
            self._freeing_bytes += self._in_memory[count][0].num_bytes
            count += 1
        self._kept_bytes -= self._freeing_bytes
        victims, self._in_memory = self._in_memory[:count], self._in_memory[count:]
        return victims

    @property
    def num_spilled(self) -> int:
        """The number of run files."""
        return len(self._spilled)

    def index(self) -> RankIndex:
        """Return the index of all records, once the last run is in."""
        return RankIndex([run for run, _ in self._in_memory], self._spilled, cell_bits=self._cell_bits)
