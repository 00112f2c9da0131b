"""From a rule to a division: what may be asked, where cuts fall, how ranks are found by a few looks."""

from __future__ import annotations

import functools
import itertools
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ColumnNotFoundError, OptionError, SplitError
from pipeline.schema import RoleOptions, assign_roles, build_schema
from pipeline.splitting import search
from pipeline.splitting.deciding import decide
from pipeline.splitting.division import GREATEST, LEAST, Axis, Division
from pipeline.splitting.rule import SplitRule, in_words, rule_of, with_role, with_split_column
from pipeline.splitting.search import Look, Seen, Wanted, find

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

NAMES = ("label", "a", "user", "when")
TENTHS = (Fraction(8, 10), Fraction(1, 10), Fraction(1, 10))
THIRDS = (Fraction(1, 3), Fraction(1, 3), Fraction(1, 3))
HALVES = (Fraction(1, 2), Fraction(0), Fraction(1, 2))
EXTREMES = [LEAST, LEAST + 1, -1, 0, 1, GREATEST - 1, GREATEST]


def looking(
    keys: NDArray[np.uint64], values: NDArray[np.int64], looks: list[Look] | None = None, num_tasks: int = 3
) -> Callable[[Look], Seen]:
    """Return a survey over records in memory, in several parts."""

    def survey(look: Look) -> Seen:
        if looks is not None:
            looks.append(look)
        parts = zip(np.array_split(keys, num_tasks), np.array_split(values, num_tasks), strict=True)
        return functools.reduce(look.merge, itertools.starmap(look.look, parts))

    return survey


def sizes_of(rule: str, values: Sequence[int], shares: tuple[Fraction, ...]) -> tuple[list[int], list[int]]:
    """Return the sizes of the splits that a rule comes to, and the split of each record."""
    found, keys = np.array(values, np.int64), np.arange(len(values), dtype=np.uint64)
    tally = {value: values.count(value) for value in values}
    name: Any = rule
    asked = SplitRule(name=name, column=None if rule == "stratify" else "c")
    division = decide(asked, shares, tally, len(values), looking(keys, found))
    splits = division.split_of(keys, found)
    return np.bincount(splits, minlength=3).tolist(), splits.tolist()


def test_one_rule_at_a_time() -> None:
    """No option is the rank of the key; each of the four is a rule; two exclude each other and are named."""
    assert rule_of() == SplitRule() == SplitRule(name="key", column=None)
    assert rule_of(stratify=True) == SplitRule(name="stratify")
    assert rule_of(group_by="u") == SplitRule(name="group", column="u")
    assert rule_of(split_by="u") == SplitRule(name="given", column="u")
    assert rule_of(time_split="u") == SplitRule(name="time", column="u")
    with pytest.raises(OptionError, match="--group-by and --stratify exclude each other"):
        rule_of(stratify=True, group_by="u")


@pytest.mark.parametrize(
    ("name", "column"), [("key", "u"), ("stratify", "u"), ("group", None), ("time", None)]
)
def test_a_column_is_named_where_one_decides(name: Any, column: str | None) -> None:
    """A rule that needs a column has one, and no other has."""
    with pytest.raises(OptionError, match="a column decides"):
        SplitRule(name=name, column=column)


def test_every_rule_has_its_words() -> None:
    """A person is told by what records were divided, and of an unknown rule that it was no other."""
    told = {
        name: in_words(name, "user", "label") for name in ("key", "stratify", "group", "given", "time", "?")
    }
    assert "'label'" in told["stratify"]
    assert all("'user'" in told[name] for name in ("group", "given", "time"))
    assert told["key"] == told["?"]
    assert len(set(told.values())) == 5


def schema_with(rule: SplitRule, readings: dict[str, Any], **named: Any) -> dict[str, tuple[str, str, str]]:
    """Return role, reading and rule of each column."""
    roles = with_role(assign_roles(NAMES, RoleOptions(**named)), rule)
    schema = with_split_column(build_schema(roles, readings, label_kind="classes"), rule)
    return {column.name: (column.role, column.reading, column.splits) for column in schema.columns}


READINGS = {"label": "integer", "a": "number", "user": "integer", "when": "integer"}


def test_the_column_that_decides_is_no_feature() -> None:
    """It is read for its split alone: groups as text, moments as numbers; dropped besides does no harm."""
    for named in ({}, {"drop": ("user",)}):
        found = schema_with(SplitRule(name="group", column="user"), READINGS, **named)
        assert found["user"] == ("split", "text", "group")
    assert schema_with(SplitRule(name="time", column="when"), READINGS)["when"] == ("split", "number", "time")
    given = schema_with(SplitRule(name="given", column="user"), READINGS | {"user": "text"})
    assert given["user"] == ("split", "text", "given")
    assert given["a"] == ("feature", "number", "")


def test_a_kept_column_decides_too() -> None:
    """With --keep it stays what it is, in the shards, and decides all the same."""
    found = schema_with(SplitRule(name="group", column="user"), READINGS, keep=("user",))
    assert found["user"] == ("keep", "integer", "group")
    found = schema_with(SplitRule(name="given", column="user"), READINGS, keep=("user",))
    assert found["user"] == ("keep", "text", "given")


@pytest.mark.parametrize(
    ("column", "named", "error", "wording"),
    [
        ("usr", {}, ColumnNotFoundError, "--group-by usr: no such column"),
        ("label", {}, OptionError, "column 'label' is the label, and named by --group-by"),
        ("user", {"categorical": ("user",)}, OptionError, "column 'user' is the category, and named by"),
        ("when", {"weight": "when"}, OptionError, "column 'when' is the weight, and named by --group-by"),
        ("a", {"drop": ("user", "when")}, OptionError, "no feature column is left"),
    ],
)
def test_what_cannot_decide(column: str, named: dict[str, Any], error: Any, wording: str) -> None:
    """A column that is not there, has another office, or is the last feature is refused."""
    with pytest.raises(error, match=wording) as caught:
        schema_with(SplitRule(name="group", column=column), READINGS, **named)
    assert column != "usr" or caught.value.hint == "did you mean 'user'?"


def test_moments_that_are_no_numbers_are_dates() -> None:
    """A column of text is read as dates; one that is kept stays the text it is, and decides all the same."""
    rule, readings = SplitRule(name="time", column="when"), READINGS | {"when": "text"}
    assert schema_with(rule, readings)["when"] == ("split", "datetime", "time")
    assert schema_with(rule, readings, keep=("when",))["when"] == ("keep", "text", "time")


def test_cuts_are_the_last_places_of_their_splits() -> None:
    """What lies up to the first cut is train, up to the second val; cuts may be at either end of the axis."""
    values = np.array([LEAST + 1, 0, GREATEST], np.int64)
    keys = np.zeros(3, np.uint64)
    for cuts, expected in [
        ([[0], [0]], [0, 0, 2]),
        ([[LEAST], [0]], [1, 1, 2]),
        ([[LEAST], [LEAST]], [2, 2, 2]),
        ([[0], [GREATEST]], [0, 0, 1]),
    ]:
        division = Division(axis=Axis(), cuts=np.array(cuts, np.int64))
        assert division.split_of(keys, values).tolist() == expected


def test_each_class_has_its_own_cuts() -> None:
    """The keys of a class, in the order of unsigned numbers, are cut where that class is."""
    keys = np.array([1, 2**63 - 1, 2**63, 2**64 - 1] * 2, np.uint64)
    values = np.array([7] * 4 + [-7] * 4, np.int64)
    cuts = np.array([[LEAST, -1], [0, GREATEST]], np.int64)  # of -7, then of 7
    division = Division(axis=Axis(strata=np.array([-7, 7], np.int64)), cuts=cuts)
    assert division.split_of(keys, values).tolist() == [0, 0, 1, 1, 1, 1, 1, 2]


@given(
    places=st.lists(
        st.one_of(st.sampled_from(EXTREMES), st.integers(0, 9), st.integers(LEAST, GREATEST)),
        min_size=1,
        max_size=60,
    ),
    most_collected=st.sampled_from([0, 3, 1000]),
    data=st.data(),
)
def test_a_rank_is_found_as_sorting_finds_it(
    places: list[int], most_collected: int, data: st.DataObject
) -> None:
    """Whatever the first interval, histograms and collecting end at the record that sorting has there."""
    rank = data.draw(st.integers(0, len(places) - 1))
    low, high = sorted(data.draw(st.tuples(st.sampled_from(EXTREMES), st.sampled_from(EXTREMES))))
    wanted = Wanted(rank=rank, num_records=len(places), low=low, high=high, num_expected=len(places))
    values = np.array(places, np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search, "MAX_COLLECTED", most_collected)
        patch.setattr(search, "BUCKETS", (4, 8))
        find(Axis(), [[wanted]], looking(np.zeros(len(places), np.uint64), values))
    assert wanted.found is not None
    place = sorted(places)[rank]
    assert wanted.found.place == place
    assert wanted.found.num_below == sum(other < place for other in places)
    assert wanted.found.num_upto == sum(other <= place for other in places)


def test_few_looks_are_enough_for_many_records() -> None:
    """A million moments within an hour of 2023: a histogram, then the bucket; never all of them."""
    rng = np.random.default_rng(2)
    values = (1.7e9 + rng.integers(0, 3600_000, 1_000_000) / 1000).view(np.int64)
    tally = {int(values.min()): 1, int(values.max()): 1}
    looks: list[Look] = []
    rule = SplitRule(name="time", column="c")
    survey = looking(values.view(np.uint64), values, looks)
    division = decide(rule, TENTHS, tally, len(values), survey)
    assert [look.num_buckets for look in looks] == [1 << 15, 0]
    sizes = np.bincount(division.split_of(values.view(np.uint64), values))
    assert abs(sizes - [800_000, 100_000, 100_000]).max() <= 3


def test_one_look_is_enough_for_classes() -> None:
    """Keys are even over their range, so where a class must be cut is known beforehand but for a little."""
    rng = np.random.default_rng(3)
    keys = rng.integers(0, 2**64, 300_000, dtype=np.uint64)
    values = rng.choice([5, -9, 1 << 40], len(keys), p=[0.9, 0.0999, 0.0001])
    tally = {value: int((values == value).sum()) for value in (5, -9, 1 << 40)}
    looks: list[Look] = []
    division = decide(SplitRule(name="stratify"), TENTHS, tally, len(keys), looking(keys, values, looks))
    assert [look.num_buckets for look in looks] == [0]
    splits = division.split_of(keys, values)
    assert np.bincount(splits).tolist() == [240_000, 30_000, 30_000]
    for value, count in tally.items():
        assert (
            abs(np.bincount(splits[values == value], minlength=3) - count * np.array([0.8, 0.1, 0.1])).max()
            < 1
        )


def test_a_class_of_odd_keys_is_found_all_the_same() -> None:
    """Keys that lie where none was expected are searched outside."""
    keys = np.arange(5000, dtype=np.uint64)
    values = np.zeros(5000, np.int64)
    looks: list[Look] = []
    division = decide(SplitRule(name="stratify"), TENTHS, {0: 5000}, 5000, looking(keys, values, looks))
    assert np.bincount(division.split_of(keys, values)).tolist() == [4000, 500, 500]
    assert len(looks) > 1


@pytest.mark.parametrize(
    ("counts", "shares", "expected"),
    [
        ([8, 1, 1], TENTHS, [8, 1, 1]),  # exact
        ([7, 2, 1], TENTHS, [7, 2, 1]),  # 7 and 9 are as near to 8: the border after 9; then val gets a value
        ([79, 2, 9, 10], TENTHS, [81, 9, 10]),  # 79 and 81 are as near to 80: the later one
        ([6, 5, 5, 84], TENTHS, [100, 0, 0]),  # without the last value, train would be less than half
        ([50, 50], TENTHS, [50, 0, 50]),  # train first, then test
        ([100], TENTHS, [100, 0, 0]),
        ([40, 30, 30], TENTHS, [40, 30, 30]),  # for val, train gives up half of its share
        ([39, 31, 30], TENTHS, [70, 0, 30]),  # and no more
        ([1, 89, 10], TENTHS, [90, 0, 10]),
        ([90, 5, 5], TENTHS, [90, 5, 5]),  # val takes from test
        ([3, 3, 3], THIRDS, [3, 3, 3]),
        ([5, 5], HALVES, [5, 0, 5]),
        ([10, 10, 80], (Fraction(1), Fraction(0), Fraction(0)), [100, 0, 0]),
    ],
)
@pytest.mark.parametrize("rule", ["group", "time"])
def test_borders_fall_between_values(
    rule: str, counts: list[int], shares: tuple[Fraction, ...], expected: list[int]
) -> None:
    """No value is parted; borders are the nearest; a split is empty only where it cannot be helped."""
    values = [10 * at for at, count in enumerate(counts) for _ in range(count)]
    sizes, splits = sizes_of(rule, values, shares)
    assert sizes == expected
    assert splits == sorted(splits)


def test_what_is_given_is_taken() -> None:
    """Values are the splits; without train there is nothing to train on."""
    assert sizes_of("given", [2, 0, 0, 1, 2], TENTHS) == ([2, 1, 2], [2, 0, 0, 1, 2])
    with pytest.raises(SplitError, match="column 'c': says train in no record"):
        sizes_of("given", [2, 1], TENTHS)
