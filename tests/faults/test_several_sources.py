"""A source of several files: one table where their columns agree, or one error with the file at fault."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.datasets import Dataset
from support.refusals import GOOD, assert_refused

if TYPE_CHECKING:
    from support.command import Command, Outcome

TURNED = "pt,label,mass\n" + "".join(f"{at},{at % 2},{at}.25\n" for at in range(100, 120))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with one good file in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text(GOOD)
    return tmp_path


def rows_of(text: str) -> Counter[tuple[float, ...]]:
    """Return the records of a plain text: label, mass, pt."""
    header, *lines = text.split()
    places = [header.split(",").index(name) for name in ("label", "mass", "pt")]
    rows = [line.split(",") for line in lines]
    return Counter(tuple(float(row[at]) for at in places) for row in rows)


def convert(command: Command, folder: Path, *arguments: str, status: int = 3) -> Outcome:
    """Convert to shards/, and fail unless it ends in this status, leaving nothing where it is an error."""
    before = sorted(folder.iterdir())
    outcome = command("convert", *arguments, "shards", "--quiet", "--no-standardize")
    assert outcome.status == status, outcome.stderr
    assert sorted(folder.iterdir()) == sorted([*before, *([] if status else [folder / "shards"])])
    return outcome


@pytest.mark.parametrize("packed", [False, True])
def test_columns_may_stand_in_another_order(pipeline_command: Command, folder: Path, *, packed: bool) -> None:
    """Each file has its own order of columns, line ends and compression; the records are those of both."""
    second = TURNED.replace("\n", "\r\n").encode()
    (folder / "b.csv").write_bytes(gzip.compress(second) if packed else second)
    convert(pipeline_command, folder, "a.csv", "b.csv", status=0)
    dataset = Dataset(folder=folder / "shards")
    assert Counter(dataset.all_rows()) == rows_of(GOOD) + rows_of(TURNED)
    assert [file["records"] for file in dataset.manifest["source"]["files"]] == [20, 20]


def test_files_are_not_joined_within_a_line(pipeline_command: Command, folder: Path) -> None:
    """A last line without line end is a record of its own file, and told; not half of one of the next."""
    (folder / "a.csv").write_text(GOOD[:-1])
    (folder / "b.csv").write_text(TURNED)
    convert(pipeline_command, folder, "a.csv", "b.csv", status=0)
    dataset = Dataset(folder=folder / "shards")
    assert Counter(dataset.all_rows()) == rows_of(GOOD) + rows_of(TURNED)
    assert any("a.csv" in warning and "no line end" in warning for warning in dataset.manifest["warnings"])


@pytest.mark.parametrize(
    ("header", "wording"),
    [
        ("label,Mass,pt", "without 'mass'; with 'Mass'"),
        ("label,mass,pt,eta", "with 'eta'"),
        ("label,mass", "without 'pt'"),
        ("0,1.5,2", "the first line looks like data"),
        ("label,mass,mass", "'mass' in columns 2, 3"),
        ("label,mass,", "column 3 of the header has no name"),
        ("label;mass;pt", "without 'label', 'mass', 'pt'; with 'label;mass;pt'"),
    ],
)
@pytest.mark.parametrize("named", [("a.csv", "b.csv"), ("*.csv",), (".",)], ids=" ".join)
def test_other_columns_are_named(
    pipeline_command: Command, folder: Path, header: str, wording: str, named: tuple[str, ...]
) -> None:
    """What a further file lacks and what it has beyond the first, however the files are named."""
    (folder / "b.csv").write_text(GOOD.replace("label,mass,pt", header))
    outcome = convert(pipeline_command, folder, *named)
    assert_refused(outcome, "E107", "b.csv:1: ", hint=" ")
    assert wording in outcome.stderr


def test_without_header_the_fields_must_agree(pipeline_command: Command, folder: Path) -> None:
    """Files without names must have as many fields as the first."""
    (folder / "a.csv").write_text(GOOD.split("\n", 1)[1])
    (folder / "b.csv").write_text("0,1.5\n1,2.5\n")
    outcome = convert(pipeline_command, folder, "a.csv", "b.csv", "--no-header", "--label", "column_1")
    assert_refused(outcome, "E102", "b.csv:1: expected 3 fields as in a.csv, found 2")


@pytest.mark.parametrize(
    ("data", "code", "wording"),
    [
        (b"", "E106", "b.csv: the file is empty"),
        (b"\n \n", "E106", "b.csv: no header line"),
        (b"<!DOCTYPE html><html></html>", "E112", "b.csv: looks like an HTML page"),
        (TURNED.encode("utf-16"), "E112", "b.csv: looks like UTF-16"),
        (gzip.compress(TURNED.encode())[:-9], "E113", "b.csv: damaged gzip data"),
        (TURNED.encode() + b"1,word,2\n", "E103", "b.csv:22: column 'label': found 'word'"),
        (TURNED.encode() + b"1,0\n", "E102", "b.csv:22: expected 3 fields, found 2"),
        (TURNED.encode() + b"pt,label,mass\n", "E107", "b.csv:22: the header line stands here again"),
        (TURNED.encode() + b'1,0,"2\n', "E111", "b.csv:22: a quote is opened here"),
        (TURNED.encode() + b"1,0,NA\n", "E104", "b.csv:22: column 'mass': no value"),
        (TURNED.encode() + b"1,0,\xff\n", "E112", "b.csv:22: byte 0xff is not UTF-8"),
    ],
)
def test_the_file_at_fault_is_named(
    pipeline_command: Command, folder: Path, data: bytes, code: str, wording: str
) -> None:
    """A fault of a further file has its name, and the line and column that it has there."""
    (folder / "b.csv").write_bytes(data)
    (folder / "c.csv").write_text(GOOD)
    assert_refused(convert(pipeline_command, folder, "a.csv", "b.csv", "c.csv"), code, wording)


def test_an_open_quote_ends_with_its_file(pipeline_command: Command, folder: Path) -> None:
    """A quote that the first file opens is not closed by one of the next."""
    (folder / "a.csv").write_text(GOOD + '1,"2.5,3\n')
    (folder / "b.csv").write_text(GOOD + '1,2.5",3\n')
    assert_refused(convert(pipeline_command, folder, "a.csv", "b.csv"), "E111", "a.csv:22: a quote is opened")


@pytest.mark.parametrize(
    ("named", "code", "wording", "status"),
    [
        (("a.csv", "b.csv"), "E101", "b.csv: no such file", 3),
        (("a.csv", "./a.csv"), "E201", "a source is named twice: ", 2),
        (("a.csv", "*.csv"), "E201", "a source is named twice: ", 2),
        (("a.csv", "-"), "E201", "standard input cannot be read together with files", 2),
        (("*.tsv",), "E101", "*.tsv: nothing matches", 3),
        (("empty",), "E101", "empty: a folder without CSV files", 3),
    ],
)
def test_names_that_stand_for_nothing_or_too_much(
    pipeline_command: Command, folder: Path, named: tuple[str, ...], code: str, wording: str, status: int
) -> None:
    """No file is left out in silence, none is read twice."""
    (folder / "empty").mkdir()
    outcome = convert(pipeline_command, folder, *named, status=status)
    assert_refused(outcome, code, wording, status=status)


def test_a_file_of_a_header_alone_adds_nothing(pipeline_command: Command, folder: Path) -> None:
    """Of several files one may have no records; the manifest counts them by file."""
    (folder / "b.csv").write_text("label,mass,pt\n")
    convert(pipeline_command, folder, "a.csv", "b.csv", status=0)
    dataset = Dataset(folder=folder / "shards")
    assert Counter(dataset.all_rows()) == rows_of(GOOD)
    assert [file["records"] for file in dataset.manifest["source"]["files"]] == [20, 0]
    assert Path("b.csv").exists()
