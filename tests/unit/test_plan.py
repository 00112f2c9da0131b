"""The plan's values check themselves, and shards are cut by arithmetic alone."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.errors import OptionError
from pipeline.plan import (
    ConvertOptions,
    Identity,
    ShardSpec,
    cut_shards,
    parse_size,
    parse_stem,
    record_bytes,
    row_group_records,
)
from pipeline.schema import Column, Schema


@pytest.mark.parametrize(
    ("text", "num_bytes"),
    [
        ("64MiB", 64 << 20),
        ("1GB", 10**9),
        ("500k", 500_000),
        ("1.5k", 1500),
        ("2 gib", 2 << 30),
        ("7", 7),
        ("7B", 7),
        ("0.5KiB", 512),
        ("1TiB", 1 << 40),
        ("1t", 10**12),
    ],
)
def test_sizes_are_read_as_people_write_them(text: str, num_bytes: int) -> None:
    """Decimal and binary units, any case, blanks between, fractions."""
    assert parse_size(text) == num_bytes


@pytest.mark.parametrize("text", ["", "MiB", "-1k", "1 M i B", "1e3", "0", "0.0001k", "1.2.3k", "1kk", "nan"])
def test_what_is_no_size_is_refused(text: str) -> None:
    """No number, no such unit, or less than one byte: an error that shows how sizes are written."""
    with pytest.raises(OptionError, match="is not a size") as caught:
        parse_size(text)
    assert "64MiB" in caught.value.hint


@pytest.mark.parametrize("seed", [-1, 2**64])
def test_a_seed_has_64_bits(seed: int) -> None:
    """A seed that Philox could not take exactly is refused."""
    with pytest.raises(OptionError, match="--seed"):
        Identity(seed=seed)
    assert Identity(seed=2**64 - 1).seed == 2**64 - 1


def test_a_range_has_a_size() -> None:
    """The grid of byte ranges has cells of one byte at least."""
    with pytest.raises(OptionError, match="range_bytes"):
        Identity(range_bytes=0)


@pytest.mark.parametrize(
    ("options", "wording"),
    [
        ({"formats": ()}, "--format"),
        ({"formats": ("parquet", "parquet")}, "--format parquet, parquet"),
        ({"delimiter": ""}, "--delimiter ''"),
        ({"delimiter": "ab"}, "--delimiter 'ab'"),
        ({"delimiter": "é"}, "--delimiter 'é'"),
        ({"delimiter": '"'}, "--delimiter"),
        ({"delimiter": "\n"}, "--delimiter"),
        ({"delimiter": "\r"}, "--delimiter"),
        ({"delimiter": "."}, "--delimiter"),
        ({"delimiter": "1"}, "--delimiter"),
        ({"num_workers": 0}, "--workers 0"),
        (
            {"identity": Identity(compression="gzip")},
            "--compression gzip: parquet can have none, snappy, zstd",
        ),
        (
            {"identity": Identity(compression="zstd"), "formats": ("parquet", "tfrecord")},
            "--compression zstd: tfrecord can have gzip, none",
        ),
    ],
)
def test_options_that_exclude_each_other_are_refused(options: dict[str, Any], wording: str) -> None:
    """What cannot be is told before any file is opened."""
    with pytest.raises(OptionError) as caught:
        ConvertOptions(**options)
    assert wording in str(caught.value)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", " ", ":", "~", "^", "_"])
def test_usual_delimiters_are_taken(delimiter: str) -> None:
    """Any ASCII mark that no number has may stand between fields."""
    assert ConvertOptions(delimiter=delimiter).delimiter == delimiter


def test_shards_are_named_by_split_and_count() -> None:
    """A name tells split, index and count, five digits at least."""
    spec = ShardSpec(split="train", shard_index=3, num_shards=12, begin=0, end=1)
    assert spec.stem == "train-00003-of-00012"
    assert parse_stem("train-00003-of-00012") == ("train", 3, 12)
    assert parse_stem("train-3-of-12") is None


def test_shards_are_cut_within_their_split() -> None:
    """Shards of about the size asked for, no shard across two splits, none for an empty split."""
    specs = cut_shards((20, 3, 2), shard_bytes=100, num_bytes_per_record=10)
    assert [(spec.split, spec.begin, spec.end) for spec in specs] == [
        ("train", 0, 10),
        ("train", 10, 20),
        ("val", 20, 23),
        ("test", 23, 25),
    ]
    assert [spec.stem for spec in cut_shards((1, 0, 0), shard_bytes=1, num_bytes_per_record=99)] == [
        "train-00000-of-00001"
    ]
    assert cut_shards((0, 0, 0), shard_bytes=100, num_bytes_per_record=10) == ()


def test_a_record_is_measured_as_the_shard_holds_it() -> None:
    """Four bytes a feature, eight a class index or a kept number, four and its text a kept text."""
    columns = [("label", "label", "text"), ("a", "feature", "number"), ("b", "feature", "number")]
    columns += [
        ("w", "weight", "number"),
        ("i", "keep", "integer"),
        ("t", "keep", "text"),
        ("d", "drop", "text"),
    ]
    schema = Schema(
        columns=tuple(Column(name=n, role=role, reading=reading) for n, role, reading in columns),  # type: ignore[arg-type]  # literals
        label_kind="classes",
    )
    assert record_bytes(schema) == 8 + 4 + 4 + 4 + 8 + 4
    assert record_bytes(schema, 10) == 42


def test_row_groups_are_small_but_not_tiny() -> None:
    """HEPMASS has some 36,000 records a row group; the widest table still has 256."""
    assert row_group_records(29 * 4) == (4 << 20) // 116
    assert row_group_records(100_000) == 256
