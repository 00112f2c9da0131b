"""A plain TFRecord pipeline as one should write it: interleave, shuffle, batch, parse_example, prefetch.

It reads the same TFRecord shards, one vector of floats per record; batches are parsed, not records. Shuffled
by a buffer of 10,000 records. See rate.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import rate
import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Iterator

BUFFER_RECORDS = 10_000


def main() -> None:
    """Measure."""
    given = rate.arguments()
    paths = sorted(map(str, given.shards.glob("train-*.tfrecord")))
    record = tf.train.Example.FromString(next(iter(tf.data.TFRecordDataset(paths[0]))).numpy())
    width = len(record.features.feature["features"].float_list.value)
    fields = {
        "features": tf.io.FixedLenFeature([width], tf.float32),
        "label": tf.io.FixedLenFeature([], tf.int64),
    }

    def parsed(records: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        columns = tf.io.parse_example(records, fields)
        return columns["features"], columns["label"]

    def epoch(index: int) -> Iterator[int]:
        files = tf.data.Dataset.from_tensor_slices(paths).shuffle(len(paths), seed=index)
        records = files.interleave(
            tf.data.TFRecordDataset, num_parallel_calls=tf.data.AUTOTUNE, deterministic=False
        )
        batches = records.shuffle(BUFFER_RECORDS, seed=index).batch(given.batch_size)
        batches = batches.map(parsed, num_parallel_calls=tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
        for _features, label in batches:
            yield label.shape[0]

    rate.report(given, epoch, tf.__version__)


if __name__ == "__main__":
    main()
