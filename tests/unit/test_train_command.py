"""The command `pipeline train`: its words are those of the library, and so are its defaults."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from pipeline.cli import train as command
from pipeline.train import TrainOptions, default_options, options
from support.datasets import convert_text, make_options

if TYPE_CHECKING:
    from pathlib import Path

    from support.command import Command

NETWORKS = ("dense", "resnet")


def given_by(*words: str) -> TrainOptions:
    """Return the options that a command line gives."""
    context = command.train_command.make_context("train", ["shards", *words])
    given = {
        name: value
        for name, value in context.params.items()
        if name not in {"shards", "output", "as_json", "quiet"}
    }
    return command._options(given)


def test_names_are_those_of_the_library() -> None:
    """The lists repeated for `--help` hold what the library knows, in its order."""
    assert tuple(command.MODELS) == options.MODELS == NETWORKS
    assert tuple(command.ACTIVATIONS) == options.ACTIVATIONS
    assert tuple(command.OPTIMIZERS) == options.OPTIMIZERS
    assert tuple(command.SCHEDULES) == options.SCHEDULES
    assert tuple(command.CLASS_WEIGHTS) == options.CLASS_WEIGHTS
    assert tuple(command.PRECISIONS) == options.PRECISIONS
    assert tuple(command.STRATEGIES) == options.STRATEGIES


@pytest.mark.parametrize("model", NETWORKS)
def test_what_is_not_given_has_the_default_of_the_network(model: str) -> None:
    """The library's own, for both networks; what is given overrides it and nothing else."""
    assert given_by("--model", model) == default_options(model)
    changed = given_by("--model", model, "--epochs", "3", "--steps-per-execution", "4")
    assert (changed.epochs, changed.steps_per_execution) == (3, 4)
    assert changed.learning_rate == default_options(model).learning_rate


def shown(value: Any) -> str:
    """Return a default as the help writes it."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def test_the_help_shows_the_defaults_of_both_networks() -> None:
    """`[default: a; resnet: b]` holds the values that are used, for every option that has such a pair."""
    dense, resnet = map(default_options, NETWORKS)
    pairs = {
        parameter.name: found.groups()
        for parameter in command.train_command.params
        if (found := re.search(r"\[default: (.*); resnet: (.*)\]", getattr(parameter, "help", "") or ""))
    }
    pairs["weight_decay"] = (shown(dense.decay), pairs["weight_decay"][1])
    for name, texts in pairs.items():
        field = "decay" if name == "weight_decay" else name
        expected = [getattr(of_model, str(field)) for of_model in (dense, resnet)]
        same = [
            text == shown(value) or (isinstance(value, float) and float(text) == value)
            for text, value in zip(texts, expected, strict=True)
        ]
        assert all(same), (name, texts, expected)
    differing = {name for name in pairs if getattr(dense, str(name)) != getattr(resnet, str(name))}
    fields = TrainOptions.__slots__
    assert differing == {f for f in fields if getattr(dense, f) != getattr(resnet, f)} - {"model"}


def test_the_summary_as_json_has_figures_and_history(tmp_path: Path, pipeline_command: Command) -> None:
    """One object on standard output: figures, every epoch, and who took part."""
    text = "label,a,b\n" + "".join(f"{i % 2},{i % 2 + 0.1 * (i % 7)},{i % 5}\n" for i in range(200))
    shards = convert_text(text, tmp_path / "data", make_options()).folder
    words = ("--layers", "4", "--epochs", "2", "--batch-size", "32", "--json")
    outcome = pipeline_command("train", shards, "-o", tmp_path / "model", *words)
    assert outcome.status == 0, outcome.stderr
    summary = json.loads(outcome.stdout)
    assert [record["epoch"] for record in summary["history"]] == [1, 2]
    assert set(summary["history"][0]) >= {"loss", "metric", "val_loss", "learning_rate", "records_per_second"}
    assert (summary["rank"], summary["world_size"], summary["epochs"]) == (0, 1, 2)
    assert [warning.partition(": pass ")[2] for warning in summary["warnings"]] == [
        "--model resnet, or --batch-size 16"
    ]
    assert summary["metrics"] == {
        name: value
        for name, value in json.loads((tmp_path / "model" / "metrics.json").read_text()).items()
        if name in summary["metrics"]
    }
