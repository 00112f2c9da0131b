"""Owns where a reader stands, as a small value: JSON if need be, and refused where it does not belong.

The order of an epoch is arithmetic, so there is nothing else to remember. Neighbours: `reader` makes states,
and begins where one says.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from pipeline.errors import OptionError, OptionsChangedError

ORDER_VERSION = 1  # raised whenever `order` draws another order from the same numbers


@dataclass(frozen=True, slots=True, kw_only=True)
class LoaderState:
    """All that decides which batches are still to come: `next_batch` of the epoch is the first of them.

    `fingerprint` is that of the dataset. Neither the format of the shards nor the number of threads or
    workers matters: a state may be restored with others.
    """

    fingerprint: str
    split: str
    batch_size: int
    seed: int
    epoch: int
    shuffle: bool
    drop_remainder: bool
    rank: int
    world_size: int
    next_batch: int
    order_version: int = ORDER_VERSION

    def to_json(self) -> str:
        """Return the state as one line of JSON."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> LoaderState:
        """Return the state that `to_json` wrote as `text`.

        Raises:
            OptionError: it is none.
        """
        try:
            tree = json.loads(text)
            state = cls(**tree)
        except (ValueError, TypeError) as error:
            raise OptionError(f"not the state of a reader: {error}", hint="begin the epoch anew") from None
        for field in dataclasses.fields(cls):
            value = getattr(state, field.name)
            if type(value).__name__ != field.type:  # exactly: to Python, true is a number
                raise OptionError(f"not the state of a reader: {field.name} is {value!r}")
        return state


def check_same(state: LoaderState, now: LoaderState) -> None:
    """Raise unless `state` and `now` differ in nothing but epoch and batch.

    Raises:
        OptionsChangedError: the differences are listed.
    """
    before, after = (
        dataclasses.asdict(dataclasses.replace(one, epoch=0, next_batch=0)) for one in (state, now)
    )
    names = [name for name in before if before[name] != after[name]]
    if names:
        listed = "; ".join(f"{name} was {before[name]!r}, is {after[name]!r}" for name in names)
        raise OptionsChangedError(
            f"the state is that of another reader: {listed}",
            hint="read with the arguments it was made with, or begin the epoch anew",
        )
