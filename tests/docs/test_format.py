"""docs/format.md describes what is written: its code reads a dataset, its tables hold every key."""

from __future__ import annotations

import dataclasses
import re
import typing
from typing import TYPE_CHECKING, Any

import pytest

from pipeline import manifest
from pipeline.source import cells
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
    words = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", table))))
    assert set(keys_of(manifest.Manifest)) - words == set()


def test_numbers_are_described_as_they_are_read() -> None:
    """The pattern of a number on the page is that of the careful parser, group for group."""
    assert f"`{cells.NUMBER.pattern.replace('(?:', '(')}`" in PAGE


def test_every_missing_value_is_listed() -> None:
    """The words for a missing value on the page are those of the careful parser."""
    sentence = re.search(r"\*\*missing\*\* if.*?An error", PAGE, re.DOTALL)
    assert sentence is not None
    listed = {word.casefold() for word in re.findall(r"`([^`]+)`", sentence[0])}
    assert listed | {""} == cells.MISSING
