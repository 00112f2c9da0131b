"""A model's word on every row of a CSV: the right rows in the right order, and what becomes of bad ones."""

from __future__ import annotations

import csv
import fcntl
import gzip
import io
import itertools
import json
import resource
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pipeline.predict
from pipeline import backend
from pipeline.convert import convert
from pipeline.errors import (
    AccessError,
    BusyError,
    ColumnNotFoundError,
    DiskError,
    EmptySourceError,
    MemoryBudgetError,
    MissingValueError,
    ModelError,
    NonFiniteError,
    NotANumberError,
    OptionError,
    PipelineError,
    SourceChangedError,
    TargetExistsError,
    TooManyRejectsError,
)
from pipeline.partial import partial_path
from pipeline.predict import PredictOptions, predict
from pipeline.predict.memory import RecordSize, affordable_threads, fitting_range
from support.datasets import make_options
from support.trained import Columns, Made, csv_text

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pipeline.models.scoring import RawRows
    from support.command import Command

KEPT = PredictOptions(keep=("id", "name", "mass"))


def expected_scores(made: Made, columns: Columns) -> np.ndarray:
    """Return what the model, opened by Keras alone, says of raw columns."""
    described = json.loads((made.model / "model.json").read_text())
    with backend.known_warnings_ignored():
        model = backend.keras().models.load_model(made.model / "model.keras", safe_mode=True)
        rows = np.stack([columns[name] for name in described["features"]], axis=1).astype(np.float64)
        return np.asarray(model(rows))


def read(output: Path) -> dict[str, Any]:
    """Return the columns of a table, texts as lists and numbers as arrays."""
    table = pq.read_table(output)
    assert table.schema.metadata is None
    return {name: table.column(name).to_pylist() for name in table.column_names}


def predicted(made: Made, source: Path | Sequence[Path], options: PredictOptions = KEPT) -> dict[str, Any]:
    """Return the columns that a prediction writes as Parquet; nothing is left beside it."""
    folder = made.model.parent / "predictions"
    shutil.rmtree(folder, ignore_errors=True)
    summary = predict(made.model, source, folder / "out.parquet", options)
    found = read(folder / "out.parquet")
    assert summary.num_written == len(found["prediction"]) == summary.num_read - summary.num_rejected
    left = {path.name for path in folder.iterdir()} - {"out.parquet.rejects.jsonl"}
    assert left == {"out.parquet"}
    return found


@pytest.fixture
def rows(two: Made) -> Columns:
    """The first thirty rows of the source of two classes."""
    return {name: column[:30] for name, column in two.columns.items()}


def write(folder: Path, columns: Columns, name: str = "new.csv") -> Path:
    """Write columns as a CSV."""
    path = folder / name
    path.write_text(csv_text(columns), encoding="utf-8")
    return path


@pytest.mark.parametrize("range_bytes", [60, 500, 8 << 20])
def test_one_row_for_each_record_in_their_order(two: Made, range_bytes: int) -> None:
    """Whatever is read at a time: kept columns exactly as they were, and the model's word on that row."""
    columns = {name: column[:300] for name, column in two.columns.items()}
    source = write(two.model.parent, columns)
    found = predicted(two, source, replace(KEPT, range_bytes=range_bytes, batch_size=17))
    assert list(found) == ["id", "name", "mass", "prediction", "probability_0", "probability_1"]
    for name in KEPT.keep:
        assert found[name] == columns[name].tolist()
    score = expected_scores(two, columns)[:, 0]
    assert np.array(found["probability_1"]) == pytest.approx(score, abs=1e-6)
    assert np.array(found["probability_0"]) == pytest.approx(1 - score, abs=1e-6)
    assert found["prediction"] == (np.array(found["probability_1"]) > 0.5).astype(int).tolist()


def test_columns_may_stand_anywhere(two: Made, rows: Columns, tmp_path: Path) -> None:
    """In another order, without the label, among others that nobody asked for: the same predictions."""
    expected = predicted(two, write(tmp_path, rows), PredictOptions())
    others = {"note": np.array(['say "a,b"\nc'] * 30), "empty": np.array([""] * 30)}
    moved = others | {name: rows[name] for name in ("flat", "time", "mass", "a")}
    assert predicted(two, write(tmp_path, moved), PredictOptions()) == expected
    assert list(expected) == ["prediction", "probability_0", "probability_1"]


def test_a_source_is_read_as_a_conversion_reads_it(two: Made, rows: Columns, tmp_path: Path) -> None:
    """Compressed, with another delimiter, a byte-order mark, blank lines and CRLF: the same predictions."""
    expected = predicted(two, write(tmp_path, rows))
    text = csv_text(rows)
    hard = "\ufeff" + text.replace("\n", "\r\n\r\n").replace(",", ";")
    hard = "\n".join(line for line in hard.splitlines())
    packed = tmp_path / "hard.csv"
    texts = csv_text(rows | {"name": np.array([name.replace(",", ";") for name in rows["name"]])})
    table = list(csv.reader(io.StringIO(texts)))
    written = io.StringIO()
    csv.writer(written, delimiter=";", lineterminator="\r\n\r\n").writerows(table)
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + written.getvalue().encode()))
    found = predicted(two, packed, replace(KEPT, delimiter=";"))
    assert found == expected | {"name": [name.replace(",", ";") for name in rows["name"]]}


def test_several_files_follow_each_other(two: Made, rows: Columns, tmp_path: Path) -> None:
    """The rows of the first, then those of the second, whose columns stand in another order."""
    expected = predicted(two, write(tmp_path, rows))
    first = write(tmp_path, {name: column[:11] for name, column in rows.items()}, "first.csv")
    rest = {name: rows[name][11:] for name in reversed(rows)}
    assert predicted(two, [first, write(tmp_path, rest, "second.csv")]) == expected


def test_line_ends_in_kept_texts_are_no_borders(two: Made, rows: Columns, tmp_path: Path) -> None:
    """Where a range was cut inside quotes, everything is read anew, and nothing is written twice."""
    texts = [f'one,\n"two"\n{index}\n' * (index % 5) for index in range(30)]
    source = write(tmp_path, rows | {"name": np.array(texts)})
    for range_bytes in (64, 300):
        found = predicted(two, source, replace(KEPT, range_bytes=range_bytes))
        assert found["name"] == texts
        assert found["id"] == rows["id"].tolist()


def test_csv_holds_what_parquet_holds(two: Made, rows: Columns, tmp_path: Path) -> None:
    """Every value as it is, read by the `csv` module: texts, integers beyond 2**53, floats."""
    source = write(tmp_path, rows)
    expected = predicted(two, source)
    assert predict(two.model, source, tmp_path / "out.csv", KEPT).table_format == "csv"
    header, *lines = csv.reader(io.StringIO((tmp_path / "out.csv").read_text(), newline=""))
    assert header == list(expected)
    columns = dict(zip(header, zip(*lines, strict=True), strict=True))
    assert list(columns["name"]) == expected["name"]
    for name in ("id", "prediction"):
        assert list(map(int, columns[name])) == expected[name]
    for name in ("mass", "probability_0", "probability_1"):
        assert np.float32(columns[name]).tolist() == np.float32(expected[name]).tolist()


def test_a_column_of_each_class(many: Made) -> None:
    """Classes that are texts: the most probable one is predicted, the probabilities add up to 1."""
    found = predicted(many, many.source, PredictOptions(keep=("label",)))
    classes = sorted(set(many.columns["label"].tolist()))
    assert list(found) == ["label", "prediction", *(f"probability_{name}" for name in classes)]
    score = np.stack([found[f"probability_{name}"] for name in classes], axis=1)
    assert score == pytest.approx(expected_scores(many, many.columns), abs=1e-6)
    assert score.sum(axis=1) == pytest.approx(1)
    assert found["prediction"] == [classes[index] for index in score.argmax(axis=1)]
    assert found["label"] == many.columns["label"].tolist()


def test_a_number_is_predicted_in_its_unit(number: Made) -> None:
    """One column, float32, in the unit of the label."""
    found = predicted(number, number.source, PredictOptions())
    assert list(found) == ["prediction"]
    expected = expected_scores(number, number.columns)[:, 0]
    assert np.array(found["prediction"]) == pytest.approx(expected, rel=1e-5)
    schema = pq.read_schema(number.model.parent / "predictions" / "out.parquet")
    assert schema.field("prediction").type == pa.float32()


def test_missing_values_are_filled_with_the_train_mean(two: Made, rows: Columns, tmp_path: Path) -> None:
    """As a conversion does it; a kept value that is missing stays so."""
    holes = rows | {"a": ["" if i % 3 == 0 else v for i, v in enumerate(rows["a"].tolist())]}
    source = write(tmp_path, holes)
    with pytest.raises(MissingValueError, match=r"new\.csv:2: column 'a': no value"):
        predict(two.model, source, tmp_path / "out.parquet", KEPT)
    moments = json.loads((two.shards / "manifest.json").read_text())["columns"]
    mean = next(column["moments"]["mean"] for column in moments if column["name"] == "a")
    filled = rows | {"a": np.where(np.arange(30) % 3 == 0, mean, rows["a"])}
    options = PredictOptions(keep=("id", "a"), on_missing="mean")
    found = predicted(two, source, options)
    assert np.array(found["probability_1"]) == pytest.approx(expected_scores(two, filled)[:, 0], abs=1e-6)
    assert found["a"] == [None if i % 3 == 0 else value for i, value in enumerate(rows["a"].tolist())]
    predict(two.model, source, tmp_path / "out.csv", options)
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[1].startswith(f"{rows['id'][0]},,")


def test_a_model_that_knows_no_mean_cannot_fill(two: Made, tmp_path: Path) -> None:
    """A model of features as they are is asked for another way."""
    model = shutil.copytree(two.model, tmp_path / "model")
    described = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps(described | {"standardized": False}))
    with pytest.raises(OptionError, match="--on-missing mean"):
        predict(model, two.source, tmp_path / "out.csv", PredictOptions(on_missing="mean"))


def test_rows_set_aside_are_told_of(two: Made, rows: Columns, tmp_path: Path) -> None:
    """They are missing in the output alone, and stand beside it with file, line, offset and reason."""
    lines = csv_text({name: column for name, column in rows.items() if name != "name"}).splitlines(
        keepends=True
    )
    lines[3], lines[8], lines[20] = "1,2\n", lines[8].replace("0.1", "word"), lines[20].replace("0.1", "inf")
    source = tmp_path / "new.csv"
    source.write_text("".join(lines))
    options = PredictOptions(keep=("id",), on_bad_row="skip", on_nonfinite="drop", range_bytes=300)
    output = tmp_path / "out" / "out.parquet"
    summary = predict(two.model, source, output, options)
    assert (summary.num_read, summary.num_written, summary.num_rejected) == (30, 27, 3)
    gone = {2, 7, 19}
    assert read(output)["id"] == [v for i, v in enumerate(rows["id"].tolist()) if i not in gone]
    rejects = [
        json.loads(line) for line in (output.parent / "out.parquet.rejects.jsonl").read_text().splitlines()
    ]
    assert [(r["file"], r["line"], r["code"]) for r in rejects] == [
        ("new.csv", 4, "E102"),
        ("new.csv", 9, "E103"),
        ("new.csv", 21, "E105"),
    ]
    assert [r["byte_offset"] for r in rejects] == [sum(map(len, lines[:n])) for n in (3, 8, 20)]
    with pytest.raises(TooManyRejectsError, match=r"new\.csv:21: .*more than 2 rows set aside"):
        predict(two.model, source, tmp_path / "b.csv", replace(options, max_rejects=2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new.csv", "out"]
    clean = write(tmp_path, rows, "clean.csv")
    predict(two.model, clean, output, replace(options, overwrite=True))
    assert [path.name for path in output.parent.iterdir()] == ["out.parquet"]


FAULTS = {
    "no such file": None,
    "empty": "",
    "header only": "label,id,name,level,a,time,mass,flat\n",
    "text in a feature": "0,1,n,0.5,word,2,3,4\n",
    "short row": "0,1,n,0.5,1\n",
    "long row": "0,1,n,0.5,1,2,3,4,5\n",
    "missing": "0,1,n,0.5,,2,3,4\n",
    "infinite": "0,1,n,0.5,-inf,2,3,4\n",
    "too large for a double": "0,1,n,0.5,1e400,2,3,4\n",
    "cut in the last row": "0,1,n,0.5,1",
    "unclosed quote": '0,1,"n,0.5,1,2,3,4\n',
    "underscores": "0,1,n,0.5,1_000,2,3,4\n",
}


@pytest.mark.parametrize("name", FAULTS)
def test_faults_of_the_source_are_those_of_a_conversion(two: Made, tmp_path: Path, name: str) -> None:
    """The same class, place, wording and hint; no output is left."""
    fault = FAULTS[name]
    source = tmp_path / "new.csv"
    if fault is not None:
        good = csv_text({column: values[:40] for column, values in two.columns.items()})
        whole = not fault or fault.startswith("label")
        source.write_text(fault if whole else good + fault)
    told = []
    for work in (
        lambda: convert(source, tmp_path / "shards", make_options(keep=("id", "name", "level"))),
        lambda: predict(
            two.model, source, tmp_path / "out.csv", PredictOptions(keep=("id", "name", "level"))
        ),
    ):
        with pytest.raises(PipelineError) as caught:
            work()
        told.append((type(caught.value), str(caught.value), caught.value.hint))
    assert told[0] == told[1]
    assert {path.name for path in tmp_path.iterdir()} <= {"new.csv"}


def test_a_value_beyond_the_model_is_an_error(two: Made, rows: Columns, tmp_path: Path) -> None:
    """What would be infinite in float32 is named with its line, rather than predicted."""
    values = rows["a"].copy()
    values[21] = -1e300
    source = write(tmp_path, rows | {"a": values})
    with pytest.raises(NonFiniteError, match=r"new\.csv:23: column 'a': -1e\+300 is too large for the model"):
        predict(two.model, source, tmp_path / "out.csv", replace(KEPT, range_bytes=500))
    assert [path.name for path in tmp_path.iterdir()] == ["new.csv"]


def test_a_feature_of_text_is_named_with_its_first_cell(two: Made, rows: Columns, tmp_path: Path) -> None:
    """Where a conversion would ask what to do with the column, the model needs numbers."""
    source = write(tmp_path, rows | {"a": np.array(["x"] * 30)})
    with pytest.raises(NotANumberError, match=r"new\.csv:2: column 'a': found 'x'"):
        predict(two.model, source, tmp_path / "out.csv", PredictOptions())


def test_a_source_without_features_is_refused(two: Made, rows: Columns, tmp_path: Path) -> None:
    """Expected and found columns are told; without a header nothing fits."""
    source = write(tmp_path, {"A": rows["a"], "time": rows["time"]})
    with pytest.raises(
        ModelError,
        match=r"3 of the model's 4 features are missing: 'a', 'mass', 'flat'; .*; found 'A', 'time'",
    ) as caught:
        predict(two.model, source, tmp_path / "out.csv", PredictOptions())
    assert caught.value.hint == "did you mean 'A'?"
    with pytest.raises(ModelError, match="found 'column_1'"):
        predict(two.model, source, tmp_path / "out.csv", PredictOptions(has_header=False))


def test_a_model_that_is_none_is_refused(two: Made, tmp_path: Path) -> None:
    """A folder without a model, and a model that is cut."""
    with pytest.raises(ModelError, match="this is no model"):
        predict(tmp_path, two.source, tmp_path / "out.csv", PredictOptions())
    model = shutil.copytree(two.model, tmp_path / "model")
    (model / "model.keras").write_bytes((model / "model.keras").read_bytes()[:1000])
    with pytest.raises(ModelError, match="SHA-256"):
        predict(model, two.source, tmp_path / "out.csv", PredictOptions())
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("options", "error", "wording"),
    [
        ({"keep": ("nmae",)}, ColumnNotFoundError, "--keep nmae: no such column"),
        ({"keep": ("id", "id")}, OptionError, "each column once"),
        ({"batch_size": 0}, OptionError, "--batch-size 0"),
        ({"precision": "float16"}, OptionError, "--precision float16: expected float32 or mixed_bfloat16"),
        ({"delimiter": '"'}, OptionError, "--delimiter"),
        ({"num_workers": 0}, OptionError, "--workers 0"),
        ({"memory_bytes": 1 << 20}, MemoryBudgetError, "--memory 1MiB is too little"),
    ],
)
def test_wrong_options(
    two: Made, tmp_path: Path, options: dict[str, Any], error: type[Exception], wording: str
) -> None:
    """They are refused before anything is written."""
    with pytest.raises(error, match=wording):
        predict(two.model, two.source, tmp_path / "out.csv", PredictOptions(**options))
    assert list(tmp_path.iterdir()) == []


def test_a_kept_column_cannot_have_the_name_of_a_new_one(two: Made, rows: Columns, tmp_path: Path) -> None:
    """The output would have two columns of one name."""
    source = write(tmp_path, rows | {"prediction": rows["a"]})
    with pytest.raises(OptionError, match="--keep prediction: the prediction has a column of that name"):
        predict(two.model, source, tmp_path / "out.csv", PredictOptions(keep=("prediction",)))


def test_the_format_is_told_by_name_or_option(two: Made, rows: Columns, tmp_path: Path) -> None:
    """An ending that says nothing needs `--format`."""
    source = write(tmp_path, rows)
    with pytest.raises(OptionError, match=r"out\.txt: a name that ends in none of \.parquet"):
        predict(two.model, source, tmp_path / "out.txt", PredictOptions())
    predict(two.model, source, tmp_path / "out.txt", PredictOptions(table_format="csv"))
    assert (tmp_path / "out.txt").read_text().startswith("prediction,probability_0")
    predict(two.model, source, tmp_path / "out.csv", PredictOptions(table_format="parquet"))
    assert pq.read_table(tmp_path / "out.csv").num_rows == 30


def test_an_output_is_replaced_only_when_told(two: Made, rows: Columns, tmp_path: Path) -> None:
    """It stays, byte for byte, unless `overwrite` is given and the new one succeeds."""
    source, output = write(tmp_path, rows), tmp_path / "out.csv"
    output.write_text("mine")
    with pytest.raises(TargetExistsError, match="exists already"):
        predict(two.model, source, output, PredictOptions())
    bad = write(tmp_path, rows | {"a": np.array([*rows["a"][:29].tolist(), "word"])}, "bad.csv")
    with pytest.raises(NotANumberError):
        predict(two.model, bad, output, PredictOptions(overwrite=True))
    assert output.read_text() == "mine"
    predict(two.model, source, output, PredictOptions(overwrite=True))
    assert output.read_text().startswith("prediction,")
    with pytest.raises(TargetExistsError, match="is no file"):
        predict(two.model, source, tmp_path, PredictOptions(overwrite=True, table_format="csv"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.csv", "new.csv", "out.csv"]


def test_an_output_that_another_process_writes_is_busy(two: Made, tmp_path: Path) -> None:
    """Two predictions never write to one file; what a killed one left is written over."""
    output = tmp_path / "out.csv"
    with partial_path(output).open("w") as file:
        file.write("left by a process that was killed")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(BusyError, match="busy"):
            predict(two.model, two.source, output, PredictOptions())
    predict(two.model, two.source, output, PredictOptions())
    assert output.read_text().startswith("prediction,")
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_full_disk_leaves_nothing(two: Made, tmp_path: Path, suffix: str) -> None:
    """The disk's error is told as ours, and no output is there."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(DiskError, match=r"out\.|File too large"):
            predict(two.model, two.source, tmp_path / f"out.{suffix}", KEPT)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_may_not_be_written(two: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Permission denied is told as ours."""

    def refuse(*_given: object, **_named: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path))

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(AccessError, match="permission denied"):
        predict(two.model, two.source, tmp_path / "out.csv", PredictOptions())


def test_an_interruption_leaves_nothing(two: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle: neither output nor partial file."""
    calls = itertools.chain([None, KeyboardInterrupt()], itertools.repeat(None))  # from any thread

    def score(rows: RawRows) -> np.ndarray:
        if (interrupt := next(calls)) is not None:
            raise interrupt
        return np.zeros((len(rows.features), 1), np.float32)

    monkeypatch.setattr(pipeline.predict, "score_function", lambda *_: score)
    with pytest.raises(KeyboardInterrupt):
        predict(two.model, two.source, tmp_path / "out.csv", PredictOptions(range_bytes=10_000))
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_changes_is_refused(
    two: Made, rows: Columns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line is appended while the model works."""
    source = write(tmp_path, rows)

    def score(rows: RawRows) -> np.ndarray:
        with source.open("a") as file:
            file.write("0,1,n,0.5,1,2,3,4\n")
        return np.zeros((len(rows.features), 1), np.float32)

    monkeypatch.setattr(pipeline.predict, "score_function", lambda *_: score)
    with pytest.raises(SourceChangedError, match="changed while it was read"):
        predict(two.model, source, tmp_path / "out.csv", PredictOptions())
    assert [path.name for path in tmp_path.iterdir()] == ["new.csv"]


def test_predictions_that_are_no_numbers_are_refused(
    two: Made, rows: Columns, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that gives NaN is an error, not a table."""
    monkeypatch.setattr(
        pipeline.predict,
        "score_function",
        lambda *_: lambda rows: np.full((len(rows.features), 1), np.nan),
    )
    with pytest.raises(ModelError, match="not finite"):
        predict(two.model, write(tmp_path, rows), tmp_path / "out.csv", PredictOptions())


def test_rows_that_are_all_set_aside_are_an_error(two: Made, rows: Columns, tmp_path: Path) -> None:
    """An output without a single row is none."""
    source = write(tmp_path, rows | {"a": np.array([""] * 30)})
    with pytest.raises(EmptySourceError, match="0 data rows") as caught:
        predict(two.model, source, tmp_path / "out.csv", PredictOptions(on_missing="drop"))
    assert caught.value.hint == "all 30 rows were set aside"
    assert [path.name for path in tmp_path.iterdir()] == ["new.csv"]


def test_memory_decides_how_many_ranges_are_read_at_a_time() -> None:
    """More of it gives more threads, up to those asked for; too little names what would do, and that does."""
    record = RecordSize(text_bytes=741, num_cells=29, kept_text_bytes=0)
    given = {"num_workers": 16, "num_parameters": 421_713, "batch_size": 4096, "range_bytes": 8 << 20}
    threads = [affordable_threads(size << 20, record, **given) for size in (1024, 1100, 4096)]
    assert 1 < threads[0] < threads[1] < threads[2] == 16
    with pytest.raises(MemoryBudgetError) as caught:
        affordable_threads(900 << 20, record, **given)
    needed = int(caught.value.hint.removeprefix("pass --memory ").removesuffix("MiB or more"))
    assert affordable_threads(needed << 20, record, **given) >= 1
    with pytest.raises(MemoryBudgetError):
        affordable_threads((needed - 2) << 20, record, **given)


@pytest.mark.parametrize(
    ("text_bytes", "num_cells", "kept_text_bytes"), [(741, 29, 0), (20, 10, 0), (10_000, 3, 9_990), (2, 1, 0)]
)
def test_the_default_memory_suffices_for_records_of_any_shape(
    text_bytes: float, num_cells: int, kept_text_bytes: float
) -> None:
    """Of many cells or much text, so much less is read at a time that two threads can."""
    record = RecordSize(text_bytes=text_bytes, num_cells=num_cells, kept_text_bytes=kept_text_bytes)
    range_bytes = fitting_range(record, at_most=8 << 20)
    threads = affordable_threads(
        1 << 30, record, num_workers=2, num_parameters=421_713, batch_size=4096, range_bytes=range_bytes
    )
    assert threads == 2


@pytest.fixture
def command(
    two: Made, tmp_path: Path, pipeline_command: Command, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """The command with the model of two classes, in a folder with its source as raw.csv."""
    shutil.copy(two.source, tmp_path / "raw.csv")
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: pipeline_command("predict", two.model, *arguments)


def test_the_command_says_what_it_did(command: Callable[..., Any], tmp_path: Path) -> None:
    """The accounting, and as JSON the same; progress is on standard error."""
    outcome = command("raw.csv", "out.parquet", "--keep", "id", "--workers", "2")
    assert outcome.status == 0, outcome.stderr
    assert outcome.stdout.splitlines()[0] == "1,000 records read = 1,000 written + 0 rejected"
    assert outcome.stdout.splitlines()[1].startswith("out.parquet is ready after")
    assert outcome.stderr.startswith("predicting: ")
    outcome = command("raw.csv", "raw2.csv", "--json", "--delimiter", ",")
    found = json.loads(outcome.stdout)
    assert found["records"] == {"read": 1000, "written": 1000, "rejected": 0, "blank": 0}
    assert (found["output"], found["format"], outcome.stderr) == ("raw2.csv", "csv", "")
    refused = command("raw.csv", "out.parquet")
    assert refused.status == 2
    assert refused.stderr.startswith("error[E202] out.parquet: exists already\n  hint: pass --overwrite")
    assert command("raw.csv", "out.parquet", "--overwrite", "--quiet").stdout == ""
    assert (tmp_path / "out.parquet").exists()


def test_the_command_computes_in_bfloat16_when_told(command: Callable[..., Any], tmp_path: Path) -> None:
    """Probabilities of two to three digits, then; float32 is the default."""
    outcomes = [
        command("raw.csv", f"{name}.parquet", *given)
        for name, given in {
            "default": (),
            "wide": ("--precision", "float32"),
            "narrow": ("--precision", "mixed_bfloat16"),
        }.items()
    ]
    assert [outcome.status for outcome in outcomes] == [0, 0, 0]
    default, wide, narrow = (
        read(tmp_path / f"{name}.parquet")["probability_1"] for name in ("default", "wide", "narrow")
    )
    assert default == wide != narrow
    assert narrow == pytest.approx(wide, abs=0.02)


def test_the_command_reads_standard_input(
    two: Made, command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With - for the source."""
    with (tmp_path / "raw.csv").open("rb") as file:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(file))
        outcome = command("-", "out.parquet", "--quiet")
    assert (outcome.status, outcome.stdout, outcome.stderr) == (0, "", "")
    assert read(tmp_path / "out.parquet") == predicted(two, two.source, PredictOptions())
