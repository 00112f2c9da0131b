"""A manifest is read only if it is one, whole, consistent, and points nowhere but to its own folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.errors import ManifestError
from pipeline.manifest import MANIFEST_NAME, from_json, load

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
        ("splits.train.shards.0.records", -2, "do not add up"),
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
    """Without manifest there is no dataset: the error names the file that is not there."""
    with pytest.raises(ManifestError, match="this is no dataset") as caught:
        load(tmp_path)
    assert caught.value.path == str(tmp_path / MANIFEST_NAME)
    with pytest.raises(ManifestError, match="this is no dataset"):
        load(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    with pytest.raises(ManifestError, match="this is no dataset"):
        load(tmp_path / "file")


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
