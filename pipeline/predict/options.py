"""Owns what a user can ask of a prediction, checked without model and source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipeline.errors import OptionError
from pipeline.models.inference import PRECISIONS
from pipeline.plan import DEFAULT_MEMORY_BYTES, RANGE_BYTES, ConvertOptions, Identity

if TYPE_CHECKING:
    from pathlib import Path

TableFormat = Literal["parquet", "csv"]

BATCH_SIZE = 4096  # records: activations of 500 units are 8 MB then; a larger batch is no faster
SUFFIXES: dict[str, TableFormat] = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PredictOptions:
    """Everything a user can ask of a prediction; the defaults are those of the command line.

    `keep` are columns of the source to be carried into the output. `table_format` is told by the name of the
    output where it is None. The hidden layers compute in `precision`. How the text is read is asked for as in
    a conversion; `range_bytes` of it are read at a time.
    """

    keep: tuple[str, ...] = ()
    table_format: TableFormat | None = None
    batch_size: int = BATCH_SIZE
    precision: str = "float32"
    delimiter: str | None = None
    has_header: bool = True
    on_bad_row: Literal["error", "skip"] = "error"
    on_missing: Literal["error", "drop", "mean"] = "error"
    on_nonfinite: Literal["error", "drop"] = "error"
    max_rejects: int | None = None
    memory_bytes: int = DEFAULT_MEMORY_BYTES
    num_workers: int | None = None
    range_bytes: int = RANGE_BYTES
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            OptionError: one of them is out of its range.
        """
        self.reading()
        if self.batch_size < 1:
            raise OptionError(f"--batch-size {self.batch_size}: expected at least 1")
        if self.precision not in PRECISIONS:
            raise OptionError(f"--precision {self.precision}: expected {' or '.join(PRECISIONS)}")
        if len(set(self.keep)) != len(self.keep):
            raise OptionError(f"--keep {', '.join(self.keep)}: each column once")

    def reading(self) -> ConvertOptions:
        """Return the options of a conversion that reads the text in the same way.

        Raises:
            OptionError: one of them is out of its range.
        """
        return ConvertOptions(
            identity=Identity(
                range_bytes=self.range_bytes,
                on_bad_row=self.on_bad_row,
                on_missing=self.on_missing,
                on_nonfinite=self.on_nonfinite,
            ),
            delimiter=self.delimiter,
            has_header=self.has_header,
            memory_bytes=self.memory_bytes,
            num_workers=self.num_workers,
            max_rejects=self.max_rejects,
        )

    def format_of(self, output: Path) -> TableFormat:
        """Return the format in which `output` is to be written.

        Raises:
            OptionError: neither the options nor its name tell.
        """
        found = self.table_format or SUFFIXES.get(output.suffix.lower())
        if found is None:
            raise OptionError(
                f"{output.name}: a name that ends in none of {', '.join(SUFFIXES)}",
                hint="pass --format parquet or --format csv",
            )
        return found
