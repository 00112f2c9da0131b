"""What does reading cost a training, and what has been gained on the loop of the report?

Method: the default network, compiled once for each contender, is trained in turns: from the shards, as
`pipeline train` does by default with so many, with `--no-jit`, and with `--precision mixed_bfloat16`. From
the same batches held in memory as tensors. And as the report this project starts from did it, from
`make_csv_dataset` in batches of 32. Shards and memory train on the share of one rank of eight, some 100,000
records; the CSV on as many steps as come in `--seconds`. Compiling is not counted. What counts is the median
of the rounds, and for memory beside shards that of the ratios within a round: rounds are short, and every
other one goes backwards, since the machine may be shared.

Conclusion: benchmarks/README.md, which is rendered from the figures.
"""

from __future__ import annotations

import itertools
import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from bench_loader import SHARDS, make_shards
from measure import finish, parser_of
from sources import simulated

from pipeline import backend
from pipeline.loader import batches, dataset
from pipeline.models import dense
from pipeline.models.inputs import Inputs
from pipeline.models.target import Target
from pipeline.train.options import REPORT_LAYERS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SEED = 42
SHARE = {"seed": SEED, "world_size": 8, "drop_remainder": True}
REPORT_BATCH = 32
STEPS_PER_EXECUTION = {1024: 16, 8192: 4}  # by batch size: what "auto" comes to for a million records
TWO_CLASSES = Target(units=1, activation="sigmoid", loss="binary_crossentropy", metric="accuracy")


def main() -> None:
    """Measure, and write JSON if asked to."""
    parser = parser_of(__doc__ or "", rows=1_000_000, rounds=15)
    parser.add_argument("--seconds", type=float, default=2, help="of the CSV (default: %(default)s)")
    given = parser.parse_args()
    source = simulated(given.rows)
    make_shards(source)
    with backend.known_warnings_ignored():
        contenders = {
            (name, size): train
            for size in (1024, 8192)
            for name, train in {
                "from memory": from_memory(size),
                "from shards": from_shards(size),
                "from shards, --no-jit": from_shards(size, jit=False),
                "from shards, mixed_bfloat16": from_shards(size, jit=False, precision="mixed_bfloat16"),
            }.items()
        }
        contenders["the report's loop", REPORT_BATCH] = from_csv(source.path, given.seconds)
        results = measured(contenders, given.rounds)
    finish(given, results, figures(results))


def measured(contenders: dict[tuple[str, int], Callable[[], float]], rounds: int) -> list[dict[str, Any]]:
    """Return the rates of every contender; a round in which all is warmed up is not counted."""
    rates: dict[tuple[str, int], list[float]] = {name: [] for name in contenders}
    for counted in [False] + [True] * rounds:
        backwards = len(next(iter(rates.values()))) % 2
        for name, train in list(contenders.items())[:: -1 if backwards else 1]:
            rate = train()
            if counted:
                rates[name].append(rate)
                print(f"{rate:>10,.0f} records/s  {name[0]}, batch {name[1]}", flush=True)
    return [{"name": name, "batch_size": size, "rates": found} for (name, size), found in rates.items()]


def network(*, precision: str = "float32", jit: bool = True, steps: int) -> Any:  # noqa: ANN401  # Keras has no types
    """Return the default network, compiled."""
    num_features = len(next(batches(SHARDS, "train", 1, seed=SEED))[0][0])
    made = dense.build(
        Inputs(num_numbers=num_features),
        TWO_CLASSES,
        layers=REPORT_LAYERS,
        activation="relu",
        batch_norm=True,
        dropout=0.0,
        precision=precision,
    )
    made.compile(
        optimizer="adam",
        loss=TWO_CLASSES.loss,
        weighted_metrics=["accuracy"],
        jit_compile=jit,
        steps_per_execution=steps,
    )
    return made


def from_memory(batch_size: int) -> Callable[[], float]:
    """Return what trains an epoch of a rank from tensors in memory, and gives its rate in records/s."""
    held = list(batches(SHARDS, "train", batch_size, **SHARE))
    arrays = tuple(np.stack(parts) for parts in zip(*held, strict=True))
    tensors = backend.tensorflow().data.Dataset.from_tensor_slices(arrays).prefetch(4)
    return _timed(network(steps=STEPS_PER_EXECUTION[batch_size]), lambda: tensors, len(held) * batch_size)


def from_shards(batch_size: int, **compiled: Any) -> Callable[[], float]:  # noqa: ANN401  # see `network`
    """Return what trains an epoch of a rank from the shards, each time another one."""
    epochs = itertools.count(1)
    num_records = len(batches(SHARDS, "train", batch_size, **SHARE)) * batch_size
    return _timed(
        network(steps=STEPS_PER_EXECUTION[batch_size], **compiled),
        lambda: dataset(SHARDS, "train", batch_size, epoch=next(epochs), **SHARE),
        num_records,
    )


def _timed(trained: Any, feed: Callable[[], Any], num_records: int) -> Callable[[], float]:  # noqa: ANN401  # Keras has no types
    def train() -> float:
        begin = time.perf_counter()
        trained.fit(feed(), verbose=0, shuffle=False)
        return num_records / (time.perf_counter() - begin)

    return train


def from_csv(path: Path, seconds: float) -> Callable[[], float]:
    """Return what trains from the CSV as the report did, for so many seconds."""
    tf, keras = backend.tensorflow(), backend.keras()
    with path.open(encoding="utf-8") as text:
        names = next(text).rstrip("\n").split(",")
    trained = network(jit=False, steps=1)

    def stacked(columns: dict[str, Any], label: Any) -> tuple[Any, Any]:  # noqa: ANN401  # tensors
        return tf.stack(list(columns.values()), axis=1), label

    def train() -> float:
        read = tf.data.experimental.make_csv_dataset(
            str(path), REPORT_BATCH, column_names=names, label_name=names[0], num_epochs=1, shuffle_seed=SEED
        )
        clock = _Clock(seconds)
        stop = keras.callbacks.LambdaCallback(on_train_batch_end=clock.step)
        clock.network = trained
        trained.fit(read.map(stacked), verbose=0, shuffle=False, callbacks=[stop])
        return clock.rate()

    return train


class _Clock:
    """Counts steps from the second on, the first having filled buffers, and ends a training in time."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._times: list[float] = []
        self.network: Any = None

    def step(self, _index: int, logs: object) -> None:
        """Note a step."""
        del logs
        self._times.append(time.perf_counter())
        self.network.stop_training = self._times[-1] - self._times[0] > self._seconds

    def rate(self) -> float:
        """Return records per second."""
        return (len(self._times) - 1) * REPORT_BATCH / (self._times[-1] - self._times[0])


def figures(results: list[dict[str, Any]]) -> dict[str, float]:
    """Return what was aimed at."""
    rates = {(result["name"], result["batch_size"]): result["rates"] for result in results}
    report = statistics.median(rates["the report's loop", REPORT_BATCH])
    found = {}
    for size in (1024, 8192):
        shards = rates["from shards", size]
        found[f"from shards / from memory, batch {size:,}"] = statistics.median(
            mine / held for mine, held in zip(shards, rates["from memory", size], strict=True)
        )
        for name in ("from shards", "from shards, --no-jit", "from shards, mixed_bfloat16"):
            faster = statistics.median(rates[name, size]) / report
            found[f"{name}, batch {size:,} / the report's loop"] = faster
    return found


if __name__ == "__main__":
    main()
