"""Owns the division of `--memory` in a prediction: how many byte ranges may be in work at a time.

    --memory  =  base  +  model  +  writing  +  (threads + 2) * range

    base      BASE_BYTES: the interpreter, TensorFlow and Keras, Polars and Arrow, loaded and warm
    model     ACTIVATION_BYTES for each record of a batch, PARAMETER_BYTES for each parameter
    writing   WRITING_BYTES: the row group that is held and encoded
    range     its text, CELL_BYTES for each of its cells, TEXT_COPIES of the texts to be kept; one for each
              thread, one that is waiting, and one that the model works on

The factors are measured, and held by tests/memory.
"""

from __future__ import annotations

import math

from pipeline.errors import MemoryBudgetError

BASE_BYTES = 790 << 20  # two thirds of it are pages of TensorFlow's libraries
ACTIVATION_BYTES = 8 << 10  # two layers of 1,000 units; a wider network wants a smaller batch
PARAMETER_BYTES = 16  # float32, as read from the file, as a variable, and packed for the matrix products
WRITING_BYTES = 48 << 20  # three row groups of 16 MiB
# float64 from Polars (8), as rows (8), compared and reordered (8); a text that is not wanted takes 16.
CELL_BYTES = 36  # as in a conversion
TEXT_COPIES = 9  # likewise
SLACK = 0.80  # of what is allocated anew for each range, the allocators keep some


def affordable_threads(
    memory_bytes: int,
    *,
    num_workers: int,
    num_parameters: int,
    batch_size: int,
    range_bytes: int,
    num_cells_per_range: int,
    text_bytes_per_range: int,
) -> int:
    """Return how many threads may read, at most `num_workers`.

    `num_cells_per_range` is the expected number of values (records times columns) in a byte range,
    `text_bytes_per_range` what of its text is in columns of text that are kept.

    Raises:
        MemoryBudgetError: not even one can be had; it names the memory that would do.
    """
    fixed = BASE_BYTES + WRITING_BYTES + ACTIVATION_BYTES * batch_size + PARAMETER_BYTES * num_parameters
    per_range = (range_bytes + CELL_BYTES * num_cells_per_range + TEXT_COPIES * text_bytes_per_range) / SLACK
    threads = int((memory_bytes - fixed) / per_range) - 2
    if threads < 1:
        needed = math.ceil((fixed + 3 * per_range) / (1 << 20))
        raise MemoryBudgetError(
            f"--memory {memory_bytes >> 20}MiB is too little for this model and source",
            hint=f"pass --memory {needed}MiB or more",
        )
    return min(num_workers, threads)
