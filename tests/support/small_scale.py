"""The real program at a small scale: a source of 70 kB has many byte ranges, runs on disk, and row groups.

Files that are written aside have names that can be told beforehand.

python -m support.small_scale convert raw.csv shards
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pipeline import plan
from pipeline.__main__ import main
from pipeline.convert import planning
from pipeline.convert.memory import divide
from pipeline.storage import files

if TYPE_CHECKING:
    from pipeline.plan import MemoryPlan

RANGE_BYTES = 8 << 10
RUNS_BYTES = 16 << 10
ROW_GROUP_BYTES = 8 << 10
MAX_CELL_BITS = 3  # what raw.csv has anyway; where the size is not known, there are many more


def shrink() -> None:
    """Make byte ranges, the memory for runs, and row groups small, for the rest of this process."""
    plan.Identity.__init__.__kwdefaults__["range_bytes"] = RANGE_BYTES
    plan.ROW_GROUP_BYTES = ROW_GROUP_BYTES

    def little(*given: Any, **named: Any) -> MemoryPlan:
        divided = divide(*given, **named)
        return dataclasses.replace(
            divided, runs_bytes=RUNS_BYTES, cell_bits=min(divided.cell_bits, MAX_CELL_BITS)
        )

    planning.memory.divide = little
    files._aside_name = lambda name: name + files.PARTIAL


if __name__ == "__main__":
    shrink()
    main()
