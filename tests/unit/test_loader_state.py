"""The state of a reader: as JSON, and refused where it does not belong."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from pipeline.errors import OptionError, OptionsChangedError
from pipeline.loader import LoaderState
from pipeline.loader.state import check_same

STATE = LoaderState(
    fingerprint="3f" * 32,
    split="train",
    batch_size=1024,
    seed=2**64 - 1,
    epoch=3,
    shuffle=True,
    drop_remainder=False,
    rank=1,
    world_size=2,
    next_batch=17,
)


def test_a_state_comes_back_from_json() -> None:
    """Written as one line, read as the same value."""
    text = STATE.to_json()
    assert "\n" not in text
    assert json.loads(text)["next_batch"] == 17
    assert LoaderState.from_json(text) == STATE


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        '"state"',
        STATE.to_json()[:-3],
        STATE.to_json().replace("17", '"17"'),
        STATE.to_json().replace("17", "true"),
        STATE.to_json().replace("1024", "1024.0"),
        STATE.to_json().replace('"rank"', '"range"'),
    ],
)
def test_what_is_no_state_is_refused(text: str) -> None:
    """Cut, of other types, with other names: an error of ours, never a state that reads something else."""
    with pytest.raises(OptionError, match="not the state of a reader"):
        LoaderState.from_json(text)


@pytest.mark.parametrize(
    "change",
    [
        {"fingerprint": "a1" * 32},
        {"split": "val"},
        {"batch_size": 1000},
        {"seed": 1},
        {"shuffle": False},
        {"drop_remainder": True},
        {"rank": 0},
        {"world_size": 3},
        {"order_version": 2},
    ],
    ids=str,
)
def test_another_reader_is_refused(change: dict[str, Any]) -> None:
    """The message lists what differs, then and now; nothing else."""
    ((name, value),) = change.items()
    with pytest.raises(OptionsChangedError) as caught:
        check_same(STATE, dataclasses.replace(STATE, **change))
    difference = f"{name} was {getattr(STATE, name)!r}, is {value!r}"
    assert caught.value.message == f"the state is that of another reader: {difference}"


def test_the_place_within_the_data_may_differ() -> None:
    """Epoch and batch are what a state is for."""
    check_same(STATE, dataclasses.replace(STATE, epoch=0, next_batch=0))
