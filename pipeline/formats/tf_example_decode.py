"""Owns the way back from TFRecord bytes to columns: verifies every checksum, reads the records column-wise.

Reads what any writer may have written: names in any order, floats packed or not, names nobody asked for. One
record is parsed field by field; all records that equal it outside their values are then checked and read
together, at the same places. Neighbours: `tf_example` writes, `tfrecord` reads shards with it.

Source: TensorFlow, tensorflow/core/example/{example,feature}.proto and "TFRecord and tf.train.Example".
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.errors import ShardError
from pipeline.formats.crc32c import Slot, crc32c, crc32c_of_filled, mask, masked_crc32c, unmask
from pipeline.formats.protobuf import DELIMITED, FIXED32, MORE, VARINT, from_varint_rows, scan, scan_varints
from pipeline.formats.tf_example import FOOTER_BYTES, HEADER_BYTES, KIND_NUMBERS, TILE_BYTES, TfColumn
from pipeline.formats.tfrecord_frames import (
    HINT,
    as_numbers,
    blocks_of_one_size,
    damaged_record,
    frames_of,
    record_offsets,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Literal

    from numpy.typing import NDArray

    from pipeline.formats.tf_example import Kind, TfField

    Bytes = NDArray[np.uint8]
    Offsets = NDArray[np.int64]
    Checksums = Literal["each", "together"]
    Span = tuple[int, int]  # [begin, end) of a value in a payload

FLOAT_BYTES = 4
UNPACKED: dict[Kind, int] = {"bytes": DELIMITED, "float": FIXED32, "int64": VARINT}
SIDE_BY_SIDE = 64  # frames of 170 bytes: 11 kB, a long row and still in the innermost cache


def decode(
    framed: bytes | memoryview | Bytes, fields: Sequence[TfField], *, checksums: Checksums = "each"
) -> tuple[TfColumn, ...]:
    """Return the columns `fields` of all records, in the order of `fields`; every checksum is verified.

    With `checksums="together"` that is done for thousands of records at once, in no time. Any single wrong
    one is found, but two that are wrong in the same bits may pass: for who has another proof of the bytes.

    Floats come as float32 (num_records, width), where possible as a view of `framed`; bytes as large_string.
    Takes at most about 50 MiB beside the
    result; the GIL is released as in `encode`. A buffer cut exactly between two records gives fewer records
    and no error: the caller must know how many there are.

    Raises:
        ShardError: the bytes are damaged or cut, or a record does not hold what `fields` says. The message
            names the record (from 0) and its byte offset; the caller adds the path.
    """
    data = np.frombuffer(framed, np.uint8)
    offsets = record_offsets(data)
    columns = [_Filling(field, len(offsets) - 1) for field in fields]
    for block in blocks_of_one_size(np.diff(offsets)):
        frame_bytes = int(offsets[block[0] + 1] - offsets[block[0]])
        records, frames = block, frames_of(data, offsets[block], frame_bytes)
        while len(records):
            alike = _read_alike(frames, records, offsets, columns, checksums)
            records, frames = records[~alike], frames[~alike]
    return tuple(column.finish() for column in columns)


def _read_alike(
    frames: Bytes, records: Offsets, offsets: Offsets, columns: Sequence[_Filling], checksums: Checksums
) -> NDArray[np.bool_]:
    """Read the first of `records` and all that equal it outside their values; return which those are."""
    payload = frames[0, HEADER_BYTES:-FOOTER_BYTES].tobytes()
    if masked_crc32c(payload) != as_numbers(frames[:1, -FOOTER_BYTES:])[0]:
        raise damaged_record(int(records[0]), offsets, "the checksum of its payload does not match")
    try:
        layout = _locate(payload, [column.field for column in columns])
    except ShardError as error:
        raise damaged_record(int(records[0]), offsets, error.message) from error
    alike = _equal_to_first(frames, layout.fixed)
    if not alike.all():
        frames, records = frames[alike], records[alike]
    begin = _num_agreeing(frames) if checksums == "together" else 0
    wrong = _first_wrong(frames[begin:], layout, payload)
    if wrong is not None:
        raise damaged_record(
            int(records[begin + wrong]), offsets, "the checksum of its payload does not match"
        )
    for column, spans in zip(columns, layout.spans, strict=True):
        column.fill(records, [_bytes_at(frames, span) for span in spans])
    return alike


def _bytes_at(frames: Bytes, span: Span) -> Bytes:
    return frames[:, HEADER_BYTES + span[0] : HEADER_BYTES + span[1]]


def _equal_to_first(frames: Bytes, fixed: Bytes) -> NDArray[np.bool_]:
    """Return which frames equal the first in the bits of payload and checksum that are set in `fixed`."""
    differing = _reduced(np.bitwise_or, frames) ^ _reduced(np.bitwise_and, frames)
    equal = np.ones(len(frames), np.bool_)
    if (differing[HEADER_BYTES:] & fixed).any():
        step = max(1, TILE_BYTES // frames.shape[1])
        for begin in range(0, len(frames), step):
            different = frames[begin : begin + step, HEADER_BYTES:] ^ frames[0, HEADER_BYTES:]
            different &= fixed
            equal[begin : begin + step] = different.max(axis=1) == 0
    return equal


def _num_agreeing(frames: Bytes) -> int:
    """Return of how many frames, from the first, the checksums agree together: all but at most one, or none.

    Of an odd number of byte strings, the CRC of their XOR is the XOR of their CRCs.
    """
    count = len(frames) - 1 + len(frames) % 2
    joined = _reduced(np.bitwise_xor, frames[:count])[HEADER_BYTES:-FOOTER_BYTES]
    told = np.bitwise_xor.reduce(unmask(as_numbers(frames[:count, -FOOTER_BYTES:])))
    return count if crc32c(joined.tobytes()) == told else 0


def _reduced(operation: np.ufunc, frames: Bytes) -> Bytes:
    """Return `operation.reduce(frames)`, ten times as fast: some frames side by side make long rows."""
    wide = len(frames) // SIDE_BY_SIDE * SIDE_BY_SIDE
    rows = frames[:wide].reshape(-1, SIDE_BY_SIDE * frames.shape[1])
    joined = operation.reduce(rows).reshape(SIDE_BY_SIDE, -1) if wide else frames[:0]
    result: Bytes = operation.reduce(np.concatenate([joined, frames[wide:]]))
    return result


def _first_wrong(frames: Bytes, layout: _Layout, payload: bytes) -> int | None:
    """Return the first frame whose checksum is not that of its payload, or None."""
    # What is alike need not be summed again: only the values count.
    slots = [
        Slot(begin=span[0], values=np.ascontiguousarray(_bytes_at(frames, span)))
        for span in layout.free
        if span[0] < span[1]
    ]
    crcs = mask(crc32c_of_filled(layout.template(payload), slots, num_records=len(frames)))
    wrong = np.flatnonzero(crcs != as_numbers(frames[:, -FOOTER_BYTES:]))
    return int(wrong[0]) if len(wrong) else None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Layout:
    """Where the values stand in a payload.

    spans  of the values of each field, in the order of the fields
    free   all spans whose bytes may differ from record to record: the values, and what nobody asked for
    fixed  which bits of payload and checksum may not differ, uint8 (num_bytes,)
    """

    spans: list[list[Span]]
    free: list[Span]
    fixed: Bytes

    def template(self, payload: bytes) -> bytes:
        """Return `payload` with 0 in place of all that is free."""
        template = bytearray(payload)
        for begin, end in self.free:
            template[begin:end] = bytes(end - begin)
        return bytes(template)


def _locate(payload: bytes, fields: Sequence[TfField]) -> _Layout:
    features = _features(payload)
    fixed = np.full(len(payload) + FOOTER_BYTES, 0xFF, np.uint8)
    fixed[-FOOTER_BYTES:] = 0
    spans = []
    for field in fields:
        feature = features.pop(field.name.encode(), None)
        if feature is None:
            raise ShardError(f"has no feature {field.name!r}")
        spans.append(_value_spans(payload, feature, field))
        for begin, end in spans[-1]:
            # Whether a varint goes on is structure, its other bits are value.
            fixed[begin:end] = MORE if field.kind == "int64" else 0
    for begin, end in features.values():
        fixed[begin:end] = 0
    free = [*itertools.chain.from_iterable(spans), *features.values()]
    return _Layout(spans=spans, free=free, fixed=fixed)


def _features(payload: bytes) -> dict[bytes, Span]:
    """Return the place of each feature by name; of entries with one name, the last counts."""
    places = {}
    for features in _parts(payload, (0, len(payload)), 1):
        for entry in _parts(payload, features, 1):
            names, values = _parts(payload, entry, 1), _parts(payload, entry, 2)
            if values:
                places[payload[slice(*names[-1])] if names else b""] = values[-1]
    return places


def _parts(payload: bytes, message: Span, number: int) -> list[Span]:
    return [
        (part.begin, part.end)
        for part in scan(payload, *message)
        if (part.number, part.wire_type) == (number, DELIMITED)
    ]


def _value_spans(payload: bytes, feature: Span, field: TfField) -> list[Span]:
    spans: list[Span] = []
    for found in scan(payload, *feature):
        if (found.number, found.wire_type) != (KIND_NUMBERS[field.kind], DELIMITED):
            raise ShardError(f"feature {field.name!r} is no {field.kind} list")
        for value in scan(payload, found.begin, found.end):
            if (value.number, value.wire_type) == (1, DELIMITED) and field.kind == "int64":
                spans += scan_varints(payload, value.begin, value.end)
            elif value.number == 1 and value.wire_type in {DELIMITED, UNPACKED[field.kind]}:
                spans.append((value.begin, value.end))
            else:
                raise ShardError(f"feature {field.name!r} holds what is no {field.kind} value")
    num_bytes = sum(end - begin for begin, end in spans)
    num_values = num_bytes / FLOAT_BYTES if field.kind == "float" else len(spans)
    if num_values != field.width:
        raise ShardError(f"feature {field.name!r} holds {num_values:g} values, expected {field.width}")
    return spans


class _Filling:
    """A column while its records are being read, some here, some there."""

    __slots__ = ("_records", "_texts", "_values", "field")

    def __init__(self, field: TfField, num_records: int) -> None:
        self.field = field
        shape = (num_records, field.width) if field.kind == "float" else (num_records,)
        self._values: NDArray[Any] = np.empty(shape, np.float32 if field.kind == "float" else np.int64)
        self._texts: list[pa.Array] = [pa.nulls(0, pa.large_binary())]
        self._records: list[Offsets] = [np.empty(0, np.int64)]

    def fill(self, records: Offsets, values: Sequence[Bytes]) -> None:
        """Take the values of `records`: their bytes, uint8 (num_records, num_bytes), from each place."""
        if self.field.kind == "bytes":
            self._texts.append(_as_binary(np.ascontiguousarray(values[0])))
            self._records.append(records)
        elif self.field.kind == "int64":
            self._values[records] = from_varint_rows(values[0])
        elif values:
            joined = (values[0] if len(values) == 1 else np.concatenate(values, axis=1)).view("<f4")
            if len(records) == len(self._values):
                self._values = joined  # all of them: nothing need be copied
            else:
                self._values[records] = joined

    def finish(self) -> TfColumn:
        """Return the column, once every record was filled in."""
        name, kind = self.field.name, self.field.kind
        if kind != "bytes":
            return TfColumn(name=name, kind=kind, values=self._values)
        order = np.argsort(np.concatenate(self._records), kind="stable")
        # Not pa.array(): that imports pandas where it is installed, for a second and 40 MB.
        places = pa.Array.from_buffers(pa.int64(), len(order), [None, pa.py_buffer(order)])
        texts = pa.concat_arrays(self._texts).take(places)
        try:
            return TfColumn(name=name, kind=kind, values=texts.cast(pa.large_string()))
        except pa.ArrowInvalid as error:
            raise ShardError(f"feature {name!r} holds text that is not UTF-8", hint=HINT) from error


def _as_binary(rows: Bytes) -> pa.Array:
    num_records, width = rows.shape
    offsets = np.arange(num_records + 1, dtype=np.int64) * width
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(rows)]
    return pa.Array.from_buffers(pa.large_binary(), num_records, buffers)
