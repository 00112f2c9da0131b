"""The floor: Polars parses blocks of whole records of about 8 MiB, one thread per core, and nothing else.

The blocks are read and parsed just as `pipeline convert` does; what it does beyond this time is its own.
Usage: polars_parse_blocks.py SOURCE FOLDER
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl

BLOCK_BYTES = 8 << 20
LOOK_AHEAD_BYTES = 4 << 10


def main(source: Path) -> None:
    """Print the number of records."""
    num_bytes = source.stat().st_size
    with source.open("rb") as file:
        header = file.readline()
    schema = dict.fromkeys(header.decode().strip().split(","), pl.Float64)
    descriptor = os.open(source, os.O_RDONLY)

    def border(at: int) -> int:
        return at + os.pread(descriptor, LOOK_AHEAD_BYTES, at).find(b"\n") + 1

    def parse(index: int) -> int:
        begin = border(index * BLOCK_BYTES - 1) if index else len(header)
        end = num_bytes if (index + 1) * BLOCK_BYTES >= num_bytes else border((index + 1) * BLOCK_BYTES - 1)
        text = os.pread(descriptor, end - begin, begin)
        return pl.read_csv(text, has_header=False, schema=schema).height

    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        print(sum(pool.map(parse, range(-(-num_bytes // BLOCK_BYTES)))))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
