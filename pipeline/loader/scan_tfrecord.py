"""Owns a TFRecord shard decoded from beginning to end, one window of 4 MiB in memory at a time."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import ShardError
from pipeline.formats.tf_example import TfField
from pipeline.formats.tf_example_decode import decode
from pipeline.formats.tfrecord import KINDS, OWN_NAMES
from pipeline.loader.read_tfrecord import open_records
from pipeline.loader.rows import REMAKE
from pipeline.loader.scanned import Scanned
from pipeline.loader.tfrecord_windows import windows_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.formats.tf_example import TfColumn
    from pipeline.manifest import Manifest

TILE_RECORDS = 512  # what is transposed at once: of 32 float32 these are 64 KiB, well within a core's L2


def scan_tfrecord(path: Path, manifest: Manifest) -> Iterator[Scanned]:
    """Yield the records of a shard; every record is decoded, checksums are verified 63 records at a time.

    Raises:
        ShardError: the bytes are damaged, or a record does not hold the columns of the manifest.
    """
    others = [column for column in manifest.columns if column.role != "feature"]
    fields = [TfField(name="features", kind="float", width=len(manifest.features))]
    fields += [TfField(name=OWN_NAMES.get(c.role, c.name), kind=KINDS[c.dtype]) for c in others]
    num_records = 0
    try:
        with open_records(path) as file:
            for window, offsets in windows_of(file):
                features, *rest = decode(window, fields, checksums="together")
                yield Scanned(
                    features=tuple(_transposed(features)),
                    others={
                        column.name: found.values.reshape(-1)
                        for column, found in zip(others, rest, strict=True)
                        if found.kind != "bytes"
                    },
                )
                num_records += len(offsets) - 1
    except ShardError as error:
        message = f"after {num_records} records: {error.message}" if num_records else error.message
        raise ShardError(message, path=str(path), hint=REMAKE) from None
    except (OSError, EOFError, zlib.error) as error:
        raise ShardError(f"damaged: {error}", path=str(path), hint=REMAKE) from None


def _transposed(column: TfColumn) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    # Tile by tile: copying the transposed whole would touch every line of the cache once per column.
    rows = column.values.reshape(len(column.values), -1)
    result = np.empty(rows.shape[::-1], np.float32)
    for begin in range(0, len(rows), TILE_RECORDS):
        result[:, begin : begin + TILE_RECORDS] = rows[begin : begin + TILE_RECORDS].T
    return result
