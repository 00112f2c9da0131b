"""What a rule makes of a record: 64 bits, the same for equal cells, in the order of time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.convert.planning import make_plan
from pipeline.convert.split_values import split_values, tally_of, time_values, total_tally
from pipeline.source import careful, fast
from pipeline.splitting.rule import SplitRule
from support.datasets import make_options
from support.text_hash import group_value

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEADER = "label,x,c\n"
ROWS = "b,1.5, 7 \na,2.5,8\nb,3.5,7\n"


@given(moments=st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_integers_have_the_order_of_the_numbers(moments: list[float]) -> None:
    """Less, equal and greater among numbers are so among their integers, -0.0 and denormals included."""
    values = time_values(np.array(moments))
    for one, other in zip(moments, moments[1:] + moments[:1], strict=True):
        at = moments.index(one), moments.index(other)
        assert (one < other) == bool(values[at[0]] < values[at[1]])
        assert (one == other) == bool(values[at[0]] == values[at[1]])


def values_of(folder: Path, name: Any, cells: str, **given: Any) -> list[list[int]]:
    """Return the split values of three records, as both parsers read them."""
    folder.mkdir()
    (folder / "raw.csv").write_text(HEADER + cells)
    rule = SplitRule(name=name, column=None if name in {"key", "stratify"} else "c")
    plan = make_plan(folder / "raw.csv", make_options(rule=rule, **given))
    found = []
    for parse in (fast.parse, careful.parse):
        values = split_values(parse(cells.encode(), plan), plan)
        assert values is not None
        assert values.dtype == np.int64
        found.append(values.tolist())
    return found


@pytest.mark.parametrize("keep", [(), ("c",)])
def test_groups_are_told_apart_by_their_text(fresh_folder: Callable[[], Path], keep: tuple[str, ...]) -> None:
    """Its hash from the seed, whichever parser read it, and kept as a number or not."""
    seven, eight = (group_value(text, 42) for text in "78")
    expected = [seven, eight, seven]
    assert values_of(fresh_folder(), "group", ROWS, keep=keep) == [expected, expected]
    whole = ROWS.replace("8", "8.0")
    with_point = [seven, group_value("8" if keep else "8.0", 42), seven]
    assert values_of(fresh_folder(), "group", whole, keep=keep) == [with_point] * 2


def test_given_splits_are_numbers(fresh_folder: Callable[[], Path]) -> None:
    """0, 1, 2 in the order of the splits."""
    cells = "b,1.5, Train \na,2.5,VAL\nb,3.5,test\n"
    assert values_of(fresh_folder(), "given", cells) == [[0, 1, 2]] * 2


@pytest.mark.parametrize("keep", [(), ("c",)])
def test_moments_are_ordered_integers(fresh_folder: Callable[[], Path], keep: tuple[str, ...]) -> None:
    """Equal ones are equal; those of a column that is kept as integers are these."""
    for values in values_of(fresh_folder(), "time", ROWS, keep=keep):
        assert values[0] == values[2] < values[1]
        assert (values == [7, 8, 7]) == bool(keep)


def test_classes_are_numbers_or_hashes(fresh_folder: Callable[[], Path]) -> None:
    """Equal labels have equal values, whatever the blanks around them."""
    for values in values_of(fresh_folder(), "stratify", ROWS.replace("\nb", "\n b"), drop=("c",)):
        assert values[0] == values[2] != values[1]
    numbers = ROWS.replace("b", "3").replace("a", "-1")
    assert values_of(fresh_folder(), "stratify", numbers, drop=("c",)) == [[3, -1, 3]] * 2


def test_tallies_add_up() -> None:
    """Of classes and given splits every value is counted, of moments the ends, of groups nothing."""
    one, other = np.array([5, 3, 5]), np.array([9, 3])
    for name in ("stratify", "given"):
        left = total_tally({}, tally_of(one, name), name)
        assert total_tally(left, tally_of(other, name), name) == {3: 2, 5: 2, 9: 1}
    left = total_tally({}, tally_of(one, "time"), "time")
    assert set(total_tally(left, tally_of(other, "time"), "time")) == {3, 9}
    for name in ("group", "key"):
        assert tally_of(one if name == "group" else None, name) == ()
    assert total_tally({3: 1}, tally_of(np.empty(0, np.int64), "time"), "time") == {3: 1}
