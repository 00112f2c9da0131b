"""Owns what a user can ask of an evaluation, checked without the dataset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.errors import OptionError
from pipeline.keys import SPLITS
from pipeline.models.inference import PRECISIONS

if TYPE_CHECKING:
    from pipeline.plan import ShardFormat

BATCH_SIZE = 8192  # records: activations of 500 units are 16 MB then; smaller and larger ones are slower


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """Everything a user can ask of an evaluation; the defaults are those of the command line.

    `slices` are columns by whose values the figures are told apart; columns are permuted over `importance`
    records, None is as many as a few seconds allow. `batch_size` changes speed and memory.
    The hidden layers compute in `precision`.
    """

    split: str = "test"
    slices: tuple[str, ...] = ()
    importance: int | None = None
    batch_size: int = BATCH_SIZE
    precision: str = "float32"
    shard_format: ShardFormat | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            OptionError: one of them is out of its range.
        """
        if self.split not in SPLITS:
            raise OptionError(f"--split {self.split}: expected {', '.join(SPLITS)}")
        if self.batch_size < 1:
            raise OptionError(f"--batch-size {self.batch_size}: expected at least 1")
        if self.precision not in PRECISIONS:
            raise OptionError(f"--precision {self.precision}: expected {' or '.join(PRECISIONS)}")
        if self.importance is not None and self.importance < 0:
            raise OptionError(f"--importance {self.importance}: expected at least 0")
        if len(set(self.slices)) != len(self.slices):
            raise OptionError(f"--slice {', '.join(self.slices)}: each column once")
