"""What a user names becomes a list of files in a defined order, whose headers agree."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from pipeline.convert import convert, make_plan
from pipeline.errors import HeaderError, OptionError, SourceNotFoundError
from pipeline.source.listing import list_sources
from support.datasets import Dataset, make_options
from support.texts import numbered_text

NAMES = ["b.csv", "a10.csv", "a9.CSV", "Z.tsv.gz", "é.txt", "_part.csv", ".hidden.csv", "notes.md", "raw"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with `many`, a folder of files and folders."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "many" / "deep.csv").mkdir(parents=True)
    for name in [*NAMES, "deep.csv/c.csv"]:
        (tmp_path / "many" / name).write_bytes(b"label,x\n0,1\n")
    return tmp_path


@pytest.mark.parametrize(
    ("named", "expected"),
    [
        (["many"], ["Z.tsv.gz", "a10.csv", "a9.CSV", "b.csv", "é.txt"]),
        (["many/*.csv"], ["_part.csv", "a10.csv", "b.csv"]),
        (["many/**/*.csv"], ["_part.csv", "a10.csv", "b.csv", "deep.csv/c.csv"]),
        (["many/a[0-9]*"], ["a10.csv", "a9.CSV"]),
        (["many/raw", "many/b.csv", "many/a10.csv"], ["raw", "b.csv", "a10.csv"]),
        (["many/b.csv", "many/a*"], ["b.csv", "a10.csv", "a9.CSV"]),
    ],
)
def test_the_order_is_defined(folder: Path, named: list[str], expected: list[str]) -> None:
    """What is named comes as it is named; what a pattern or a folder stands for, by code points."""
    assert list_sources(named) == tuple(Path("many", name) for name in expected)
    assert list_sources([f"{folder}/{name}" for name in named]) == tuple(
        folder / "many" / name for name in expected
    )


@pytest.mark.parametrize(
    ("named", "kind", "said"),
    [
        (["many/*.parquet"], SourceNotFoundError, "nothing matches"),
        (["empty"], SourceNotFoundError, "a folder without CSV files"),
        (["many/b.csv", "many"], OptionError, "a source is named twice: "),
        (["many/b.csv", "many/../many/b.csv"], OptionError, "a source is named twice: "),
        (["many/b.csv", "link.csv"], OptionError, "a source is named twice: "),
        (["many/b.csv", "-"], OptionError, "standard input cannot be read together"),
    ],
)
def test_what_stands_for_no_files_is_refused(
    folder: Path, named: list[str], kind: type[Exception], said: str
) -> None:
    """Nothing is left out in silence, and nothing read twice."""
    (folder / "empty").mkdir()
    (folder / "link.csv").symlink_to("many/b.csv")
    with pytest.raises(kind, match=said):
        list_sources(named)


def write_parts(folder: Path) -> list[Path]:
    """Write 900 records as three files: plain, packed, and with the columns in another order."""
    header, *rows = numbered_text(900).splitlines()
    turned = ["f1,label,id,f0"]
    for row in rows[600:]:
        label, number, f0, f1 = row.split(",")
        turned.append(f"{f1},{label},{number},{f0}")
    texts = [[header, *rows[:300]], [header, *rows[300:600]], turned]
    paths = [folder / f"part-{index}.csv" for index in range(3)]
    for path, lines in zip(paths, texts, strict=True):
        data = ("\n".join(lines) + "\n").encode()
        path.write_bytes(gzip.compress(data) if path.name == "part-1.csv" else data)
    return paths


def test_columns_are_known_by_name(tmp_path: Path) -> None:
    """A file may have them in another order; the first one's is that of the shards."""
    paths = write_parts(tmp_path)
    convert(paths, tmp_path / "shards", make_options())
    dataset = Dataset(folder=tmp_path / "shards")
    assert [column["name"] for column in dataset.manifest["columns"]] == ["label", "id", "f0", "f1"]
    expected = sorted(float(row.split(",")[3]) for row in numbered_text(900).splitlines()[1:])
    moments = dataset.moments("f1")
    found = sorted(value * moments["std"] + moments["mean"] for value in dataset.column("f1"))
    assert found == pytest.approx(expected, abs=1e-6)


def test_the_order_is_recorded(tmp_path: Path) -> None:
    """The manifest lists the files as they were read; another order is another dataset."""
    paths = write_parts(tmp_path)
    convert(paths, tmp_path / "shards", make_options())
    convert(paths[::-1], tmp_path / "other", make_options())
    listed = [
        [file["path"] for file in Dataset(folder=tmp_path / name).manifest["source"]["files"]]
        for name in ("shards", "other")
    ]
    assert listed == [
        ["part-0.csv", "part-1.csv", "part-2.csv"],
        ["part-2.csv", "part-1.csv", "part-0.csv"],
    ]
    one, other = (Dataset(folder=tmp_path / name).manifest["fingerprint"] for name in ("shards", "other"))
    assert one != other


def test_headers_that_differ_are_shown(tmp_path: Path) -> None:
    """The error names the file, what it lacks, and what it has instead."""
    paths = write_parts(tmp_path)
    paths[2].write_text(paths[2].read_text().replace("f1,label,id,f0", "f2,label,id,extra"))
    with pytest.raises(HeaderError) as caught:
        make_plan(paths, make_options())
    assert caught.value.path == str(paths[2])
    assert [name in caught.value.message for name in ("f0", "f1", "extra", "f2")] == [True] * 4
