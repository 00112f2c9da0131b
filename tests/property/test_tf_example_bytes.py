"""Law: the records are, byte for byte, what TensorFlow's own serializer and writer make of the same values.

The only test module of the encoder that imports TensorFlow; the import takes seconds, so it happens once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.formats import tf_example
from pipeline.formats.tf_example import TfColumn, encode
from pipeline.formats.tf_example_decode import decode
from support.tf_columns import field_of, float_column, framed, int_column, plain, text_column

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
CLASSES = st.integers(0, 3)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8) | st.integers(0, 40).map(lambda n: "é" * n * n)


@pytest.fixture(scope="module")
def tf() -> Any:
    """TensorFlow, imported once and only when a test of this module runs."""
    return importlib.import_module("tensorflow")


@st.composite
def tables(draw: st.DrawFn) -> list[TfColumn]:
    """Draw a few columns of equal length, of any kinds, names, widths and values."""
    num_records = draw(st.integers(0, 12))
    names = st.text(st.characters(codec="utf-8"), max_size=6) | st.integers(120, 140).map(lambda n: "n" * n)
    columns = []
    for name in draw(st.lists(names, min_size=1, max_size=5, unique=True)):
        values = st.lists(draw(st.sampled_from([CLASSES, INT64])), min_size=num_records, max_size=num_records)
        texts = st.lists(TEXTS, min_size=num_records, max_size=num_records)
        column = draw(
            st.builds(
                float_column, st.just(name), st.just(num_records), st.integers(0, 40), seed=st.integers(0, 99)
            )
            | st.builds(int_column, st.just(name), values)
            | st.builds(text_column, st.just(name), texts)
        )
        columns.append(column)
    return columns


def serialized(tf: Any, columns: Sequence[TfColumn]) -> list[bytes]:
    """Return the payloads of all records, made one by one by TensorFlow's own message classes."""
    num_records = columns[0].num_records
    payloads = []
    for index in range(num_records):
        features = {}
        for column in columns:
            value = column.values[index]
            if column.kind == "float":
                feature = tf.train.Feature(float_list=tf.train.FloatList(value=np.atleast_1d(value)))
            elif column.kind == "int64":
                feature = tf.train.Feature(int64_list=tf.train.Int64List(value=[int(value)]))
            else:
                feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.as_py().encode()]))
            features[column.name] = feature
        message = tf.train.Example(features=tf.train.Features(feature=features))
        payloads.append(message.SerializeToString(deterministic=True))
    return payloads


@given(columns=tables(), way=st.sampled_from(["pieces", "groups"]))
@example(columns=[float_column("features", 3, 1000), int_column("label", [0, 1, 127])], way="pieces")
@example(columns=[float_column("features", 2, 28), int_column("label", [-1, 128])], way="groups")
@example(columns=[text_column("", ["", ""])], way="pieces")
@example(columns=[float_column("x", 2, 0)], way="pieces")
@example(
    columns=[int_column(name, [1]) for name in ("run", "run_number", "", "ru", "é", "run1")], way="pieces"
)
@example(columns=[text_column("t", ["x" * 20000, "y"]), float_column("w", 2, 1)], way="groups")
def test_bytes_are_those_of_tensorflow(tf: Any, columns: list[TfColumn], way: str) -> None:
    """Any names, kinds, widths and values give the bytes that deterministic serialization gives, framed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tf_example, "RECORDS_PER_GROUP", 0 if way == "groups" else 1 << 20)
        data = encode(columns).data.tobytes()
    assert data == b"".join(map(framed, serialized(tf, columns)))


@given(columns=tables())
def test_decoding_is_the_inverse(columns: list[TfColumn]) -> None:
    """Whatever was encoded comes back, bit for bit."""
    found = decode(encode(columns).data, [field_of(column) for column in columns])
    assert [plain(column) for column in found] == [plain(column) for column in columns]


def dataset_columns(num_records: int) -> list[TfColumn]:
    """Return columns as a dataset has them, with a kept integer and a kept text."""
    generator = np.random.default_rng(11)
    features = generator.standard_normal((num_records, 28)).astype(np.float32)
    return [
        TfColumn(name="features", kind="float", values=features),
        int_column("label", generator.integers(0, 2, num_records).tolist()),
        TfColumn(name="weight", kind="float", values=features[:, 0] ** 2),
        int_column("id", generator.integers(-(1 << 40), 1 << 40, num_records).tolist()),
        text_column("kept", [f"é{n}" for n in range(num_records)]),
    ]


@pytest.mark.parametrize("num_columns", [2, 3, 5])
def test_tensorflow_reads_it(tf: Any, tmp_path: Path, num_columns: int) -> None:
    """`tf.data.TFRecordDataset` and `tf.io.parse_example` read a file of it and give the values back."""
    columns = dataset_columns(3000)[:num_columns]
    path = tmp_path / "records.tfrecord"
    path.write_bytes(encode(columns).data.tobytes())
    dtypes = {"float": tf.float32, "int64": tf.int64, "bytes": tf.string}
    spec = {c.name: tf.io.FixedLenFeature(c.values.shape[1:], dtypes[c.kind]) for c in columns[:3]}
    spec |= {c.name: tf.io.FixedLenFeature((), dtypes[c.kind]) for c in columns[3:]}
    (batch,) = tf.data.TFRecordDataset(str(path)).batch(3000).map(lambda x: tf.io.parse_example(x, spec))
    assert batch.keys() == {column.name for column in columns}
    for column in columns:
        found = batch[column.name].numpy()
        expected = [text.encode() for text in plain(column)] if column.kind == "bytes" else column.values
        assert np.array_equal(found, expected)


def test_we_read_what_tensorflow_writes(tf: Any, tmp_path: Path) -> None:
    """A file of `tf.io.TFRecordWriter`, its names in no certain order, decodes to the values."""
    columns = dataset_columns(400)
    path = tmp_path / "records.tfrecord"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for payload in serialized(tf, columns):
            message = tf.train.Example.FromString(payload)
            writer.write(message.SerializeToString(deterministic=False))
    found = decode(path.read_bytes(), [field_of(column) for column in columns])
    assert [plain(column) for column in found] == [plain(column) for column in columns]
