"""Owns the way back from TFRecord bytes to columns: verifies every checksum, reads the records column-wise.

Reads what any writer may have written: names in any order, floats packed or not, names nobody asked for. One
record is parsed field by field; all records that equal it outside their values are then checked and read
together, at the same places. Neighbours: `tf_example` writes, `tfrecord` reads shards with it.

Source: TensorFlow, tensorflow/core/example/{example,feature}.proto and "TFRecord and tf.train.Example".
"""

from __future__ import annotations

import itertools
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.errors import ShardError
from pipeline.formats.crc32c import Slot, crc32c_of_filled, mask, masked_crc32c, rows_at
from pipeline.formats.protobuf import DELIMITED, FIXED32, MORE, VARINT, from_varint_rows, scan, scan_varints
from pipeline.formats.tf_example import FOOTER_BYTES, HEADER_BYTES, KIND_NUMBERS, TILE_BYTES, TfColumn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from pipeline.formats.tf_example import Kind, TfField

    Bytes = NDArray[np.uint8]
    Offsets = NDArray[np.int64]
    Span = tuple[int, int]  # [begin, end) of a value in a payload

FLOAT_BYTES = 4
UNPACKED: dict[Kind, int] = {"bytes": DELIMITED, "float": FIXED32, "int64": VARINT}
LENGTH = struct.Struct("<Q")
FRAME_BYTES = HEADER_BYTES + FOOTER_BYTES
BLOCK_BYTES = 8 << 20  # 50,000 records of 28 floats: long operations, and still in the outer cache
HINT = "restore the shard from a copy, or convert again"


def decode(framed: bytes | memoryview | Bytes, fields: Sequence[TfField]) -> tuple[TfColumn, ...]:
    """Return the columns `fields` of all records, in the order of `fields`; every checksum is verified.

    Floats come as float32 (num_records, width), bytes as large_string. Takes at most about 50 MiB beside the
    result; the GIL is released as in `encode`. A buffer cut exactly between two records gives fewer records
    and no error: the caller must know how many there are.

    Raises:
        ShardError: the bytes are damaged or cut, or a record does not hold what `fields` says. The message
            names the record (from 0) and its byte offset; the caller adds the path.
    """
    data = np.frombuffer(framed, np.uint8)
    offsets = _record_offsets(data)
    columns = [_Filling(field, len(offsets) - 1) for field in fields]
    for block in _blocks_of_one_size(np.diff(offsets)):
        frame_bytes = int(offsets[block[0] + 1] - offsets[block[0]])
        records, rows = block, rows_at(data, offsets[block] + HEADER_BYTES, frame_bytes - HEADER_BYTES)
        while len(records):
            alike = _read_alike(rows, records, offsets, columns)
            records, rows = records[~alike], rows[~alike]
    return tuple(column.finish() for column in columns)


def _record_offsets(data: Bytes) -> Offsets:
    """Return where records begin, and where the last ends, int64 (num_records + 1,); verifies the lengths."""
    offsets, begins = _frames(data)
    headers = rows_at(data, begins, HEADER_BYTES)
    if not (headers != headers[:1]).any():
        headers = headers[:1]  # all are alike: one stands for all
    lengths = Slot(begin=0, values=headers[:, : LENGTH.size])
    crcs = crc32c_of_filled(bytes(LENGTH.size), [lengths], num_records=len(headers))
    wrong = np.flatnonzero(mask(crcs) != _as_numbers(headers[:, LENGTH.size :]))
    if len(wrong):
        raise _damaged(int(wrong[0]), offsets, "the checksum of its length does not match")
    if offsets[-1] < len(data):
        raise _damaged(len(offsets) - 1, offsets, f"cut: the data end within it, at byte {len(data)}")
    return offsets


def _frames(data: Bytes) -> tuple[Offsets, Offsets]:
    """Return the offsets of all whole records, and the begins of all headers: a cut record may have one."""
    if len(data) >= FRAME_BYTES:
        stride = LENGTH.unpack_from(data.data)[0] + FRAME_BYTES
        if len(data) % stride == 0:
            lengths: NDArray[np.uint64] = np.ndarray((len(data) // stride,), "<u8", data, 0, (stride,))
            if (lengths == lengths[0]).all():
                offsets = np.arange(0, len(data) + 1, stride, dtype=np.int64)
                return offsets, offsets[:-1]
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


def _damaged(record_index: int, offsets: Offsets, message: str) -> ShardError:
    place = f"record {record_index} at byte {offsets[record_index]}"
    return ShardError(f"{place}: {message}", hint=HINT)


def _as_numbers(rows: Bytes) -> NDArray[np.uint32]:
    return np.ascontiguousarray(rows).view("<u4")[:, 0]


def _blocks_of_one_size(frame_bytes: Offsets) -> Iterator[Offsets]:
    """Yield the records, by index and ascending, in blocks of records of one size."""
    order = np.argsort(frame_bytes, kind="stable")
    sizes = frame_bytes[order]
    firsts = np.flatnonzero(np.diff(sizes, prepend=-1))
    for first, end in zip(firsts.tolist(), [*firsts[1:].tolist(), len(order)], strict=False):
        step = max(1, BLOCK_BYTES // int(sizes[first]))
        for begin in range(first, end, step):
            yield order[begin : min(begin + step, end)]


def _read_alike(
    rows: Bytes, records: Offsets, offsets: Offsets, columns: Sequence[_Filling]
) -> NDArray[np.bool_]:
    """Read the first of `records` and all that equal it outside their values; return which those are.

    `rows` holds the payloads, each with its checksum behind it.
    """
    payload = rows[0, :-FOOTER_BYTES].tobytes()
    if masked_crc32c(payload) != _as_numbers(rows[:1, -FOOTER_BYTES:])[0]:
        raise _damaged(int(records[0]), offsets, "the checksum of its payload does not match")
    try:
        layout = _locate(payload, [column.field for column in columns])
    except ShardError as error:
        raise _damaged(int(records[0]), offsets, error.message) from error
    alike = _equal_to_first(rows, layout.fixed)
    if not alike.all():
        rows, records = rows[alike], records[alike]
    values = {span: np.ascontiguousarray(rows[:, slice(*span)]) for span in layout.free}
    # What is alike need not be summed again: only the values count.
    slots = [Slot(begin=begin, values=of_span) for (begin, _), of_span in values.items() if of_span.size]
    crcs = mask(crc32c_of_filled(layout.template(payload), slots, num_records=len(rows)))
    wrong = np.flatnonzero(crcs != _as_numbers(rows[:, -FOOTER_BYTES:]))
    if len(wrong):
        raise _damaged(int(records[wrong[0]]), offsets, "the checksum of its payload does not match")
    for column, spans in zip(columns, layout.spans, strict=True):
        column.fill(records, [values[span] for span in spans])
    return alike


def _equal_to_first(rows: Bytes, fixed: Bytes) -> NDArray[np.bool_]:
    """Return which rows equal the first in the bits that are set in `fixed`."""
    equal = np.ones(len(rows), np.bool_)
    step = max(1, TILE_BYTES // rows.shape[1])
    for begin in range(0, len(rows), step):
        different = rows[begin : begin + step] ^ rows[0]
        different &= fixed
        if different.max():
            equal[begin : begin + step] = different.max(axis=1) == 0
    return equal


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
        self._texts: list[pa.Array] = [pa.array([], pa.large_binary())]
        self._records: list[Offsets] = [np.empty(0, np.int64)]

    def fill(self, records: Offsets, values: Sequence[Bytes]) -> None:
        """Take the values of `records`: their bytes, uint8 (num_records, num_bytes), from each place."""
        if self.field.kind == "bytes":
            self._texts.append(_as_binary(values[0]))
            self._records.append(records)
        elif self.field.kind == "int64":
            self._values[records] = from_varint_rows(values[0])
        elif values:
            joined = values[0] if len(values) == 1 else np.concatenate(values, axis=1)
            self._values[records] = joined.view("<f4")

    def finish(self) -> TfColumn:
        """Return the column, once every record was filled in."""
        name, kind = self.field.name, self.field.kind
        if kind != "bytes":
            return TfColumn(name=name, kind=kind, values=self._values)
        order = np.argsort(np.concatenate(self._records), kind="stable")
        texts = pa.concat_arrays(self._texts).take(pa.array(order))
        try:
            return TfColumn(name=name, kind=kind, values=texts.cast(pa.large_string()))
        except pa.ArrowInvalid as error:
            raise ShardError(f"feature {name!r} holds text that is not UTF-8", hint=HINT) from error


def _as_binary(rows: Bytes) -> pa.Array:
    num_records, width = rows.shape
    offsets = np.arange(num_records + 1, dtype=np.int64) * width
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(rows)]
    return pa.Array.from_buffers(pa.large_binary(), num_records, buffers)
