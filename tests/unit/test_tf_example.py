"""Encoding: one record written out by hand, and the laws that hold without TensorFlow.

That the bytes are TensorFlow's own is the law in tests/property/test_tf_example_bytes.py.
"""

from __future__ import annotations

import struct
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from pipeline.formats import tf_example
from pipeline.formats.tf_example import TfColumn, encode
from support.tf_columns import float_column, framed, int_column, text_column

if TYPE_CHECKING:
    from collections.abc import Sequence


def mixed_columns(num_records: int) -> list[TfColumn]:
    """Return columns whose values have many sizes: floats, integers of 1 to 10 bytes, text."""
    generator = np.random.default_rng(3)
    return [
        float_column("features", num_records, 3),
        int_column("label", generator.integers(0, 300, num_records).tolist()),
        int_column("id", (generator.integers(0, 2, num_records) - 1).tolist()),
        text_column("texts", ["é" * int(n) for n in generator.integers(0, 70, num_records)]),
    ]


def test_a_record_by_hand() -> None:
    """A record of two floats, a class and a word has the bytes that the two specifications give."""
    columns = [
        TfColumn(name="features", kind="float", values=np.array([[1.0, -2.0]], np.float32)),
        int_column("label", [300]),
        text_column("kept", ["hé"]),
    ]
    features = b"\x0a\x08features" + b"\x12\x0c" + b"\x12\x0a" + b"\x0a\x08" + struct.pack("<2f", 1, -2)
    kept = b"\x0a\x04kept" + b"\x12\x07" + b"\x0a\x05" + b"\x0a\x03" + b"h\xc3\xa9"
    label = b"\x0a\x05label" + b"\x12\x06" + b"\x1a\x04" + b"\x0a\x02" + b"\xac\x02"
    entries = b"".join(b"\x0a" + bytes([len(entry)]) + entry for entry in (features, kept, label))
    assert encode(columns).data.tobytes() == framed(b"\x0a" + bytes([len(entries)]) + entries)


def test_the_order_of_the_columns_is_of_no_consequence() -> None:
    """Names are sorted by their UTF-8 bytes, a longer one before its beginning, whatever the order given."""
    columns = [int_column(name, [1]) for name in ("b", "run", "é", "run_number", "B")]
    data = encode(columns).data.tobytes()
    assert data == encode(columns[::-1]).data.tobytes()
    keys = [b"\x0a" + bytes([len(name)]) + name for name in (b"B", b"b", b"run_number", b"run", b"\xc3\xa9")]
    assert sorted(keys, key=data.index) == keys


@pytest.mark.parametrize("num_records", [1, 2, 300])
def test_offsets_delimit_the_records(num_records: int) -> None:
    """Every slice between two offsets is what its record gives alone, and the slices are all there is."""
    columns = mixed_columns(num_records)
    whole = encode(columns)
    assert len(whole.offsets) == num_records + 1
    assert (whole.offsets[0], whole.offsets[-1]) == (0, len(whole.data))
    for index, (begin, end) in enumerate(pairwise(whole.offsets[:40].tolist())):
        alone = [TfColumn(name=c.name, kind=c.kind, values=c.values[index : index + 1]) for c in columns]
        assert whole.data[begin:end].tobytes() == encode(alone).data.tobytes()


def test_batches_concatenate() -> None:
    """The bytes of all records are the bytes of the first ones and of the rest, wherever they are cut."""
    columns = mixed_columns(60)

    def part(begin: int, end: int) -> bytes:
        cut = [TfColumn(name=c.name, kind=c.kind, values=c.values[begin:end]) for c in columns]
        return encode(cut).data.tobytes()

    for at in (0, 1, 17, 60):
        assert part(0, at) + part(at, 60) == part(0, 60)


def test_every_way_gives_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A template for each combination of sizes and Arrow's joining of pieces agree to the byte."""
    columns = mixed_columns(200)
    pieces = encode(columns)
    monkeypatch.setattr(tf_example, "RECORDS_PER_GROUP", 0)
    monkeypatch.setattr(tf_example, "TILE_BYTES", 1000)
    groups = encode(columns)
    assert groups.data.tobytes() == pieces.data.tobytes()
    assert groups.offsets.tolist() == pieces.offsets.tolist()
    calls: list[int] = []
    monkeypatch.setattr(tf_example, "_encode_ragged", lambda *_: calls.append(1))
    encode(columns)
    assert not calls, "the second way was not taken"


def test_floats_in_either_order() -> None:
    """Row-major, column-major and strided features give the same bytes; so does a flat column of width 1."""
    values = np.random.default_rng(1).standard_normal((100, 14)).astype(np.float32)

    def of(array: np.ndarray) -> bytes:
        return encode([TfColumn(name="x", kind="float", values=array)]).data.tobytes()

    assert of(np.asfortranarray(values)) == of(values)
    assert of(values[:, ::2]) == of(values[:, ::2].copy())
    assert of(values[:, 0]) == of(values[:, :1])


def test_bits_of_floats_survive() -> None:
    """No bit of a float changes: signed zeros, subnormals, and the payload of a signalling NaN."""
    bits = np.array([[0x80000000, 0x00000001, 0x7F800001, 0xFFC12345]], np.uint32)
    data = encode([TfColumn(name="x", kind="float", values=bits.view(np.float32))]).data.tobytes()
    assert bits.tobytes() in data


@pytest.mark.parametrize(
    "texts", [pa.array(["a", "bc"]), pa.array([b"a", b"bc"]), pa.array(["x", "a", "bc"])[1:]]
)
def test_any_arrow_text(texts: pa.Array) -> None:
    """Text, binary and slices of either, with 32- or 64-bit offsets, give the same bytes."""
    expected = encode([text_column("t", ["a", "bc"])]).data.tobytes()
    assert encode([TfColumn(name="t", kind="bytes", values=texts)]).data.tobytes() == expected


def test_no_records() -> None:
    """No records, no bytes."""
    nothing = encode([float_column("features", 0, 28), int_column("label", []), text_column("t", [])])
    assert (nothing.data.tobytes(), nothing.offsets.tolist()) == (b"", [0])


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ([], "at least one"),
        ([int_column("a", [1]), int_column("a", [2])], "two columns of one name"),
        ([int_column("a", [1]), int_column("b", [1, 2])], "of one length"),
    ],
)
def test_columns_that_make_no_records(columns: Sequence[TfColumn], reason: str) -> None:
    """No columns, equal names and unequal lengths are refused."""
    with pytest.raises(ValueError, match=reason):
        encode(columns)


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("float", np.zeros((2, 2))),
        ("float", np.zeros((2, 2, 2), np.float32)),
        ("int64", np.zeros(2, np.int32)),
        ("int64", np.zeros((2, 1), np.int64)),
        ("bytes", pa.array(["a", None])),
        ("bytes", ["a"]),
    ],
)
def test_values_must_fit_their_kind(kind: tf_example.Kind, values: object) -> None:
    """Another dtype or shape, and a null, are refused when the column is made."""
    with pytest.raises(ValueError, match=f"'x': values do not fit the kind '{kind}'"):
        TfColumn(name="x", kind=kind, values=values)
