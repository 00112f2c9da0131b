"""Owns the bytes of TFRecord shards: columns become framed `tf.train.Example` records, without TensorFlow.

    frame     uint64 length, uint32 masked CRC-32C of it, payload, uint32 masked CRC-32C of the payload
    payload   Example {1: Features {1: entry, 1: entry, …}}, the entries in order of their names
    entry     {1: name, 2: Feature {1: BytesList | 2: FloatList | 3: Int64List}}, each list {1: its values}

Numbers are little-endian and packed. The bytes are those of `SerializeToString(deterministic=True)`. All
lengths precede the value they count, so a record whose values have the same sizes as another's differs from
it in the values alone: one template serves them all. Neighbours: `tfrecord` writes shards of it,
`tf_example_decode` is the way back.

Source: TensorFlow, tensorflow/core/example/{example,feature}.proto and "TFRecord and tf.train.Example";
protobuf, upb/message/map_sorter.c (the order of names).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from pipeline.formats.crc32c import Slot, crc32c_of_filled, crc32c_of_ranges, mask, masked_crc32c, windows
from pipeline.formats.protobuf import delimiter, varint_rows, varint_sizes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Sizes = NDArray[np.int64]

Kind = Literal["bytes", "float", "int64"]
KIND_NUMBERS: dict[Kind, int] = {"bytes": 1, "float": 2, "int64": 3}  # fields of tf.train.Feature

# Names sort by their bytes, and "run_number" before "run": so does upb, protobuf's core behind TensorFlow's
# Python interface. Any other order is as valid, but not byte-identical. UTF-8 never uses the byte 0xff.
END_OF_NAME = b"\xff"
HEADER_BYTES = 12  # length and its checksum
FOOTER_BYTES = 4  # checksum of the payload
TILE_BYTES = 1 << 19  # records that stay in the L2 cache between template and slots
RECORDS_PER_GROUP = 4096  # below this, on average, the pieces are faster than a template for each group


@dataclass(frozen=True, slots=True, kw_only=True)
class TfField:
    """What a record holds under one name: `width` float32, or one int64, or one byte string."""

    name: str
    kind: Kind
    width: int = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TfColumn:
    """The values that `num_records` records hold under one name.

    float   float32 (num_records, width), or (num_records,) for width 1; column-major order is the faster one
    int64   int64 (num_records,)
    bytes   Arrow array of text or binary, without nulls, (num_records,)
    """

    name: str
    kind: Kind
    values: NDArray[Any] | pa.Array

    def __post_init__(self) -> None:
        if self.kind == "bytes":
            fits = isinstance(self.values, pa.Array) and self.values.null_count == 0
        else:
            dtype, most = (np.float32, 2) if self.kind == "float" else (np.int64, 1)
            fits = self.values.dtype == dtype and 1 <= self.values.ndim <= most
        if not fits:
            raise ValueError(f"{self.name!r}: values do not fit the kind {self.kind!r}")

    @property
    def num_records(self) -> int:
        """The number of records."""
        return len(self.values)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Framed:
    """Records back to back: record i is `data[offsets[i] : offsets[i + 1]]`.

    data     uint8 (num_bytes,)
    offsets  int64 (num_records + 1,)
    """

    data: Bytes
    offsets: Sizes


def encode(columns: Sequence[TfColumn]) -> Framed:
    """Return the records of `columns` in order, framed; the order of the columns is of no consequence.

    Deterministic: byte for byte what TensorFlow's own serializer gives. Beside the result it takes at most
    40 MiB and, if the sizes of the values vary (text, integers over 127), as much as the result again. Holds
    the GIL only between operations: from 65,536 records at a time, two threads are 1.8 times as fast as one.

    Raises:
        ValueError: no columns, two of one name, or of unequal length.
    """
    ordered = sorted(columns, key=lambda column: column.name.encode() + END_OF_NAME)
    if len({column.name for column in ordered}) < len(ordered):
        raise ValueError("two columns of one name")
    if len({column.num_records for column in ordered}) != 1:
        raise ValueError("columns must be of one length, and at least one")
    if not ordered[0].num_records:
        return Framed(data=np.empty(0, np.uint8), offsets=np.zeros(1, np.int64))
    sizes = [_value_sizes(column) for column in ordered]
    if all(of_column.min() == of_column.max() for of_column in sizes):
        return _encode_alike(ordered, [int(of_column[0]) for of_column in sizes])
    groups = _groups_alike(sizes)
    if len(groups) * RECORDS_PER_GROUP <= ordered[0].num_records:
        return _encode_groups(ordered, sizes, groups)
    return _encode_ragged(ordered, sizes)


def _value_sizes(column: TfColumn) -> Sizes:
    if column.kind == "int64":
        return varint_sizes(column.values)
    if column.kind == "bytes":
        return np.diff(_text_offsets(_large_binary(column.values)))
    return np.broadcast_to(np.int64(4 * _float_rows(column).shape[1]), column.num_records)


def _float_rows(column: TfColumn) -> NDArray[np.float32]:
    return column.values if column.values.ndim > 1 else column.values[:, np.newaxis]


def _large_binary(texts: pa.Array) -> pa.Array:
    return texts.cast(pa.large_binary())


def _text_offsets(texts: pa.Array) -> Sizes:
    offsets = np.frombuffer(texts.buffers()[1], np.int64)
    return offsets[texts.offset : texts.offset + len(texts) + 1]


def _value_head(column: TfColumn, size: int) -> bytes:
    """Return the bytes of an entry that precede its value of `size` bytes; the value is its end."""
    # An empty packed list is not written at all, an empty string is.
    head = b"" if column.kind == "float" and not size else delimiter(1, size)
    head = delimiter(KIND_NUMBERS[column.kind], len(head) + size) + head
    name = column.name.encode()
    head = delimiter(1, len(name)) + name + delimiter(2, len(head) + size) + head
    return delimiter(1, len(head) + size) + head


def _record_head(features_bytes: int) -> bytes:
    """Return the bytes of a frame that precede its first entry."""
    head = delimiter(1, features_bytes)
    length = struct.pack("<Q", len(head) + features_bytes)
    return length + struct.pack("<I", masked_crc32c(length)) + head


def _encode_alike(columns: Sequence[TfColumn], sizes: Sequence[int]) -> Framed:
    """Return the records when each column's values are of one size: a template, filled in."""
    heads = [_value_head(column, size) for column, size in zip(columns, sizes, strict=True)]
    template = bytearray(_record_head(sum(map(len, heads)) + sum(sizes)))
    slots = []
    for column, size, head in zip(columns, sizes, heads, strict=True):
        template += head
        if size:
            slots.append(Slot(begin=len(template) - HEADER_BYTES, values=_value_rows(column, size)))
        template += bytes(size)
    num_records = columns[0].num_records
    crcs = mask(crc32c_of_filled(bytes(template[HEADER_BYTES:]), slots, num_records=num_records))
    slots.append(Slot(begin=len(template) - HEADER_BYTES, values=crcs[:, np.newaxis]))
    rows = _filled(template + bytes(FOOTER_BYTES), slots, num_records)
    return Framed(data=rows.reshape(-1), offsets=np.arange(num_records + 1, dtype=np.int64) * rows.shape[1])


def _groups_alike(sizes: Sequence[Sizes]) -> list[Sizes]:
    """Return the records, by index, in groups whose values have the same sizes in every column."""
    index = np.zeros(len(sizes[0]), np.int64)
    for of_column in sizes:
        if of_column.min() < of_column.max():
            distinct, of_size = _distinct(of_column)
            _, index = _distinct(index * len(distinct) + of_size)
    counts = np.bincount(index)
    # NumPy sorts integers of 16 bits and less by radix, eight times as fast.
    order = np.argsort(index.astype(np.min_scalar_type(len(counts))), kind="stable")
    return np.split(order, np.cumsum(counts)[:-1])


def _encode_groups(columns: Sequence[TfColumn], sizes: Sequence[Sizes], groups: Sequence[Sizes]) -> Framed:
    """Return the records when there are few combinations of sizes: a template for each."""
    encoded = [
        _encode_alike([_taken(column, group) for column in columns], [int(size[group[0]]) for size in sizes])
        for group in groups
    ]
    offsets = np.zeros(columns[0].num_records + 1, np.int64)
    for group, part in zip(groups, encoded, strict=True):
        offsets[group + 1] = part.offsets[1]
    np.cumsum(offsets, out=offsets)
    data = np.empty(offsets[-1], np.uint8)
    for group, part in zip(groups, encoded, strict=True):
        width = int(part.offsets[1])
        windows(data, width)[offsets[group]] = part.data.view(f"V{width}")
    return Framed(data=data, offsets=offsets)


def _taken(column: TfColumn, records: Sizes) -> TfColumn:
    if column.kind == "bytes":
        taken = column.values.take(pa.array(records))
    else:  # each column by itself, which keeps a column-major matrix column-major
        taken = np.take(column.values.T, records, axis=-1).T
    return TfColumn(name=column.name, kind=column.kind, values=taken)


def _value_rows(column: TfColumn, size: int) -> NDArray[Any]:
    """Return values that are all of one size: float32, in the order of the column, or uint8 in C order."""
    if column.kind == "float":
        return _float_rows(column).astype("<f4", copy=False)
    if column.kind == "int64":
        return varint_rows(column.values, size)
    texts = _large_binary(column.values)
    begin, *_, end = _text_offsets(texts)
    return np.frombuffer(texts.buffers()[2], np.uint8)[begin:end].reshape(-1, size)


def _filled(template: bytes | bytearray, slots: Sequence[Slot], num_records: int) -> Bytes:
    """Return a copy of the template for each record, filled in, uint8 (num_records, num_bytes)."""
    rows = np.empty((num_records, len(template)), np.uint8)
    constant = np.frombuffer(template, np.uint8)
    step = max(1, TILE_BYTES // len(template))
    for begin in range(0, num_records, step):
        tile = rows[begin : begin + step]
        tile[:] = constant
        for slot in slots:
            tile[:, HEADER_BYTES + slot.begin : HEADER_BYTES + slot.end] = slot.rows(begin, begin + step)
    return rows


def _encode_ragged(columns: Sequence[TfColumn], sizes: Sequence[Sizes]) -> Framed:
    """Return the records when sizes differ: the pieces of each are joined by Arrow, in one call for all."""
    pieces: list[pa.Array | pa.Scalar] = []
    features_bytes = np.zeros(columns[0].num_records, np.int64)
    for column, of_column in zip(columns, sizes, strict=True):
        distinct, index = _distinct(of_column)
        heads = [_value_head(column, size) for size in distinct.tolist()]
        pieces += [_picked(heads, index), _values_as_binary(column, of_column)]
        features_bytes += np.array([len(head) for head in heads])[index] + of_column
    distinct, index = _distinct(features_bytes)
    pieces.insert(0, _picked([_record_head(size) for size in distinct.tolist()], index))
    footer, separator = (pa.scalar(text, pa.large_binary()) for text in (bytes(FOOTER_BYTES), b""))
    import pyarrow.compute as pc  # noqa: PLC0415  # 60 ms that records of one size need not pay

    joined = pc.binary_join_element_wise(*pieces, footer, separator)
    offsets = _text_offsets(joined)
    data = np.frombuffer(joined.buffers()[2], np.uint8).copy()  # Arrow's buffers are not to be written to
    ends = offsets[1:] - FOOTER_BYTES
    crcs = mask(crc32c_of_ranges(data, offsets[:-1] + HEADER_BYTES, ends))
    windows(data, FOOTER_BYTES)[ends] = crcs.view(f"V{FOOTER_BYTES}")
    return Framed(data=data, offsets=offsets)


def _distinct(sizes: Sizes) -> tuple[Sizes, Sizes]:
    """Return the distinct sizes, ascending, and the index of each record's size among them."""
    if sizes.max() > len(sizes):
        distinct, index = np.unique(sizes, return_inverse=True)
        return distinct, index
    present = np.bincount(sizes) > 0  # no sort, as there are fewer possible sizes than records
    return np.flatnonzero(present), (np.cumsum(present) - 1)[sizes]


def _picked(heads: Sequence[bytes], index: Sizes) -> pa.Array:
    return pa.array(heads, pa.large_binary()).take(pa.array(index))


def _values_as_binary(column: TfColumn, sizes: Sizes) -> pa.Array:
    if column.kind == "bytes":
        return _large_binary(column.values)
    width = int(sizes.max())
    rows = np.ascontiguousarray(_value_rows(column, width)).view(np.uint8)
    data = rows if sizes.min() == width else rows[np.arange(width) < sizes[:, np.newaxis]]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.Array.from_buffers(pa.large_binary(), len(sizes), buffers)
