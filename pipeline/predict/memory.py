"""Owns the division of `--memory` in a prediction: how much is read at a time, and by how many threads.

    --memory  =  base  +  model  +  writing  +  2 * range  +  threads * (range + batch)

    base      BASE_BYTES: the interpreter, TensorFlow and Keras, Polars and Arrow, loaded and warm
    model     PARAMETER_BYTES for each parameter
    writing   WRITING_BYTES: the row group that is held and encoded
    range     its text, CELL_BYTES for each of its cells, TEXT_COPIES of the texts to be kept; one for each
              thread, one that is waiting, and one that is written
    batch     for each record of it two layers: LAYER_BYTES each, or the width of a square matrix that had
              all the parameters

How much is read at a time depends on the source alone: batches end where ranges do, and the last bits of a
prediction may depend on the batch. The factors are measured, and held by tests/memory.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from pipeline.errors import MemoryBudgetError

BASE_BYTES = 790 << 20  # two thirds of it are pages of TensorFlow's libraries
LAYER_BYTES = 4 << 10  # of a record: a layer of 1,000 units, in float32
PARAMETER_BYTES = 28  # float32: in the file, as a variable, merged and copied for that, packed for products
WRITING_BYTES = 48 << 20  # three row groups of 16 MiB
RANGE_BYTES = 20 << 20  # what a range may take: 8 MiB of the text of HEPMASS do
# float64 from Polars (8), as rows (8), compared and reordered (8); a text that is not wanted takes 16.
CELL_BYTES = 36  # as in a conversion
TEXT_COPIES = 9  # likewise
SLACK = 0.80  # of what is allocated anew for each range, the allocators keep some


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordSize:
    """How large a record is on average: its text, its cells, and what of the text is to be kept as text."""

    text_bytes: float
    num_cells: int
    kept_text_bytes: float

    @property
    def work_bytes(self) -> float:
        """What a record takes while its range is read."""
        return self.text_bytes + CELL_BYTES * self.num_cells + TEXT_COPIES * self.kept_text_bytes


def fitting_range(record: RecordSize, *, at_most: int) -> int:
    """Return how many bytes of text may be read at a time."""
    return max(1, min(at_most, int(RANGE_BYTES / record.work_bytes * record.text_bytes)))


def affordable_threads(
    memory_bytes: int,
    record: RecordSize,
    *,
    num_workers: int,
    num_parameters: int,
    batch_size: int,
    range_bytes: int,
) -> int:
    """Return how many threads may read and ask the model, at most `num_workers`.

    Raises:
        MemoryBudgetError: not even one can be had; it names the memory that would do.
    """
    fixed = BASE_BYTES + WRITING_BYTES + PARAMETER_BYTES * num_parameters
    per_range = range_bytes / record.text_bytes * record.work_bytes / SLACK
    layer_bytes = max(LAYER_BYTES, 4 * math.isqrt(num_parameters))
    per_thread = per_range + 2 * layer_bytes * batch_size
    threads = int((memory_bytes - fixed - 2 * per_range) / per_thread)
    if threads < 1:
        needed = math.ceil((fixed + 2 * per_range + per_thread) / (1 << 20))
        raise MemoryBudgetError(
            f"--memory {memory_bytes >> 20}MiB is too little for this model and source",
            hint=f"pass --memory {needed}MiB or more",
        )
    return min(num_workers, threads)
