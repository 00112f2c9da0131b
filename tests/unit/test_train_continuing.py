"""A training that was interrupted goes on at the next batch, and ends as if nothing had been.

Processes are killed for real in tests/faults; here an exception nobody catches stands for that, raised where
a checkpoint is written, so that every place can be reached.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import itertools
import shutil
import signal
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline import backend
from pipeline import train as train_module
from pipeline.convert import convert
from pipeline.errors import ModelError, OptionsChangedError
from pipeline.plan import ConvertOptions, Identity
from pipeline.train import TrainOptions, TrainSummary, continuing, train
from pipeline.train import output as outputs
from pipeline.train.interval import Interval
from support.texts import numbered_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# 5 batches an epoch, and a checkpoint after each; one more before and one after validation.
OPTIONS = TrainOptions(
    layers=(8,),
    dropout=0.2,
    batch_size=160,
    epochs=3,
    learning_rate=0.01,
    seed=1,
    deterministic=True,
    checkpoint_every=Interval(num_batches=1),
)
WRITES_PER_EPOCH = 6


class KilledError(BaseException):
    """Stands for the end of the process."""


def dying(*_given: Any, **_named: Any) -> None:
    """End the process."""
    raise KilledError


@pytest.fixture(scope="module", autouse=True)
def determinism_ends() -> Iterator[None]:
    """Give the process back to tests that want the fast operations."""
    yield
    importlib.import_module("tensorflow.python.framework.config").disable_op_determinism()


@pytest.fixture(scope="module")
def shards(fresh_folder: Callable[[], Path]) -> Path:
    """1,000 records, 800 of them to train on."""
    folder = fresh_folder()
    folder.mkdir()
    (folder / "source.csv").write_text(numbered_text(1000))
    identity = Identity(shard_bytes=4_000)
    convert(folder / "source.csv", folder / "shards", ConvertOptions(identity=identity, num_workers=1))
    return folder / "shards"


@pytest.fixture(scope="module")
def undisturbed(shards: Path, fresh_folder: Callable[[], Path]) -> TrainSummary:
    """The same training, never interrupted."""
    return train(shards, fresh_folder(), OPTIONS)


def weights(folder: Path) -> list[np.ndarray]:
    """Return all weights of the saved model."""
    model = backend.keras().models.load_model(folder / "model.keras")
    return [np.asarray(value) for value in model.get_weights()]


def check_same(found: TrainSummary, expected: TrainSummary) -> None:
    """Check that two trainings ended alike, to the last bit, but for the time they took."""
    assert all(
        np.array_equal(mine, yours)
        for mine, yours in zip(weights(found.output), weights(expected.output), strict=True)
    )
    untimed = {"seconds": 0.0, "records_per_second": 0.0}
    assert [dataclasses.replace(record, **untimed) for record in found.history] == [
        dataclasses.replace(record, **untimed) for record in expected.history
    ]
    assert (found.best_epoch, found.metrics) == (expected.best_epoch, expected.metrics)


@dataclasses.dataclass
class Death:
    """Ends the process at the n-th checkpoint from now, before, while or after it is written."""

    at: int
    when: str

    def write(self, path: Path, checkpoint: Any) -> None:
        """Take the place of `write_checkpoint`."""
        self.at -= 1
        if self.at == 0 and self.when == "before":
            raise KilledError
        if self.at == 0 and self.when == "while":
            path.with_name(path.name + ".partial").write_bytes(b"PK")
            raise KilledError
        WRITE(path, checkpoint)
        if self.at == 0:
            raise KilledError


WRITE = continuing.write_checkpoint


def killed(shards: Path, output: Path, death: Death, options: TrainOptions = OPTIONS) -> None:
    """Train until `death`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(continuing, "write_checkpoint", death.write)
        with pytest.raises(KilledError):
            train(shards, output, options)
    assert not output.exists()


def test_killed_again_and_again_it_ends_the_same(
    shards: Path, tmp_path: Path, undisturbed: TrainSummary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed after a batch, in writing a checkpoint, before one, after validation, after the last epoch.

    With a checkpoint after every batch no batch is trained twice, and none left out.
    """
    trained: list[tuple[int, int]] = []
    original = continuing.Continuing.batch_done

    def noted(self: continuing.Continuing, network: Any, *, num_batches: int, seconds: float) -> None:
        trained.append((self.standing.epoch, num_batches))
        original(self, network, num_batches=num_batches, seconds=seconds)

    monkeypatch.setattr(continuing.Continuing, "batch_done", noted)
    for at, when in ((2, "after"), (4, "while"), (1, "before"), (3, "after"), (10, "after")):
        killed(shards, tmp_path / "model", Death(at, when))
    check_same(train(shards, tmp_path / "model", OPTIONS), undisturbed)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    # The fifth and last batch of an epoch is noted together with the figures of the epoch.
    assert trained == list(itertools.product((1, 2, 3), (1, 2, 3, 4)))


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "while", "after"])
def test_killed_at_any_checkpoint_it_ends_the_same(
    shards: Path, tmp_path: Path, undisturbed: TrainSummary, when: str
) -> None:
    """Each of the 18 checkpoints of a training, one after the other."""
    for at in range(1 if when == "after" else 2, OPTIONS.epochs * WRITES_PER_EPOCH + 1):
        killed(shards, tmp_path / str(at), Death(at, when))
        check_same(train(shards, tmp_path / str(at), OPTIONS), undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        {"optimizer": "sgd", "batch_norm": False},
        {"optimizer": "nadam", "layers": (8, 4)},
        {"shard_format": "parquet", "batch_size": 7},
        {"patience": 1, "learning_rate": 0.5, "epochs": 6},
        {"model": "resnet", "activation": "silu", "layers": (8, 8)},
        {"optimizer": "adamw", "schedule": "cosine", "warmup": 0.2, "weight_decay": 0.01},
        {"precision": "mixed_bfloat16", "class_weight": "balanced"},
        {"precision": "mixed_float16", "label_smoothing": 0.1},
        {"steps_per_execution": 2},
        {"strategy": "mirrored"},
    ],
    ids=str,
)
def test_other_trainings_go_on_as_well(shards: Path, tmp_path: Path, options: dict[str, Any]) -> None:
    """Whatever the optimizer, the layers, the batches, and with early stopping."""
    chosen = dataclasses.replace(OPTIONS, **options)
    expected = train(shards, tmp_path / "undisturbed", chosen)
    for death in (Death(3, "after"), Death(9, "while"), Death(1, "after")):
        killed(shards, tmp_path / "model", death, chosen)
    check_same(train(shards, tmp_path / "model", chosen), expected)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["write_model", "write_figures"])
def test_killed_outside_of_batches_it_ends_the_same(
    shards: Path, tmp_path: Path, undisturbed: TrainSummary, place: str
) -> None:
    """Killed where the best model is kept, or where the figures are written after the last epoch."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(outputs, place, dying)
        with pytest.raises(KilledError):
            train(shards, tmp_path / "model", OPTIONS)
    check_same(train(shards, tmp_path / "model", OPTIONS), undisturbed)


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_signal_waits_for_the_batch_and_leaves_a_checkpoint(
    shards: Path, tmp_path: Path, undisturbed: TrainSummary, number: signal.Signals
) -> None:
    """Ctrl-C and SIGTERM in the second epoch: where it stands is written, though no checkpoint was due."""
    options = dataclasses.replace(OPTIONS, checkpoint_every=Interval())
    kept = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            train(shards, tmp_path / "model", options, progress=Interrupting(number, epoch=2))
        assert signal.getsignal(signal.SIGTERM) == signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, kept)
    tree = continuing.read_checkpoint(tmp_path / "model.incomplete" / "checkpoint.npz").tree
    assert (tree["standing"]["epoch"], tree["standing"]["num_batches"]) == (2, 2)
    assert (tmp_path / "model.incomplete" / "dataset" / "model.keras").exists()
    check_same(train(shards, tmp_path / "model", options), undisturbed)


class Interrupting:
    """A progress that sends a signal to this process after the second batch of an epoch."""

    def __init__(self, number: signal.Signals, *, epoch: int) -> None:
        self._number = number
        self._stage = f"epoch {epoch}/"
        self._num_calls = 0

    def start(self, stage: str, *, total: int | None, unit: str) -> None:
        """Count the batches of the epoch in question."""
        del total, unit
        self._num_calls = 0 if stage.startswith(self._stage) else -(10**9)

    def advance(self, amount: int, *, records: int = 0) -> None:
        """Interrupt at the third call: the first one tells what earlier processes have done."""
        del amount, records
        self._num_calls += 1
        if self._num_calls == 3:
            signal.raise_signal(self._number)

    def finish(self, result: str = "") -> None:
        """Do nothing."""


@pytest.fixture(scope="module")
def killed_once(shards: Path, fresh_folder: Callable[[], Path]) -> Path:
    """The folder that a training left which was killed in its first epoch."""
    output = fresh_folder()
    killed(shards, output, Death(3, "after"))
    return output.with_name(output.name + ".incomplete")


@pytest.fixture
def unfinished(killed_once: Path, tmp_path: Path) -> Path:
    """The target of an unfinished training: a copy of that folder is beside it."""
    shutil.copytree(killed_once, tmp_path / "model.incomplete")
    return tmp_path / "model"


def test_other_options_are_refused(shards: Path, unfinished: Path) -> None:
    """The differences are listed, and nothing is lost: what changes no weight may differ."""
    changed = dataclasses.replace(OPTIONS, layers=(16,), learning_rate=0.02)
    with pytest.raises(OptionsChangedError) as caught:
        train(shards, unfinished, changed)
    assert caught.value.message.endswith(": layers was [8], is [16]; learning_rate was 0.01, is 0.02")
    assert f"rm -r {unfinished}.incomplete" in caught.value.hint
    often = dataclasses.replace(OPTIONS, checkpoint_every=Interval(seconds=1), overwrite=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train_module, "build", dying)
        with pytest.raises(KilledError):
            train(shards, unfinished, often)
    assert unfinished.with_name("model.incomplete").exists()


def test_another_dataset_is_refused(unfinished: Path, tmp_path: Path) -> None:
    """A dataset of the same columns but other records has another fingerprint."""
    (tmp_path / "source.csv").write_text(numbered_text(1000, seed=1))
    convert(tmp_path / "source.csv", tmp_path / "shards", ConvertOptions(num_workers=1))
    with pytest.raises(OptionsChangedError, match=r"dataset was '[0-9a-f]{64}', is '[0-9a-f]{64}'$"):
        train(tmp_path / "shards", unfinished, OPTIONS)


def test_a_damaged_checkpoint_is_refused(shards: Path, unfinished: Path) -> None:
    """It is named, and stays for whoever wants to look at it."""
    path = unfinished.with_name("model.incomplete") / "checkpoint.npz"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ModelError, match="a damaged checkpoint"):
        train(shards, unfinished, OPTIONS)
    assert path.exists()


def test_before_the_first_checkpoint_nothing_is_left(shards: Path, tmp_path: Path) -> None:
    """An interruption before anything was learned leaves no folder behind."""
    with contextlib.suppress(KilledError):
        killed(shards, tmp_path / "model", Death(1, "before"))
    assert list(tmp_path.iterdir()) == []
