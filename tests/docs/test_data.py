"""data/README.md says of the data what is so."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from pipeline.fetch import HEPMASS
from support.documents import document, run_script, table_rows

if TYPE_CHECKING:
    from pathlib import Path

PAGE = document("data/README.md")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the default simulated file, converted."""
    folder = tmp_path_factory.mktemp("data")
    script = "pipeline fetch simulated raw.csv --rows 200000 --seed 42\npipeline convert raw.csv shards"
    run_script(script, folder)
    return folder


def test_simulated_file_is_the_one_described(folder: Path) -> None:
    """The default rows and seed give the bytes whose size and SHA-256 the page names."""
    [[_, num_bytes, sha256]] = table_rows(PAGE, r"200,000 \(seed 42\)")
    text = (folder / "raw.csv").read_bytes()
    assert f"{len(text):,}" == num_bytes
    assert f"`{hashlib.sha256(text).hexdigest()}`" == sha256


def test_moments_are_those_of_the_manifest(folder: Path) -> None:
    """The table of moments is what the manifest of the default dataset says, to the digits shown."""
    columns = json.loads((folder / "shards" / "manifest.json").read_text(encoding="utf-8"))["columns"]
    rows = table_rows(PAGE, r"`\w+`")
    assert [row[0] for row in rows] == [f"`{column['name']}`" for column in columns]
    for row, column in zip(rows, columns, strict=True):
        shown = [float(cell) for cell in row[2:]]
        exact = [column["moments"][key] for key in ("mean", "std", "min", "max")]
        assert shown == pytest.approx(exact, rel=6e-6)  # six digits are shown


@pytest.mark.parametrize("part", ["train", "test"])
def test_real_files_are_those_that_fetch_expects(part: str) -> None:
    """Name, records, bytes and SHA-256 of the real files are those that `pipeline fetch hepmass` checks."""
    remote = HEPMASS[part]
    [row] = table_rows(PAGE, f"`{remote.name}`")
    assert row[2:] == [f"{remote.num_records:,}", f"{remote.num_bytes:,}", f"`{remote.sha256}`"]
    assert f"`--part {part}`" in row[1]
