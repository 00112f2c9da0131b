"""Owns the framing of TFRecord: where records begin in a buffer, and that their lengths are what was written.

    frame     uint64 length, uint32 masked CRC-32C of it, payload, uint32 masked CRC-32C of the payload

Knows nothing of what a payload holds. Neighbours: `tf_example_decode` reads the payloads.

Source: TensorFlow, "TFRecord and tf.train.Example", section "TFRecords format details".
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np

from pipeline.errors import ShardError
from pipeline.formats.crc32c import Slot, crc32c_of_filled, mask, rows_at
from pipeline.formats.tf_example import FOOTER_BYTES, HEADER_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Offsets = NDArray[np.int64]

LENGTH = struct.Struct("<Q")
FRAME_BYTES = HEADER_BYTES + FOOTER_BYTES
BLOCK_BYTES = 8 << 20  # 50,000 records of 28 floats: long operations, and still in the outer cache
HINT = "restore the shard from a copy, or convert again"


def record_offsets(data: Bytes) -> Offsets:
    """Return where records begin, and where the last ends, int64 (num_records + 1,); verifies the lengths."""
    offsets, begins = _frames(data)
    headers = rows_at(data, begins, HEADER_BYTES)
    lengths = Slot(begin=0, values=headers[:, : LENGTH.size])
    crcs = crc32c_of_filled(bytes(LENGTH.size), [lengths], num_records=len(headers))
    wrong = np.flatnonzero(mask(crcs) != as_numbers(headers[:, LENGTH.size :]))
    if len(wrong):
        raise damaged_record(int(wrong[0]), offsets, "the checksum of its length does not match")
    if offsets[-1] < len(data):
        raise damaged_record(len(offsets) - 1, offsets, f"cut: the data end within it, at byte {len(data)}")
    return offsets


def _frames(data: Bytes) -> tuple[Offsets, Offsets]:
    """Return the offsets of all whole records, and where the headers begin: a cut record may have one, too.

    Of headers that are all alike, the first stands for all.
    """
    if len(data) >= FRAME_BYTES:
        stride = LENGTH.unpack_from(data.data)[0] + FRAME_BYTES
        if len(data) % stride == 0:
            lengths: NDArray[np.uint64] = np.ndarray((len(data) // stride,), "<u8", data, 0, (stride,))
            if (lengths == lengths[0]).all():
                offsets = np.arange(0, len(data) + 1, stride, dtype=np.int64)
                crcs: NDArray[np.uint32] = np.ndarray(lengths.shape, "<u4", data, LENGTH.size, (stride,))
                return offsets, offsets[:1] if (crcs == crcs[0]).all() else offsets[:-1]
    return _walked_frames(data.data)


def _walked_frames(data: memoryview) -> tuple[Offsets, Offsets]:
    # Each length says where the next one stands, so this cannot be done column-wise: 0.15 us a record.
    begin, end = 0, len(data)
    begins = []
    while begin + HEADER_BYTES <= end:
        begins.append(begin)
        begin += LENGTH.unpack_from(data, begin)[0] + FRAME_BYTES
    offsets = [*begins, begin] if begin <= end else begins
    return np.array(offsets, np.int64), np.array(begins, np.int64)


def frames_of(data: Bytes, begins: Offsets, frame_bytes: int) -> Bytes:
    """Return frames of one size, uint8 (num_records, frame_bytes) in C order; not copied if back to back."""
    first, end = int(begins[0]), int(begins[-1]) + frame_bytes
    if end - first == len(begins) * frame_bytes:
        return data[first:end].reshape(-1, frame_bytes)
    return rows_at(data, begins, frame_bytes)


def damaged_record(record_index: int, offsets: Offsets, message: str) -> ShardError:
    """Return the error for a record, with its index and its place."""
    place = f"record {record_index} at byte {offsets[record_index]}"
    return ShardError(f"{place}: {message}", hint=HINT)


def as_numbers(rows: Bytes) -> NDArray[np.uint32]:
    """Return 4 little-endian bytes a row, uint8 (num_records, 4), as numbers (num_records,)."""
    return np.ascontiguousarray(rows).view("<u4")[:, 0]


def blocks_of_one_size(frame_bytes: Offsets) -> Iterator[Offsets]:
    """Yield the records, by index and ascending, in blocks of records of one size."""
    order = np.argsort(frame_bytes, kind="stable")
    sizes = frame_bytes[order]
    firsts = np.flatnonzero(np.diff(sizes, prepend=-1))
    for first, end in zip(firsts.tolist(), [*firsts[1:].tolist(), len(order)], strict=False):
        step = max(1, BLOCK_BYTES // int(sizes[first]))
        for begin in range(first, end, step):
            yield order[begin : min(begin + step, end)]
