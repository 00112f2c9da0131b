"""Decoding: what comes back is what went in, other writers are read, and damage anywhere is found."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipeline.errors import ShardError
from pipeline.formats import tf_example_decode, tfrecord_frames
from pipeline.formats.protobuf import delimiter
from pipeline.formats.tf_example import TfColumn, TfField, encode
from pipeline.formats.tf_example_decode import decode
from support.tf_columns import field_of, float_column, framed, int_column, plain, text_column

if TYPE_CHECKING:
    from pipeline.formats.tf_example_decode import Checksums

FEATURES = TfField(name="features", kind="float", width=2)
LABEL = TfField(name="label", kind="int64")
TEXT = TfField(name="text", kind="bytes")


def columns_of(num_records: int) -> list[TfColumn]:
    """Return a column of each kind, with values of many sizes."""
    generator = np.random.default_rng(num_records)
    return [
        float_column("features", num_records, 2),
        int_column("label", generator.integers(-100, 400, num_records).tolist()),
        text_column("text", ["ü" * int(n) for n in generator.integers(0, 5, num_records)]),
    ]


def message(number: int, *parts: bytes) -> bytes:
    """Return a length-delimited field made of `parts`."""
    content = b"".join(parts)
    return delimiter(number, len(content)) + content


def entry(name: str, *feature: bytes) -> bytes:
    """Return an entry of Features."""
    return message(1, message(1, name.encode()), message(2, *feature))


def record_of(*entries: bytes) -> bytes:
    """Return the frame of an Example with `entries`, in this order."""
    return framed(message(1, *entries))


UNPACKED_FLOATS = message(2, b"\x0d" + struct.pack("<f", 1.5), b"\x0d" + struct.pack("<f", 2.5))
PACKED_FLOATS = message(2, message(1, struct.pack("<2f", 1.5, 2.5)))
PACKED_INT = message(3, message(1, b"\xac\x02"))


@pytest.mark.parametrize("num_records", [0, 1, 2, 50, 3000])
def test_columns_come_back(num_records: int) -> None:
    """Decoding what was encoded gives the same columns, in the order in which they are asked for."""
    columns = columns_of(num_records)
    for asked in (columns, columns[::-1]):
        found = decode(encode(columns).data, [field_of(column) for column in asked])
        assert [(c.name, c.kind, plain(c)) for c in found] == [(c.name, c.kind, plain(c)) for c in asked]


def test_blocks_and_tiles_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading in very small blocks gives the same columns."""
    columns = columns_of(500)
    monkeypatch.setattr(tfrecord_frames, "BLOCK_BYTES", 300)
    monkeypatch.setattr(tf_example_decode, "TILE_BYTES", 100)
    found = decode(encode(columns).data.tobytes(), [field_of(column) for column in columns])
    assert [plain(column) for column in found] == [plain(column) for column in columns]


def test_some_of_the_features() -> None:
    """What nobody asked for is passed over, whatever its size; asked for nothing, all is still verified."""
    columns = columns_of(100)
    data = encode(columns).data.tobytes()
    (label,) = decode(data, [LABEL])
    assert plain(label) == plain(columns[1])
    assert decode(data, []) == ()
    with pytest.raises(ShardError):
        decode(data[:-1] + bytes([data[-1] ^ 1]), [])


@pytest.mark.parametrize(
    "record",
    [
        record_of(entry("label", PACKED_INT), entry("features", PACKED_FLOATS)),
        record_of(entry("features", UNPACKED_FLOATS), entry("label", message(3, b"\x08\xac\x02"))),
        record_of(
            entry(
                "features", message(2, message(1, struct.pack("<f", 1.5)), b"\x0d" + struct.pack("<f", 2.5))
            ),
            entry("label", PACKED_INT),
        ),
        record_of(entry("label", message(3)), entry("features", PACKED_FLOATS), entry("label", PACKED_INT)),
        framed(
            message(1, entry("features", PACKED_FLOATS))
            + message(7, b"unknown")
            + message(1, entry("label", PACKED_INT))
        ),
        record_of(
            message(1, message(2, PACKED_INT), message(1, b"label")),
            entry("more", message(1, message(1, b"text"))),
            entry("none"),
            entry("features", PACKED_FLOATS),
        ),
    ],
    ids=["order", "unpacked", "in two parts", "name twice", "unknown fields", "swapped and more"],
)
def test_what_other_writers_may_write(record: bytes) -> None:
    """Any order of names, packed or not, in parts, with unknown names and fields: protobuf allows it all."""
    own = encode([float_column("features", 3, 2), int_column("label", [1, 2, 3])]).data.tobytes()
    features, label = decode(record + own + record, [FEATURES, LABEL])
    assert features.values[[0, -1]].tolist() == [[1.5, 2.5]] * 2
    assert label.values.tolist() == [300, 1, 2, 3, 300]


@pytest.mark.parametrize("checksums", ["each", "together"])
def test_every_flipped_bit_is_found(checksums: Checksums) -> None:
    """Whichever bit of a small file is flipped, it is refused, and the message names a record and a byte."""
    columns = columns_of(3)
    fields = [field_of(column) for column in columns]
    data = encode(columns).data
    for bit in range(8 * len(data)):
        damaged = data.copy()
        damaged[bit // 8] ^= 1 << (bit % 8)
        with pytest.raises(ShardError, match=r"^record [0-3] at byte \d+: "):
            decode(damaged, fields, checksums=checksums)


@pytest.mark.parametrize("checksums", ["each", "together"])
def test_a_flip_in_records_that_are_alike(checksums: Checksums) -> None:
    """Where all records share one template, too, a flip is found and its record is named."""
    columns = [float_column("features", 5000, 2), int_column("label", [1] * 5000)]
    framed_records = encode(columns)
    fields = [field_of(column) for column in columns]
    size = int(framed_records.offsets[1])
    for place in range(size):
        damaged = framed_records.data.copy()
        damaged[size * 3456 + place] ^= 16
        with pytest.raises(ShardError, match=f"^record 3456 at byte {size * 3456}: the checksum of its"):
            decode(damaged, fields, checksums=checksums)


@pytest.mark.parametrize("num_records", [1, 62, 63, 64, 126, 1000])
def test_checksums_taken_together_miss_no_systematic_fault(num_records: int) -> None:
    """A writer whose checksums are all wrong in the same bits is found: an odd number does not cancel."""
    columns = [float_column("features", num_records, 2), int_column("label", [1] * num_records)]
    whole = encode(columns)
    fields = [field_of(column) for column in columns]
    found = decode(whole.data, fields, checksums="together")
    assert [plain(column) for column in found] == [plain(column) for column in columns]
    frames = whole.data.copy().reshape(num_records, -1)
    frames[:, -1] ^= 1
    with pytest.raises(ShardError, match=r"^record 0 at byte 0: the checksum"):
        decode(frames.reshape(-1), fields, checksums="together")
    frames[:, -1] ^= 1
    frames[num_records // 2, -1] ^= 1
    with pytest.raises(
        ShardError, match=f"^record {num_records // 2} at byte .*: the checksum of its payload"
    ):
        decode(frames.reshape(-1), fields, checksums="together")


@pytest.mark.parametrize("num_records", [1, 4])
def test_every_cut_is_found_or_leaves_whole_records(num_records: int) -> None:
    """Cut at any byte, the data are refused, or are the first records: then only the count can tell."""
    columns = columns_of(num_records)
    fields = [field_of(column) for column in columns]
    whole = encode(columns)
    data = whole.data.tobytes()
    between = {int(offset): index for index, offset in enumerate(whole.offsets)}
    for end in range(len(data)):
        if end in between:
            found = decode(data[:end], fields)
            assert [plain(c) for c in found] == [plain(c)[: between[end]] for c in columns]
        else:
            with pytest.raises(ShardError, match=rf"cut: the data end within it, at byte {end}$"):
                decode(data[:end], fields)


def test_a_damaged_length_leads_nowhere() -> None:
    """A length that points beyond the data, or back into them, is told from a cut: its checksum is wrong."""
    data = encode(columns_of(4)).data
    for length in (1, 1 << 40, (1 << 64) - 1):
        damaged = data.copy()
        damaged[:8] = np.frombuffer(struct.pack("<Q", length), np.uint8)
        with pytest.raises(ShardError, match=r"^record 0 at byte 0: the checksum of its length"):
            decode(damaged, [LABEL])


@pytest.mark.parametrize(
    ("entries", "field", "reason"),
    [
        ([entry("label", PACKED_INT)], FEATURES, "has no feature 'features'"),
        ([entry("features", PACKED_INT)], FEATURES, "feature 'features' is no float list"),
        ([entry("label", PACKED_FLOATS)], LABEL, "feature 'label' is no int64 list"),
        ([entry("text", PACKED_INT)], TEXT, "feature 'text' is no bytes list"),
        ([entry("features", message(2))], FEATURES, "holds 0 values, expected 2"),
        ([entry("features", message(2, message(1, bytes(12))))], FEATURES, "holds 3 values, expected 2"),
        ([entry("features", message(2, message(1, bytes(7))))], FEATURES, "holds 1.75 values, expected 2"),
        ([entry("label", message(3, message(1, b"\x01\x02")))], LABEL, "holds 2 values, expected 1"),
        ([entry("label", message(3, message(1, b"\x81")))], LABEL, "a varint at byte .* does not end"),
        ([entry("text", message(1))], TEXT, "holds 0 values, expected 1"),
        ([entry("text", message(1, b"\x08\x01"))], TEXT, "holds what is no bytes value"),
        ([b"\x0a\x7f"], LABEL, "no protobuf message"),
    ],
)
def test_records_that_hold_something_else(entries: list[bytes], field: TfField, reason: str) -> None:
    """A record with right checksums and a wrong content is refused, with its place and what was expected."""
    good = record_of(
        entry("features", PACKED_FLOATS),
        entry("label", PACKED_INT),
        entry("text", message(1, message(1, b"a"))),
    )
    with pytest.raises(ShardError, match=rf"^record 1 at byte {len(good)}: .*{reason}") as caught:
        decode(good + record_of(*entries), [field])
    assert caught.value.hint


def test_text_must_be_utf8() -> None:
    """Bytes that are no UTF-8 are no text of ours."""
    record = record_of(entry("text", message(1, message(1, b"\xff\xfe"))))
    with pytest.raises(ShardError, match="'text' holds text that is not UTF-8"):
        decode(record, [TEXT])


def test_a_payload_of_nothing() -> None:
    """An Example without features is a record too; it lacks every feature."""
    assert decode(framed(b""), []) == ()
    with pytest.raises(ShardError, match="has no feature 'label'"):
        decode(framed(b""), [LABEL])
