"""Verifying: a whole dataset passes, whatever is in it; whatever is wrong is found and named, all of it."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.convert import convert
from pipeline.errors import ManifestError, ShardError
from pipeline.formats.tf_example import TfColumn, encode
from pipeline.keys import parse_split
from pipeline.plan import ConvertOptions, Identity
from pipeline.schema import RoleOptions
from pipeline.splitting.rule import SplitRule
from pipeline.verify import verify
from pipeline.verify.equal_records import Overlap, compare
from support.damage import flip, reseal, rewrite
from support.texts import numbered_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.verify import VerifySummary
    from support.command import Command

FORMATS = ("parquet", "tfrecord")
NUM_RECORDS = 400


def make_dataset(folder: Path, text: str, **given: Any) -> Path:
    """Convert `text` to a dataset of both formats in small shards, with other options as given."""
    identity = {key: given.pop(key) for key in list(given) if key in Identity.__dataclass_fields__}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "source.csv").write_text(text, encoding="utf-8")
    options = ConvertOptions(
        identity=Identity(**{"shard_bytes": 1600} | identity),
        **{"formats": FORMATS, "num_workers": 1} | given,
    )
    convert(folder / "source.csv", folder / "shards", options)
    return folder / "shards"


def mixed_text(num_records: int = NUM_RECORDS) -> str:
    """Return a source with some of everything that can be kept, and rows that will be set aside."""
    rng = np.random.default_rng(3)
    rows = [
        f"{i % 3},{rng.normal() * 1e3!r},{i / 8 if i % 7 else ''},{i},{i / 7!r},word {i % 5},{1 + i % 2}\n"
        for i in range(num_records)
    ]
    rows[10] = "0,zz,1,1,1,w,1\n"
    rows[300] = "1,2\n"
    return "label,a,b,number,ratio,word,w\n" + "".join(rows)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole dataset in both formats: kept columns of all kinds, weights, missing values, rejects."""
    roles = RoleOptions(keep=("number", "ratio", "word"), weight="w")
    return make_dataset(
        tmp_path_factory.mktemp("whole"), mixed_text(), roles=roles, on_bad_row="skip", on_missing="mean"
    )


@pytest.fixture
def shards(whole: Path, tmp_path: Path) -> Path:
    """A copy of it, to be damaged."""
    shutil.copytree(whole, tmp_path / "shards")
    return tmp_path / "shards"


def told(summary: VerifySummary) -> list[str]:
    """Return the faults as text, the folder left out."""
    return [f"{f.path.rpartition('/')[2]}: {f.message}" for f in summary.faults]


def test_a_whole_dataset_passes(shards: Path) -> None:
    """Nothing is wrong, and the summary counts shards, bytes and records."""
    summary = verify(shards)
    assert told(summary) == []
    assert summary.notes == ()
    assert summary.num_records == NUM_RECORDS - 2
    paths = [path for path in shards.iterdir() if path.suffix.removeprefix(".") in FORMATS]
    assert summary.num_shards == len(paths) > 10
    assert summary.num_bytes == sum(path.stat().st_size for path in paths)


@pytest.mark.parametrize(
    "given",
    [
        {"standardize": False},
        {"formats": ("parquet",), "compression": "zstd"},
        {"formats": ("parquet",), "compression": "snappy"},
        {"formats": ("tfrecord",), "compression": "gzip"},
        {"label_kind": "number"},
        {"split": parse_split("1,0,0")},
        {"split": parse_split("0.34,0.33,0.33"), "shard_bytes": 1 << 20},
        {"on_missing": "drop"},
    ],
    ids=lambda given: " ".join(map(str, given)),
)
def test_whatever_is_asked_for_passes(tmp_path: Path, given: dict[str, Any]) -> None:
    """Formats, compressions, kinds of labels, shares: what convert writes, verify finds whole."""
    roles = RoleOptions(keep=("number", "ratio", "word"), weight="w")
    given = {"on_missing": "mean", "on_bad_row": "skip", "roles": roles} | given
    assert told(verify(make_dataset(tmp_path, mixed_text(), **given))) == []


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize(
    "values",
    [
        pytest.param(lambda i: 1e9 + i % 3, id="huge offset"),
        pytest.param(lambda i: 1e15 + i % 2, id="offset near the end of a double"),
        pytest.param(lambda i: 1.7e9 + 1e-3 * i, id="timestamps"),
        pytest.param(lambda i: (-1) ** i * 1e30, id="1e30"),
        pytest.param(lambda _: 7.1, id="constant"),
        pytest.param(lambda i: 1e-42 * i, id="denormal"),
        pytest.param(lambda i: 1.0 if i == 5 else 0.0, id="one outlier"),
        pytest.param(lambda i: -0.0 if i % 2 else 0.0, id="zeros"),
        pytest.param(lambda i: 3e38 if i % 2 else 1.0, id="the largest float32"),
    ],
)
def test_hard_numbers_pass(tmp_path: Path, values: Callable[[int], float], *, standardize: bool) -> None:
    """Moments are compared by what rounding can do to them: no number of a whole dataset is a false alarm."""
    text = "label,a\n" + "".join(f"{i % 2},{values(i)!r}\n" for i in range(300))
    assert told(verify(make_dataset(tmp_path, text, standardize=standardize))) == []


@pytest.mark.parametrize("num_records", [1, 2, 3, 10])
def test_very_small_datasets_pass(tmp_path: Path, num_records: int) -> None:
    """One record, splits without any: whole all the same."""
    assert told(verify(make_dataset(tmp_path, numbered_text(num_records)))) == []


def test_every_damaged_shard_is_named(shards: Path) -> None:
    """Flipped, missing, cut, grown, swapped: each is told, not only the first."""
    paths = [next(shards.glob(f"train-0000{i}-*.{form}")) for i, form in enumerate(FORMATS * 3)]
    flip(paths[0], 500, bit=3)
    flip(paths[1], 500, bit=3)
    paths[2].unlink()
    paths[3].write_bytes(paths[3].read_bytes()[:-1])
    paths[4].write_bytes(paths[4].read_bytes() + b"\0")
    paths[5].write_bytes(b"")
    found = told(verify(shards))
    assert len(found) == 6
    assert all(any(line.startswith(path.name) for line in found) for path in paths)
    assert sum("SHA-256" in line for line in found) == 2


@pytest.mark.parametrize("form", FORMATS)
def test_swapped_shards_are_both_named(shards: Path, form: str) -> None:
    """Two shards that took each other's names, where even their sizes agree."""
    paths = sorted(shards.glob(f"train-*.{form}"))
    pairs = itertools.combinations(paths, 2)
    one, other = next(pair for pair in pairs if len({path.stat().st_size for path in pair}) == 1)
    aside = shards / "aside"
    one.rename(aside)
    other.rename(one)
    aside.rename(other)
    assert [line.partition(":")[0] for line in told(verify(shards))] == sorted([one.name, other.name])


def column(tree: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the moments of a column in the tree of a manifest."""
    found: dict[str, Any] = next(c["moments"] for c in tree["columns"] if c["name"] == name)
    return found


@pytest.mark.parametrize(
    ("change", "wording"),
    [
        (lambda t: column(t, "a").update(mean=column(t, "a")["mean"] + 0.01), "column 'a': "),
        (lambda t: column(t, "a").update(std=column(t, "a")["std"] * 1.0001), "column 'a': "),
        (lambda t: column(t, "a").update(min=column(t, "a")["min"] * 1.001), "column 'a': values from"),
        (lambda t: column(t, "b").update(max=column(t, "b")["max"] + 1), "column 'b': values from"),
        (lambda t: column(t, "b").update(missing=column(t, "b")["missing"] + 1), "column 'b': 318 values"),
        (lambda t: column(t, "ratio").update(mean=1.0), "column 'ratio': mean"),
        (lambda t: column(t, "ratio").update(max=57.1), "column 'ratio': values from"),
        (lambda t: column(t, "w").update(std=0.1), "column 'w': mean"),
        (lambda t: t["options"].update(standardize=False), "column 'a': "),
        (lambda t: t["options"].update(split=[0.7, 0.2, 0.1]), "train: 318 records, expected a share of 0.7"),
        (lambda t: t["source"]["files"][0].update(records=7), "the sources have 7 records, expected 400"),
        (lambda t: t["rejects"].update(sha256="0"), "damaged: its SHA-256"),
        (lambda t: t["rejects"].update(bytes=7), "expected 7"),
    ],
)
def test_wrong_claims_are_found(shards: Path, change: Callable[[dict[str, Any]], None], wording: str) -> None:
    """A manifest that was changed, and given the digest that fits, does not fit its shards any more."""
    rewrite(shards, change)
    found = told(verify(shards))
    assert any(wording in line for line in found), found


def test_wrong_class_counts_are_found(shards: Path) -> None:
    """The number of records of each class is counted in every split and format."""

    def change(tree: dict[str, Any]) -> None:
        counts = tree["label"]["counts"]["val"]
        counts[0], counts[1] = counts[0] + 1, counts[1] - 1

    rewrite(shards, change)
    found = told(verify(shards))
    assert len(found) == 2
    assert all("val: the classes have other counts in the" in line for line in found)


def test_labels_beyond_the_classes_are_found(shards: Path) -> None:
    """A label that is no index of a class is told with its shard."""

    def change(tree: dict[str, Any]) -> None:
        tree["label"]["classes"].pop()
        tree["label"]["counts"] = {}

    rewrite(shards, change)
    assert all("a label is no class of the manifest" in line for line in told(verify(shards)))


def test_shards_of_unequal_size_are_found(tmp_path: Path) -> None:
    """Ranks of a training rely on it: the shards of a split differ by one record at most."""
    shards = make_dataset(tmp_path, numbered_text(100), formats=("parquet",), shard_bytes=800)
    paths = sorted(shards.glob("train-*.parquet"))
    tables = [pq.read_table(path) for path in paths[:2]]
    joined = pa.concat_tables(tables)
    for path, part in zip(paths, (joined.slice(0, 5), joined.slice(5)), strict=False):
        own = tables[paths.index(path)].schema.metadata
        pq.write_table(part.replace_schema_metadata(own), path, store_schema=False)

    def change(tree: dict[str, Any]) -> None:
        entries = tree["splits"]["train"]["shards"]
        entries[0]["records"], entries[1]["records"] = 5, len(joined) - 5

    rewrite(shards, change)
    reseal(shards)
    found = told(verify(shards))
    assert len(found) == 1
    assert "manifest.json: train: shards of 5 to" in found[0]


def test_other_shards_in_the_folder_are_found(shards: Path) -> None:
    """Whoever reads `train-*.parquet` would read a shard that the manifest does not name."""
    shutil.copy(next(shards.glob("train-00001-*.parquet")), shards / "train-00077-of-00078.parquet")
    shutil.copy(next(shards.glob("val-*.tfrecord")), shards / "more.tfrecord")
    (shards / "README").touch()
    assert told(verify(shards)) == [
        "more.tfrecord: a shard that the manifest does not name",
        "train-00077-of-00078.parquet: a shard that the manifest does not name",
    ]


@pytest.mark.parametrize(
    ("damage", "wording"),
    [
        (lambda path: path.unlink(), "not there, expected 2 rows"),
        (lambda path: flip(path, 40, bit=0), "damaged: its SHA-256"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes, expected"),
        (lambda path: (path.rename(path.with_name("r")), path.symlink_to("r")), "no regular file"),
    ],
)
def test_damaged_rejects_are_found(shards: Path, damage: Callable[[Path], object], wording: str) -> None:
    """The file of the rows set aside is verified as the shards are."""
    damage(shards / "rejects.jsonl")
    found = told(verify(shards))
    assert len(found) == 1
    assert found[0].startswith("rejects.jsonl: ")
    assert wording in found[0]


def test_rejects_that_no_row_explains_are_found(tmp_path: Path) -> None:
    """A file of rejects where none were set aside."""
    shards = make_dataset(tmp_path, numbered_text(50))
    (shards / "rejects.jsonl").write_text("{}\n")
    assert told(verify(shards)) == ["rejects.jsonl: there, but no row was set aside"]


def test_a_manifest_of_ours_must_have_its_digest(shards: Path) -> None:
    """A flip in the name of the key would hide it; manifests of other writers may do without."""
    path = shards / "manifest.json"
    tree = json.loads(path.read_text())
    del tree["digest"]
    path.write_text(json.dumps(tree))
    assert told(verify(shards)) == [
        "manifest.json: its digest is missing: it was changed, or made before there was one"
    ]
    tree["generator"]["name"] = "another"
    del tree["rejects"], tree["shuffle"]
    path.write_text(json.dumps(tree))
    summary = verify(shards)
    assert summary.faults == ()
    assert [note.partition(":")[0] for note in summary.notes] == [
        "the manifest has no digest",
        "the manifest has no checksum of rejects.jsonl",
        "the manifest has no tracers",
    ]


def test_no_dataset(tmp_path: Path) -> None:
    """Where there is no manifest, there is nothing to verify."""
    with pytest.raises(ManifestError, match="no manifest"):
        verify(tmp_path)


def replace_records(path: Path, table: pa.Table) -> None:
    """Write other records into a Parquet shard, which says of itself what it said before."""
    own = pq.read_schema(path).metadata
    pq.write_table(table.replace_schema_metadata(own), path, store_schema=False)


def without_claims(tree: dict[str, Any]) -> None:
    """Let a manifest claim nothing of classes."""
    tree["label"]["counts"] = {}


@pytest.mark.parametrize("num_leaked", [20, 40])
def test_records_in_two_splits_are_found(tmp_path: Path, num_leaked: int) -> None:
    """Records of train in the test split, under checksums that fit: more than equal rows explain."""
    shards = make_dataset(tmp_path, numbered_text(NUM_RECORDS), formats=("parquet",), shard_bytes=1 << 20)
    path, other = next(shards.glob("test-*")), next(shards.glob("train-*"))
    stored = pq.read_table(path)
    leaked = pq.read_table(other).slice(17, num_leaked).cast(stored.schema)
    replace_records(path, pa.concat_tables([leaked, stored.slice(num_leaked)]))
    rewrite(shards, without_claims)
    reseal(shards)
    summary = verify(shards)
    assert f"{num_leaked} records in two splits: rows that are equal" in summary.notes
    found = [
        f"train: shares {num_leaked} records with test",
        f"{other.name}: shares {num_leaked} records with",
    ]
    assert all(any(line.startswith(start) for line in told(summary)) for start in found)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("num_copies", [2, 3, 50, NUM_RECORDS])
def test_equal_rows_of_the_source_are_no_fault(tmp_path: Path, form: str, num_copies: int) -> None:
    """A source may say the same many times: chance spreads it over the splits, and verify says how much."""
    rows = numbered_text(NUM_RECORDS // num_copies).splitlines(keepends=True)
    text = rows[0] + "".join(rows[1:] * num_copies)
    summary = verify(make_dataset(tmp_path, text, formats=(form,)))
    assert told(summary) == []
    assert len(summary.notes) == 1
    assert "in two splits: rows that are equal" in summary.notes[0]


def test_records_are_compared_but_for_their_text(tmp_path: Path) -> None:
    """Rows that differ in a kept text alone are told as what they are: equal but for it."""
    rows = "".join(f"{row % 2},{row % 5},name {row}\n" for row in range(NUM_RECORDS))
    shards = make_dataset(tmp_path, "label,a,name\n" + rows, roles=RoleOptions(keep=("name",)))
    summary = verify(shards)
    assert "in two splits: rows that are equal but for their text" in summary.notes[0]


def test_chance_decides_what_is_too_much() -> None:
    """100,000 pairs of equal records at random in ten shards are no fault; five more in 100 are told."""
    rng = np.random.default_rng(1)
    places = rng.integers(0, 10, (100_000, 2))
    pairs = rng.integers(0, 1 << 63, 100_000).astype(np.uint64)
    owned = [np.concatenate([pairs[places[:, k] == shard] for k in (0, 1)]) for shard in range(10)]
    names = [f"s{index}" for index in range(10)]
    splits = ["train"] * 8 + ["val", "test"]
    assert compare(owned, names, splits).overlaps == ()
    more = rng.integers(0, 1 << 63, 5000).astype(np.uint64)
    owned[0] = np.concatenate([owned[0], more])
    owned[9] = np.concatenate([owned[9], more])
    overlaps = compare(owned, names, splits).overlaps
    assert {overlap.names for overlap in overlaps} == {("train", "test"), ("s0", "s9")}
    assert all(overlap.num_shared > 5000 for overlap in overlaps)
    assert compare([np.empty(0, np.uint64)] * 3, names[:3], ["train"] * 3).overlaps == ()
    assert compare([], [], []).overlaps == ()
    twice = [np.concatenate([more, more]), more + np.uint64(1 << 63)]
    assert (
        Overlap(names=("s0", "s0"), num_shared=5000) in compare(twice, names[:2], ["train", "val"]).overlaps
    )


def test_chance_within_splits_is_held_against_shards_alone() -> None:
    """Where a rule kept equal records together, that is no fault; two shards that are too alike still are."""
    rng = np.random.default_rng(1)
    pairs = rng.integers(0, 1 << 63, 20_000).astype(np.uint64)
    split = rng.choice(3, 20_000, p=[0.8, 0.1, 0.1])
    first, number = np.array([0, 8, 9]), np.array([8, 1, 1])  # shards of train, val and test
    places = first[split] + (rng.random((2, 20_000)) * number[split]).astype(int)
    owned = [np.concatenate([pairs[places[k] == shard] for k in (0, 1)]) for shard in range(10)]
    names, splits = [f"s{index}" for index in range(10)], ["train"] * 8 + ["val", "test"]
    assert compare(owned, names, splits).overlaps, "by chance they would not stand together"
    found = compare(owned, names, splits, at_random=False)
    assert (found.overlaps, found.num_in_two_splits) == ((), 0)
    more = rng.integers(0, 1 << 63, 2000).astype(np.uint64)
    for shard in (2, 5):
        owned[shard] = np.concatenate([owned[shard], more])
    (overlap,) = compare(owned, names, splits, at_random=False).overlaps
    assert overlap.names == ("s2", "s5")
    # Between two splits as well: of those that train and val share, not all can be in one shard of train.
    for shard in (3, 8):
        owned[shard] = np.concatenate([owned[shard], more + np.uint64(1)])
    found = compare(owned, names, splits, at_random=False)
    assert ("s3", "s8") in [overlap.names for overlap in found.overlaps]
    assert compare([], [], [], at_random=False).overlaps == ()


RULES: dict[str, dict[str, Any]] = {
    "group": {"rule": SplitRule(name="group", column="id"), "roles": RoleOptions()},
    "time": {"rule": SplitRule(name="time", column="id"), "roles": RoleOptions()},
    "stratify": {"rule": SplitRule(name="stratify"), "roles": RoleOptions(drop=("id",))},
}


@pytest.mark.parametrize("name", RULES)
def test_a_dataset_of_any_rule_is_whole(tmp_path: Path, name: str) -> None:
    """Sizes that follow groups or moments are no fault, nor are equal rows that were kept together."""
    text = numbered_text(NUM_RECORDS).splitlines()
    cells = [row.split(",") for row in text[1:]]
    rows = [
        ",".join([cells[at // 4][0], str(at // 4 // 8 * 8), *cells[at // 4][2:]]) for at in range(NUM_RECORDS)
    ]
    given = RULES[name]
    shards = make_dataset(tmp_path, "\n".join([text[0], *rows, ""]), rule=given["rule"], roles=given["roles"])
    summary = verify(shards)
    assert told(summary) == []
    in_two = [note for note in summary.notes if "in two splits" in note]
    assert bool(in_two) == (name == "stratify")


def test_classes_without_their_shares_are_told(tmp_path: Path) -> None:
    """A dataset that claims to be stratified has the shares of every class, up to a record."""
    shards = make_dataset(tmp_path, numbered_text(NUM_RECORDS), rule=SplitRule(name="stratify"))

    def change(tree: dict[str, Any]) -> None:
        tree["options"]["split"] = [0.79, 0.105, 0.105]

    rewrite(shards, change)
    found = told(verify(shards))
    assert any("class 0:" in message for message in found), found
    assert any(message.startswith("manifest.json") or "train:" in message for message in found)


def test_many_records_are_compared_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond what memory allows, a share of all hashes stands for the rest, the same in every shard."""
    monkeypatch.setattr("pipeline.verify.equal_records.MAX_COMPARED", 100)
    rows = numbered_text(NUM_RECORDS).splitlines(keepends=True)
    text = rows[0] + "".join(rows[1:] * 2)
    summary = verify(make_dataset(tmp_path, text))
    assert summary.faults == ()
    compared, equal = summary.notes
    assert 50 < int(compared.split()[0]) < 160
    assert compared.endswith(" of 800 records were compared with each other")
    assert 0 < int(equal.split()[0]) < 50


def test_formats_that_disagree_are_found(tmp_path: Path) -> None:
    """The shards of one stem hold the same records in the same order, whatever their format."""
    shards = make_dataset(tmp_path, numbered_text(NUM_RECORDS))
    path = next(shards.glob("train-00001-*.parquet"))
    stored = pq.read_table(path)
    order = np.arange(len(stored))
    order[[3, 4]] = order[[4, 3]]
    replace_records(path, stored.take(pa.array(order)))
    reseal(shards)
    tfrecord = path.with_suffix(".tfrecord").name
    assert told(verify(shards)) == [
        f"manifest.json: {path.name} and {tfrecord} hold other records, or in another order"
    ]


def write_tfrecord(path: Path, features: np.ndarray, label: np.ndarray) -> None:
    """Write a TFRecord shard of these records."""
    columns = [
        TfColumn(name="features", kind="float", values=features.astype(np.float32)),
        TfColumn(name="label", kind="int64", values=label),
    ]
    path.write_bytes(encode(columns).data.tobytes())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_found(tmp_path: Path, value: float) -> None:
    """One NaN among the features makes a training diverge: it is told with shard and column."""
    shards = make_dataset(tmp_path, numbered_text(100), shard_bytes=1 << 20)
    path = next(shards.glob("train-*.parquet"))
    stored = pq.read_table(path)
    features = np.stack([stored[name].to_numpy() for name in ("id", "f0", "f1")], axis=1).copy()
    features[30, 2] = value
    changed = stored.set_column(3, stored.schema.field("f1"), pa.array(features[:, 2]))
    replace_records(path, changed)
    write_tfrecord(path.with_suffix(".tfrecord"), features, stored["label"].to_numpy())
    reseal(shards)
    summary = verify(shards)
    assert [(f.path.rpartition(".")[2], f.column, f.message) for f in summary.faults] == [
        (form, "f1", "not finite in every record") for form in FORMATS
    ]


@pytest.mark.parametrize(
    ("num_written", "wording"), [(79, "79 records, expected 80"), (200, "records, expected 80")]
)
def test_tfrecords_of_another_length_are_found(tmp_path: Path, num_written: int, wording: str) -> None:
    """TFRecord says nowhere how many records there are: they are counted."""
    shards = make_dataset(tmp_path, numbered_text(100), formats=("tfrecord",), shard_bytes=1 << 20)
    path = next(shards.glob("train-*"))
    write_tfrecord(path, np.ones((num_written, 3)), np.ones(num_written, np.int64))
    reseal(shards)
    assert any(path.name in line and wording in line for line in told(verify(shards)))


def test_a_row_group_that_is_too_large_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers hold row groups in memory: one beyond the size of the format is refused before it is read."""
    shards = make_dataset(tmp_path, numbered_text(2000), formats=("parquet",), shard_bytes=1 << 20)
    monkeypatch.setattr("pipeline.plan.ROW_GROUP_BYTES", 1)  # then a row group has 256 records
    found = told(verify(shards))
    assert any("a row group of 1600 records, expected at most 256" in line for line in found)


@dataclass(slots=True)
class Counted:
    """A progress that remembers what it was told."""

    total: int | None = None
    done: int = 0
    finished: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def start(self, stage: str, *, total: int | None, unit: str) -> None:
        """Remember the total."""
        assert (stage, unit) == ("verifying", "bytes")
        self.total = total

    def advance(self, amount: int) -> None:
        """Count."""
        with self.lock:
            self.done += amount

    def finish(self) -> None:
        """Remember."""
        self.finished = True


@pytest.mark.parametrize("num_workers", [1, 2, 4])
def test_progress_adds_up(shards: Path, num_workers: int) -> None:
    """Every byte is reported once, with any number of workers, and the result is the same."""
    progress = Counted()
    summary = verify(shards, num_workers=num_workers, progress=progress)
    assert summary.faults == ()
    assert progress.finished
    assert progress.done == progress.total == summary.num_bytes


def test_the_command_names_every_fault(shards: Path, pipeline_command: Command) -> None:
    """One line for each fault, status 4; the same as JSON; and one line where there is none."""
    whole = pipeline_command("verify", shards)
    assert whole.status == 0
    assert "is whole: 398 records in" in whole.stdout
    for path in sorted(shards.glob("val-*")):
        flip(path, 100, bit=7)
    manifest = shards / "manifest.json"
    before, _, after = manifest.read_text().rpartition('"digest"')
    manifest.write_text(f'{before}"digesT"{after}')
    damaged = pipeline_command("verify", shards)
    assert damaged.status == 4
    lines = [line for line in damaged.stderr.splitlines() if line.startswith("error[")]
    num_faults = len(list(shards.glob("val-*"))) + 1
    assert len(lines) == num_faults
    assert sum(line.startswith("error[E402]") for line in lines) == num_faults - 1
    assert "is whole" not in damaged.stdout
    found = json.loads(pipeline_command("verify", shards, "--json").stdout)
    assert [fault["code"] for fault in found["faults"]] == ["E402"] * (num_faults - 1) + ["E401"]
    assert found["notes"] == []


def test_a_shard_that_vanishes_meanwhile_is_named(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shard that is gone between two looks at it is missing, and nothing else."""
    path = next(shards.glob("train-00001-*.parquet"))

    def vanish(*_: object) -> None:
        path.unlink(missing_ok=True)

    monkeypatch.setattr("pipeline.verify.shard.check_size", vanish)
    assert f"{path.name}: no such shard" in told(verify(shards, num_workers=1))


def test_faults_are_errors_of_their_kind(shards: Path) -> None:
    """Library users get the errors themselves: shards E402, manifest E401, each with its path."""
    rewrite(shards, lambda tree: tree["source"]["files"][0].update(records=7))
    flip(next(shards.glob("test-*.parquet")), 9, bit=1)
    shard, manifest = verify(shards).faults
    assert isinstance(shard, ShardError)
    assert isinstance(manifest, ManifestError)
    assert manifest.path == str(shards / "manifest.json")


@pytest.mark.parametrize("form", FORMATS)
def test_verifying_loads_no_more_than_it_needs(whole: Path, form: str) -> None:
    """Neither Polars nor TensorFlow, nor pandas, which pyarrow loads for some things: 40 MB and a second."""
    code = (
        "import sys; from pathlib import Path; from pipeline.loader import batches\n"
        "from pipeline.verify import verify\n"
        f"shards = Path({str(whole)!r})\n"
        "assert verify(shards).faults == ()\n"
        f"assert list(batches(shards, 'train', 9, seed=1, shard_format={form!r}))\n"
        "sys.exit(bool({'polars', 'pandas', 'tensorflow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
