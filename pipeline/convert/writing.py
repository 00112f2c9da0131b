"""Owns the second half of a conversion: from sorted runs to standardized shards, once every record is known.

Runs in the workers of an engine. Neighbours: `runs` gathers, `formats` encode, `storage` hashes and forces to
disk.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa

from pipeline import moments as moments_of
from pipeline.convert.tracers import traced
from pipeline.convert.vocabulary import category_indices
from pipeline.errors import NonFiniteError
from pipeline.formats.batch import ShardBatch, ShardColumn
from pipeline.manifest import ShardEntry
from pipeline.storage.files import HashedFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from pipeline.convert.vocabulary import Vocabulary
    from pipeline.moments import Moments
    from pipeline.plan import ShardFormat, ShardSpec
    from pipeline.runs.ranks import Order, ReadAhead
    from pipeline.runs.run import Run
    from pipeline.schema import Schema
    from pipeline.storage.paths import AnyPath


class BatchWriter(Protocol):
    """What every format's `ShardWriter` can do."""

    def write(self, batch: ShardBatch) -> None:
        """Append the records of `batch`."""

    def close(self) -> None:
        """Write what must stand at the end."""

    def abandon(self) -> None:
        """Forget what is not yet written."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Finish:
    """All that turns gathered records into shards: known only when every range has been read.

    `classes` are the label's values in order, empty for a number; `vocabularies` the values of each category,
    in the order of the schema; `mean` and `scale` have the shape (num_features,); `batch_records` is the size
    of a row group; `tracers` are the keys of tracers, ascending.
    """

    schema: Schema
    classes: tuple[float | str, ...]
    vocabularies: tuple[Vocabulary, ...]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    standardize: bool
    batch_records: int
    tracers: NDArray[np.uint64]
    formats: tuple[ShardFormat, ...]
    compression: str
    fingerprint: str
    folder: AnyPath


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenShard:
    """One shard in all its formats; `class_counts` has one entry per class, `tracers` are (key, rank)."""

    spec: ShardSpec
    entries: tuple[ShardEntry, ...]
    class_counts: tuple[int, ...]
    tracers: tuple[tuple[int, int], ...]


def stretches(begin: int, end: int, batch_records: int, *, count: int) -> list[tuple[int, int]]:
    """Return [begin, end) as about `count` intervals, each of whole batches but the last one.

    >>> stretches(5, 100, 10, count=3)
    [(5, 35), (35, 65), (65, 95), (95, 100)]
    """
    step = max(1, (end - begin) // count // batch_records) * batch_records
    return [(low, min(low + step, end)) for low in range(begin, end, step)]


def moments_of_batches(
    index: Order, begin: int, end: int, batch_records: int, *, ahead: ReadAhead | None = None
) -> Iterator[Moments]:
    """Yield the moments of every `batch_records` records of the ranks [begin, end), in order."""
    for pieces in index.batches(begin, end, batch_records, ahead=ahead):
        values = np.concatenate([piece.numbers for piece in pieces], axis=1, dtype=np.float64)
        yield moments_of.of_batch(values)


def shard_columns(schema: Schema) -> tuple[ShardColumn, ...]:
    """Return the columns of a shard, in the order of the CSV."""
    return tuple(
        ShardColumn(name=column.name, role=column.role, dtype=column.dtype(schema.label_kind))
        for column in schema.used
    )


def _format(name: ShardFormat) -> Any:  # noqa: ANN401  # a module
    # Imported when it is asked for: the encoder of a format that nobody wants costs 20 ms.
    return importlib.import_module(f"pipeline.formats.{name}")


def write_shard(
    spec: ShardSpec, index: Order, finish: Finish, *, ahead: ReadAhead | None = None
) -> WrittenShard:
    """Gather, finish, encode and write the records of one shard in every format.

    Raises:
        NonFiniteError: a standardized value does not fit into float32.
    """
    metadata = {
        "pipeline.split": spec.split,
        "pipeline.shard": f"{spec.shard_index} of {spec.num_shards}",
        "pipeline.fingerprint": finish.fingerprint,
    }
    columns = shard_columns(finish.schema)
    sinks: list[HashedFile] = []
    writers: list[BatchWriter] = []
    counts = np.zeros(len(finish.classes), np.int64)
    tracers: list[tuple[int, int]] = []
    rank = spec.begin
    try:
        for name in finish.formats:
            form = _format(name)
            sinks.append(HashedFile(finish.folder / f"{spec.stem}.{form.EXTENSION}"))
            writers.append(
                form.ShardWriter(sinks[-1], columns, metadata=metadata, compression=finish.compression)
            )
        scratch = np.empty((len(finish.schema.features), finish.batch_records), np.float32)
        for pieces in index.batches(spec.begin, spec.end, finish.batch_records, ahead=ahead):
            batch = finished(pieces, finish, scratch)
            tracers += traced(pieces, finish.tracers, rank)
            rank += batch.num_records
            if finish.classes:
                labels = batch.others[finish.schema.label.name]
                counts += np.bincount(np.asarray(labels), minlength=len(finish.classes))
            for writer in writers:
                writer.write(batch)
        for writer, sink in zip(writers, sinks, strict=True):
            writer.close()
            sink.publish()
    except BaseException:
        for writer in writers:
            writer.abandon()
        raise
    finally:
        for sink in sinks:
            sink.close()
    entries = tuple(
        ShardEntry(
            path=f"{spec.stem}.{_format(name).EXTENSION}",
            format=name,
            records=spec.end - spec.begin,
            bytes=sink.num_bytes,
            sha256=sink.sha256,
            head_sha256=sink.head_sha256,
        )
        for name, sink in zip(finish.formats, sinks, strict=True)
    )
    return WrittenShard(
        spec=spec, entries=entries, class_counts=tuple(counts.tolist()), tracers=tuple(tracers)
    )


def finished(pieces: Sequence[Run], finish: Finish, scratch: NDArray[np.float32]) -> ShardBatch:
    """Return the records of `pieces` in final units: features standardized in float64, then float32.

    The features come to lie in `scratch`, float32 (num_features, at least num_records), to be used again for
    the next batch: fresh memory costs as much as the arithmetic.
    """
    schema = finish.schema
    num_features = len(schema.features)
    end = 0
    for piece in pieces:
        begin, end = end, end + piece.num_records
        _finish_features(piece.numbers[:num_features], finish, scratch[:, begin:end])
    others: dict[str, NDArray[Any] | pa.Array] = {}
    for row, column in enumerate(schema.numbers[num_features:], num_features):
        dtype = np.float32 if column.role == "weight" else np.float64
        others[column.name] = np.concatenate([piece.numbers[row] for piece in pieces], dtype=dtype)
    for row, column in enumerate(schema.integers):
        others[column.name] = np.concatenate([piece.integers[row] for piece in pieces])
    for row, column in enumerate(schema.texts):
        others[column.name] = pa.concat_arrays([piece.texts[row] for piece in pieces])
    for column, vocabulary in zip(schema.categories, finish.vocabularies, strict=True):
        others[column.name] = category_indices(others[column.name], vocabulary)
    if finish.classes:
        others[schema.label.name] = _class_indices(others[schema.label.name], finish.classes)
    return ShardBatch(features=scratch[:, :end], others=others)


def _finish_features(raw: NDArray[Any], finish: Finish, out: NDArray[np.float32]) -> None:
    """Write the features in final units, (num_features, num_records), to `out`.

    Column by column, so that the float64 between lives in the cache of the processor.
    """
    exact = np.empty(raw.shape[1], np.float64)
    for values, mean, scale, final, column in zip(
        raw, finish.mean, finish.scale, out, finish.schema.features, strict=True
    ):
        exact[:] = values
        if finish.standardize:
            exact -= mean
            exact /= scale
        with np.errstate(over="ignore"):
            final[:] = exact
        if np.isfinite(final).all():
            continue
        final[np.isnan(exact)] = 0.0 if finish.standardize else mean
        if not np.isfinite(final).all():
            raise NonFiniteError(
                "a standardized value is too large for float32",
                column=column.name,
                hint=f"pass --drop {column.name} to leave it out",
            )


def _class_indices(labels: NDArray[Any] | pa.Array, classes: tuple[float | str, ...]) -> NDArray[np.int64]:
    if isinstance(labels, pa.Array):
        codes = labels.dictionary_encode()
        place = {value: index for index, value in enumerate(classes)}
        found = np.array([place[value] for value in codes.dictionary.to_pylist()], np.int64)
        indices: NDArray[np.int64] = found[codes.indices.to_numpy()]
        return indices
    return np.searchsorted(np.asarray(classes), labels).astype(np.int64)
