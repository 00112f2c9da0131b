"""Times one way to predict, pass by pass, and prints rates, processor time and memory as JSON.

Usage: predict_rates.py MODEL CSV OUTPUT batch_size seconds products|network|predict|bfloat16
"""

from __future__ import annotations

import functools
import json
import resource
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pipeline import backend
from pipeline.models.saved import open_model
from pipeline.predict import PredictOptions, predict

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.models.saved import SavedModel

PRECISIONS = {"predict": "float32", "bfloat16": "mixed_bfloat16"}
NUM_BATCHES = 25  # of 8,192: 200,000 records, 23 MB of features


def main() -> None:
    """Measure."""
    model, source, output = map(Path, sys.argv[1:4])
    batch_size, seconds, way = int(sys.argv[4]), float(sys.argv[5]), sys.argv[6]
    with backend.known_warnings_ignored():
        if way in PRECISIONS:
            run = functools.partial(from_text, model, source, output, batch_size, PRECISIONS[way])
        else:
            run = in_memory(open_model(model), batch_size, {"products": products, "network": network}[way])
        report(run, seconds)


def from_text(model: Path, source: Path, output: Path, batch_size: int, precision: str) -> int:
    """Predict the whole CSV into a file; return the number of records."""
    summary = predict(
        model, source, output, PredictOptions(batch_size=batch_size, precision=precision, overwrite=True)
    )
    return summary.num_written


def in_memory(
    saved: SavedModel, batch_size: int, way: Callable[[SavedModel], Callable[[object], object]]
) -> Callable[[], int]:
    """Return what computes on batches that are tensors already, and returns the number of records."""
    tf = backend.tensorflow()
    rng = np.random.default_rng(1)
    shape = (batch_size, len(saved.description.features))
    batches = [tf.constant(rng.normal(size=shape).astype(np.float32)) for _ in range(NUM_BATCHES)]
    compute = way(saved)

    def run() -> int:
        for batch in batches:
            compute(batch).numpy()  # type: ignore[attr-defined]  # a tensor
        return NUM_BATCHES * batch_size

    return run


def network(saved: SavedModel) -> Callable[[object], object]:
    """Return the network without its standardization."""
    tf = backend.tensorflow()
    rows = tf.TensorSpec((None, len(saved.description.features)), tf.float32)
    return tf.function(lambda x: saved.network(x, training=False), input_signature=[rows])


def products(saved: SavedModel) -> Callable[[object], object]:
    """Return the products with the weight matrices of the network, one after the other."""
    tf = backend.tensorflow()
    kernels = [tf.constant(w.numpy()) for w in saved.network.weights if w.name == "kernel"]
    rows = tf.TensorSpec((None, len(saved.description.features)), tf.float32)
    return tf.function(lambda x: functools.reduce(tf.matmul, kernels, x), input_signature=[rows])


def report(run: Callable[[], int], seconds: float) -> None:
    """Run once to warm up, then for so many seconds, and print what was measured."""
    run()
    rates, num_records = [], 0
    began, cpu = time.perf_counter(), time.process_time()
    while not rates or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        done = run()
        rates.append(done / (time.perf_counter() - start))
        num_records += done
    found = {
        "rates": rates,
        "cpu_nanoseconds": (time.process_time() - cpu) / num_records * 1e9,
        "peak_rss_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
