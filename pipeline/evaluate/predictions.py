"""Owns what is kept of every record of a split while a model goes through it: label, scores, weight, slices.

The features are not kept but of the first few records, whose columns are permuted: memory grows by 12 bytes a
record, 4 for every further class, 4 to 8 for a slice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.dates import date
from pipeline.errors import ModelError
from pipeline.evaluate import slices
from pipeline.evaluate.importance import num_records_for
from pipeline.loader.batches import cut_batches, read_ahead
from pipeline.loader.column import read_column
from pipeline.loader.reader import Request, open_reader
from pipeline.models.scoring import RawRows, require_defined

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from pipeline.evaluate.options import EvaluateOptions
    from pipeline.evaluate.slices import Slices
    from pipeline.loader.reader import Reader
    from pipeline.manifest import ColumnEntry, ColumnMoments, Manifest
    from pipeline.models.description import ModelDescription
    from pipeline.models.scoring import Score
    from pipeline.progress import Progress


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Predictions:
    """What a model says of every record of a split, in the order on disk.

    label   int64 index into the classes of the model, or float32 number (num_records,)
    score   float32 (num_records, num_outputs), as the model gives it
    weight  float32 (num_records,), or None
    rows    the first records, as many as are wanted, as the model takes them
    """

    label: NDArray[Any]
    score: NDArray[np.float32]
    weight: NDArray[np.float32] | None
    rows: RawRows
    slices: tuple[Slices, ...]

    @property
    def num_records(self) -> int:
        """The number of records."""
        return len(self.label)


def predict_split(
    score: Score,
    described: ModelDescription,
    shards: Path,
    manifest: Manifest,
    options: EvaluateOptions,
    *,
    model_path: Path,
    progress: Progress,
) -> Predictions:
    """Return what `score`, the model at `model_path`, says of the split; the shards are read once.

    Raises:
        ShardError: a shard is damaged.
        ModelError: a prediction is not finite.
        OptionError: a column of texts has too many of them to be sliced by.
    """
    sliced = slices.slice_columns(manifest, options.slices, path=str(shards))
    reader = open_reader(
        Request(
            shards=shards,
            split=options.split,
            batch_size=options.batch_size,
            seed=0,
            shuffle=False,
            shard_format=options.shard_format,
            verify_checksums=True,
        )
    )
    num_records = manifest.splits[options.split].records
    names = [column.name for column in manifest.features]
    stored = [c for c in sliced if c.role == "feature"]
    kept = {c.name: np.empty(num_records, np.float32) for c in stored}
    label = np.empty(num_records, reader.columns.label_dtype)
    scores = np.empty((num_records, described.num_outputs), np.float32)
    weight = np.empty(num_records, np.float32) if manifest.weight else None
    num_columns = len(described.features) + len(described.categories)
    num_rows = num_records_for(options, num_columns, num_records)
    raw = _Unstandardized(manifest, described)
    first: list[RawRows] = []
    begin = 0
    for features, labels, *weights in cut_batches(read_ahead(reader, num_threads=1), options.batch_size):
        end = begin + len(labels)
        rows = raw.of(features)
        scores[begin:end] = score(rows)
        if begin < num_rows or not first:  # a part of a batch keeps all of it in memory
            first.append(rows.between(0, max(num_rows - begin, 0)))
        label[begin:end] = labels
        for column in stored:
            kept[column.name][begin:end] = features[:, names.index(column.name)]
        if weight is not None:
            weight[begin:end] = weights[0]
        begin = end
        progress.advance(len(labels))
    require_defined(scores, path=str(model_path))
    return Predictions(
        label=_own_classes(label, described, manifest),
        score=scores,
        weight=weight,
        rows=RawRows(
            features=np.concatenate([part.features for part in first]),
            categories=np.concatenate([part.categories for part in first]),
        ),
        slices=tuple(_slices(column, kept, reader, shards, manifest, options.split) for column in sliced),
    )


def _slices(
    column: ColumnEntry,
    kept: dict[str, NDArray[np.float32]],
    reader: Reader,
    shards: Path,
    manifest: Manifest,
    split: str,
) -> Slices:
    if column.role == "feature":
        mean, scale = _mean_and_scale(column.moments, manifest)
        told = date if column.reading == "datetime" else None
        return slices.by_number(column.name, kept[column.name], mean=mean, scale=scale, told=told)
    blocks = read_column(shards, manifest.splits[split], column, shard_format=reader.shard_format)
    if column.dtype == "string":
        return slices.by_text(column.name, blocks)
    values = np.concatenate(list(blocks))
    if column.vocabulary is not None:
        return slices.by_category(column.name, values, column.vocabulary)
    return slices.by_number(column.name, values)


class _Unstandardized:
    """Turns features as they stand in the shards into those of the CSV, in the order of the model.

    Categories become texts again: those of the vocabulary, nothing for 0.

    The model standardizes them again by its own moments: so it may be judged on a dataset other than the one
    it was trained on, and it is the model that is judged, with everything in it.
    """

    def __init__(self, manifest: Manifest, described: ModelDescription) -> None:
        names = [column.name for column in manifest.features]
        moments = [_mean_and_scale(column.moments, manifest) for column in manifest.features]
        self._order = [names.index(name) for name in described.features]
        self._mean, self._scale = np.array(moments).reshape(-1, 2).T[:, self._order]
        inputs = [column.name for column in manifest.inputs]
        self._places = [inputs.index(name) for name in described.categories]
        self._texts = [_texts(manifest.inputs[place]) for place in self._places]

    def of(self, features: NDArray[np.float32]) -> RawRows:
        """Return `features`, float32 (num_records, num_columns of a batch), raw and reordered."""
        raw = features[:, self._order].astype(np.float64)
        raw *= self._scale
        raw += self._mean
        texts = np.empty((len(features), len(self._places)), object)
        for index, (place, known) in enumerate(zip(self._places, self._texts, strict=True)):
            texts[:, index] = known[features[:, place].astype(np.intp)]
        return RawRows(features=raw, categories=texts)


def _texts(column: ColumnEntry) -> NDArray[np.object_]:
    """Return the text of each place of a category."""
    return np.array(["", *(column.vocabulary or ())], object)


def _mean_and_scale(moments: ColumnMoments | None, manifest: Manifest) -> tuple[float, float]:
    """Return what a feature was standardized by; 0 and 1 where it was not."""
    if moments is None or not manifest.standardized:
        return 0.0, 1.0
    constant = moments.std == 0 or moments.min == moments.max
    return moments.mean, 1.0 if constant else moments.std


def _own_classes(label: NDArray[Any], described: ModelDescription, manifest: Manifest) -> NDArray[Any]:
    """Return labels as indices into the classes of the model; `require_labels` saw that they are there."""
    if described.label_kind == "number" or described.classes == manifest.label.classes:
        return label
    places = [described.classes.index(value) for value in manifest.label.classes]
    moved: NDArray[np.int64] = np.array(places, np.int64)[label]
    return moved


def require_labels(described: ModelDescription, manifest: Manifest, *, path: str) -> None:
    """Raise unless the dataset at `path` has labels of the kind and classes that the model predicts.

    Raises:
        ModelError: it has others; both are told.
    """
    found = manifest.label
    if found.kind != described.label_kind:
        raise ModelError(
            f"the label {found.name!r} is {_kind(found.kind)}, expected {_kind(described.label_kind)}",
            path=path,
            hint="name the dataset that the model was trained on",
        )
    unknown = [value for value in found.classes if value not in described.classes]
    if unknown:
        expected, classes = (", ".join(map(repr, c[:20])) for c in (described.classes, found.classes))
        raise ModelError(
            f"the model does not know the class {unknown[0]!r}: expected {expected}; found {classes}",
            path=path,
            hint="name the dataset that the model was trained on",
        )


def _kind(kind: str) -> str:
    return "a number" if kind == "number" else "of classes"
