"""What can be asked of a training, and the description of its model."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.errors import ModelError, OptionError
from pipeline.models import description
from pipeline.train import TrainOptions, parse_layers, parse_steps

if TYPE_CHECKING:
    from pathlib import Path


def test_the_defaults_are_the_network_of_the_report() -> None:
    """500-400-300-200-100 relu with batch normalization, Adam, patience 3."""
    options = TrainOptions()
    assert options.layers == (500, 400, 300, 200, 100)
    assert (options.activation, options.batch_norm, options.optimizer) == ("relu", True, "adam")
    assert (options.learning_rate, options.batch_size, options.patience) == (1e-3, 1024, 3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"layers": (10, 0)}, "--layers 10,0"),
        ({"activation": "rleu"}, "--activation rleu"),
        ({"optimizer": "adamx"}, "--optimizer adamx"),
        ({"dropout": 1.0}, "--dropout"),
        ({"dropout": -0.1}, "--dropout"),
        ({"learning_rate": 0.0}, "--learning-rate"),
        ({"learning_rate": float("nan")}, "--learning-rate"),
        ({"learning_rate": float("inf")}, "--learning-rate"),
        ({"batch_size": 0}, "--batch-size"),
        ({"epochs": 0}, "--epochs"),
        ({"patience": -1}, "--patience"),
        ({"seed": 2**32}, "--seed"),
        ({"seed": -1}, "--seed"),
        ({"jit": True, "deterministic": True}, "--jit and --deterministic"),
        ({"jit": True, "strategy": "mirrored"}, "--jit and --strategy mirrored"),
        ({"steps_per_execution": 4, "strategy": "multiworker"}, "--steps-per-execution 4 and --strategy"),
        ({"precision": "mixed_float16", "strategy": "mirrored"}, "--precision mixed_float16 and --strategy"),
        ({"model": "resnte"}, "--model resnte"),
        ({"model": "resnet", "layers": ()}, "--layers: a resnet needs"),
        ({"members": 0}, "--members"),
        ({"schedule": "linear"}, "--schedule linear"),
        ({"precision": "float64"}, "--precision float64"),
        ({"strategy": "tpu"}, "--strategy tpu"),
        ({"class_weight": "equal"}, "--class-weight equal"),
        ({"label_smoothing": 1.0}, "--label-smoothing"),
        ({"weight_decay": -0.1}, "--weight-decay"),
        ({"weight_decay": float("inf")}, "--weight-decay"),
        ({"warmup": -0.1}, "--warmup"),
        ({"warmup": 1.5}, "--warmup 1.5: neither a share nor a number of steps"),
        ({"warmup": float("nan")}, "--warmup"),
        ({"steps_per_execution": 0}, "--steps-per-execution"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any], message: str) -> None:
    """A value out of its range is refused when the options are made, and the option is named."""
    with pytest.raises(OptionError, match=f"^{message}"):
        TrainOptions(**wrong)


def test_unknown_names_get_the_nearest_ones() -> None:
    """A slip of the keys is answered with what was meant."""
    with pytest.raises(OptionError) as caught:
        TrainOptions(activation="rleu")
    assert caught.value.hint == "did you mean 'relu'?" or "'relu'" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "layers"), [("500,400", (500, 400)), (" 64 , 32 ", (64, 32)), ("", ()), ("7", (7,))]
)
def test_layers_are_read(text: str, layers: tuple[int, ...]) -> None:
    """Sizes between commas; nothing means no hidden layer."""
    assert parse_layers(text) == layers


@pytest.mark.parametrize(("text", "steps"), [("auto", None), ("1", 1), ("16", 16)])
def test_steps_are_read(text: str, steps: int | None) -> None:
    """A number, or auto for as fits."""
    assert parse_steps(text) == steps


@pytest.mark.parametrize("text", ["", "Auto", "1.5", "many"])
def test_wrong_steps_are_refused(text: str) -> None:
    """Anything else is refused with what can be written."""
    with pytest.raises(OptionError, match="--steps-per-execution") as caught:
        parse_steps(text)
    assert "auto" in caught.value.hint


@pytest.mark.parametrize(
    ("warmup", "num_steps", "expected"),
    [(0.0, 100, 0), (0.05, 100, 5), (20, 100, 20), (500, 100, 100), (1, 9, 1)],
)
def test_a_warm_up_is_a_share_or_a_number(warmup: float, num_steps: int, expected: int) -> None:
    """Below 1 a share of the steps, from there on their number, and never more than there are."""
    assert TrainOptions(warmup=warmup).warmup_steps(num_steps) == expected


@pytest.mark.parametrize("text", ["a", "1,,2", "1.5", "64x32"])
def test_wrong_layers_are_refused(text: str) -> None:
    """Anything else is refused with an example."""
    with pytest.raises(OptionError) as caught:
        parse_layers(text)
    assert "--layers 500,400,300" in caught.value.hint


DESCRIPTION = description.ModelDescription(
    format_version=1,
    features=("a", "b"),
    label="y",
    label_kind="classes",
    classes=("bad", "good"),
    standardized=True,
    fingerprint="f" * 64,
    parameters=17,
    model_sha256="0" * 64,
    options={"layers": [8]},
)


def test_a_description_comes_back_from_its_json(tmp_path: Path) -> None:
    """Written and read, it is the same; keys of later versions are ignored."""
    tree = json.loads(description.to_json(DESCRIPTION)) | {"later": 1}
    (tmp_path / "model.json").write_text(json.dumps(tree))
    assert description.load(tmp_path) == DESCRIPTION


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"format_version": 2}',
        '{"format_version": 1}',
        '{"format_version": 1, "featur',
    ],
)
def test_a_damaged_description_is_refused(tmp_path: Path, text: str) -> None:
    """Not JSON, not an object, a key missing, an unknown version: an error that names the file."""
    (tmp_path / "model.json").write_text(text)
    with pytest.raises(ModelError, match=r"model\.json"):
        description.load(tmp_path)


def test_a_folder_without_model_is_refused(tmp_path: Path) -> None:
    """It says that this is no model."""
    with pytest.raises(ModelError, match="this is no model"):
        description.load(tmp_path)


@pytest.mark.parametrize(
    ("num_records", "advised"),
    [(32 * 1024, None), (32 * 1024 - 1, 512), (4000, 64), (600, 16), (1, 16)],
)
def test_a_smaller_batch_is_advised_for_few_records(num_records: int, advised: int | None) -> None:
    """An epoch of fewer than 32 steps brings the advice of a batch with as many, where that is possible."""
    assert TrainOptions().smaller_batch(num_records) == advised
    assert TrainOptions(patience=0).smaller_batch(num_records) is None
    assert TrainOptions(batch_size=16).smaller_batch(num_records) is None
