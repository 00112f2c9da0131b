"""docs/format.md describes what is written: its code reads a dataset, its tables hold every key."""

from __future__ import annotations

import csv
import dataclasses
import re
import shutil
import typing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

from pipeline import manifest
from pipeline.source import cells
from support import plain_reader
from support.documents import document, fenced, run_script

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PAGE = document("docs/format.md")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which `shards` is a dataset in both formats."""
    folder = tmp_path_factory.mktemp("format")
    run_script(
        "pipeline fetch simulated raw.csv --rows 2000 --quiet\n"
        "pipeline convert raw.csv shards --format parquet --format tfrecord --quiet",
        folder,
    )
    return folder


@pytest.mark.parametrize("code", [code for code in fenced(PAGE, "python") if "tensorflow" not in code])
def test_reading_code_runs(code: str, folder: Path) -> None:
    """Every piece of reading code on the page works as it stands (that for TensorFlow: below)."""
    (folder / "read.py").write_text(code, encoding="utf-8")
    run_script("python read.py", folder)


def test_tensorflow_reads_all_records(folder: Path) -> None:
    """The reading code for TensorFlow yields every record of the train split, with finite features."""
    code = next(code for code in fenced(PAGE, "python") if "tensorflow" in code)
    check = (
        "\nrecords = [record for batch in batches for record in batch['features'].numpy()]"
        "\nassert len(records) == manifest['splits']['train']['records'] == 1600"
        "\nassert all(len(record) == 28 and (abs(record) < 1e3).all() for record in records)"
    )
    (folder / "count.py").write_text(code + check, encoding="utf-8")
    run_script("python count.py", folder)


def keys_of(kind: Any) -> Iterator[str]:
    """Yield the names of all fields of a dataclass, and of the dataclasses within."""
    for name, annotation in typing.get_type_hints(kind).items():
        yield name
        for inner in [annotation, *typing.get_args(annotation)]:
            if dataclasses.is_dataclass(inner):
                yield from keys_of(inner)


def test_every_key_of_the_manifest_is_described() -> None:
    """Each key that the manifest can hold stands in the table, in code type."""
    table = "\n".join(line for line in PAGE.splitlines() if line.startswith("|"))
    assert set(keys_of(manifest.Manifest)) - plain_reader.keys_in_code(table) == set()


def test_numbers_are_described_as_they_are_read() -> None:
    """The pattern of a number on the page is that of the careful parser, group for group."""
    assert f"`{cells.NUMBER.pattern.replace('(?:', '(')}`" in PAGE


def test_every_missing_value_is_listed() -> None:
    """The words for a missing value on the page are those of the careful parser."""
    sentence = re.search(r"\*\*missing\*\* if.*?An error", PAGE, re.DOTALL)
    assert sentence is not None
    listed = {word.casefold() for word in re.findall(r"`([^`]+)`", sentence[0])}
    assert listed | {""} == cells.MISSING


NUM_ROWS = 300
CELLS = {
    "kind": lambda row: ("left", 'right, or "so"', "zwölf")[row % 3],
    "id": lambda row: row - (1 << 62),
    "energy": lambda row: 1.7e9 + row * 0.37 if row % 11 else "NA",
    "flat": lambda _: 0.1,
    "ok": lambda row: "true" if row % 5 else "false",
    "day": lambda row: f"2026-11-{row % 28 + 1:02}",
    "town": lambda row: ("Bern", "Genève", "Zürich")[row * row % 3] if row != 17 else "once",
    "note": lambda row: f'line {row},\n"two"',
    "level": lambda row: row / 8,
    "w": lambda row: 0.5 + row % 2,
}
CONVERT = (
    "pipeline convert raw.csv {} --label kind --keep id --keep note --keep level --weight w"
    " --categorical town --datetime day --on-missing mean --split 0.6,0.25,0.15 --shard-size 2kB"
    " --format tfrecord"
)


@pytest.fixture(scope="module")
def mixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a source that has some of everything, and two datasets of it, `plain` and `packed`."""
    folder = tmp_path_factory.mktemp("mixed")
    with (folder / "raw.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(CELLS)
        writer.writerows([[cell(row) for cell in CELLS.values()] for row in range(NUM_ROWS)])
    run_script(f"{CONVERT} --format parquet --quiet".format("plain"), folder)
    run_script(f"{CONVERT} --compression gzip --no-standardize --quiet".format("packed"), folder)
    return folder


def as_written(row: int) -> dict[str, Any]:
    """Return the cells of a row as a reader should see them; None where a mean stands for a missing value."""
    shown = {name: cell(row) for name, cell in CELLS.items()}
    day = datetime.fromisoformat(shown["day"]).replace(tzinfo=UTC).timestamp()
    energy = None if shown["energy"] == "NA" else shown["energy"]
    return shown | {
        "ok": float(shown["ok"] == "true"),
        "day": day,
        "energy": energy,
        "note": shown["note"].encode(),
    }


@pytest.mark.parametrize("name", ["plain", "packed"])
def test_a_reader_written_from_the_page_reads_what_was_in_the_source(name: str, mixed: Path) -> None:
    """With nothing but the page, every record is found once, in raw units, classes and words as they were."""
    manifest = plain_reader.read_manifest(mixed / name)
    scale = {column["name"]: column["moments"] and column["moments"]["std"] for column in manifest["columns"]}
    found = {split: list(plain_reader.read_split(mixed / name, split)) for split in manifest["splits"]}
    assert [len(found[split]) for split in ("train", "val", "test")] == [180, 75, 45]
    rows = {row["id"] + (1 << 62): row for records in found.values() for row in records}
    assert sorted(rows) == list(range(NUM_ROWS))
    [energy] = [column["moments"]["mean"] for column in manifest["columns"] if column["name"] == "energy"]
    for number, row in rows.items():
        wanted = as_written(number)
        assert list(row) == list(wanted)
        rounding = 128.0 if name == "packed" else 1e-6  # float32 of 1.7e9, as it is or standardized
        for column in ("energy", "day"):
            value = energy if wanted[column] is None else wanted[column]
            assert row.pop(column) == pytest.approx(
                value, abs=rounding * (1 if name == "packed" else scale[column])
            )
            del wanted[column]
        assert row.pop("flat") == pytest.approx(wanted.pop("flat"), rel=1e-6)
        assert row.pop("ok") == pytest.approx(wanted.pop("ok"), abs=1e-6)
        if number == 17:
            assert wanted.pop("town") == "once"
            assert row.pop("town") in {"once", None}  # known if it is in the train split
        assert row == wanted


def test_formats_hold_the_same_records_in_the_same_order(mixed: Path) -> None:
    """Shard for shard, what the reader of the page finds in TFRecord is what pyarrow finds in Parquet."""
    for split in ("train", "val", "test"):
        paths = sorted((mixed / "plain").glob(f"{split}-*.parquet"))
        assert len(paths) > 1
        stored = [row for path in paths for row in pq.read_table(path).to_pylist()]
        assert [row["id"] for row in stored] == [
            row["id"] for row in plain_reader.read_split(mixed / "plain", split)
        ]


@pytest.mark.parametrize("file", ["manifest.json", "test-00001-of-00002.tfrecord"])
def test_a_reader_written_from_the_page_finds_damage(file: str, mixed: Path, tmp_path: Path) -> None:
    """Digest, SHA-256 and checksums are described well enough to find a changed bit."""
    copy = shutil.copytree(mixed / "plain", tmp_path / "plain")
    data = bytearray((copy / file).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / file).write_bytes(data)
    with pytest.raises(ValueError, match=r"digest|tfrecord|twice|JSON|delimiter|version"):
        list(plain_reader.read_split(copy, "test"))
    if file.endswith("tfrecord"):
        with pytest.raises(ValueError, match="checksum"):
            list(plain_reader.payloads(bytes(data), plain_reader.read_manifest(mixed / "plain")))


def test_every_option_of_the_manifest_is_described(mixed: Path) -> None:
    """Each key of `options` stands on the page, in code type."""
    options = plain_reader.read_manifest(mixed / "plain")["options"]
    assert set(options) - plain_reader.keys_in_code(PAGE) == set()


def test_the_checksum_of_the_page_is_right() -> None:
    """The check value that the page gives for CRC-32C is that of the formula."""
    [value] = re.findall(r"`123456789` is (0x[0-9a-f]{8})", PAGE)
    crc = int(value, 16)
    assert plain_reader.masked_crc(b"123456789") == ((crc >> 15 | crc << 17) + 0xA282EAD8) % (1 << 32)
