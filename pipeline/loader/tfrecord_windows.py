"""Owns a TFRecord file in windows of whole records, plain or gzip: memory is that of a window.

A length is believed only when it fits into the window; else its checksum is verified first, so that a damaged
one does not lead to reading the rest of the file into memory. Neighbours: `read_tfrecord`, `scan_tfrecord`.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pipeline.errors import ShardError
from pipeline.formats.crc32c import masked_crc32c
from pipeline.formats.tf_example import HEADER_BYTES
from pipeline.formats.tfrecord_frames import FRAME_BYTES, LENGTH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Offsets = NDArray[np.int64]

WINDOW_BYTES = 4 << 20
MAX_RECORD_BYTES = 64 << 20  # a record of the source has at most 16 MiB; `1,` becomes 4 bytes


class Readable(Protocol):
    """A file, or what decompresses one."""

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill `buffer` with what comes next and return how many bytes that was, 0 at the end."""


def is_gzip(head: bytes) -> bool:
    """Whether a file that begins with `head`, 12 bytes, is gzip and no plain TFRecord."""
    # The first length has a checksum of its own; no gzip header passes for it.
    return head[:2] == b"\x1f\x8b" and struct.pack("<I", masked_crc32c(head[:8])) != head[8:]


def windows_of(file: Readable) -> Iterator[tuple[memoryview, Offsets]]:
    """Yield the records of `file`, a window at a time, and where within it each begins and the last one ends.

    A window is overwritten by the next.

    Raises:
        ShardError: the file ends within a record, or a record is longer than any can be.
    """
    buffer, held = bytearray(WINDOW_BYTES), 0
    while num_bytes := file.readinto(memoryview(buffer)[held:]):
        held += num_bytes
        window = memoryview(buffer)[:held]
        offsets = _offsets_within(window)
        end = int(offsets[-1])
        if end:
            yield window[:end], offsets
        rest = bytes(window[end:])
        held = len(rest)
        if (needed := _bytes_of_next(rest)) > len(buffer):
            buffer = bytearray(needed)
        buffer[:held] = rest
    if held:
        raise ShardError("cut: it ends within a record")


def _bytes_of_next(rest: bytes) -> int:
    """Return how long the record is that begins with `rest`, or 0 while that cannot be told."""
    if len(rest) < HEADER_BYTES:
        return 0
    if struct.pack("<I", masked_crc32c(rest[: LENGTH.size])) != rest[LENGTH.size : HEADER_BYTES]:
        raise ShardError("damaged: the checksum of the length of a record does not match")
    num_bytes = int(LENGTH.unpack_from(rest)[0]) + FRAME_BYTES
    if num_bytes > MAX_RECORD_BYTES:
        raise ShardError(f"a record of {num_bytes} bytes, expected at most {MAX_RECORD_BYTES}")
    return num_bytes


def _offsets_within(window: memoryview) -> Offsets:
    if len(window) >= FRAME_BYTES:
        stride = LENGTH.unpack_from(window)[0] + FRAME_BYTES
        if stride <= len(window):
            count = len(window) // stride
            lengths: NDArray[np.uint64] = np.ndarray((count,), "<u8", window, 0, (stride,))
            if (lengths == lengths[0]).all():
                return np.arange(0, count * stride + 1, stride, dtype=np.int64)
    offsets = [0]
    while offsets[-1] + HEADER_BYTES <= len(window):
        end = offsets[-1] + LENGTH.unpack_from(window, offsets[-1])[0] + FRAME_BYTES
        if end > len(window):
            break
        offsets.append(end)
    return np.array(offsets, np.int64)
