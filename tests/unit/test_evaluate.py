"""A model judged on a split: its figures against scikit-learn, its slices by raw values, what is refused."""

from __future__ import annotations

import dataclasses
import json
import math
import shlex
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle

from pipeline import backend
from pipeline.dates import date
from pipeline.errors import (
    BusyError,
    ColumnNotFoundError,
    DatasetError,
    ModelError,
    OptionError,
    ShardError,
    TargetExistsError,
)
from pipeline.evaluate import EvaluateOptions, EvaluateSummary, evaluate
from pipeline.evaluate.importance import num_records_for
from pipeline.evaluate.slices import by_number, by_text, raw_value
from pipeline.storage import staging
from support.datasets import convert_text, make_options
from support.trained import KEPT, Columns, Made, csv_text, make_dataset, table, trained

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.command import Command

FIRST_ID = 1 << 53
TABLES = {f"{name}.json" for name in ("roc", "pr", "calibration", "confusion", "residuals")}
ALWAYS = {"metrics.json", "importance.json", "importance.png", "slices.json"} | TABLES
OF_CLASSES = {"roc.png", "pr.png", "calibration.png", "confusion.png"}


SLICED = EvaluateOptions(slices=("mass", "name", "level", "a"))


@pytest.fixture(scope="module")
def summary(two: Made, fresh_folder: Callable[[], Path]) -> EvaluateSummary:
    """An evaluation of two classes with every kind of slice, which many tests look at."""
    return evaluate(two.model, two.shards, fresh_folder(), SLICED)


def raw_columns(made: Made) -> Columns:
    """Return the raw columns of the records of the test split, in the order on disk, found by their id."""
    paths = sorted(made.shards.glob("test-*.parquet"))
    ids = [value for path in paths for value in pq.read_table(path).column("id").to_pylist()]
    return {name: column[np.array(ids) - FIRST_ID] for name, column in made.columns.items()}


def scores(made: Made, columns: Columns) -> np.ndarray:
    """Return what the model, opened by Keras alone, says of raw columns."""
    described = json.loads((made.model / "model.json").read_text())
    with backend.known_warnings_ignored():
        model = backend.keras().models.load_model(made.model / "model.keras", safe_mode=True)
        rows = np.stack([columns[name] for name in described["features"]], axis=1).astype(np.float64)
        return np.asarray(model(rows)).astype(np.float64)


def written(output: Path, name: str) -> Any:
    """Return a JSON file of an evaluation."""
    return json.loads((output / name).read_text(encoding="utf-8"))


def binary_figures(label: np.ndarray, score: np.ndarray) -> dict[str, float]:
    """Return what scikit-learn says of probabilities of class 1."""
    return {
        "records": len(label),
        "loss": oracle.log_loss(label, score),
        "accuracy": oracle.accuracy_score(label, score > 0.5),
        "precision": oracle.precision_score(label, score > 0.5),
        "recall": oracle.recall_score(label, score > 0.5),
        "f1": oracle.f1_score(label, score > 0.5),
        "auc": oracle.roc_auc_score(label, score),
        "average_precision": oracle.average_precision_score(label, score),
        "brier": oracle.brier_score_loss(label, score),
    }


def test_figures_of_two_classes_are_those_of_the_raw_rows(two: Made, summary: EvaluateSummary) -> None:
    """Every figure in metrics.json, recomputed by scikit-learn from the model and the rows of the CSV."""
    raw = raw_columns(two)
    expected = binary_figures(raw["label"], scores(two, raw)[:, 0])
    found = written(summary.output, "metrics.json")
    assert found["split"] == "test"
    assert found["records"] == 300
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert {name: found[name] for name in summary.figures} == summary.figures
    counts = oracle.confusion_matrix(raw["label"], scores(two, raw)[:, 0] > 0.5).ravel().tolist()
    names = ("true_negatives", "false_positives", "false_negatives", "true_positives")
    assert [found[name] for name in names] == counts


@pytest.mark.parametrize("column", ["mass", "name", "level"])
def test_slices_are_those_of_the_raw_values(two: Made, summary: EvaluateSummary, column: str) -> None:
    """A feature and kept columns of numbers and of texts: one slice for each value, with its figures."""
    raw = raw_columns(two)
    score = scores(two, raw)[:, 0]
    found = written(summary.output, "metrics.json")["slices"][column]
    values = sorted(set(raw[column].tolist()))
    assert list(found) == [value if column == "name" else f"{value:g}" for value in values]
    for value, figures in zip(values, found.values(), strict=True):
        here = raw[column] == value
        expected = binary_figures(raw["label"][here], score[here])
        assert {name: figures[name] for name in expected} == pytest.approx(expected, rel=1e-5)


def test_a_column_of_many_values_is_cut_into_tenths(two: Made, summary: EvaluateSummary) -> None:
    """Ten slices of equally many records, named by their raw ends, which cover them all."""
    raw = raw_columns(two)["a"]
    rows = [row for row in written(summary.output, "slices.json") if row["column"] == "a"]
    assert [row["records"] for row in rows] == [30] * 10
    assert all(row["value"] is None for row in rows)
    ends = [tuple(map(float, row["slice"].split(" to "))) for row in rows]
    for (low, high), row in zip(ends, rows, strict=True):
        inside = (raw >= low - 1e-6) & (raw < high - 1e-6)
        assert abs(inside.sum() - row["records"]) <= 1
    assert [high for _, high in ends[:-1]] == [low for low, _ in ends[1:]]


def test_tables_are_what_dvc_plots(summary: EvaluateSummary) -> None:
    """Curves begin and end where they must, bins and pairs add up to all records, and all files are there."""
    output = summary.output
    assert {path.name for path in output.iterdir()} == ALWAYS | OF_CLASSES | {"slices.png"}
    assert [name for name in TABLES if not written(output, name)] == ["residuals.json"]
    roc, pr = written(output, "roc.json"), written(output, "pr.json")
    assert [roc[0][name] for name in ("threshold", "false_positive_rate", "true_positive_rate")] == [
        None,
        0,
        0,
    ]
    assert [roc[-1][name] for name in ("false_positive_rate", "true_positive_rate")] == [1, 1]
    assert (pr[0]["recall"], pr[0]["precision"], pr[-1]["recall"]) == (0, 1, 1)
    area = np.trapezoid(
        [row["true_positive_rate"] for row in roc], [row["false_positive_rate"] for row in roc]
    )
    assert area == pytest.approx(summary.figures["auc"], abs=1e-6)
    assert sum(row["records"] for row in written(output, "calibration.json")) == 300
    confusion = written(output, "confusion.json")
    assert [(row["actual"], row["predicted"]) for row in confusion] == [
        (actual, predicted) for actual in "01" for predicted in "01"
    ]
    assert sum(row["records"] for row in confusion) == 300
    assert sum(row["share"] for row in confusion) == pytest.approx(2)


def permuted(values: np.ndarray, index: int, repeat: int) -> np.ndarray:
    """Return what importance permutes a column to, from the raw stream of Philox alone."""
    stream = np.random.Philox(key=np.array([0, (index << 32) + repeat], np.uint64))
    return values[np.argsort(stream.random_raw(len(values)), kind="stable")]


def test_importance_is_the_drop_of_permuted_raw_columns(two: Made, tmp_path: Path) -> None:
    """Of the first 200 records: what scikit-learn says of the model, opened by Keras, on permuted columns."""
    found = evaluate(two.model, two.shards, tmp_path / "e", EvaluateOptions(importance=200))
    raw = {name: column[:200] for name, column in raw_columns(two).items()}
    features = json.loads((two.model / "model.json").read_text())["features"]
    whole = oracle.roc_auc_score(raw["label"], scores(two, raw)[:, 0])
    expected = {}
    for index, name in enumerate(features):
        drops = [
            whole
            - oracle.roc_auc_score(
                raw["label"], scores(two, raw | {name: permuted(raw[name], index, repeat)})[:, 0]
            )
            for repeat in range(3)
        ]
        expected[name] = (np.mean(drops), min(drops), max(drops))
    rows = written(tmp_path / "e", "importance.json")
    assert [row["metric"] for row in rows] == ["auc"] * 4
    for row in rows:
        assert (row["drop"], row["low"], row["high"]) == pytest.approx(expected[row["column"]], abs=2e-4)
    assert [row["drop"] for row in rows] == sorted((row["drop"] for row in rows), reverse=True)
    worth = {one.column: one.drop for one in found.importance}
    assert min(worth["a"], worth["time"]) > 0.05
    assert abs(worth["flat"]) < 1e-6


@pytest.mark.parametrize(
    ("given", "num_features", "num_records", "expected"),
    [
        (None, 28, 10**6, 10_000),
        (None, 28, 300, 300),
        (None, 200, 10**6, 1666),
        (None, 20_000, 10**6, 0),
        (5000, 20_000, 10**6, 5000),
        (5000, 28, 300, 300),
        (0, 28, 300, 0),
    ],
)
def test_importance_takes_bounded_time(
    given: int | None, num_features: int, num_records: int, expected: int
) -> None:
    """Unless told otherwise, a million records are scored at most, and too few of them are none at all."""
    assert num_records_for(EvaluateOptions(importance=given), num_features, num_records) == expected


def test_importance_can_be_left_out(many: Made, tmp_path: Path) -> None:
    """With 0 records there is no plot, and its table is empty."""
    found = evaluate(many.model, many.shards, tmp_path / "e", EvaluateOptions(importance=0))
    assert found.importance == ()
    assert written(tmp_path / "e", "importance.json") == []
    assert not (tmp_path / "e" / "importance.png").exists()
    with pytest.raises(OptionError, match="--importance -1"):
        EvaluateOptions(importance=-1)


@pytest.mark.parametrize("name", ["roc", "pr", "calibration", "confusion", "slices", "importance"])
def test_plots_are_pictures(summary: EvaluateSummary, name: str) -> None:
    """Each PNG can be read and shows something."""
    from matplotlib import image  # noqa: PLC0415  # only here

    pixels = image.imread(summary.output / f"{name}.png")
    assert min(pixels.shape[:2]) > 200
    assert 0.001 < (pixels[..., :3].min(axis=2) < 0.9).mean() < 0.7


def test_both_formats_give_the_same(two: Made, summary: EvaluateSummary, tmp_path: Path) -> None:
    """From TFRecord the figures are those from Parquet, kept columns among them, for any size of batches."""
    options = dataclasses.replace(
        SLICED, slices=("mass", "name", "level"), shard_format="tfrecord", batch_size=7
    )
    other = evaluate(two.model, two.shards, tmp_path / "evaluation", options)
    assert other.figures == pytest.approx(summary.figures, rel=1e-5)
    expected = [one for one in summary.slices if one.column != "a"]
    assert [one.name for one in other.slices] == [one.name for one in expected]
    for one, of_parquet in zip(other.slices, expected, strict=True):
        assert one.figures == pytest.approx(of_parquet.figures, rel=1e-5)


def test_figures_of_many_classes_are_those_of_scikit_learn(many: Made, tmp_path: Path) -> None:
    """Weighted loss, accuracy, and macro averages of one class against the rest; each class has its curve."""
    found = evaluate(many.model, many.shards, tmp_path / "e", EvaluateOptions()).figures
    raw = raw_columns(many)
    classes = sorted(set(many.columns["label"].tolist()))
    label, score = np.array([classes.index(value) for value in raw["label"]]), scores(many, raw)
    score /= score.sum(axis=1, keepdims=True)  # to the last digit of a double, not of a float32
    weight = {"sample_weight": raw["w"].astype(np.float32)}
    one_hot = np.eye(4)[label]
    expected = {
        "records": 300,
        "loss": oracle.log_loss(label, score, **weight),
        "accuracy": oracle.accuracy_score(label, score.argmax(axis=1), **weight),
        "auc": oracle.roc_auc_score(one_hot, score, average="macro", **weight),
        "average_precision": oracle.average_precision_score(one_hot, score, average="macro", **weight),
        "brier": oracle.brier_score_loss(label, score, scale_by_half=False, **weight),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert {path.name for path in (tmp_path / "e").iterdir()} == ALWAYS | OF_CLASSES | {
        "curves_by_class.json"
    }
    assert written(tmp_path / "e", "slices.json") == []
    by_class = written(tmp_path / "e", "curves_by_class.json")
    for index, name in enumerate(classes):
        points = [row for row in by_class if row["class"] == name]
        rates, recalls = ([row[key] for row in points] for key in ("false_positive_rate", "recall"))
        area = oracle.roc_auc_score(label == index, score[:, index], **weight)
        assert np.trapezoid(recalls, rates) == pytest.approx(area, abs=1e-5)
    matrix = oracle.confusion_matrix(label, score.argmax(axis=1)).ravel().tolist()
    assert [row["records"] for row in written(tmp_path / "e", "confusion.json")] == matrix
    mean = written(tmp_path / "e", "roc.json")
    assert len(mean) <= 1000
    area = np.trapezoid(*([row[k] for row in mean] for k in ("true_positive_rate", "false_positive_rate")))
    assert area == pytest.approx(found["auc"], abs=2e-3)


def test_figures_of_a_number_are_those_of_scikit_learn(number: Made, tmp_path: Path) -> None:
    """Errors, R² and the quantiles of the residuals, of all records and of a slice."""
    output = tmp_path / "e"
    found = evaluate(number.model, number.shards, output, EvaluateOptions(slices=("level",)))
    raw = raw_columns(number)
    predicted = scores(number, raw)[:, 0]
    expected = {
        "records": 300,
        "loss": oracle.mean_squared_error(raw["label"], predicted),
        "mae": oracle.mean_absolute_error(raw["label"], predicted),
        "rmse": oracle.root_mean_squared_error(raw["label"], predicted),
        "r2": oracle.r2_score(raw["label"], predicted),
        "residual_p50": np.quantile(predicted - raw["label"], 0.5, method="inverted_cdf"),
        "residual_p95": np.quantile(predicted - raw["label"], 0.95, method="inverted_cdf"),
    }
    assert {name: found.figures[name] for name in expected} == pytest.approx(expected, rel=1e-4)
    low = raw["level"] == 0.1
    assert found.slices[0].figures["mae"] == pytest.approx(
        oracle.mean_absolute_error(raw["label"][low], predicted[low]), rel=1e-4
    )
    assert {path.name for path in output.iterdir()} == ALWAYS | {"predicted.png", "slices.png"}
    assert not any(written(output, f"{name}.json") for name in ("roc", "pr", "confusion"))
    assert [row["figure"] for row in written(output, "slices.json")] == [
        one.figures["rmse"] for one in found.slices
    ]
    bins = written(output, "calibration.json")
    assert sum(row["records"] for row in bins) == 300
    assert np.average([row["actual"] for row in bins], weights=[row["records"] for row in bins]) == (
        pytest.approx(raw["label"].mean(), rel=1e-5)
    )
    assert all(row["low"] <= row["actual"] <= row["high"] for row in bins)
    assert [row["predicted"] for row in bins] == sorted(row["predicted"] for row in bins)
    rows = written(output, "residuals.json")
    assert [row["share"] for row in rows] == [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99]
    assert rows[3]["residual"] == pytest.approx(found.figures["residual_p50"], rel=1e-6)


def test_another_split_and_columns_in_another_order(two: Made, tmp_path: Path) -> None:
    """The model is judged on a dataset with other moments and its columns elsewhere, with a warning."""
    reordered = {
        name: table(400, seed=9)[name] for name in ("flat", "time", "id", "label", "mass", "a", "name")
    }
    reordered["extra"] = np.arange(400) * 1.5
    other = make_dataset(tmp_path / "other", reordered, keep=("id", "name"))
    found = evaluate(two.model, other.shards, tmp_path / "e", EvaluateOptions())
    raw = raw_columns(other)
    expected = binary_figures(raw["label"], scores(two, raw)[:, 0])
    assert {name: found.figures[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert "another dataset" in found.warnings[0]
    own = evaluate(two.model, two.shards, tmp_path / "val", EvaluateOptions(split="val"))
    assert (own.warnings, own.split, own.figures["records"]) == ((), "val", 100)


def test_a_model_on_features_as_they_are(tmp_path: Path) -> None:
    """Where nothing is standardized, slices are the values as they stand."""
    columns = {name: column for name, column in table(300).items() if name != "time"}
    made = trained(make_dataset(tmp_path / "t", columns, standardize=False))
    found = evaluate(made.model, made.shards, tmp_path / "e", EvaluateOptions(slices=("mass",)))
    assert [one.value for one in found.slices] == [500.0, 750.5, 1000.0]


def test_evaluation_is_replaced_only_when_told(two: Made, tmp_path: Path) -> None:
    """One that is there stays unless `overwrite` is given; nothing else is ever replaced."""
    output = tmp_path / "e"
    evaluate(two.model, two.shards, output, EvaluateOptions())
    before = (output / "metrics.json").read_bytes()
    with pytest.raises(TargetExistsError, match="the target exists"):
        evaluate(two.model, two.shards, output, EvaluateOptions(split="val"))
    assert (output / "metrics.json").read_bytes() == before
    evaluate(two.model, two.shards, output, EvaluateOptions(split="val", overwrite=True))
    assert written(output, "metrics.json")["split"] == "val"
    for taken in (two.model, two.shards):
        with pytest.raises(TargetExistsError, match="holds other things"):
            evaluate(two.model, two.shards, taken, EvaluateOptions(overwrite=True))
    with pytest.raises(TargetExistsError, match="not a folder"):
        evaluate(two.model, two.shards, two.source, EvaluateOptions(overwrite=True))


def test_a_second_process_is_told_that_the_output_is_busy(two: Made, tmp_path: Path) -> None:
    """Two evaluations never write to one output."""
    with staging(tmp_path / "e"), pytest.raises(BusyError, match="busy"):
        evaluate(two.model, two.shards, tmp_path / "e", EvaluateOptions())


@pytest.mark.parametrize(
    ("slices", "error", "wording"),
    [
        (("masss",), ColumnNotFoundError, "--slice masss: no such column"),
        (("label",), OptionError, "it is the label"),
        (("mass", "mass"), OptionError, "each column once"),
    ],
)
def test_columns_that_cannot_be_sliced_by(
    two: Made, tmp_path: Path, slices: tuple[str, ...], error: type[Exception], wording: str
) -> None:
    """They are refused before the model is loaded, and nothing is left."""
    with pytest.raises(error, match=wording):
        evaluate(two.model, two.shards, tmp_path / "e", EvaluateOptions(slices=slices))
    assert list(tmp_path.iterdir()) == []


def test_a_dataset_that_does_not_fit_is_refused(two: Made, number: Made, many: Made, tmp_path: Path) -> None:
    """Other features, another kind of label, classes the model does not know: expected and found are told."""
    fewer = make_dataset(tmp_path / "t", {k: v for k, v in table(200).items() if k != "time"})
    output = tmp_path / "e"
    with pytest.raises(
        ModelError, match=r"1 of the model's 4 features are missing: 'time'; .*found 'a', 'mass'"
    ):
        evaluate(two.model, fewer.shards, output, EvaluateOptions())
    with pytest.raises(ModelError, match="is a number, expected of classes"):
        evaluate(two.model, number.shards, output, EvaluateOptions())
    with pytest.raises(ModelError, match=r"does not know the class .*: expected 0, 1; found"):
        evaluate(two.model, many.shards, output, EvaluateOptions())
    assert not output.exists()


def test_damage_is_found(two: Made, tmp_path: Path) -> None:
    """A flipped bit in the split, in a column that is kept too, and a model that is cut, are errors."""
    shards = shutil.copytree(two.shards, tmp_path / "shards")
    path = next(shards.glob("test-*.parquet"))
    data = bytearray(path.read_bytes())
    data[len(data) // 4] ^= 1
    path.write_bytes(data)
    with pytest.raises(ShardError, match="test-"):
        evaluate(
            two.model, shards, tmp_path / "e", EvaluateOptions(shard_format="parquet", slices=("id", "name"))
        )
    model = shutil.copytree(two.model, tmp_path / "model")
    (model / "model.keras").write_bytes((model / "model.keras").read_bytes()[:-100])
    with pytest.raises(ModelError, match=r"model\.keras"):
        evaluate(model, two.shards, tmp_path / "e", EvaluateOptions())
    with pytest.raises(ModelError, match="this is no model"):
        evaluate(two.shards, two.shards, tmp_path / "e", EvaluateOptions())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "shards"]


def test_an_empty_split_is_refused(tmp_path: Path, two: Made) -> None:
    """Two records have no test split: another one is named."""
    columns = {name: column[:2] for name, column in table().items()}
    columns["label"] = np.array([0, 1])
    shards = convert_text(csv_text(columns), tmp_path / "t", make_options(keep=KEPT)).folder
    with pytest.raises(DatasetError, match="the split test has no records"):
        evaluate(two.model, shards, tmp_path / "e", EvaluateOptions())


@given(
    value=st.one_of(st.integers(-(10**6), 10**6).map(float), st.integers(-9999, 9999).map(lambda n: n / 100)),
    mean=st.floats(-1e4, 1e4),
    scale=st.floats(1e-2, 1e4),
)
def test_raw_value_is_what_the_csv_held(value: float, mean: float, scale: float) -> None:
    """It is stored as it was, and has no more digits than the decimal that the CSV held."""
    stored = np.float32((value - mean) / scale)
    found = raw_value(stored, mean=mean, scale=scale)
    assert np.float32((found - mean) / scale) == stored
    assert len(f"{found:.17g}".strip("-0.")) <= len(f"{value:.17g}".strip("-0.")) or found == value


def test_missing_numbers_are_a_slice_of_their_own() -> None:
    """NaN in a kept column of numbers is not counted to any value."""
    found = by_number("x", np.array([1.5, math.nan, 2.0, math.nan]))
    assert found.names == ("1.5", "2", "missing")
    assert found.index.tolist() == [0, 2, 1, 2]


def test_slices_of_a_feature_are_named_as_a_reader_would() -> None:
    """Zero is 0, whatever the standardization leaves of it; a tenth of dates begins and ends with a date."""
    flags = np.array([0.0, 1.0])
    found = by_number("x", ((flags - 0.49675) / 0.49999).astype(np.float32), mean=0.49675, scale=0.49999)
    assert found.names == ("0", "1")
    days = np.arange(1735689600, 1735689600 + 100 * 86400, 86400, dtype=np.float64)
    found = by_number("x", days, told=date)
    assert found.names[0] == "2025-01-01 to 2025-01-11"
    assert by_number("x", days[:2] + 5, told=date).names == ("2025-01-01 00:00:05", "2025-01-02 00:00:05")


def test_a_value_that_fills_tenths_is_one_slice() -> None:
    """Tenths never part equal values."""
    values = np.concatenate([np.zeros(500), np.linspace(1, 2, 500)])
    found = by_number("x", values)
    assert found.names[0].startswith("0 to ")
    assert (found.index[:500] == 0).all()
    assert np.bincount(found.index).tolist()[1:] == [100] * (len(found.names) - 1)


def test_too_many_texts_are_no_slices() -> None:
    """A kept column with a text for each record is refused."""
    blocks = [pa.array([f"text {index}" for index in range(101)])]
    with pytest.raises(OptionError, match="more than 100 distinct texts"):
        by_text("x", blocks)


def test_the_command_says_what_it_found(
    two: Made, tmp_path: Path, pipeline_command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row for all records and one for each slice; as JSON the same figures on one line."""
    monkeypatch.chdir(tmp_path)
    outcome = pipeline_command("evaluate", two.model, two.shards, "--slice", "mass")
    assert outcome.status == 0, outcome.stderr
    lines = outcome.stdout.splitlines()
    assert [line.split()[:2] for line in lines[1:5]] == [
        ["test", "300"],
        *(["mass", f"{value:g}"] for value in (500, 750.5, 1000)),
    ]
    assert lines[-2].startswith("evaluation is ready after")
    assert lines[-1].startswith("next: pipeline report ")
    assert pipeline_command(*shlex.split(lines[-1])[2:]).status == 0
    assert "ROC" in (tmp_path / "model-report.html").read_text(encoding="utf-8")
    assert outcome.stderr.startswith("evaluating on test: 300 records")
    outcome = pipeline_command("evaluate", two.model, two.shards, "-o", "other", "--split", "val", "--json")
    found = json.loads(outcome.stdout)
    assert (found["split"], found["metrics"]["records"], outcome.stderr) == ("val", 100, "")
    refused = pipeline_command("evaluate", two.model, two.shards)
    assert refused.status == 2
    assert refused.stderr.startswith("error[E202] evaluation: the target exists")
