"""`tf.data.experimental.make_csv_dataset`, the way of the report this project starts from; see rate.py.

The features are stacked to one matrix, as a network takes them; shuffled by a buffer of 10,000 records, the
default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import rate
import tensorflow as tf

if TYPE_CHECKING:
    from collections.abc import Iterator


def main() -> None:
    """Measure."""
    given = rate.arguments()
    with given.source.open(encoding="utf-8") as text:
        names = next(text).rstrip("\n").split(",")

    def stacked(columns: dict[str, tf.Tensor], label: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.stack(list(columns.values()), axis=1), label

    def epoch(index: int) -> Iterator[int]:
        read = tf.data.experimental.make_csv_dataset(
            str(given.source),
            given.batch_size,
            column_names=names,
            column_defaults=[tf.float32] * len(names),
            label_name=names[0],
            num_epochs=1,
            shuffle_seed=index,
            prefetch_buffer_size=tf.data.AUTOTUNE,
            num_parallel_reads=2,
        )
        for _features, label in read.map(stacked, num_parallel_calls=tf.data.AUTOTUNE):
            yield label.shape[0]

    rate.report(given, epoch, tf.__version__)


if __name__ == "__main__":
    main()
