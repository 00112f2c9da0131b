"""Who trains together: TF_CONFIG read, and two processes on loopback that learn the same."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import OptionError
from pipeline.train import TrainOptions, train
from pipeline.train.workers import Workers, gather_workers, parse_tf_config
from support.command import ROOT, run_process
from support.datasets import convert_text, make_options
from support.documents import document
from support.ports import free_ports
from support.s3_server import s3_server

TIMEOUT_SECONDS = 300
KEEPING_WEIGHTS = """
import numpy
from pipeline.cli import main
from pipeline.train.distributed import DistributedPasses

wait = DistributedPasses.wait

def keep_and_wait(self):
    numpy.savez("weights.npz", *self.network.get_weights())
    wait(self)

DistributedPasses.wait = keep_and_wait
main()
"""
ON_TWO_DEVICES = """
import functools
import tensorflow
from pipeline.cli import main

cpu = tensorflow.config.list_physical_devices("CPU")[0]
halves = [tensorflow.config.LogicalDeviceConfiguration() for _ in range(2)]
tensorflow.config.set_logical_device_configuration(cpu, halves)
strategy = tensorflow.distribute.MirroredStrategy
tensorflow.distribute.MirroredStrategy = functools.partial(strategy, ["CPU:0", "CPU:1"])
main()
"""
CLUSTER = {"worker": ["a:1", "b:2"]}


def config(**changes: Any) -> str:
    """Return a TF_CONFIG with changes."""
    return json.dumps({"cluster": CLUSTER, "task": {"type": "worker", "index": 1}} | changes)


def test_rank_and_number_of_workers_are_read() -> None:
    """The index is the rank, the addresses are the workers."""
    assert parse_tf_config(config()) == (1, 2)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        config(task={}),
        config(task={"type": "worker", "index": 2}),
        config(task={"type": "worker", "index": -1}),
        config(task={"type": "worker", "index": "1"}),
        config(task={"type": "ps", "index": 0}),
        config(cluster={"worker": "a:1"}),
        config(cluster={"worker": []}),
        config(cluster=CLUSTER | {"ps": ["c:3"]}),
    ],
)
def test_a_wrong_tf_config_is_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Missing, no JSON, no workers, other tasks, a rank that is none: the hint shows how it looks."""
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(OptionError, match="TF_CONFIG") as caught:
        gather_workers("multiworker")
    assert '"cluster"' in caught.value.hint


def test_alone_there_is_nobody_to_wait_for() -> None:
    """Without a strategy: one worker, who is the chief, and one replica."""
    assert gather_workers("none") == Workers(strategy=None, rank=0, world_size=1)
    assert gather_workers("none").is_chief


def test_a_batch_must_be_divisible() -> None:
    """Among three replicas 1,000 records cannot be divided; the nearest number is named."""

    class Three:
        num_replicas_in_sync = 3

    workers = Workers(strategy=Three())
    workers.check_batch_size(999)
    with pytest.raises(OptionError, match="--batch-size 1000: cannot be divided among 3") as caught:
        workers.check_batch_size(1000)
    assert caught.value.hint == "pass --batch-size 999"


def train_together(shards: Path, folder: Path, *options: str) -> list[dict[str, Any]]:
    """Train by two processes, each in a folder of its own, and return their summaries."""
    addresses = [f"127.0.0.1:{port}" for port in free_ports(2)]
    processes = []
    for rank in range(2):
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}}
        (folder / str(rank)).mkdir(parents=True, exist_ok=True)
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", KEEPING_WEIGHTS, "train", shards, "-o", "model", "--json", *options],
                cwd=folder / str(rank),
                env=os.environ | {"TF_CONFIG": json.dumps(task), "PYTHONPATH": str(ROOT)},
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    try:
        streams = [process.communicate(timeout=TIMEOUT_SECONDS) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], streams
    return [json.loads(output) for output, _ in streams]


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """2,000 records of two classes, 1,600 of them to train with."""
    rng = np.random.default_rng(3)
    features = rng.normal(size=(2000, 2))
    label = (features @ [2, -1] + 0.3 * rng.normal(size=2000) > 0).astype(int)
    rows = (f"{y},{a},{b}\n" for y, (a, b) in zip(label, features, strict=True))
    folder = tmp_path_factory.mktemp("shards") / "data"
    return convert_text("label,a,b\n" + "".join(rows), folder, make_options()).folder


def test_two_workers_learn_the_same(shards: Path, tmp_path: Path) -> None:
    """The same weights to the last bit and the same figures on both; the chief alone writes a model."""
    options = ("--layers", "8", "--batch-size", "100", "--learning-rate", "0.01", "--epochs", "2")
    chief, other = train_together(shards, tmp_path / "two", *options, "--strategy", "multiworker")
    assert [chief["rank"], other["rank"]] == [0, 1]
    assert chief["world_size"] == other["world_size"] == 2
    for name in ("loss", "metric", "val_loss", "val_metric"):
        assert [e[name] for e in chief["history"]] == [e[name] for e in other["history"]]
    assert chief["metrics"] == other["metrics"]
    assert (tmp_path / "two" / "0" / "model" / "model.keras").exists()
    assert [path.name for path in (tmp_path / "two" / "1").iterdir()] == ["weights.npz"]
    weights = [np.load(tmp_path / "two" / name / "weights.npz") for name in "01"]
    assert all(np.array_equal(weights[0][name], weights[1][name]) for name in weights[0].files)
    assert chief["metrics"]["auc"] > 0.95


def test_two_devices_learn_what_one_does(shards: Path, tmp_path: Path) -> None:
    """Half a batch on each of two devices comes to what the whole batch on one does, but for rounding.

    Without batch normalization, whose moments are those of a device's own records.
    """
    options = ("--layers", "8", "--batch-size", "100", "--no-batch-norm", "--epochs", "2", "--json")
    command = [sys.executable, "-c", ON_TWO_DEVICES, "train", shards, "--strategy", "mirrored", *options]
    two = subprocess.run(
        [*command, "-o", tmp_path / "two"],
        capture_output=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    assert two.returncode == 0, two.stderr
    asked = TrainOptions(layers=(8,), batch_size=100, batch_norm=False, epochs=2)
    one = train(shards, tmp_path / "one", asked)
    for found, expected in zip(json.loads(two.stdout)["history"], one.history, strict=True):
        for name in ("loss", "metric", "val_loss", "val_metric"):
            assert found[name] == pytest.approx(getattr(expected, name), rel=1e-4)
    assert json.loads(two.stdout)["metrics"]["loss"] == pytest.approx(one.metrics.loss, rel=1e-4)


@pytest.mark.slow
def test_two_workers_train_from_s3(shards: Path, tmp_path: Path) -> None:
    """Each copies the dataset from the store as docs/scaling.md says, proves it, and both learn the same."""
    found = re.search(r"python -c '(.+?)'", document("docs/scaling.md"))
    assert found is not None
    with s3_server() as s3:
        s3.put({f"shards/{path.name}": path.read_bytes() for path in shards.iterdir()})
        for rank in "01":
            (tmp_path / rank).mkdir()
            subprocess.run(
                [sys.executable, "-c", found[1]],
                check=True,
                cwd=tmp_path / rank,
                env=os.environ | s3.environment,
                timeout=TIMEOUT_SECONDS,
            )
    for rank in "01":
        assert run_process("verify", "shards", cwd=tmp_path / rank).status == 0
    options = ("--layers", "8", "--batch-size", "100", "--epochs", "1", "--strategy", "multiworker")
    chief, other = train_together(Path("shards"), tmp_path, *options)
    assert chief["history"][0]["loss"] == other["history"][0]["loss"]
    assert (tmp_path / "0" / "model" / "model.keras").exists()
