"""Training from shards: what is written, how it stops, what is refused. Tiny networks, small datasets."""

from __future__ import annotations

import csv
import importlib
import json
import math
import shutil
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn import metrics as oracle

from pipeline import backend
from pipeline.convert import convert
from pipeline.errors import (
    DatasetError,
    DivergedError,
    LabelError,
    ManifestError,
    OptionError,
    ShardError,
    TargetExistsError,
)
from pipeline.plan import ConvertOptions, Identity
from pipeline.schema import RoleOptions
from pipeline.train import TrainOptions, TrainSummary, default_options, passes, train

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pipeline.plan import ShardFormat

NUM_RECORDS = 1000
TINY = TrainOptions(layers=(8,), batch_size=64, epochs=3, learning_rate=0.01, seed=1)
FILES = {"model.keras", "model.json", "metrics.json", "history.csv", "metric.json"}
FILES |= {"accuracy.png", "loss.png", "logs"}


def table(num_records: int = NUM_RECORDS, *, seed: int = 0) -> dict[str, Any]:
    """Return columns: `label` follows from `a` and `time`, a unix timestamp; `flat` is constant."""
    rng = np.random.default_rng(seed)
    a, time = rng.normal(size=num_records), 1.7e9 + rng.normal(size=num_records)
    signal = 2 * a + 2 * (time - 1.7e9) + 0.3 * rng.normal(size=num_records)
    return {
        "label": (signal > 0).astype(int),
        "id": np.arange(num_records),
        "a": a,
        "time": time,
        "flat": np.full(num_records, 0.1),
    }


def make_dataset(
    folder: Path,
    columns: dict[str, Any],
    *,
    split: tuple[str, str, str] = ("0.8", "0.1", "0.1"),
    standardize: bool = True,
    weight: str | None = None,
    label_kind: Literal["auto", "classes", "number"] = "auto",
    formats: tuple[ShardFormat, ...] = ("parquet",),
) -> Path:
    """Write `columns` as CSV and convert them; `id` is kept."""
    folder.mkdir(parents=True)
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    text = ",".join(columns) + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)
    (folder / "source.csv").write_text(text)
    identity = Identity(split=tuple(map(Fraction, split)), standardize=standardize, shard_bytes=8_000)
    options = ConvertOptions(
        identity=identity,
        roles=RoleOptions(keep=("id",), weight=weight),
        label_kind=label_kind,
        formats=formats,
        num_workers=1,
    )
    convert(folder / "source.csv", folder / "shards", options)
    return folder / "shards"


@pytest.fixture(scope="module")
def shards(fresh_folder: Callable[[], Path]) -> Path:
    """A dataset of two classes that can be told apart."""
    return make_dataset(fresh_folder(), table())


@pytest.fixture(scope="module")
def summary(shards: Path, fresh_folder: Callable[[], Path]) -> TrainSummary:
    """A training on it, which many tests look at."""
    return train(shards, fresh_folder(), TINY)


def history_of(summary: TrainSummary) -> list[dict[str, str]]:
    """Return history.csv as the `csv` module reads it."""
    with (summary.output / "history.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def metrics_of(summary: TrainSummary) -> dict[str, Any]:
    """Return metrics.json."""
    tree: dict[str, Any] = json.loads((summary.output / "metrics.json").read_text())
    return tree


def raw_records(shards: Path, split: str, columns: dict[str, Any]) -> dict[str, Any]:
    """Return the raw columns of the records of `split`, found by their `id`."""
    paths = sorted(shards.glob(f"{split}-*.parquet"))
    ids = [value for path in paths for value in pq.read_table(path).column("id").to_pylist()]
    return {name: column[ids] for name, column in columns.items()}


def predictions(summary: TrainSummary, raw: dict[str, Any], *names: str) -> np.ndarray:
    """Return what the saved model says of raw float64 records, opened by Keras alone, in safe mode."""
    model = backend.keras().models.load_model(summary.output / "model.keras", safe_mode=True)
    return np.asarray(model(np.stack([raw[name] for name in names], axis=1)))


def test_the_folder_holds_everything(summary: TrainSummary) -> None:
    """Model, description, figures, history, plots and logs; no staging folder is left."""
    assert {path.name for path in summary.output.iterdir()} == FILES
    assert not summary.output.with_name(summary.output.name + ".incomplete").exists()
    for name in ("accuracy.png", "loss.png"):
        assert (summary.output / name).read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert {path.name for path in (summary.output / "logs").iterdir()} == {"train", "val"}
    assert all(next(path.iterdir()).stat().st_size for path in (summary.output / "logs").iterdir())


def test_the_history_has_a_row_for_each_epoch(summary: TrainSummary) -> None:
    """Loss and accuracy of both splits, learning rate and speed; it learned something."""
    rows = history_of(summary)
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert list(rows[0]) == [
        *("epoch", "loss", "accuracy", "val_loss", "val_accuracy"),
        *("learning_rate", "seconds", "records_per_second"),
    ]
    assert all(float(cell) > 0 for row in rows for cell in row.values())
    assert float(rows[-1]["loss"]) < float(rows[0]["loss"])
    assert float(rows[0]["learning_rate"]) == pytest.approx(0.01)


def test_the_figures_are_those_of_raw_records(summary: TrainSummary, shards: Path) -> None:
    """metrics.json, recomputed by scikit-learn from the saved model and the rows of the CSV."""
    raw = raw_records(shards, "test", table())
    score = predictions(summary, raw, "a", "time", "flat")[:, 0].astype(np.float64)
    found = metrics_of(summary)
    assert (found["split"], found["records"]) == ("test", 100)
    assert found["loss"] == pytest.approx(oracle.log_loss(raw["label"], score), abs=1e-5)
    assert found["auc"] == pytest.approx(oracle.roc_auc_score(raw["label"], score), abs=1e-3)
    assert found["confusion"] == oracle.confusion_matrix(raw["label"], score > 0.5).tolist()
    assert found["accuracy"] == oracle.accuracy_score(raw["label"], score > 0.5)
    assert found["false_positives"] == found["confusion"][0][1]
    assert found["auc"] > 0.95


def test_the_description_says_what_the_model_expects(summary: TrainSummary, shards: Path) -> None:
    """Features in order, label, classes and the dataset's fingerprint."""
    found = json.loads((summary.output / "model.json").read_text())
    manifest = json.loads((shards / "manifest.json").read_text())
    assert found["features"] == ["a", "time", "flat"]
    assert (found["label"], found["label_kind"], found["classes"]) == ("label", "classes", [0, 1])
    assert found["fingerprint"] == manifest["fingerprint"]
    assert found["options"]["layers"] == [8]


class Recorded:
    """A progress that remembers its stages: name, total, and what was reported."""

    def __init__(self) -> None:
        self.stages: list[list[Any]] = []

    def start(self, stage: str, *, total: int | None, unit: str) -> None:
        """Remember a stage."""
        self.stages.append([stage, total, 0, unit])

    def advance(self, amount: int, *, records: int = 0) -> None:  # noqa: ARG002  # the protocol's
        """Add to it."""
        self.stages[-1][2] += amount

    def finish(self, result: str = "") -> None:  # noqa: ARG002  # the protocol's
        """Check that all of it was reported."""
        assert self.stages[-1][1] == self.stages[-1][2]


def test_progress_is_reported_and_nothing_printed(
    shards: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each epoch is a stage of its records, train and val; neither stream shows anything."""
    progress = Recorded()
    train(shards, tmp_path / "model", replace(TINY, epochs=2), progress=progress)
    assert [stage[:2] for stage in progress.stages] == [
        ["epoch 1/2", 900],
        ["epoch 2/2", 900],
        ["evaluating on test", 100],
    ]
    assert capfd.readouterr() == ("", "")


@pytest.fixture
def determinism_ends() -> Iterator[None]:
    """Give the process back to tests that want the fast operations."""
    yield
    importlib.import_module("tensorflow.python.framework.config").disable_op_determinism()


@pytest.mark.usefixtures("determinism_ends")
def test_the_same_seed_gives_the_same_model(shards: Path, tmp_path: Path) -> None:
    """Twice the same weights to the last bit in deterministic mode; other ones from another seed."""
    options = replace(TINY, epochs=2, dropout=0.1, deterministic=True)
    raw = raw_records(shards, "test", table())
    found = [
        predictions(train(shards, tmp_path / name, replace(options, seed=seed)), raw, "a", "time", "flat")
        for name, seed in (("first", 1), ("second", 1), ("third", 2))
    ]
    assert np.array_equal(found[0], found[1])
    assert not np.array_equal(found[0], found[2])


def test_early_stopping_keeps_the_best_epoch(tmp_path: Path) -> None:
    """On labels that are noise it stops `patience` epochs after the best, and the model is of that epoch."""
    columns = table() | {"label": np.random.default_rng(5).integers(0, 2, NUM_RECORDS)}
    shards = make_dataset(tmp_path / "data", columns)
    options = replace(TINY, layers=(64, 64), epochs=40, patience=2, learning_rate=0.02)
    summary = train(shards, tmp_path / "model", options)
    losses = [float(row["val_loss"]) for row in history_of(summary)]
    assert len(losses) < 40
    assert summary.best_epoch == len(losses) - 2 == 1 + losses.index(min(losses))
    raw = raw_records(shards, "val", columns)
    score = predictions(summary, raw, "a", "time", "flat")[:, 0]
    assert oracle.log_loss(raw["label"], score.astype(np.float64)) == pytest.approx(min(losses), abs=1e-4)


def test_without_validation_records_all_epochs_run(tmp_path: Path) -> None:
    """No early stopping, the last epoch is kept, the figures are of the train split, and both are said."""
    shards = make_dataset(tmp_path / "data", table(300), split=("1", "0", "0"))
    summary = train(shards, tmp_path / "model", replace(TINY, patience=1))
    rows = history_of(summary)
    assert (len(rows), summary.best_epoch, rows[0]["val_loss"]) == (3, 3, "")
    assert metrics_of(summary)["split"] == summary.split == "train"
    assert [warning.split(":")[0] for warning in summary.warnings] == [
        "no validation records",
        "no test records",
    ]


def test_without_test_records_the_figures_are_of_validation(tmp_path: Path) -> None:
    """metrics.json names the split."""
    shards = make_dataset(tmp_path / "data", table(300), split=("0.8", "0.2", "0"))
    summary = train(shards, tmp_path / "model", replace(TINY, epochs=1))
    assert (metrics_of(summary)["split"], metrics_of(summary)["records"]) == ("val", 60)


def test_three_text_classes_end_in_a_softmax(tmp_path: Path) -> None:
    """Probabilities of each class that add up to 1; the confusion matrix is three by three."""
    columns = table()
    kind = np.digitize(columns["a"], [-0.5, 0.5])
    columns["label"] = np.array(["low", "mid", "top"])[kind]
    shards = make_dataset(tmp_path / "data", columns)
    summary = train(shards, tmp_path / "model", replace(TINY, epochs=8))
    raw = raw_records(shards, "test", columns)
    score = predictions(summary, raw, "a", "time", "flat")
    assert score.shape == (100, 3)
    assert np.allclose(score.sum(axis=1), 1, atol=1e-5)
    classes = json.loads((summary.output / "model.json").read_text())["classes"]
    truth = [classes.index(label) for label in raw["label"]]
    found = metrics_of(summary)
    assert found["confusion"] == oracle.confusion_matrix(truth, score.argmax(axis=1)).tolist()
    assert found["auc"] > 0.9


def test_a_number_is_predicted_in_its_own_unit(tmp_path: Path) -> None:
    """A label around 5,000 with std 300 is learned at the default rate; the error is in its unit."""
    columns = table()
    columns["label"] = 5000.5 + 300 * columns["a"]
    shards = make_dataset(tmp_path / "data", columns, label_kind="number")
    summary = train(shards, tmp_path / "model", replace(TINY, layers=(16,), epochs=30, patience=0))
    raw = raw_records(shards, "test", columns)
    predicted = predictions(summary, raw, "a", "time", "flat")[:, 0]
    found = metrics_of(summary)
    assert found["mae"] == pytest.approx(oracle.mean_absolute_error(raw["label"], predicted), rel=1e-3)
    assert found["r2"] > 0.9
    assert (summary.output / "mean_absolute_error.png").exists()


def test_weights_decide_what_is_learned(tmp_path: Path) -> None:
    """Records of tiny weight say the opposite of the others, and are outvoted though they are more."""
    columns = table()
    wrong = np.random.default_rng(3).random(NUM_RECORDS) < 0.6
    columns["label"] = np.where(wrong, 1 - columns["label"], columns["label"])
    columns["w"] = np.where(wrong, 1e-6, 1e-3)
    shards = make_dataset(tmp_path / "data", columns, weight="w")
    summary = train(shards, tmp_path / "model", replace(TINY, epochs=8))
    assert metrics_of(summary)["accuracy"] > 0.9
    assert float(history_of(summary)[-1]["val_accuracy"]) > 0.9
    counts = metrics_of(summary)["confusion"]
    assert counts[0][0] + counts[1][1] < counts[0][1] + counts[1][0]


def test_tfrecord_shards_give_the_same_training(summary: TrainSummary, tmp_path: Path) -> None:
    """The same records in the same order, so the same history, up to the order of additions in threads."""
    shards = make_dataset(tmp_path / "data", table(), formats=("tfrecord",))
    found = train(shards, tmp_path / "model", replace(TINY, epochs=1))
    assert found.history[0].loss == pytest.approx(summary.history[0].loss, rel=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"layers": ()},
        {"batch_norm": False, "activation": "silu", "optimizer": "sgd"},
        {"jit": True, "optimizer": "adamw", "dropout": 0.2, "batch_size": 100},
        {"batch_size": 10_000},
        {"precision": "mixed_bfloat16", "schedule": "cosine", "warmup": 0.2, "label_smoothing": 0.1},
        {"steps_per_execution": None, "class_weight": "balanced", "weight_decay": 0.1},
    ],
    ids=str,
)
def test_options_reach_the_network(shards: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    """Networks of other shapes, optimizers and batch sizes train as well."""
    summary = train(shards, tmp_path / "model", replace(TINY, epochs=1, **options))
    config = backend.keras().models.load_model(summary.output / "model.keras").get_layer("dense").get_config()
    kinds = [layer["class_name"] for layer in config["layers"]]
    depth = len(options.get("layers", (8,)))
    assert kinds.count("Dense") == depth + 1
    assert kinds.count("BatchNormalization") == (depth + 1) * options.get("batch_norm", True)
    assert kinds.count("Dropout") == (depth if "dropout" in options else 0)


@pytest.mark.parametrize("kind", ["two", "three", "number"])
def test_the_residual_network_learns_each_kind_of_label(tmp_path: Path, kind: str) -> None:
    """Two classes, three, or a number: raw rows in, the mean of the members out, as good as metrics say."""
    columns = table()
    if kind == "three":
        columns["label"] = np.digitize(columns["a"], [-0.5, 0.5])
    elif kind == "number":
        columns["label"] = 5000.5 + 300 * columns["a"]
    shards = make_dataset(tmp_path / "data", columns, label_kind="number" if kind == "number" else "classes")
    options = replace(default_options("resnet"), layers=(8, 4), members=3, batch_size=32, epochs=6, seed=1)
    summary = train(shards, tmp_path / "model", options)
    raw = raw_records(shards, "test", columns)
    predicted = predictions(summary, raw, "a", "time", "flat")
    assert predicted.shape == (100, 3 if kind == "three" else 1)
    found = metrics_of(summary)
    if kind == "number":
        assert found["mae"] == pytest.approx(
            oracle.mean_absolute_error(raw["label"], predicted[:, 0]), rel=1e-3
        )
        assert found["r2"] > 0.9
        return
    score = predicted.astype(np.float64)
    score = score[:, 0] if kind == "two" else score / score.sum(axis=1, keepdims=True)
    assert found["loss"] == pytest.approx(oracle.log_loss(raw["label"], score), abs=1e-5)
    assert found["auc"] > 0.95
    history = history_of(summary)
    assert float(history[-1]["accuracy"]) > 0.85
    assert float(history[-1]["val_accuracy"]) > 0.85


def test_what_is_saved_computes_in_float32(shards: Path, tmp_path: Path) -> None:
    """Trained in bfloat16, the model predicts in float32; the options are recorded."""
    options = replace(TINY, epochs=1, precision="mixed_bfloat16", schedule="cosine", warmup=2)
    summary = train(shards, tmp_path / "model", options)
    model = backend.keras().models.load_model(summary.output / "model.keras")
    policies = {layer.compute_dtype for layer in model.get_layer("dense").layers}
    assert policies == {"float32"}
    recorded = json.loads((summary.output / "model.json").read_text())["options"]
    assert {
        name: recorded[name] for name in ("model", "precision", "schedule", "warmup", "weight_decay")
    } == {
        "model": "dense",
        "precision": "mixed_bfloat16",
        "schedule": "cosine",
        "warmup": 2,
        "weight_decay": 0.0,
    }


def test_balanced_classes_find_the_rare_one(tmp_path: Path) -> None:
    """One record in fifty is of the second class: balanced, it is found; as it stands, hardly ever."""
    rng = np.random.default_rng(8)
    label = (rng.random(3000) < 0.02).astype(int)
    columns = {"label": label, "id": np.arange(3000), "a": 1.5 * label + rng.normal(size=3000)}
    shards = make_dataset(tmp_path / "data", columns)
    options = replace(TINY, layers=(), epochs=8, learning_rate=0.05)
    recalls = [
        metrics_of(train(shards, tmp_path / name, replace(options, class_weight=name)))["recall"]
        for name in ("none", "balanced")
    ]
    assert recalls[0] < 0.2
    assert recalls[1] > 0.6


@pytest.mark.parametrize("options", [{"class_weight": "balanced"}, {"label_smoothing": 0.1}], ids=str)
def test_a_number_has_no_classes(tmp_path: Path, options: dict[str, Any]) -> None:
    """What only classes have is refused for a label that is a number, before anything is written."""
    columns = table(200)
    columns["label"] = columns["a"]
    shards = make_dataset(tmp_path / "data", columns, label_kind="number")
    with pytest.raises(OptionError, match="the label is a number"):
        train(shards, tmp_path / "model", replace(TINY, **options))
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


def test_one_class_only_is_refused(tmp_path: Path) -> None:
    """Nothing can be learned from one class, and the message says which it is."""
    shards = make_dataset(tmp_path / "data", table(50) | {"label": np.ones(50, int)}, label_kind="classes")
    with pytest.raises(LabelError, match="at least two classes, found only 1"):
        train(shards, tmp_path / "model", TINY)
    assert not (tmp_path / "model").exists()


def test_a_missing_dataset_or_format_is_refused(shards: Path, tmp_path: Path) -> None:
    """No manifest; shards of another format only."""
    with pytest.raises(ManifestError):
        train(tmp_path / "absent", tmp_path / "model", TINY)
    with pytest.raises(DatasetError, match="no tfrecord shards"):
        train(shards, tmp_path / "model", replace(TINY, shard_format="tfrecord"))
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_shard_is_refused(shards: Path, tmp_path: Path) -> None:
    """A cut shard is found before the first epoch, a flipped bit when it is read; nothing is left behind."""
    shutil.copytree(shards, tmp_path / "shards")
    path = next((tmp_path / "shards").glob("train-00002-*"))
    data = path.read_bytes()
    place = pq.ParquetFile(path).metadata.row_group(0).column(2).data_page_offset + 100
    path.write_bytes(data[:-1])
    with pytest.raises(ShardError, match=f"{path.name}: {len(data) - 1} bytes"):
        train(tmp_path / "shards", tmp_path / "model", TINY)
    path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
    with pytest.raises(ShardError, match=f"{path.name}: damaged"):
        train(tmp_path / "shards", tmp_path / "model", TINY)
    assert [path.name for path in tmp_path.iterdir()] == ["shards"]


def test_a_diverging_loss_stops_at_its_step(shards: Path, tmp_path: Path) -> None:
    """NaN in the first epoch: an error that names epoch and step; no model, and none is promised."""
    options = replace(TINY, optimizer="sgd", learning_rate=1e38, batch_norm=False)
    with pytest.raises(DivergedError, match=r"^epoch 1, step [2-9]: the loss is (nan|inf)$") as caught:
        train(shards, tmp_path / "model", options)
    assert caught.value.hint == "lower --learning-rate"
    assert not (tmp_path / "model").exists()


def test_the_last_good_model_is_kept_when_the_loss_diverges(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Diverging in the second epoch leaves the model of the first beside the target; the hint names it."""
    evaluate = passes.evaluate

    def diverging(networks: Any, feed: Any, memory: Any) -> Any:
        figures = evaluate(networks, feed, memory)
        return figures if memory.standing.epoch == 1 else {**figures, "loss": math.nan}

    monkeypatch.setattr(passes, "evaluate", diverging)
    with pytest.raises(DivergedError, match="epoch 2, validation: the loss is nan") as caught:
        train(shards, tmp_path / "model", TINY)
    assert not (tmp_path / "model").exists()
    kept = next((tmp_path / "model.incomplete").rglob("model.keras"))
    assert str(kept) in caught.value.hint
    model = backend.keras().models.load_model(kept)
    assert np.isfinite(model(np.zeros((2, 3)))).all()


def test_an_existing_target_is_not_touched(shards: Path, tmp_path: Path) -> None:
    """A file, a folder of other things, a model: refused; a model is replaced when told so."""
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").write_text("mine")
    for name, message in (("file", "not a folder"), ("folder", "holds other things")):
        with pytest.raises(TargetExistsError, match=message):
            train(shards, tmp_path / name, replace(TINY, overwrite=True))
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text("an older model")
    with pytest.raises(TargetExistsError, match="the target exists") as caught:
        train(shards, tmp_path / "model", TINY)
    assert "--overwrite" in caught.value.hint
    assert (tmp_path / "model" / "model.json").read_text() == "an older model"
    train(shards, tmp_path / "model", replace(TINY, epochs=1, overwrite=True))
    assert {path.name for path in (tmp_path / "model").iterdir()} == FILES
