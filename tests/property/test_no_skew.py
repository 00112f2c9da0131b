"""Law: a model says the same of a row of the CSV as of the record in the shards that came from it, to 1e-5.

The two ways share nothing: one standardizes while it converts and gives the network float32; the other reads
the text again and gives the saved model doubles, which it standardizes itself.
"""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline import backend
from pipeline import manifest as manifests
from pipeline.convert import convert
from pipeline.evaluate import EvaluateOptions, evaluate
from pipeline.loader import batches
from pipeline.models.saved import open_model
from pipeline.plan import ConvertOptions, Identity
from pipeline.predict import PredictOptions, predict
from pipeline.schema import RoleOptions
from pipeline.train import TrainOptions, train
from support.trained import Columns, Made, csv_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pipeline.plan import ShardFormat

NUM_RECORDS = 2000
TOLERANCE = 1e-5


def hard_columns() -> Columns:
    """Return columns of every offset and spread, a constant one among them; `id` tells the records."""
    rng = np.random.default_rng(3)
    spreads = {
        "time": (1.7e9, 1.0),
        "nanoseconds": (1.7e18, 1e9),
        "tiny": (0.0, 1e-12),
        "huge": (0.0, 1e30),
        "far": (-1e9, 1e3),
        "plain": (0.0, 1.0),
    }
    columns = {
        name: offset + spread * rng.normal(size=NUM_RECORDS) for name, (offset, spread) in spreads.items()
    }
    columns["count"] = rng.integers(0, 5, NUM_RECORDS)
    columns["constant"] = np.full(NUM_RECORDS, 1e6 + 0.1)
    signal = columns["plain"] + (columns["time"] - 1.7e9) + 1e12 * columns["tiny"] - columns["huge"] / 1e30
    return {"id": np.arange(NUM_RECORDS), "label": (signal > 0).astype(int)} | columns


def make(folder: Path, *, standardize: bool) -> Made:
    """Convert the columns to both formats, half of them to the test split, and train a network."""
    folder.mkdir(parents=True)
    columns = hard_columns()
    if not standardize:
        columns = {name: columns[name] for name in ("id", "label", "plain", "count")}
    made = Made(columns=columns, source=folder / "raw.csv", shards=folder / "shards", model=folder / "model")
    made.source.write_text(csv_text(columns))
    identity = Identity(
        split=(Fraction(4, 10), Fraction(1, 10), Fraction(5, 10)), standardize=standardize, shard_bytes=20_000
    )
    options = ConvertOptions(
        identity=identity, roles=RoleOptions(keep=("id",)), formats=("parquet", "tfrecord"), num_workers=1
    )
    convert(made.source, made.shards, options)
    train(made.shards, made.model, TrainOptions(layers=(32, 16), batch_size=64, epochs=2, seed=2))
    return made


def from_shards(made: Made, shard_format: ShardFormat = "parquet") -> dict[int, float]:
    """Return, by id, what the network says of the standardized records of the test split."""
    network = open_model(made.model).network
    ids = ids_on_disk(made, shard_format)
    with backend.known_warnings_ignored():
        found = [
            np.asarray(network(features))[:, 0]
            for features, *_ in batches(
                made.shards, "test", 256, seed=0, shuffle=False, shard_format=shard_format
            )
        ]
    return dict(zip(ids, np.concatenate(found).tolist(), strict=True))


def ids_on_disk(made: Made, shard_format: ShardFormat) -> list[int]:
    """Return the kept ids of the test split, in the order on disk, read without the loader."""
    split = manifests.load(made.shards).splits["test"]
    paths = [made.shards / shard.path for shard in split.of_format(shard_format)]
    if shard_format == "parquet":
        return [value for path in paths for value in pq.read_table(path).column("id").to_pylist()]
    tf = backend.tensorflow()
    records = tf.data.TFRecordDataset([str(path) for path in paths])
    wanted = {"id": tf.io.FixedLenFeature([], tf.int64)}
    return [int(tf.io.parse_single_example(record, wanted)["id"]) for record in records]


def from_text(made: Made, folder: Path, options: PredictOptions) -> dict[int, float]:
    """Return, by id, what `predict` says of the rows of the CSV."""
    predict(made.model, made.source, folder / "out.parquet", options)
    table = pq.read_table(folder / "out.parquet")
    columns = (table.column(name).to_pylist() for name in ("id", "probability_1"))
    return dict(zip(*columns, strict=True))


@pytest.fixture(scope="module")
def made(fresh_folder: Callable[[], Path]) -> Made:
    """The columns, standardized, in both formats."""
    return make(fresh_folder(), standardize=True)


def assert_no_skew(shards: dict[int, float], text: dict[int, float]) -> None:
    """Fail unless every record of the shards is among the rows and has the same prediction there."""
    assert len(shards) == NUM_RECORDS // 2
    assert len(text) == NUM_RECORDS
    apart = [abs(prediction - text[number]) for number, prediction in shards.items()]
    assert max(apart) < TOLERANCE
    assert np.std(list(shards.values())) > 0.1  # a network that says the same of all would prove nothing


@pytest.mark.parametrize("shard_format", ["parquet", "tfrecord"])
def test_predictions_from_text_are_those_from_shards(
    made: Made, tmp_path: Path, shard_format: ShardFormat
) -> None:
    """For columns of any offset and spread, whatever is read and predicted at a time."""
    shards = from_shards(made, shard_format)
    for range_bytes, batch_size in ((8 << 20, 8192), (10_000, 50)):
        options = PredictOptions(
            keep=("id",), range_bytes=range_bytes, batch_size=batch_size, overwrite=True, num_workers=2
        )
        assert_no_skew(shards, from_text(made, tmp_path, options))


def test_without_standardization(tmp_path: Path) -> None:
    """Features that are stored as they are."""
    made = make(tmp_path / "t", standardize=False)
    assert_no_skew(from_shards(made), from_text(made, tmp_path, PredictOptions(keep=("id",))))


@pytest.mark.parametrize("model", ["dense", "resnet"])
def test_words_dates_and_booleans(tmp_path: Path, model: str) -> None:
    """Categories, with values that training never saw and missing ones, dates, booleans; both networks."""
    made = make_words(tmp_path / "t", model)
    for shard_format in ("parquet", "tfrecord"):
        shards = from_shards(made, shard_format)
        options = PredictOptions(
            keep=("id",), on_missing="mean", range_bytes=9000, batch_size=100, overwrite=True
        )
        assert_no_skew(shards, from_text(made, tmp_path, options))
    judged = evaluate(made.model, made.shards, tmp_path / "e", EvaluateOptions(slices=("city",)))
    assert judged.figures["auc"] > 0.9


def make_words(folder: Path, model: str) -> Made:
    """Convert a table of words, dates and booleans that tell the label, and train a network."""
    folder.mkdir()
    rng = np.random.default_rng(5)
    cities = rng.choice(["Bern", "Ulm", "a, b", "é"], NUM_RECORDS).astype(object)
    days = rng.integers(0, 700, NUM_RECORDS)
    member = rng.random(NUM_RECORDS) < 0.5
    signal = (cities == "Bern") * 2.0 + days / 350 + member - rng.normal(1, 0.1, NUM_RECORDS)
    cities[::50] = [f"rare {index}" for index in range(0, NUM_RECORDS, 50)]
    cities[7::50] = "NA"
    when = [f"{np.datetime64('2023-01-01') + day} 10:00:00" for day in days]
    columns = {
        "id": np.arange(NUM_RECORDS),
        "city": cities,
        "when": np.array(when),
        "label": (signal > 1).astype(int),
        "member": np.where(member, "true", "False"),
        "sign": rng.choice(["+", "x"], NUM_RECORDS),
        "noise": rng.normal(size=NUM_RECORDS),
    }
    made = Made(columns=columns, source=folder / "raw.csv", shards=folder / "shards", model=folder / "model")
    made.source.write_text(csv_text(columns))
    roles = RoleOptions(keep=("id",), categorical=("city", "sign"), datetime=("when",))
    options = ConvertOptions(
        identity=Identity(
            split=(Fraction(4, 10), Fraction(1, 10), Fraction(5, 10)), on_missing="mean", shard_bytes=20_000
        ),
        roles=roles,
        formats=("parquet", "tfrecord"),
        num_workers=1,
    )
    convert(made.source, made.shards, options)
    layers = (32, 16) if model == "dense" else (16, 16)
    train(
        made.shards,
        made.model,
        TrainOptions(
            model=model, layers=layers, members=2, batch_size=32, epochs=8, learning_rate=0.01, seed=2
        ),
    )
    return made


def test_what_narrows_to_float32_first_is_found_out(made: Made) -> None:
    """The law is no truism: `keras.Model.predict`, which narrows rows to float32, breaks it."""
    saved = open_model(made.model)
    names = saved.description.features
    rows = np.stack([made.columns[name] for name in names], axis=1).astype(np.float64)
    with backend.known_warnings_ignored():
        narrowed = saved.keras_model.predict(rows, verbose=0)[:, 0]
    shards = from_shards(made)
    apart = [
        abs(prediction - narrowed[number]) for number, prediction in itertools.islice(shards.items(), 500)
    ]
    assert max(apart) > 100 * TOLERANCE
