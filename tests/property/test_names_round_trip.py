"""Law: names of shards, and manifests, read back as what they were made from."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

from hypothesis import assume, example, given
from hypothesis import strategies as st

from pipeline.keys import SPLITS
from pipeline.manifest import (
    ColumnEntry,
    ColumnMoments,
    Generator,
    Label,
    Manifest,
    RecordCounts,
    ShardEntry,
    Source,
    SourceEntry,
    Split,
    from_json,
    to_json,
)
from pipeline.plan import ShardSpec, parse_stem
from support.texts import finite_floats

names = st.text(min_size=1, max_size=12).filter(lambda text: "\0" not in text and not _lone_surrogate(text))
counts = st.integers(0, 2**63 - 1)


def _lone_surrogate(text: str) -> bool:
    return any(0xD800 <= ord(letter) <= 0xDFFF for letter in text)


def stem_of(split: str, shard_index: int, num_shards: int) -> str:
    """Return the stem of a shard."""
    return ShardSpec(split=split, shard_index=shard_index, num_shards=num_shards, begin=0, end=1).stem


@given(split=st.sampled_from(SPLITS), numbers=st.tuples(st.integers(0, 10**7), st.integers(1, 10**7)))
@example(split="train", numbers=(99_999, 100_000))
def test_stems_read_back(split: str, numbers: tuple[int, int]) -> None:
    """A stem says which shard of how many of which split it is."""
    shard_index, num_shards = min(numbers[0], numbers[1] - 1), numbers[1]
    assert parse_stem(stem_of(split, shard_index, num_shards)) == (split, shard_index, num_shards)


@given(
    stem=st.from_regex(r"\w{1,6}-\d{4,7}-of-\d{4,7}", fullmatch=True)
    | st.text("train-0123of", max_size=24)
    | st.just("train-00000-of-00001\n")
)
@example(stem="train-000001-of-00002")
@example(stem="train-\N{ARABIC-INDIC DIGIT ONE}0000-of-20000")
@example(stem="all-00000-of-00001")
@example(stem="train-00002-of-00002")
def test_what_reads_as_a_stem_is_one(stem: str) -> None:
    """Whatever is taken for a stem is written exactly so: no two texts name one shard."""
    found = parse_stem(stem)
    if found is not None:
        assert stem_of(*found) == stem
        assert found[0] in SPLITS
        assert found[1] < found[2]


@given(splits=st.lists(st.tuples(st.sampled_from(SPLITS), st.integers(0, 120_000)), min_size=2, max_size=9))
def test_stems_sort_as_their_shards(splits: list[tuple[str, int]]) -> None:
    """Within a split, sorting by name is sorting by index: `glob` gives the order of the records."""
    split = splits[0][0]
    indices = [index for _, index in splits]
    assume(max(indices) < 100_000)
    stems = [stem_of(split, index, 100_000) for index in indices]
    assert sorted(stems) == [stem_of(split, index, 100_000) for index in sorted(indices)]


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Draw a manifest that is consistent in itself."""
    sizes = {name: draw(st.lists(st.integers(0, 10**6), max_size=3)) for name in SPLITS}
    num_rejected = draw(st.integers(0, 2**62))  # read, the sum, has to fit into 64 bits as well
    num_written = sum(map(sum, sizes.values()))
    moments = st.builds(
        ColumnMoments,
        count=counts,
        mean=finite_floats(),
        std=finite_floats().map(abs),
        min=st.none() | finite_floats(largest=1.0).map(lambda value: value - 1),
        max=st.none() | finite_floats(largest=1.0).map(lambda value: value + 1),
        missing=counts,
    )
    features = [
        ColumnEntry(name=name, role="feature", dtype="float32", moments=draw(moments))
        for name in draw(st.lists(names, min_size=2, max_size=5, unique=True))
    ]
    label = features.pop().name
    first = draw(st.integers(0, sum(sizes["train"])))
    return Manifest(
        format_version=1,
        generator=Generator(name="csv-shard-pipeline", version=draw(names)),
        fingerprint="0" * 64,
        source=Source(
            files=(SourceEntry(path=draw(names), bytes=draw(counts), records=draw(counts), digest="d"),),
            header=tuple(column.name for column in features),
            delimiter=draw(st.sampled_from([",", "\t", ";"])),
            has_header=draw(st.booleans()),
        ),
        options={"seed": draw(st.integers(0, 2**64 - 1)), "standardize": draw(st.booleans())},
        records=RecordCounts(
            read=num_written + num_rejected, written=num_written, rejected=num_rejected, blank=draw(counts)
        ),
        label=Label(
            name=label,
            kind="classes",
            classes=draw(st.sampled_from([(0, 1), ("a", "b")])),
            counts={"train": (first, sum(sizes["train"]) - first)},
        ),
        columns=(*features, ColumnEntry(name=label, role="label", dtype="int64")),
        splits={
            name: Split(
                records=sum(found),
                shards=tuple(
                    ShardEntry(
                        path=f"{stem_of(name, index, len(found))}.parquet",
                        format="parquet",
                        records=size,
                        bytes=max(size, draw(counts)),
                        sha256="0" * 64,
                        head_sha256=draw(st.sampled_from(["", "1" * 64])),
                    )
                    for index, size in enumerate(found)
                ),
            )
            for name, found in sizes.items()
        },
        warnings=tuple(draw(st.lists(names, max_size=2))),
    )


@given(manifest=manifests())
def test_manifests_read_back(manifest: Manifest) -> None:
    """A manifest written and read is the same value, floats to the last bit; written again, the same text."""
    assume(any(split.shards for split in manifest.splits.values()) or manifest.records.written == 0)
    text = to_json(manifest)
    again = from_json(text)
    assert again == manifest
    assert to_json(again) == text


@given(manifest=manifests(), unknown=st.dictionaries(names, st.none() | names | st.lists(counts), max_size=3))
def test_unknown_keys_are_ignored(manifest: Manifest, unknown: dict[str, Any]) -> None:
    """Keys that a later version may add do not hinder reading, nor does a digest that is not there."""
    known = {field.name for field in dataclasses.fields(Manifest)}
    tree = json.loads(to_json(manifest))
    del tree["digest"]
    tree |= {name: value for name, value in unknown.items() if name not in known}
    for entry in (tree["records"], tree["label"], tree["columns"][0], tree["splits"]["train"]):
        entry["something_new"] = unknown
    assert from_json(json.dumps(tree)) == manifest
