"""A conversion as a user asks for it: labels, weights, kept and dropped columns, and real files."""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.convert import convert, make_plan
from pipeline.errors import ColumnNotFoundError, LabelError, SourceChangedError
from support.datasets import Dataset, convert_text, make_options
from support.oracle import csv_rows
from support.texts import numbered_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def labelled(labels: list[str], *, name: str = "label") -> str:
    """Return a text of one feature and these labels, repeated ten times."""
    rows = (f"{label},{index}.5\n" for index, label in enumerate(labels * 10))
    return f"{name},a\n" + "".join(rows)


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["1", "0"], [0, 1]),
        (["1.000e+00", "0.000e+00"], [0, 1]),
        (["-1", "1"], [-1, 1]),
        (["3", "1", "2"], [1, 2, 3]),
        (["s", "b"], ["b", "s"]),
        (["signal", '"back, ground"'], ["back, ground", "signal"]),
        ([" s", "s ", "b"], ["b", "s"]),
        (["é", "z", "Z"], ["Z", "z", "é"]),
        (["-0.0", "0.0", "1"], [0, 1]),
    ],
)
def test_classes_are_indexed_in_their_order(
    fresh_folder: Callable[[], Path], labels: list[str], classes: list[int | str]
) -> None:
    """Whole numbers and texts become indices into the sorted classes; the manifest counts each."""
    dataset = convert_text(labelled(labels), fresh_folder(), make_options(standardize=False))
    label = dataset.manifest["label"]
    assert (label["kind"], label["classes"]) == ("classes", classes)
    meant = [classes.index(_class_of(text, classes)) for text in labels]
    expected = Counter((meant[index % len(labels)], index + 0.5) for index in range(10 * len(labels)))
    assert Counter(zip(dataset.column("label"), dataset.column("a"), strict=True)) == expected
    for split in ("train", "val", "test"):
        found = Counter(dataset.column("label", split))
        assert label["counts"][split] == [found[index] for index in range(len(classes))]


def _class_of(text: str, classes: list[int | str]) -> int | str:
    plain = text.strip(' "')
    return int(float(plain)) if isinstance(classes[0], int) else plain


def test_labels_that_a_double_cannot_tell_apart_are_not_one_class(fresh_folder: Callable[[], Path]) -> None:
    """Labels that differ only in their 54th bit are classes of their own, or an error; never the same."""
    text = labelled(["9007199254740993", "9007199254740992"])
    try:
        dataset = convert_text(text, fresh_folder(), make_options())
    except LabelError as error:
        assert error.line == 2  # noqa: PT017  # either answer will do
    else:
        assert dataset.manifest["label"]["classes"] == [9007199254740992, 9007199254740993]


@pytest.mark.parametrize(("labels", "kind"), [(["0.5", "1.25", "-3"], "auto"), (["0", "1"], "number")])
def test_a_number_stays_a_double(fresh_folder: Callable[[], Path], labels: list[str], kind: Any) -> None:
    """A label that is a quantity is written as float64, as it stands, without classes."""
    dataset = convert_text(labelled(labels), fresh_folder(), make_options(label_kind=kind))
    assert dataset.manifest["label"] == {"name": "label", "kind": "number", "classes": [], "counts": {}}
    assert Counter(dataset.column("label")) == Counter([float(text) for text in labels] * 10)
    assert dataset.tables("train")[0].schema.field("label").type == "double"


def test_the_label_may_stand_anywhere(fresh_folder: Callable[[], Path]) -> None:
    """Columns keep the order of the CSV, wherever the label is; `target` is a label too."""
    text = "a,target,b\n" + "".join(f"{index},{index % 2},{index}\n" for index in range(20))
    dataset = convert_text(text, fresh_folder(), make_options())
    assert [column["name"] for column in dataset.manifest["columns"]] == ["a", "target", "b"]
    assert dataset.tables("train")[0].column_names == ["a", "target", "b"]
    assert dataset.manifest["label"]["name"] == "target"


def test_weights_are_carried_as_they_are(fresh_folder: Callable[[], Path]) -> None:
    """A weight is float32, not standardized, and no feature."""
    text = "label,w,a\n" + "".join(f"{index % 2},{index}.1,{index}\n" for index in range(40))
    dataset = convert_text(text, fresh_folder(), make_options(weight="w"))
    assert sorted(dataset.column("w")) == sorted(float(np.float32(index + 0.1)) for index in range(40))
    assert [c["role"] for c in dataset.manifest["columns"]] == ["label", "weight", "feature"]


def test_kept_columns_are_carried_and_dropped_ones_are_not(fresh_folder: Callable[[], Path]) -> None:
    """Kept texts, integers and numbers go with their record; a dropped column leaves no trace."""
    notes = ["", "é €", 'a "quoted" word', "two\nlines", "a,b", " padded ", "NA", "1.5", "#"]
    rows = [
        f'{i % 2},{2**60 + i},{i},{i / 7!r},"{t.replace(chr(34), chr(34) * 2)}",junk {i}'
        for i, t in enumerate(notes)
    ]
    text = "label,id,a,x,note,dropped\n" + "\n".join(rows) + "\n"
    dataset = convert_text(text, fresh_folder(), make_options(keep=("id", "note", "x"), drop=("dropped",)))
    found = {row[1]: row for row in dataset.all_rows()}
    assert dataset.tables("train")[0].column_names == ["label", "id", "a", "x", "note"]
    for index, note in enumerate(notes):
        assert found[2**60 + index][3:] == (index / 7, note)


def test_rows_without_a_label_can_be_dropped(fresh_folder: Callable[[], Path]) -> None:
    """With --on-missing drop, rows lacking label or weight are set aside like any other."""
    text = "label,w,a\ns,1,1\n,1,2\nb,,3\nNA,1,4\nb,1,5\n"
    dataset = convert_text(
        text, fresh_folder(), make_options(weight="w", on_missing="drop", standardize=False)
    )
    assert sorted(dataset.column("a")) == [1, 5]
    assert [(reject["line"], reject["column"]) for reject in dataset.rejects()] == [
        (3, "label"),
        (4, "w"),
        (5, "label"),
    ]
    assert dataset.manifest["label"]["classes"] == ["b", "s"]


def test_missing_values_become_the_mean(fresh_folder: Callable[[], Path]) -> None:
    """With --on-missing mean a gap is the train mean: 0 once standardized."""
    text = "label,a\n" + "".join(f"{i % 2},{'' if i % 5 == 0 else i}\n" for i in range(100))
    raw = convert_text(text, fresh_folder(), make_options(on_missing="mean", standardize=False))
    mean = raw.moments("a")["mean"]
    assert raw.column("a").count(float(np.float32(mean))) == 20
    standardized = convert_text(text, fresh_folder(), make_options(on_missing="mean"))
    assert standardized.column("a").count(0.0) == 20


def test_warnings_are_kept(fresh_folder: Callable[[], Path]) -> None:
    """One class only, an open last line: the manifest remembers."""
    warnings = convert_text("label,a\n1,1\n1,2\n1,3", fresh_folder(), make_options()).manifest["warnings"]
    assert any("one class only: 1" in warning for warning in warnings)
    assert any("last line has no line end" in warning for warning in warnings)


def test_a_plan_touches_nothing(tmp_path: Path) -> None:
    """Making a plan reads the beginning of the source and writes nothing."""
    (tmp_path / "raw.csv").write_text(numbered_text(1000))
    plan = make_plan(tmp_path / "raw.csv", make_options(range_bytes=1000))
    assert 900 < plan.estimates.num_records < 1100
    assert plan.estimates.num_ranges == -(-(tmp_path / "raw.csv").stat().st_size // 1000)
    assert [path.name for path in tmp_path.iterdir()] == ["raw.csv"]
    with pytest.raises(ColumnNotFoundError) as caught:
        make_plan(tmp_path / "raw.csv", make_options(label="nothing"))
    assert caught.value.path == str(tmp_path / "raw.csv")


def test_a_source_that_changes_is_refused(tmp_path: Path) -> None:
    """Bytes appended while the file is read end the conversion, and nothing is published."""
    source = tmp_path / "raw.csv"
    source.write_text(numbered_text(500))

    class Appending:
        """Appends to the source as the reading begins."""

        def __init__(self) -> None:
            self.began = threading.Event()

        def start(self, stage: str, *, total: int | None, unit: str) -> None:
            """Append a row, once."""
            assert (stage, unit, total) == ("reading", "bytes", source.stat().st_size)
            self.began.set()
            with source.open("a") as file:
                file.write("0,1,2,3\n")

        def advance(self, amount: int, *, records: int = 0) -> None:
            """Ignore the progress."""

        def finish(self, result: str = "") -> None:
            """Ignore the end."""

    progress = Appending()
    with pytest.raises(SourceChangedError, match="changed while it was read"):
        convert(source, tmp_path / "shards", make_options(), progress=progress)
    assert progress.began.is_set()
    assert [path.name for path in tmp_path.iterdir()] == ["raw.csv"]


def test_progress_adds_up(tmp_path: Path) -> None:
    """Reading advances by every byte of text, writing by every record."""
    source = tmp_path / "raw.csv"
    source.write_text(numbered_text(500))
    stages: list[list[Any]] = []

    class Adding:
        """Adds up each stage."""

        def start(self, stage: str, *, total: int | None, unit: str) -> None:
            """Begin a sum."""
            stages.append([stage, total, unit, 0])

        def advance(self, amount: int, *, records: int = 0) -> None:  # noqa: ARG002  # the protocol's
            """Add."""
            stages[-1][3] += amount

        def finish(self, result: str = "") -> None:
            """Do nothing."""

    convert(source, tmp_path / "shards", make_options(range_bytes=3000), progress=Adding())
    size = source.stat().st_size
    assert stages == [
        ["reading", size, "bytes", size - len("label,id,f0,f1\n")],
        ["writing shards", 500, "records", 500],
    ]


REAL = [
    ("higgs_first10000.csv", {"has_header": False, "label": "column_1"}, ","),
    ("higgs_7000.tsv", {"has_header": False, "label": "column_1", "delimiter": "\t"}, "\t"),
    ("higgs_label_last.csv", {}, ","),
]


@pytest.mark.parametrize(("name", "options", "delimiter"), REAL)
def test_real_files_are_a_permutation_of_themselves(
    real_samples: Path, tmp_path: Path, name: str, options: dict[str, Any], delimiter: str
) -> None:
    """Real samples, with tabs, without header, label first or last: every record is there, to the bit."""
    source = real_samples / name
    convert(source, tmp_path / "shards", make_options(standardize=False, range_bytes=200_000, **options))
    dataset = Dataset(folder=tmp_path / "shards")
    rows = csv_rows(source.read_text(encoding="utf-8"), delimiter=delimiter)
    rows = rows if options.get("has_header") is False else rows[1:]
    names = [column["name"] for column in dataset.manifest["columns"]]
    label = names.index(dataset.manifest["label"]["name"])
    expected = np.array(rows, np.float64).astype(np.float32)
    found = np.array(dataset.all_rows(), np.float64)
    found[:, label] = np.array(dataset.manifest["label"]["classes"])[found[:, label].astype(int)]
    assert Counter(map(bytes, found.astype(np.float32))) == Counter(map(bytes, expected))
    assert dataset.manifest["records"]["read"] == len(rows)
