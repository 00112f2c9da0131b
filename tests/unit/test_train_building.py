"""How a network is compiled: what was asked for, else what pays."""

from __future__ import annotations

from typing import Any

import pytest

from pipeline.models.inputs import Inputs
from pipeline.models.target import Target
from pipeline.train.building import Task, build
from pipeline.train.interval import Interval
from pipeline.train.options import TrainOptions
from pipeline.train.workers import Workers

TWO_CLASSES = Target(units=1, activation="sigmoid", loss="binary_crossentropy", metric="accuracy")


@pytest.mark.parametrize(
    ("num_steps", "options", "expected"),
    [
        (39, {}, 1),
        (100, {}, 5),
        (1000, {}, 16),
        (1000, {"checkpoint_every": Interval(num_batches=3)}, 3),
        (1000, {"checkpoint_every": Interval(num_batches=500)}, 16),
        (1000, {"steps_per_execution": 7}, 7),
    ],
    ids=str,
)
def test_steps_run_together_as_far_as_nothing_is_missed(
    num_steps: int, options: dict[str, Any], expected: int
) -> None:
    """Twenty looks at the loss in an epoch, and one wherever a checkpoint is due; or as asked for."""
    task = Task(inputs=Inputs(num_numbers=3), target=TWO_CLASSES, class_weights=None, num_steps=num_steps)
    networks = build(task, TrainOptions(**{"layers": (4,)} | options), Workers())
    assert networks.trained.steps_per_execution == expected


@pytest.mark.parametrize(
    ("num_steps", "options", "expected"),
    [
        (499, {}, False),
        (500, {}, True),
        (500, {"jit": False}, False),
        (500, {"precision": "mixed_bfloat16"}, False),
        (500, {"deterministic": True}, False),
        (500, {"epochs": 9}, False),
        (1, {"jit": True}, True),
    ],
    ids=str,
)
def test_xla_compiles_where_that_pays(
    num_steps: int, options: dict[str, Any], *, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By itself from five million records on, those of all epochs together, and where nothing forbids it."""
    if options.get("deterministic"):  # it would hold for the rest of the process
        monkeypatch.setattr("tensorflow.config.experimental.enable_op_determinism", lambda: None)
    task = Task(inputs=Inputs(num_numbers=3), target=TWO_CLASSES, class_weights=None, num_steps=num_steps)
    asked = TrainOptions(**{"layers": (4,), "batch_size": 1000, "epochs": 10} | options)
    networks = build(task, asked, Workers())
    assert (networks.trained.jit_compile, networks.local.jit_compile) == (expected, expected)
