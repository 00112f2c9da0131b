"""A training that diverges stops with one line, says at which step, and keeps the best model it had."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipeline.errors import DiskError
from pipeline.models.saved import open_model
from pipeline.train.history import EpochRecord, EventLog
from support.datasets import convert_text, make_options

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.command import Command, Outcome

NUM_RECORDS = 1000
LINEAR = ("--layers", "", "--no-batch-norm", "--optimizer", "sgd", "--batch-size", "100", "--patience", "0")


def text_of(*, huge: float = 1.0) -> str:
    """Return a table whose label is 3a - b, and a column as large as asked for."""
    rng = np.random.default_rng(5)
    a, b = rng.normal(size=(2, NUM_RECORDS))
    rows = zip(3 * a - b, a, b, huge * rng.normal(size=NUM_RECORDS), strict=True)
    return "label,a,b,huge\n" + "".join(",".join(map(repr, map(float, row))) + "\n" for row in rows)


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """800 records to train with, 100 to validate."""
    options = make_options(label_kind="number")
    return convert_text(text_of(), tmp_path_factory.mktemp("shards") / "data", options).folder


@pytest.fixture
def train(tmp_path: Path, pipeline_command: Command) -> Callable[..., Outcome]:
    """A function that trains a model from shards into the test's folder."""

    def run(shards: Path, *options: str) -> Outcome:
        return pipeline_command("train", shards, "-o", tmp_path / "model", "--quiet", *options)

    return run


def refusal(outcome: Outcome) -> tuple[str, str]:
    """Return error line and hint of a training that diverged, and fail if there is anything else."""
    assert outcome.status == 4, outcome.stderr
    assert outcome.stdout == ""
    line, hint = outcome.stderr.splitlines()
    assert line.startswith("error[E404] ")
    return line.removeprefix("error[E404] "), hint.removeprefix("  hint: ")


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ((), r"epoch 1, step [2-8]"),
        (("--steps-per-execution", "4"), r"epoch 1, steps (1 to 4|5 to 8)"),
        (("--steps-per-execution", "3"), r"epoch 1, steps (1 to 3|4 to 6|7 to 8)"),
        (("--jit",), r"epoch 1, step [2-8]"),
        (("--precision", "mixed_bfloat16"), r"epoch 1, step [2-8]"),
    ],
    ids=" ".join,
)
def test_divergence_is_told_at_its_step(
    shards: Path, tmp_path: Path, train: Callable[..., Outcome], options: tuple[str, ...], place: str
) -> None:
    """Weights that jump to 1e38 make the loss infinite: exit status 4, the step, and nothing is left."""
    line, hint = refusal(train(shards, *LINEAR, "--learning-rate", "1e38", *options))
    assert re.fullmatch(place + r": the loss is (nan|inf)", line)
    assert hint == "lower --learning-rate"
    assert list(tmp_path.iterdir()) == []


def test_the_last_good_model_survives(shards: Path, tmp_path: Path, train: Callable[..., Outcome]) -> None:
    """A loss that doubles at each step overflows after some epochs: the model of the best one can be used."""
    options = (*LINEAR, "--learning-rate", "1.3", "--epochs", "100", "--checkpoint-every", "epoch")
    line, hint = refusal(train(shards, *options))
    assert int(re.match(r"epoch (\d+), ", line)[1]) > 2  # type: ignore[index]  # the line was matched above
    kept = tmp_path / "model.incomplete" / "dataset"
    assert f"the best model so far is {kept / 'model.keras'}" in hint
    assert np.isfinite(np.asarray(open_model(kept).keras_model(np.zeros((2, 3))))).all()
    assert not (tmp_path / "model").exists()
    # The same command goes on from the last epoch that ended, and comes to the same place.
    assert refusal(train(shards, *options))[0] == line
    shutil.rmtree(tmp_path / "model.incomplete")
    options = tuple("0.1" if option == "1.3" else option for option in options)
    assert train(shards, *options, "--epochs", "2").status == 0


def test_without_validation_the_weights_tell(tmp_path: Path, train: Callable[..., Outcome]) -> None:
    """One step and no validation: the loss before it was finite, the weights after it are not."""
    options = make_options(label_kind="number", split=(1, 0, 0))
    shards = convert_text(text_of(), tmp_path / "data", options).folder
    asked = (*LINEAR, "--batch-size", "1000", "--epochs", "1", "--learning-rate", "3e38")
    line, _ = refusal(train(shards, *asked))
    assert line == "epoch 1, after its last step: a weight is not finite"
    assert not (tmp_path / "model").exists()


def test_what_float16_cannot_hold_is_told(tmp_path: Path, train: Callable[..., Outcome]) -> None:
    """Values beyond 65,504 are infinite in float16; the same training in float32 ends well."""
    options = make_options(label_kind="number", standardize=False)
    shards = convert_text(text_of(huge=1e6), tmp_path / "data", options).folder
    asked = ("--layers", "8", "--batch-size", "100", "--epochs", "2")
    line, _ = refusal(train(shards, *asked, "--precision", "mixed_float16"))
    assert re.fullmatch(r"epoch 1, step 1: the loss is (nan|inf)", line)
    assert train(shards, *asked).status == 0


def test_float16_itself_is_no_divergence(shards: Path, tmp_path: Path, train: Callable[..., Outcome]) -> None:
    """Gradients that overflow because the loss is scaled only cost a step: it learns all the same."""
    asked = ("--layers", "16", "--batch-size", "50", "--epochs", "4", "--learning-rate", "0.01")
    outcome = train(shards, *asked, "--precision", "mixed_float16", "--steps-per-execution", "4")
    assert outcome.status == 0, outcome.stderr
    saved = open_model(tmp_path / "model")
    rows = np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
    difference = float(np.subtract(*np.asarray(saved.keras_model(rows))[:, 0]))
    assert 4 < difference < 8  # 3a: the label differs by 6


def test_a_log_of_training_on_a_full_disk(tmp_path: Path) -> None:
    """TensorFlow writes that log and has errors of its own for it: they are told as those of the disk."""
    (tmp_path / "train").write_text("in the way of a folder")
    record = EpochRecord(
        epoch=1,
        loss=1.0,
        metric=1.0,
        val_loss=None,
        val_metric=None,
        learning_rate=0.1,
        seconds=1.0,
        records_per_second=1.0,
    )
    with pytest.raises(DiskError, match="the log for TensorBoard: ") as caught:
        EventLog(tmp_path, "accuracy").add(record)
    assert caught.value.path == str(tmp_path)
    assert caught.value.hint
