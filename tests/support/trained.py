"""Tiny models on small datasets, with the CSV they come from: what a user has who evaluates or predicts."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from pipeline.convert import convert
from pipeline.plan import ConvertOptions, Identity
from pipeline.schema import RoleOptions
from pipeline.train import TrainOptions, train

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from pipeline.plan import ShardFormat

TINY = TrainOptions(layers=(8,), batch_size=128, epochs=2, learning_rate=0.01, seed=1)
SPLIT = (Fraction(6, 10), Fraction(1, 10), Fraction(3, 10))

Columns = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A CSV, the dataset converted from it, and where a model trained on that is or would be."""

    columns: Columns
    source: Path
    shards: Path
    model: Path


def table(num_records: int = 1000, *, seed: int = 0) -> Columns:
    """Return columns of every kind that is hard: `label` follows from `a` and `time`, a unix timestamp.

    `mass` has few values, `flat` is constant; `id`, `name` and `level` are to be kept.
    """
    rng = np.random.default_rng(seed)
    a, time = rng.normal(size=num_records), 1.7e9 + rng.normal(size=num_records)
    mass = rng.choice([500.0, 750.5, 1000.0], num_records)
    signal = a + (time - 1.7e9) + 0.3 * rng.normal(size=num_records)
    return {
        "label": (signal > 0).astype(int),
        "id": np.arange(num_records) + (1 << 53),
        "name": np.array([f'n{index % 3},"{index % 2}"' for index in range(num_records)]),
        "level": rng.choice([0.1, 0.25], num_records),
        "a": a,
        "time": time,
        "mass": mass,
        "flat": np.full(num_records, 0.1),
    }


KEPT = ("id", "name", "level")


def csv_text(columns: Mapping[str, Sequence[Any]], *, header: bool = True) -> str:
    """Return columns as CSV, floats with all their digits."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    if header:
        rows.writerow(columns)
    rows.writerows(zip(*(np.asarray(column).tolist() for column in columns.values()), strict=True))
    return text.getvalue()


def make_dataset(
    folder: Path,
    columns: Columns,
    *,
    keep: tuple[str, ...] = KEPT,
    weight: str | None = None,
    label_kind: Literal["auto", "classes", "number"] = "auto",
    standardize: bool = True,
    formats: tuple[ShardFormat, ...] = ("parquet",),
) -> Made:
    """Write and convert in a new `folder`; three tenths of the records are for the test."""
    folder.mkdir(parents=True)
    made = Made(columns=columns, source=folder / "raw.csv", shards=folder / "shards", model=folder / "model")
    made.source.write_text(csv_text(columns), encoding="utf-8")
    asked = ConvertOptions(
        identity=Identity(split=SPLIT, standardize=standardize, shard_bytes=4_000),
        roles=RoleOptions(keep=keep, weight=weight),
        label_kind=label_kind,
        formats=formats,
        num_workers=1,
    )
    convert(made.source, made.shards, asked)
    return made


def trained(made: Made, options: TrainOptions = TINY) -> Made:
    """Train a model on a dataset and return the dataset."""
    train(made.shards, made.model, options)
    return made


def two_classes() -> Columns:
    """Return the table as it is."""
    return table()


def many_classes() -> Columns:
    """Return the table with a label of four texts, of which two can be told apart, and weights `w`."""
    columns = table(seed=4)
    rng = np.random.default_rng(5)
    other = rng.random(len(columns["id"])) < 0.4
    names = np.array(["quark", "gluon", "$\\tau$", "μ"])
    return columns | {"label": names[columns["label"] + 2 * other], "w": rng.exponential(size=len(other))}


def quantity() -> Columns:
    """Return the table with a number to predict."""
    columns = table(seed=6)
    return columns | {"label": 10 * columns["a"] + 5 * (columns["time"] - 1.7e9) + 100}
