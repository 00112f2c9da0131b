"""How each reader is called on a CSV of numbers: as its documentation does, and with the types given.

The first of two calls leaves everything to the reader, the second tells what the first user of a numeric CSV
tells once bitten: the type of every column by its name (numbers float64, kept integers int64, all else text),
that there is a header, and whatever option the reader's documentation names for line ends within quotes, for
exact numbers, or for missing fields. A delimiter is told in both, if it is no comma. (pandas reads zstd by a
package that is not in the pinned set: it refuses these files.)
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from pipeline.manifest import load
from support.hard_texts import names_of
from support.verdicts import Table

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.fixtures import Fixture

OURS = "ours"
DEFAULTS, TYPED = "its defaults", "types given"
TIMEOUT_SECONDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A reader in one way of calling it; `read` returns what it makes of a file, or raises."""

    package: str
    how: str
    call: str
    read: Callable[[Path, Fixture, dict[str, str]], Table]


def with_pyarrow(path: Path, fixture: Fixture, types: dict[str, str]) -> Table:
    """Read by pyarrow.csv; threads and the size of blocks are its own."""
    names = {"float": pa.float64(), "integer": pa.int64(), "text": pa.string()}
    parse = {"delimiter": fixture.delimiter or ","} | ({"newlines_in_values": True} if types else {})
    table = pyarrow.csv.read_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(autogenerate_column_names=not fixture.has_header),
        parse_options=pyarrow.csv.ParseOptions(**parse),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types={name: names[kind] for name, kind in types.items()}
        ),
    )
    columns = [column.to_pylist() for column in table.columns]
    return Table(names=table.column_names, rows=list(zip(*columns, strict=True)))


def with_polars(path: Path, fixture: Fixture, types: dict[str, str]) -> Table:
    """Read by polars.read_csv."""
    names = {"float": pl.Float64(), "integer": pl.Int64(), "text": pl.String()}
    told = {"missing_columns": "raise", "extra_columns": "raise"} if types else {}
    frame = pl.read_csv(
        path,
        separator=fixture.delimiter or ",",
        has_header=fixture.has_header,
        schema_overrides={name: names[kind] for name, kind in types.items()} or None,
        **told,
    )
    return Table(names=frame.columns, rows=frame.rows())


def with_pandas(path: Path, fixture: Fixture, types: dict[str, str]) -> Table:
    """Read by pandas.read_csv."""
    names = {"float": "float64", "integer": "int64", "text": "str"}
    told: dict[str, Any] = {"index_col": False, "float_precision": "round_trip"} if types else {}
    frame = pd.read_csv(
        path,
        sep=fixture.delimiter or ",",
        header=0 if fixture.has_header else None,
        dtype={name: names[kind] for name, kind in types.items()} or None,
        **told,
    )
    columns = [
        [None if pd.isna(value) else value for value in frame.iloc[:, at].tolist()]
        for at in range(frame.shape[1])
    ]
    return Table(names=list(frame.columns), rows=list(zip(*columns, strict=True)))


def with_duckdb(path: Path, fixture: Fixture, types: dict[str, str]) -> Table:
    """Read by DuckDB's read_csv."""
    names = {"float": "DOUBLE", "integer": "BIGINT", "text": "VARCHAR"}
    told = {"header": fixture.has_header, "dtype": {n: names[kind] for n, kind in types.items()}}
    with duckdb.connect() as connection:
        found = connection.read_csv(
            str(path),
            **({"delimiter": fixture.delimiter} if fixture.delimiter else {}),
            **(told if types else {}),
        )
        return Table(names=found.columns, rows=found.fetchall())


def with_ours(path: Path, fixture: Fixture, _: dict[str, str]) -> Table:
    """Convert by the command of this package in a process of its own, and read the shards by pyarrow.

    Raises:
        subprocess.CalledProcessError: the command told an error.
    """
    shards = path.parent / "shards"
    kinds = dict(zip(names_of(fixture.kinds[:8]), fixture.kinds, strict=False))
    options = [
        *(part for name, kind in kinds.items() if kind.startswith("kept") for part in ("--keep", name)),
        *(part for name, kind in kinds.items() if kind == "dropped" for part in ("--drop", name)),
        *(("--label", fixture.label) if fixture.label else ()),
        *(("--delimiter", fixture.delimiter) if fixture.delimiter else ()),
        *(() if fixture.has_header else ("--no-header",)),
    ]
    command = (sys.executable, "-m", "pipeline", "convert", str(path), str(shards), "--no-standardize")
    subprocess.run([*command, "--quiet", *options], check=True, capture_output=True, timeout=TIMEOUT_SECONDS)
    rows = read_shards(shards, fixture)
    shutil.rmtree(shards)
    return Table(names=[*range(len(fixture.kinds))], rows=rows, in_order=False)


def read_shards(shards: Path, fixture: Fixture) -> list[tuple[Any, ...]]:
    """Return the records of all shards, classes by what they stand for, None in the place of dropped ones."""
    manifest = load(shards)
    files = [shard.path for split in manifest.splits.values() for shard in split.shards]
    table = pa.concat_tables(pyarrow.parquet.read_table(shards / file) for file in files)
    columns = {name: table.column(name).to_pylist() for name in table.column_names}
    if manifest.label.kind == "classes":
        label = manifest.label.name
        columns[label] = [manifest.label.classes[index] for index in columns[label]]
    written = iter(columns.values())
    nothing = [None] * table.num_rows
    return list(
        zip(*(nothing if kind == "dropped" else next(written) for kind in fixture.kinds), strict=True)
    )


def types_of(fixture: Fixture) -> dict[str, str]:
    """Return the type of each column by its name as it is written."""
    if not fixture.has_header:
        return {}
    first = fixture.text.removeprefix(b"\xef\xbb\xbf").decode(errors="replace").lstrip("\n\r\t ")
    names = first.partition("\n")[0].rstrip("\r").split(fixture.delimiter or ",")
    kinds = {"feature": "float", "label": "float", "kept number": "float", "kept integer": "integer"}
    return {
        name.strip('"'): kinds.get(kind, "text") for name, kind in zip(names, fixture.kinds, strict=False)
    }


ARROW, POLARS, PANDAS, DUCKDB = (
    "pyarrow.csv.read_csv(path{})",
    "polars.read_csv(path{})",
    "pandas.read_csv(path{})",
    "duckdb.read_csv(path{})",
)
READERS = (
    Reader(package="pyarrow", how=DEFAULTS, call=ARROW.format(""), read=with_pyarrow),
    Reader(
        package="pyarrow",
        how=TYPED,
        call=ARROW.format(", column_types=…, newlines_in_values=True"),
        read=with_pyarrow,
    ),
    Reader(package="polars", how=DEFAULTS, call=POLARS.format(""), read=with_polars),
    Reader(
        package="polars",
        how=TYPED,
        call=POLARS.format(', schema_overrides=…, missing_columns="raise", extra_columns="raise"'),
        read=with_polars,
    ),
    Reader(package="pandas", how=DEFAULTS, call=PANDAS.format(""), read=with_pandas),
    Reader(
        package="pandas",
        how=TYPED,
        call=PANDAS.format(', dtype=…, index_col=False, float_precision="round_trip"'),
        read=with_pandas,
    ),
    Reader(package="duckdb", how=DEFAULTS, call=DUCKDB.format(""), read=with_duckdb),
    Reader(package="duckdb", how=TYPED, call=DUCKDB.format(", header=True, dtype=…"), read=with_duckdb),
    Reader(package=OURS, how="", call="pipeline convert path shards --no-standardize", read=with_ours),
)
