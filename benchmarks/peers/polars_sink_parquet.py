"""CSV to one Parquet file with Polars, streaming: no shuffle, no split, no statistics.

Usage: polars_sink_parquet.py SOURCE FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import polars as pl


def main(source: str, folder: Path) -> None:
    """Do the job."""
    folder.mkdir()
    pl.scan_csv(source).sink_parquet(folder / "all.parquet", compression="uncompressed")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
