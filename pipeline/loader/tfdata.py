"""Owns batches as a tf.data pipeline: blocks read in parallel by NumPy, cut and prefetched in C++.

The only module of the loader that needs TensorFlow.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from pipeline.backend import tensorflow
from pipeline.errors import PipelineError
from pipeline.loader.batches import NUM_THREADS
from pipeline.loader.reader import Request, open_reader

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    import tensorflow as tf
    from tensorflow import Tensor

    from pipeline.loader.batches import Arrays
    from pipeline.loader.reader import Reader
    from pipeline.loader.state import LoaderState
    from pipeline.plan import ShardFormat

PREFETCH_BATCHES = 4

# TensorFlow never lets go of a Python function that a pipeline was given, nor of what the function refers to.
# So it gets one function for all, which finds the reader by number; the reader lives as long as its dataset.
_readers: WeakValueDictionary[int, Reader] = WeakValueDictionary()
_counter = itertools.count()


def dataset(  # noqa: PLR0913  # the same keywords as `batches`, each with a default
    shards: Path,
    split: str,
    batch_size: int,
    *,
    seed: int,
    epoch: int = 0,
    shuffle: bool = True,
    drop_remainder: bool = False,
    rank: int = 0,
    world_size: int = 1,
    shard_format: ShardFormat | None = None,
    first_batch: int = 0,
    restore: LoaderState | None = None,
    verify_checksums: bool = False,
    num_threads: int = NUM_THREADS,
) -> tf.data.Dataset:
    """Return the batches of an epoch as a `tf.data.Dataset` whose cardinality is known.

    Elements are what `model.fit` takes: (features, label), or (features, label, weight) where there is a
    weight column. features is float32 (batch, num_features), label int64 class index or float32 number
    (batch,), weight float32 (batch,). They are the very batches of `loader.batches`, in the same order. In
    memory are at most `3 * num_threads + 2` blocks of 16 MiB (more only for records of over 16 kB) and 4
    batches.

    What is returned, but nothing that is derived from it, has a method `state(num_batches)`: where a reader
    stands that has taken so many batches of it, to be passed as `restore`.

    Raises:
        MissingExtraError: TensorFlow is not installed.
        OptionError: a value is out of its range.
        OptionsChangedError: the state is that of another dataset, split, seed …
        ManifestError: there is no dataset.
    """
    request = Request(
        shards=shards,
        split=split,
        batch_size=batch_size,
        seed=seed,
        epoch=epoch,
        shuffle=shuffle,
        drop_remainder=drop_remainder,
        rank=rank,
        world_size=world_size,
        shard_format=shard_format,
        first_batch=first_batch,
        verify_checksums=verify_checksums,
    )
    return to_dataset(open_reader(request, restore), num_threads=num_threads)


def to_dataset(reader: Reader, *, num_threads: int) -> tf.data.Dataset:
    """Return the batches of `reader` as a `tf.data.Dataset`, which keeps the reader alive."""
    tf = tensorflow()
    reader_index = next(_counter)
    _readers[reader_index] = reader
    shapes = [(None, reader.columns.num_columns), (None,), (None,)]
    dtypes = ["float32", reader.columns.label_dtype] + (["float32"] if reader.columns.weight else [])

    def read(cut_index: Tensor) -> tuple[Tensor, ...]:
        # Not stateful: TensorFlow would read one after the other where operations are to be deterministic.
        tensors = tf.numpy_function(_read_cut, [reader_index, cut_index], dtypes, stateful=False)
        for tensor, shape in zip(tensors, shapes, strict=False):
            tensor.set_shape(shape)
        return tuple(tensors)

    options = tf.data.Options()
    options.deterministic = True
    options.autotune.enabled = False  # there is nothing to tune, and its thread takes time from the training
    # A rank reads its share already; TensorFlow must not divide it again.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    blocks = tf.data.Dataset.range(len(reader.cuts)).map(
        read, num_parallel_calls=num_threads, deterministic=True
    )
    # Blocks of vectors go through tf.data, never single records: those cost ten times their payload.
    batches = blocks.rebatch(reader.batch_size).apply(
        tf.data.experimental.assert_cardinality(reader.num_batches)
    )
    result = batches.prefetch(PREFETCH_BATCHES).with_options(options)
    result.reader, result.state = reader, reader.state
    return result


def _read_cut(reader_index: np.int64, cut_index: np.int64) -> Arrays:
    reader = _readers[int(reader_index)]
    try:
        return reader.read(int(cut_index)).arrays
    except PipelineError as error:
        reader.failures.append(error)
        raise
