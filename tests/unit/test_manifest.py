"""A manifest is read only if it is one, whole, consistent, and points nowhere but to its own folder."""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.errors import ManifestError
from pipeline.manifest import MANIFEST_NAME, from_json, load, to_json
from support.damage import sealed

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def tree() -> dict[str, Any]:
    """A small manifest as JSON values."""
    moments = {"count": 2, "mean": 0.5, "std": 0.5, "min": 0, "max": 1.0, "missing": 0}
    shard = {
        "path": "train-00000-of-00001.parquet",
        "format": "parquet",
        "records": 2,
        "bytes": 9,
        "sha256": "0",
    }
    return {
        "format_version": 1,
        "generator": {"name": "csv-shard-pipeline", "version": "0.1.0"},
        "fingerprint": "f",
        "source": {
            "files": [{"path": "raw.csv", "bytes": 9, "records": 3, "digest": "d"}],
            "header": ["label", "a"],
            "delimiter": ",",
            "has_header": True,
        },
        "options": {"seed": 42, "standardize": True},
        "records": {"read": 3, "written": 2, "rejected": 1, "blank": 0},
        "label": {"name": "label", "kind": "classes", "classes": [0, 1], "counts": {"train": [1, 1]}},
        "columns": [
            {"name": "label", "role": "label", "dtype": "int64"},
            {"name": "a", "role": "feature", "dtype": "float32", "moments": moments},
            {"name": "w", "role": "weight", "dtype": "float32", "moments": None},
        ],
        "splits": {
            "train": {"records": 2, "shards": [shard]},
            "val": {"records": 0, "shards": []},
            "test": {"records": 0, "shards": []},
        },
    }


def read(tree: object) -> Any:
    """Return the manifest of a tree of JSON values."""
    return from_json(json.dumps(tree), path="shards/manifest.json")


def test_a_manifest_answers_what_readers_ask(tree: dict[str, Any]) -> None:
    """Features, weight, formats, standardization; optional keys have their defaults."""
    manifest = read(tree)
    assert [column.name for column in manifest.features] == ["a"]
    assert manifest.weight is not None
    assert manifest.weight.name == "w"
    assert manifest.standardized
    assert manifest.formats == ("parquet",)
    assert manifest.splits["train"].of_format("parquet")[0].records == 2
    assert manifest.splits["train"].of_format("tfrecord") == ()
    assert manifest.features[0].moments is not None
    assert manifest.features[0].moments.min == 0
    assert manifest.warnings == ()


def changed(tree: dict[str, Any], place: str, value: object) -> dict[str, Any]:
    """Return the tree with another value at a place such as "records.read"; None of a key removes it."""
    *way, last = [int(key) if key.isdigit() else key for key in place.split(".")]
    at: Any = tree
    for key in way:
        at = at[key]
    if value is KeyError:
        del at[last]
    else:
        at[last] = value
    return tree


@pytest.mark.parametrize(
    ("place", "value", "wording"),
    [
        ("format_version", 2, "format_version 2 is unknown"),
        ("format_version", KeyError, "format_version None is unknown"),
        ("format_version", "1", "format_version '1' is unknown"),
        ("fingerprint", KeyError, "the key 'fingerprint' is missing"),
        ("fingerprint", 7, "manifest.fingerprint: expected str, found int"),
        ("records.read", "3", "manifest.records.read: expected int, found str"),
        ("records.read", True, "expected int, found bool"),
        ("records.read", 3.0, "expected int, found float"),
        ("records.rejected", 2, "read is not written + rejected"),
        ("splits.train.records", 1, "do not add up"),
        ("splits.val.records", 1, "do not add up"),
        ("splits.train.shards.0.records", 1, "the parquet shards do not add up"),
        ("splits.train.shards.0.records", -2, "negative counts"),
        ("splits.train.shards.0.bytes", -1, "negative counts"),
        ("splits.test", KeyError, "manifest.splits: expected train, val, test"),
        ("splits.extra", {"records": 0, "shards": []}, "manifest.splits: expected train, val, test"),
        ("source.header", "label,a", "expected list, found str"),
        ("source.files", {}, "expected list, found dict"),
        ("label.classes", [0, None], "manifest.label.classes[1]"),
        ("label.counts", {"train": [1, "2"]}, "manifest.label.counts.train[1]"),
        ("columns", [], "no feature"),
        ("columns.1.moments", None, "'a' has no usable moments"),
        ("columns.1.moments.mean", "0", "manifest.columns[1].moments"),
        ("columns.1.moments.std", KeyError, "the key 'std' is missing"),
        ("columns.1.moments.mean", 10**400, "too large"),
        ("columns.0", [], "manifest.columns[0]: expected dict, found list"),
    ],
)
def test_what_contradicts_the_format_is_named(
    tree: dict[str, Any], place: str, value: object, wording: str
) -> None:
    """A missing key, a wrong type or counts that contradict each other: the key is named, and what to do."""
    with pytest.raises(ManifestError) as caught:
        read(changed(tree, place, value))
    assert wording in str(caught.value)
    assert caught.value.path == "shards/manifest.json"
    assert caught.value.hint


@pytest.mark.parametrize(
    "path",
    ["../x", "/etc/passwd", "a/b", "", ".", "..", "a\0b", "a\\b", "./a/../b", "a/", "//a"],
)
def test_a_shard_outside_the_folder_is_refused(tree: dict[str, Any], path: str) -> None:
    """Only plain names: nothing outside the dataset's folder is ever opened for a manifest's sake."""
    with pytest.raises(ManifestError, match="is not a plain file name"):
        read(changed(tree, "splits.train.shards.0.path", path))


def test_two_shards_may_not_be_one_file(tree: dict[str, Any]) -> None:
    """A file named twice would be read twice."""
    shard = tree["splits"]["train"]["shards"][0]
    tree["splits"]["train"]["shards"] = [shard | {"records": 1}, shard | {"records": 1}]
    with pytest.raises(ManifestError, match="twice"):
        read(tree)


@pytest.mark.parametrize("column", ["mean", "std", "min", "max"])
def test_infinite_moments_are_refused(tree: dict[str, Any], column: str) -> None:
    """A number that JSON reads as infinite cannot stand in a manifest."""
    text = json.dumps(changed(tree, f"columns.1.moments.{column}", 7.25)).replace("7.25", "1e999")
    with pytest.raises(ManifestError, match="1e999 is no finite number"):
        from_json(text)


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", "1", '"x"', "[" * 100_000, "{}", "NaN", '{"format_version": NaN}', "9" * 5000],
)
def test_what_is_no_json_object_is_refused(text: str) -> None:
    """Cut, empty, nested without end, not an object, no JSON at all: one error, no crash."""
    with pytest.raises(ManifestError):
        from_json(text)


def test_a_folder_without_manifest_is_no_dataset(tmp_path: Path) -> None:
    """The error names what is not there, or says what is there instead."""
    with pytest.raises(ManifestError, match="this is no dataset") as caught:
        load(tmp_path)
    assert caught.value.path == str(tmp_path / MANIFEST_NAME)
    with pytest.raises(ManifestError, match="no such folder"):
        load(tmp_path / "nowhere")
    (tmp_path / "raw 1.csv").touch()
    with pytest.raises(ManifestError, match="a file: this is no dataset") as caught:
        load(tmp_path / "raw 1.csv")
    assert f"pipeline convert '{tmp_path / 'raw 1.csv'}' SHARDS" in caught.value.hint
    (tmp_path / "model.json").touch()
    with pytest.raises(ManifestError, match="a model: this is no dataset"):
        load(tmp_path)


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda path: path.write_bytes(b"\xff\xfe{}"), id="not UTF-8"),
        pytest.param(lambda path: path.write_bytes(b'{"format_version": 1, "rec'), id="cut"),
        pytest.param(lambda path: path.mkdir(), id="a folder"),
    ],
)
def test_a_damaged_manifest_is_an_error(tmp_path: Path, make: Callable[[Path], object]) -> None:
    """Whatever lies there in place of a manifest, the answer is one error with the file's name."""
    make(tmp_path / MANIFEST_NAME)
    with pytest.raises(ManifestError) as caught:
        load(tmp_path)
    assert caught.value.path == str(tmp_path / MANIFEST_NAME)


def test_a_manifest_is_loaded_from_its_folder(tmp_path: Path, tree: dict[str, Any]) -> None:
    """`load` reads the file of that name."""
    (tmp_path / MANIFEST_NAME).write_text(json.dumps(tree), encoding="utf-8")
    assert load(tmp_path) == read(tree)


def test_a_manifest_has_a_size_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file far larger than any manifest is not read into memory."""
    monkeypatch.setattr("pipeline.manifest.MAX_MANIFEST_BYTES", 10)
    (tmp_path / MANIFEST_NAME).write_text("{" + " " * 20 + "}")
    with pytest.raises(ManifestError, match="larger than 10 bytes"):
        load(tmp_path)


def test_a_manifest_carries_its_digest(tree: dict[str, Any]) -> None:
    """What is written can be checked as docs/format.md says: SHA-256, the digits themselves as zeros."""
    text = to_json(read(tree))
    digest = json.loads(text)["digest"]
    assert digest == hashlib.sha256(text.replace(digest, "0" * 64).encode()).hexdigest()
    assert from_json(text).digest == digest
    assert from_json(sealed(tree)) == read(tree)


def test_a_manifest_without_digest_is_read(tree: dict[str, Any]) -> None:
    """Other writers need not know of it: the manifest is read, and says that it has none."""
    assert read(tree).digest == ""
    assert read(tree | {"digest": ""}).digest == ""


@pytest.mark.parametrize("digest", ["0" * 64, "f" * 64, "e", "  ", 7, None, ["0"], {}])
def test_a_wrong_digest_is_refused(tree: dict[str, Any], digest: object) -> None:
    """Whatever stands in its place, if it is not the digest of the text, the manifest is refused."""
    with pytest.raises(ManifestError):
        read(tree | {"digest": digest})


def test_every_flipped_bit_of_a_manifest_is_found(tree: dict[str, Any]) -> None:
    """No bit can change without a reader noticing, but in the name of the key `digest` itself."""
    data = to_json(read(tree)).encode()
    name = data.rindex(b"digest")
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << (bit % 8)
        if name <= bit // 8 < name + len("digest"):
            continue
        with pytest.raises((ManifestError, UnicodeDecodeError)):
            from_json(damaged.decode())


@pytest.mark.parametrize("name", ["digest", "path", "read"])
def test_a_key_that_stands_twice_is_refused(tree: dict[str, Any], name: str) -> None:
    """Readers differ in which of the two they take, so none is taken."""
    text = json.dumps(tree | {"digest": ""})
    assert f'"{name}": ' in text
    with pytest.raises(ManifestError, match=f"the key '{name}' stands twice"):
        from_json(text.replace(f'"{name}": ', f'"{name}": 1, "{name}": ', 1))


@pytest.mark.parametrize(
    ("place", "value", "wording"),
    [
        (
            "splits.train.shards.0.path",
            "train-00000-of-00002.parquet",
            "expected 'train-00000-of-00001.parquet'",
        ),
        (
            "splits.train.shards.0.path",
            "val-00000-of-00001.parquet",
            "expected 'train-00000-of-00001.parquet'",
        ),
        ("splits.train.shards.0.path", "manifest.json", "expected 'train-00000-of-00001.parquet'"),
        ("splits.train.shards.0.path", "train-\uff100000-of-00001.parquet", "expected 'train-00000"),
        ("splits.train.shards.0.path", "train-\ud800", "half of a surrogate pair"),
        ("splits.train.shards.0.format", "pickle", "expected parquet or tfrecord"),
        ("splits.train.shards.0.bytes", 1 << 63, "does not fit into 64 bits"),
        ("records.blank", -1, "negative counts"),
        ("columns.2.role", "target", "has the role 'target'"),
        ("columns.1.dtype", "object", "has the dtype 'object'"),
        ("columns.0.dtype", "float64", "the label is no int64"),
        ("columns.0.name", "other", "expected one label, called 'label'"),
        ("columns.2.name", "a", "two columns of one name"),
        ("columns.2.role", "label", "expected one label"),
        ("columns.0.role", "weight", "expected one label"),
        ("columns.1.moments.std", -1.0, "a negative std"),
        ("columns.1.moments.min", 2.0, "a min above its max"),
        ("label.kind", "text", "expected 'classes' or 'number'"),
        ("label.kind", "number", "the label is no float64"),
        ("label.classes", [1, 1], "not distinct"),
        ("label.classes", [1, "1"], "not distinct values of one type"),
        ("label.counts.train", [2], "does not fit splits and classes"),
        ("label.counts.train", [2, 1], "does not add up"),
        ("label.counts.train", [3, -1], "does not fit splits and classes"),
        ("label.counts.night", [0, 0], "'night' does not fit"),
        ("options.standardize", "no", "manifest.options.standardize: expected bool"),
        ("rejects", {"path": "../r", "records": 1, "bytes": 1, "sha256": ""}, "expected 'rejects.jsonl'"),
        ("rejects", {"path": "rejects.jsonl", "records": 2, "bytes": 1, "sha256": ""}, "not those rejected"),
        ("shuffle", {"positions": [0, 1], "ranks": [0]}, "2 positions and 1 ranks"),
        ("shuffle", {"positions": [0, 3], "ranks": [0, 1]}, "positions: not all are from 0 to below 3"),
        ("shuffle", {"positions": [-1, 0], "ranks": [0, 1]}, "positions: not all are from 0"),
        ("shuffle", {"positions": [0, 1], "ranks": [0, 2]}, "ranks: not all are from 0 to below 2"),
        ("shuffle", {"positions": [0, 1], "ranks": [1, 1]}, "ranks: two records at one place"),
        ("shuffle", {"positions": [1, 0], "ranks": [0, 1]}, "positions: not in ascending order"),
    ],
)
def test_what_cannot_be_is_named(tree: dict[str, Any], place: str, value: object, wording: str) -> None:
    """Names, roles, types and counts that no writer of the format would write are refused by every reader."""
    with pytest.raises(ManifestError) as caught:
        read(changed(tree, place, value))
    assert wording in str(caught.value)


def test_records_that_no_compression_could_hold_are_refused(tree: dict[str, Any]) -> None:
    """A count beyond all compression would have a reader plan for billions of row groups."""
    huge = 1 << 60
    tree["records"] |= {"read": huge + 1, "written": huge}
    tree["splits"]["train"] |= {"records": huge}
    tree["splits"]["train"]["shards"][0] |= {"records": huge}
    tree["label"]["counts"] = {}
    with pytest.raises(ManifestError, match="cannot hold 1152921504606846976 records in 9 bytes"):
        read(tree)


def test_a_link_or_a_pipe_is_no_manifest(tmp_path: Path, tree: dict[str, Any]) -> None:
    """A link may lead out of the folder, and reading a pipe would never end."""
    (tmp_path / "elsewhere.json").write_text(json.dumps(tree), encoding="utf-8")
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / MANIFEST_NAME).symlink_to("../elsewhere.json")
    (tmp_path / "piped").mkdir()
    os.mkfifo(tmp_path / "piped" / MANIFEST_NAME)
    for name in ("linked", "piped"):
        with pytest.raises(ManifestError, match="not a file"):
            load(tmp_path / name)
