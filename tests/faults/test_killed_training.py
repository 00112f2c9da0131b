"""A training killed by SIGKILL, wherever it happens to be, goes on and ends with the same weights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipeline import backend
from pipeline.convert import convert
from pipeline.plan import ConvertOptions, Identity
from support.command import ROOT
from support.texts import numbered_text

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OPTIONS = (
    *("--layers", "8", "--dropout", "0.2", "--batch-size", "40", "--epochs", "3", "--patience", "0"),
    *("--checkpoint-every", "1", "--deterministic", "--json"),
)
BATCHES = 60  # of 40 records, 20 an epoch
POLL_SECONDS = 0.002
TIMEOUT_SECONDS = 240


@pytest.fixture(scope="module")
def shards(fresh_folder: Callable[[], Path]) -> Path:
    """1,000 records, 800 of them to train on."""
    folder = fresh_folder()
    folder.mkdir()
    (folder / "source.csv").write_text(numbered_text(1000))
    identity = Identity(shard_bytes=4_000)
    convert(folder / "source.csv", folder / "shards", ConvertOptions(identity=identity, num_workers=1))
    return folder / "shards"


def start(shards: Path, model: Path) -> subprocess.Popen[str]:
    """Start `pipeline train` in a process of its own."""
    command = (sys.executable, "-W", "error", "-m", "pipeline", "train", str(shards), "-o", str(model))
    return subprocess.Popen(
        (*command, *OPTIONS),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


def finished(shards: Path, model: Path) -> dict[str, object]:
    """Train to the end and return the summary."""
    stdout, stderr = start(shards, model).communicate(timeout=TIMEOUT_SECONDS)
    assert stderr == ""
    summary: dict[str, object] = json.loads(stdout)
    return summary


def batches_done(checkpoint: Path) -> int:
    """Return how many batches of the training are done, as its checkpoint says."""
    try:
        with zipfile.ZipFile(checkpoint) as members:
            data = members.read("tree.npy")
    except FileNotFoundError:
        return 0
    standing = json.loads(data[data.index(b"{", 10 + int.from_bytes(data[8:10], "little")) :])["standing"]
    in_epoch = 20 if standing["trained"] else standing["num_batches"]
    return 20 * (int(standing["epoch"]) - 1) + int(in_epoch)


def kill_after(shards: Path, model: Path, num_batches: int) -> int:
    """Kill a training once so many batches are done; return how many are, by the checkpoint it left."""
    checkpoint = model.with_name(model.name + ".incomplete") / "checkpoint.npz"
    with start(shards, model) as process:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while batches_done(checkpoint) < num_batches and time.monotonic() < deadline:
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(POLL_SECONDS)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    return batches_done(checkpoint)


def weights(model: Path) -> list[np.ndarray]:
    """Return all weights of a saved model."""
    loaded = backend.keras().models.load_model(model / "model.keras")
    return [np.asarray(value) for value in loaded.get_weights()]


def check_same(model: Path, expected: Path) -> None:
    """Check that two models are equal, with their figures and histories, but for what took time."""
    pairs = zip(weights(model), weights(expected), strict=True)
    assert all(np.array_equal(mine, yours) for mine, yours in pairs)
    assert (model / "metrics.json").read_bytes() == (expected / "metrics.json").read_bytes()
    histories = [
        [line.rsplit(",", 2)[0] for line in (folder / "history.csv").read_text().splitlines()]
        for folder in (model, expected)
    ]
    assert histories[0] == histories[1]


@pytest.fixture(scope="module")
def undisturbed(shards: Path, fresh_folder: Callable[[], Path]) -> Path:
    """The model of a training that nothing interrupted."""
    model = fresh_folder()
    finished(shards, model)
    return model


def test_a_killed_training_ends_with_the_same_weights(
    shards: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """Killed in the second epoch, in whatever it was doing: the same command goes on from there."""
    assert 25 <= kill_after(shards, tmp_path / "model", 25) < BATCHES
    assert not (tmp_path / "model").exists()
    finished(shards, tmp_path / "model")
    check_same(tmp_path / "model", undisturbed)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.slow
def test_killed_every_few_batches_it_ends_with_the_same_weights(
    shards: Path, undisturbed: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Killed again and again, each process a few batches after the last one."""
    done = num_kills = 0
    while done < BATCHES - 8:
        before, done = done, kill_after(shards, tmp_path / "model", done + 5)
        assert done >= before + 5
        num_kills += 1
    record_property("points", num_kills)
    finished(shards, tmp_path / "model")
    check_same(tmp_path / "model", undisturbed)
