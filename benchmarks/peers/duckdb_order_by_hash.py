"""The whole job with DuckDB, in at most 2 GB: its sort goes to disk beyond that.

Read into a table in the order of a hash of the values and a seed, split exactly by row number, mean and std
of the train split, standardize, float32, write as many Parquet files as `pipeline convert` does. Usage:
duckdb_order_by_hash.py SOURCE FOLDER
"""

# ruff: noqa: S608  # DuckDB takes no parameters for columns and files; these are our own

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

RECORDS_PER_FILE = (64 << 20) // (28 * 4 + 8)  # 64 MiB of 28 float32 features and an int64 label
SEED = 42


def main(source: str, folder: Path) -> None:
    """Do the job."""
    folder.mkdir()
    database = duckdb.connect()
    database.execute("set memory_limit = '2GB'")
    database.execute(f"set temp_directory = '{folder}.incomplete'")
    order = f"hash(f0, f1, f2, f3, mass, {SEED})"
    database.execute(f"create table shuffled as from read_csv('{source}') order by {order}")
    label, *features = (name for name, *_ in database.execute("describe shuffled").fetchall())
    [(num_records,)] = database.execute("select count(*) from shuffled").fetchall()
    tenth = num_records // 10
    num_train = num_records - 2 * tenth
    moments = ", ".join(f"avg({name}), stddev_pop({name})" for name in features)
    [found] = database.execute(f"select {moments} from shuffled where rowid < {num_train}").fetchall()
    scaled = ", ".join(
        f"(({name} - {mean!r}) / {std!r})::float as {name}"
        for name, mean, std in zip(features, found[::2], found[1::2], strict=True)
    )
    begin = 0
    for split, size in (("train", num_train), ("val", tenth), ("test", tenth)):
        count = -(-size // RECORDS_PER_FILE)
        cuts = [begin + size * index // count for index in range(count + 1)]
        for index in range(count):
            path = folder / f"{split}-{index:05d}-of-{count:05d}.parquet"
            database.execute(
                f'copy (select "{label}"::bigint as label, {scaled} from shuffled '
                f"where rowid >= {cuts[index]} and rowid < {cuts[index + 1]}) "
                f"to '{path}' (format parquet, compression uncompressed)"
            )
        begin += size


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
