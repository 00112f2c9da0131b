"""Reads a CSV with pandas, 100,000 records at a time, and does nothing with them.

Usage: pandas_parse_chunks.py SOURCE FOLDER
"""

from __future__ import annotations

import sys

import pandas as pd


def main(source: str) -> None:
    """Print the number of records."""
    with pd.read_csv(source, chunksize=100_000) as frames:
        print(sum(map(len, frames)))


if __name__ == "__main__":
    main(sys.argv[1])
