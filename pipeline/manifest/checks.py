"""Owns what must hold within a manifest: what has the right types and yet cannot be is found here.

Every reader depends on it: after these checks no file outside the folder is named, no count contradicts
another, and no number is so large that a reader would choke on it before it has opened a shard.
"""

from __future__ import annotations

import math
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from pipeline.keys import SPLITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.manifest.values import ColumnEntry, Manifest, ShardEntry, Split

FORMATS = ("parquet", "tfrecord")
# The dtypes a column of a role may have in a shard.
DTYPES = {
    "feature": {"float32"},
    "category": {"int64"},
    "weight": {"float32"},
    "label": {"int64", "float64"},
    "keep": {"int64", "float64", "string"},
}
WIDTHS = {"float32": 4, "int64": 8, "float64": 8, "string": 4}
REJECTS_NAME = "rejects.jsonl"
# zstd makes 128 KiB of zeros into 4 bytes, and nothing that we read shrinks by more.
MOST_EXPANSION = 1 << 15
HEX_DIGITS = set("0123456789abcdef")


def contradictions(manifest: Manifest) -> Iterator[str]:
    """Yield what is wrong with `manifest`, each as a sentence that begins with the key."""
    yield from _of_counts(manifest)
    for name, split in manifest.splits.items():
        yield from _of_split(name, split, manifest.formats)
    yield from _of_columns(manifest)
    yield from _of_label(manifest)
    yield from _of_expansion(manifest)
    yield from _of_rejects(manifest)
    yield from _of_shuffle(manifest)


def record_bytes(manifest: Manifest) -> int:
    """Return the size of a record, uncompressed; of a text, only the 4 bytes that each takes at least."""
    return sum(WIDTHS[column.dtype] for column in manifest.columns)


def _of_counts(manifest: Manifest) -> Iterator[str]:
    counts = manifest.records
    if min(counts.read, counts.written, counts.rejected, counts.blank) < 0:
        yield "manifest.records: negative counts"
    if counts.read != counts.written + counts.rejected:
        yield "manifest.records: read is not written + rejected"
    if tuple(manifest.splits) != SPLITS:
        yield f"manifest.splits: expected {', '.join(SPLITS)}"
    if sum(split.records for split in manifest.splits.values()) != counts.written:
        yield "manifest.splits: their records do not add up to those written"
    paths = [shard.path for split in manifest.splits.values() for shard in split.shards]
    if len(set(paths)) != len(paths):
        yield "manifest.splits: a shard is named twice"
    standardize = manifest.options.get("standardize", False)
    if not isinstance(standardize, bool):
        yield f"manifest.options.standardize: expected bool, found {type(standardize).__name__}"


def _of_split(name: str, split: Split, formats: tuple[str, ...]) -> Iterator[str]:
    at = f"manifest.splits.{name}"
    if split.records < 0:
        yield f"{at}: negative counts"
    for shard in split.shards:
        yield from _of_shard(shard, at)
    for form in formats:
        shards = split.of_format(form)
        if sum(shard.records for shard in shards) != split.records:
            yield f"{at}: the {form} shards do not add up"
        for index, shard in enumerate(shards):
            # One plain name: a manifest from elsewhere must not make us open files outside its folder.
            plain = shard.path == PurePosixPath(shard.path).name and not set(shard.path) & {"\0", "\\"}
            expected = f"{name}-{index:05d}-of-{len(shards):05d}.{form}"
            if not plain or shard.path in {"", ".."}:
                yield f"{at}: {shard.path!r} is not a plain file name"
            elif shard.path != expected:
                yield f"{at}: a shard is called {shard.path!r}, expected {expected!r}"


def _of_shard(shard: ShardEntry, at: str) -> Iterator[str]:
    if shard.format not in FORMATS:
        yield f"{at}: {shard.path} has the format {shard.format!r}, expected {' or '.join(FORMATS)}"
    if min(shard.records, shard.bytes) < 0:
        yield f"{at}: {shard.path}: negative counts"


def _of_columns(manifest: Manifest) -> Iterator[str]:
    if not manifest.inputs:
        yield "manifest.columns: no feature"
    names = [column.name for column in manifest.columns]
    if len(set(names)) != len(names):
        yield "manifest.columns: two columns of one name"
    if [column.name for column in manifest.columns if column.role == "label"] != [manifest.label.name]:
        yield f"manifest.columns: expected one label, called {manifest.label.name!r}"
    if sum(column.role == "weight" for column in manifest.columns) > 1:
        yield "manifest.columns: more than one weight"
    for column in manifest.columns:
        yield from _of_column(column)


def _of_column(column: ColumnEntry) -> Iterator[str]:
    if column.role not in DTYPES:
        yield f"manifest.columns: {column.name!r} has the role {column.role!r}"
    elif column.dtype not in DTYPES[column.role]:
        yield f"manifest.columns: {column.name!r}, a {column.role}, has the dtype {column.dtype!r}"
    found = column.moments
    yield from _of_category(column)
    if column.role == "feature" and (found is None or not math.isfinite(found.mean + found.std)):
        yield f"manifest.columns: {column.name!r} has no usable moments"
    if found is None:
        return
    if found.std < 0 or min(found.count, found.missing) < 0:
        yield f"manifest.columns: {column.name!r} has a negative std or count"
    if found.min is not None and found.max is not None and found.min > found.max:
        yield f"manifest.columns: {column.name!r} has a min above its max"


def _of_category(column: ColumnEntry) -> Iterator[str]:
    if column.reading not in {None, "boolean", "datetime"}:
        yield f"manifest.columns: {column.name!r} has the reading {column.reading!r}"
    vocabulary, counts = column.vocabulary, column.counts
    if (vocabulary is None) != (column.role != "category") or (vocabulary is None) != (counts is None):
        yield f"manifest.columns: {column.name!r}: a category, and nothing else, has vocabulary and counts"
    elif vocabulary is not None and counts is not None:
        if len(set(vocabulary)) != len(vocabulary) or "" in vocabulary:
            yield f"manifest.columns: the vocabulary of {column.name!r} is not one of distinct texts"
        if len(counts) != len(vocabulary) or min(counts, default=1) < 1:
            yield f"manifest.columns: the counts of {column.name!r} do not fit its vocabulary"


def _of_label(manifest: Manifest) -> Iterator[str]:
    label, splits = manifest.label, manifest.splits
    dtype = {"classes": "int64", "number": "float64"}.get(label.kind)
    if dtype is None:
        yield f"manifest.label: the kind {label.kind!r}, expected 'classes' or 'number'"
    if any(column.role == "label" and column.dtype != dtype for column in manifest.columns):
        yield f"manifest.columns: the label is no {dtype}, as {label.kind} are"
    if len(set(label.classes)) != len(label.classes) or len({type(value) for value in label.classes}) > 1:
        yield "manifest.label: the classes are not distinct values of one type"
    for name, counts in label.counts.items():
        if name not in splits or len(counts) != len(label.classes) or min(counts, default=0) < 0:
            yield f"manifest.label.counts: {name!r} does not fit splits and classes"
        elif label.classes and sum(counts) != splits[name].records:
            yield f"manifest.label.counts: {name!r} does not add up to its records"


def _of_expansion(manifest: Manifest) -> Iterator[str]:
    if any(column.dtype not in WIDTHS for column in manifest.columns):
        return
    num_bytes = record_bytes(manifest)
    for split in manifest.splits.values():
        for shard in split.shards:
            if shard.records * num_bytes > shard.bytes * MOST_EXPANSION:
                held = f"{shard.records} records in {shard.bytes} bytes"
                yield f"manifest.splits: {shard.path} cannot hold {held}"


def _of_rejects(manifest: Manifest) -> Iterator[str]:
    rejects = manifest.rejects
    if rejects is None:
        return
    if rejects.path != REJECTS_NAME:
        yield f"manifest.rejects: the path {rejects.path!r}, expected {REJECTS_NAME!r}"
    if rejects.records != manifest.records.rejected:
        yield "manifest.rejects: its records are not those rejected"


def _of_shuffle(manifest: Manifest) -> Iterator[str]:
    if manifest.shuffle is None:
        return
    positions, ranks = manifest.shuffle.positions, manifest.shuffle.ranks
    if len(positions) != len(ranks):
        yield f"manifest.shuffle: {len(positions)} positions and {len(ranks)} ranks"
    for name, values, end in (
        ("positions", positions, manifest.records.read),
        ("ranks", ranks, manifest.records.written),
    ):
        if values and not 0 <= min(values) <= max(values) < end:
            yield f"manifest.shuffle.{name}: not all are from 0 to below {end}"
        if len(set(values)) != len(values):
            yield f"manifest.shuffle.{name}: two records at one place"
    if list(positions) != sorted(positions):
        yield "manifest.shuffle.positions: not in ascending order"
