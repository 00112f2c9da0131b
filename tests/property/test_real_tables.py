"""Law: words, dates and booleans of a table reach the shards as `csv` and plain Python read them.

The same bytes for any number of workers, any cutting, plain or compressed, in memory or spilled.
"""

from __future__ import annotations

import csv
import dataclasses
import datetime as dt
import io
import random
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.convert import convert
from pipeline.errors import MissingValueError
from pipeline.loader import batches
from pipeline.plan import MemoryPlan
from pipeline.verify import verify
from support.datasets import Dataset, convert_text, make_options

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NUM_RECORDS = 700
ROLES = {"keep": ("id",), "categorical": ("city", "code"), "datetime": ("when",)}


def table(*, with_gaps: bool = False) -> str:
    """Return a CSV of 700 records: an identifier, a label, two categories, a date and a boolean."""
    chance = random.Random(7)  # noqa: S311  # a table, no secret
    begin = dt.datetime(2024, 1, 1, tzinfo=dt.UTC)
    text = io.StringIO(newline="")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(["id", "label", "city", "when", "member", "code", "x"])
    for index in range(NUM_RECORDS):
        cells = [
            chance.choice(["Bern", "Bern", "Ulm", "a, b", "two\nlines", f"rare {index}"]),
            (begin + dt.timedelta(seconds=chance.randrange(10**8))).isoformat(" ")[:19],
            chance.choice(["true", "False"]),
            chance.choice(["01", "1", "7"]),
        ]
        if with_gaps and index % 9 == 0:
            cells[index % 4] = chance.choice(["", " ", "NA"]) if index % 4 in {1, 2} else ""
        rows.writerow([index, index % 2, *cells, repr(chance.gauss(0, 1))])
    return text.getvalue()


def raw_rows(text: str) -> dict[int, dict[str, str]]:
    """Return the rows as `csv` reads them, by their identifier."""
    return {int(row["id"]): row for row in csv.DictReader(io.StringIO(text, newline=""))}


def entry(dataset: Dataset, name: str) -> dict[str, Any]:
    """Return what the manifest says of a column."""
    found: dict[str, Any] = next(column for column in dataset.manifest["columns"] if column["name"] == name)
    return found


@pytest.fixture(scope="module")
def made(fresh_folder: Callable[[], Path]) -> Dataset:
    """The table without gaps, converted."""
    return convert_text(table(), fresh_folder(), make_options(**ROLES))


def test_vocabularies_are_of_the_train_split(made: Dataset) -> None:
    """Values and counts of the records in train, most frequent first, ties by code points."""
    rows = raw_rows(table())
    train = made.column("id", "train")
    for name in ("city", "code"):
        counted = Counter(rows[number][name] for number in train)
        ordered = sorted(counted, key=lambda value: (-counted[value], value))
        assert entry(made, name)["vocabulary"] == ordered
        assert entry(made, name)["counts"] == [counted[value] for value in ordered]


def test_every_record_has_its_place(made: Dataset) -> None:
    """In every split; values that only val or test have are 0, and there are some."""
    rows = raw_rows(table())
    num_unknown = 0
    for name in ("city", "code"):
        known = ["", *entry(made, name)["vocabulary"]]
        for number, place in zip(made.column("id"), made.column(name), strict=True):
            expected = rows[number][name] if rows[number][name] in known else ""
            assert known[place] == expected
            num_unknown += place == 0
    assert num_unknown > 0


def test_dates_and_booleans_are_standardized_numbers(made: Dataset) -> None:
    """By the mean and std of the train split, in seconds since 1970, and of 0 and 1."""
    rows = raw_rows(table())
    readers = {
        "when": lambda cell: dt.datetime.fromisoformat(cell).replace(tzinfo=dt.UTC).timestamp(),
        "member": lambda cell: float(cell == "true"),
    }
    for name, read in readers.items():
        moments = entry(made, name)["moments"]
        train = [read(rows[number][name]) for number in made.column("id", "train")]
        assert moments["mean"] == pytest.approx(sum(train) / len(train), rel=1e-12)
        for number, value in zip(made.column("id"), made.column(name), strict=True):
            expected = (read(rows[number][name]) - moments["mean"]) / moments["std"]
            assert value == pytest.approx(expected, rel=1e-6, abs=1e-6)
    assert entry(made, "when")["reading"] == "datetime"
    assert entry(made, "member")["reading"] == "boolean"


@pytest.mark.parametrize("range_bytes", [200, 8 << 20])
@pytest.mark.parametrize("with_gaps", [False, True])
def test_the_same_bytes_in_any_way(
    fresh_folder: Callable[[], Path],
    monkeypatch: pytest.MonkeyPatch,
    range_bytes: int,
    with_gaps: bool,  # noqa: FBT001  # a parameter of the test
) -> None:
    """Workers 1, 2, 4, gzip, and so little memory that every run is spilled."""
    shards = []
    text = table(with_gaps=with_gaps)
    for num_workers, packed in ((1, False), (2, True), (4, False)):
        options = make_options(num_workers=num_workers, range_bytes=range_bytes, on_missing="mean", **ROLES)
        found = convert_text(text, fresh_folder(), options, packed=packed).file_bytes()
        shards.append({name: data for name, data in found.items() if name != "manifest.json"})
    spilling = MemoryPlan(num_workers=1, num_threads=1, runs_bytes=4000, cell_bits=3)
    monkeypatch.setattr("pipeline.convert.planning._memory", lambda *_: spilling)
    options = make_options(range_bytes=range_bytes, on_missing="mean", **ROLES)
    found = convert_text(text, fresh_folder(), options).file_bytes()
    shards.append({name: data for name, data in found.items() if name != "manifest.json"})
    assert all(other == shards[0] for other in shards)


def test_a_missing_category_is_an_error_by_default(tmp_path: Path) -> None:
    """With `drop` its row is set aside; with `mean` it is 0."""
    text = "label,city,x\n0,Bern,1\n1, ,2\n1,Ulm,3\n0,Bern,4\n1,Ulm,5\n"
    with pytest.raises(MissingValueError, match="expected a category") as caught:
        convert_text(text, tmp_path / "a", make_options(categorical=("city",)))
    assert (caught.value.line, caught.value.column) == (3, "city")
    dropped = convert_text(text, tmp_path / "b", make_options(categorical=("city",), on_missing="drop"))
    assert [reject["line"] for reject in dropped.rejects()] == [3]
    filled = convert_text(text, tmp_path / "c", make_options(categorical=("city",), on_missing="mean"))
    assert sorted(filled.column("city")).count(0) >= 1


def test_both_formats_hold_the_same_rows(tmp_path: Path) -> None:
    """As `verify` sees them, and as the loader gives them: numbers first, then categories."""
    (tmp_path / "raw.csv").write_text(table())
    options = dataclasses.replace(make_options(**ROLES), formats=("parquet", "tfrecord"))
    convert(tmp_path / "raw.csv", tmp_path / "shards", options)
    assert verify(tmp_path / "shards").faults == ()
    dataset = Dataset(folder=tmp_path / "shards")
    for split in ("train", "test"):
        (one,), (other,) = (
            list(batches(tmp_path / "shards", split, NUM_RECORDS, seed=1, epoch=2, shard_format=form))
            for form in ("parquet", "tfrecord")
        )
        assert one[0].shape[1] == 5
        assert (one[0] == other[0]).all()
        assert (one[1] == other[1]).all()
        assert one[0].max(axis=0)[-2:].astype(int).tolist() == [
            max(row) for row in zip(*_places(dataset, split), strict=True)
        ]


def _places(dataset: Dataset, split: str) -> list[tuple[int, int]]:
    """Return the categories of every record of a split, as Parquet has them."""
    paths = [path for path in dataset.paths(split) if path.suffix == ".parquet"]
    import pyarrow.parquet as pq  # noqa: PLC0415  # for this alone

    tables = [pq.read_table(path, columns=["city", "code"]) for path in paths]
    return [row for part in tables for row in zip(*(c.to_pylist() for c in part.columns), strict=True)]
