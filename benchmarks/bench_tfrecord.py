"""How many records a second become TFRecord bytes, and come back?

Method: 28 float32 features and an int64 label, written to the null device. Ours in batches of 131,072
records, on one thread and on two. Peers as TensorFlow's documentation writes them: a `tf.train.Example` per
record, given to `tf.io.TFRecordWriter`, with one vector and with 29 named features. Reading: ours, and
`tf.data.TFRecordDataset` batched before `tf.io.parse_example`. And the checksum alone: column-wise against
`google_crc32c` for each record. All contenders take turns in every round; the median, and the spread.

Conclusion: 4 to 6 million records/s a core, 40 times `tf.train.Example` with one vector and 400 times with
named features; read back at 3 million. Two threads are 1.8 times as fast as one where two cores are idle
(two processes: 1.96). Labels over 127, whose size varies, halve it, and kept text divides it by three.
`google_crc32c` for each record takes more than twice as long as the column-wise sum, and two threads are
no faster than one, because it holds the GIL.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import os
import statistics
import tempfile
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np
import pyarrow as pa

from pipeline.formats.crc32c import Slot, crc32c_of_filled
from pipeline.formats.tf_example import TfColumn, TfField, encode
from pipeline.formats.tf_example_decode import decode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import ModuleType

    from numpy.typing import NDArray

NUM_FEATURES = 28
BATCH_RECORDS = 1 << 17
NUM_BATCHES = 8
PEER_RECORDS = 10_000  # a second or two for the slowest
SEED = 42


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """Something to measure: `work` handles `num_records` records, which take `num_bytes` as TFRecord."""

    name: str
    num_records: int
    num_bytes: int
    work: Callable[[], object]


def features_and(labels: int, *, text: bool = False) -> list[TfColumn]:
    """Return the columns of one batch, with `labels` classes and, if wanted, a kept text."""
    generator = np.random.default_rng(SEED)
    by_column = generator.standard_normal((NUM_FEATURES, BATCH_RECORDS), dtype=np.float32)
    classes = generator.integers(0, labels, BATCH_RECORDS)
    columns = [
        TfColumn(name="features", kind="float", values=by_column.T),
        TfColumn(name="label", kind="int64", values=classes),
    ]
    if text:
        words = [f"event-{number}" for number in generator.integers(0, 1 << 40, BATCH_RECORDS)]
        columns.append(TfColumn(name="id", kind="bytes", values=pa.array(words)))
    return columns


def on_threads(num_threads: int, work: Callable[[int], object]) -> Callable[[], object]:
    """Return what does `work(thread)` on every one of the threads."""

    def run() -> None:
        with ThreadPoolExecutor(num_threads) as pool:
            list(pool.map(work, range(num_threads)))

    return run


def encoding(name: str, columns: Sequence[TfColumn], num_threads: int) -> Contender:
    """Return ours, the batches shared by the threads."""

    def write(_thread: int) -> None:
        with Path(os.devnull).open("wb") as sink:
            sink.writelines(encode(columns).data for _ in range(NUM_BATCHES // num_threads))

    return Contender(
        name=f"ours, {name}, {num_threads} thread{'s' * (num_threads > 1)}",
        num_records=NUM_BATCHES * BATCH_RECORDS,
        num_bytes=NUM_BATCHES * len(encode(columns).data),
        work=on_threads(num_threads, write),
    )


def peers(tf: ModuleType, columns: Sequence[TfColumn], folder: Path) -> list[Contender]:
    """Return `tf.train.Example` with one vector, and with 29 named features."""
    features, labels = (column.values[:PEER_RECORDS].tolist() for column in columns)

    def vector(index: int) -> dict[str, list[float]]:
        return {"features": features[index]}

    def named(index: int) -> dict[str, list[float]]:
        return {f"f{place}": [value] for place, value in enumerate(features[index])}

    def write(values: Callable[[int], dict[str, list[float]]], path: str) -> None:
        with tf.io.TFRecordWriter(path) as writer:
            for index in range(PEER_RECORDS):
                feature = {
                    name: tf.train.Feature(float_list=tf.train.FloatList(value=floats))
                    for name, floats in values(index).items()
                }
                feature["label"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[labels[index]]))
                message = tf.train.Example(features=tf.train.Features(feature=feature))
                writer.write(message.SerializeToString())

    contenders = []
    for name, values in (("one vector", vector), ("29 named features", named)):
        write(values, str(folder / "peer"))
        contender = Contender(
            name=f"tf.train.Example, {name}",
            num_records=PEER_RECORDS,
            num_bytes=(folder / "peer").stat().st_size,
            work=functools.partial(write, values, os.devnull),
        )
        contenders.append(contender)
    return contenders


def readers(tf: ModuleType, columns: Sequence[TfColumn], folder: Path) -> list[Contender]:
    """Return ours on one thread and two, and TensorFlow's own, from memory or a warm file."""
    data = encode(columns).data
    path = folder / "read"
    path.write_bytes(data.tobytes())
    fields = [TfField(name="features", kind="float", width=NUM_FEATURES), TfField(name="label", kind="int64")]
    spec = {
        "features": tf.io.FixedLenFeature([NUM_FEATURES], tf.float32),
        "label": tf.io.FixedLenFeature([], tf.int64),
    }

    def ours(num_threads: int) -> Callable[[], object]:
        return on_threads(
            num_threads, lambda _: [decode(data, fields) for _ in range(NUM_BATCHES // num_threads)]
        )

    def theirs() -> None:
        dataset = tf.data.TFRecordDataset(str(path)).batch(8192)
        for _ in dataset.map(lambda batch: tf.io.parse_example(batch, spec), num_parallel_calls=1):
            pass

    num_bytes = len(data)
    ours_are = [
        Contender(
            name=f"ours, reading, {num_threads} thread{'s' * (num_threads > 1)}",
            num_records=NUM_BATCHES * BATCH_RECORDS,
            num_bytes=NUM_BATCHES * num_bytes,
            work=ours(num_threads),
        )
        for num_threads in (1, 2)
    ]
    return [
        *ours_are,
        Contender(
            name="tf.data, reading, parse_example after batch",
            num_records=BATCH_RECORDS,
            num_bytes=num_bytes,
            work=theirs,
        ),
    ]


def checksums(features: NDArray[np.float32]) -> list[Contender]:
    """Return the checksum of the features alone, both ways, on one thread and two."""
    slot = Slot(begin=0, values=features)
    template = bytes(4 * NUM_FEATURES)
    rows = np.ascontiguousarray(features).view(f"V{len(template)}")[:, 0]
    ways: dict[str, Callable[[], object]] = {
        "column-wise": lambda: crc32c_of_filled(template, [slot], num_records=BATCH_RECORDS),
        "google_crc32c for each record": lambda: np.array(
            [google_crc32c.value(row) for row in rows.tolist()], np.uint32
        ),
    }
    return [
        Contender(
            name=f"CRC-32C, {name}, {num_threads} thread{'s' * (num_threads > 1)}",
            num_records=num_threads * BATCH_RECORDS,
            num_bytes=num_threads * features.nbytes,
            work=on_threads(num_threads, lambda _, way=way: way()),
        )
        for name, way in ways.items()
        for num_threads in (1, 2)
    ]


def measure(contenders: Sequence[Contender], rounds: int) -> list[dict[str, Any]]:
    """Return name, median and spread of seconds, records/s and MB/s of each, measured in turns."""
    seconds: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for _ in range(rounds + 1):  # the first warms up
        for contender in contenders:
            begin = time.perf_counter()
            contender.work()
            seconds[contender.name].append(time.perf_counter() - begin)
    results = []
    for contender in contenders:
        timed = seconds[contender.name][1:]
        median = statistics.median(timed)
        results.append(
            {
                "name": contender.name,
                "seconds": {"median": median, "min": min(timed), "max": max(timed)},
                "records_per_second": contender.num_records / median,
                "megabytes_per_second": contender.num_bytes / median / 1e6,
            }
        )
    return results


def working_memory(columns: Sequence[TfColumn]) -> float:
    """Return the most memory that encoding one batch takes beside its result, in MiB."""
    tracemalloc.start()
    encoded = encode(columns)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return float(peak - encoded.data.nbytes) / (1 << 20)


def main() -> None:
    """Measure, print a table, and write JSON if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, help="write the results here, too")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    tf = importlib.import_module("tensorflow")
    plain = features_and(labels=2)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        contenders = [
            encoding("28 features and a label", plain, 1),
            encoding("28 features and a label", plain, 2),
            encoding("200 classes", features_and(labels=200), 1),
            encoding("2 classes and a text", features_and(labels=2, text=True), 1),
            *peers(tf, plain, folder),
            *readers(tf, plain, folder),
            *checksums(plain[0].values),
        ]
        results = measure(contenders, arguments.rounds)
    print(f"{'':52}{'records/s':>12}{'MB/s':>8}{'median s':>10}   min to max s")
    for result in results:
        timed = result["seconds"]
        print(
            f"{result['name']:52}{result['records_per_second']:12,.0f}{result['megabytes_per_second']:8,.0f}"
            f"{timed['median']:10.3f}   {timed['min']:.3f} to {timed['max']:.3f}"
        )
    rates = [result["records_per_second"] for result in results]
    ratios = {
        "to_one_vector": rates[0] / rates[4],
        "to_named_features": rates[0] / rates[5],
        "two_threads_to_one": rates[1] / rates[0],
    }
    memory = working_memory(plain)
    print(f"ratios: {json.dumps({key: round(value, 2) for key, value in ratios.items()})}")
    print(f"working memory beside the result of {BATCH_RECORDS:,} records: {memory:.1f} MiB")
    if arguments.json:
        report = {"results": results, "ratios": ratios, "working_memory_mebibytes": memory}
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
