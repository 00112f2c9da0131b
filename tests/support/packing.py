"""Compresses data in every way that sources may be compressed."""

from __future__ import annotations

import bz2
import gzip
import lzma
from functools import partial
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Callable


def _zstd(data: bytes) -> bytes:
    """Compress with zstd, as one frame."""
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(data)
    return bytes(sink.getvalue().to_pybytes())


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": partial(gzip.compress, mtime=0),
    "zstd": _zstd,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}
SUFFIXES = {"gzip": ".csv.gz", "zstd": ".csv.zst", "bzip2": ".csv.bz2", "xz": ".csv.xz"}
