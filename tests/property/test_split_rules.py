"""Law: a split rule keeps what it promises, on every record, and loses none.

The oracles read the source with the `csv` module and know of no keys.
"""

from __future__ import annotations

import datetime as dt
import math
from collections import Counter
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import plan
from pipeline.convert import convert
from pipeline.errors import MissingValueError, NotANumberError, PipelineError, SplitError
from pipeline.plan import ConvertOptions, Identity
from pipeline.schema import RoleOptions
from pipeline.splitting import search
from pipeline.splitting.rule import SplitRule
from pipeline.verify import verify
from support.datasets import Dataset, convert_text, make_options
from support.oracle import csv_columns, exact_moments, largest_remainder
from support.text_hash import group_value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

SPLITS = ("train", "val", "test")
TENTHS = (Fraction(8, 10), Fraction(1, 10), Fraction(1, 10))
SHARES = st.tuples(st.integers(1, 99), st.integers(0, 99), st.integers(0, 99)).map(
    lambda parts: tuple(Fraction(part, sum(parts)) for part in parts)
)
WORDS = {
    "train": "train",
    " Training ": "train",
    "VAL": "val",
    "dev": "val",
    "validation": "val",
    "test": "test",
}


@pytest.fixture(autouse=True)
def small_scale(monkeypatch: pytest.MonkeyPatch) -> None:
    """The smallest row groups, so that there are many cells; searches that begin with histograms."""
    monkeypatch.setattr(plan, "ROW_GROUP_BYTES", 1)
    monkeypatch.setattr(search, "MAX_COLLECTED", 20)


def ids_by_split(dataset: Dataset) -> dict[str, list[int]]:
    """Return the column `id` of each split."""
    return {name: dataset.column("id", name) for name in SPLITS}


def converted(text: str, folder: Path, name: Any, column: str | None, **given: Any) -> Dataset:
    """Convert with a rule, keeping `id`; the dataset must be whole, and hold every record once."""
    given = {"keep": ("id",), "shard_bytes": 2000, "range_bytes": 1500} | given
    dataset = convert_text(text, folder, make_options(rule=SplitRule(name=name, column=column), **given))
    assert verify(dataset.folder).faults == ()
    ids = [number for own in ids_by_split(dataset).values() for number in own]
    assert sorted(ids) == sorted(map(int, csv_columns(text)["id"]))
    return dataset


def assert_train_moments(dataset: Dataset, text: str) -> None:
    """Fail unless the moments are those of the records in train."""
    cells = csv_columns(text)
    values = dict(zip(map(int, cells["id"]), map(float, cells["x"]), strict=True))
    expected = exact_moments(values[number] for number in dataset.column("id", "train"))
    found = dataset.moments("x")
    if not expected.count:  # of few records and a small share; so it is without a rule
        assert (found["count"], found["missing"]) == (0, 0)
        return
    assert (found["count"], found["min"], found["max"]) == (expected.count, expected.min, expected.max)
    assert math.isclose(found["mean"], expected.mean, rel_tol=1e-12, abs_tol=1e-12)
    assert math.isclose(found["std"], expected.std, rel_tol=1e-9, abs_tol=1e-12)


def table(columns: dict[str, Sequence[object]], *, seed: int = 0) -> str:
    """Return a CSV with a number `id` and a normal feature `x` beside some columns."""
    num_records = len(next(iter(columns.values())))
    x = np.random.default_rng(seed).normal(size=num_records).tolist()
    named = {"id": range(num_records), "x": map(repr, x)} | columns
    rows = zip(*named.values(), strict=True)
    return ",".join(named) + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)


@given(
    classes=st.lists(st.sampled_from("aaaaabbbc\u00e9"), min_size=1, max_size=300),
    shares=SHARES,
    as_numbers=st.booleans(),
)
def test_stratified(
    fresh_folder: Callable[[], Path], classes: list[str], shares: tuple[Fraction, ...], *, as_numbers: bool
) -> None:
    """Each class has its share in each split, rounded up or down; the splits have their sizes."""
    labels = [ord(name) for name in classes] if as_numbers else classes
    text = table({"label": labels})
    dataset = converted(text, fresh_folder(), "stratify", None, split=shares, label_kind="classes")
    found = ids_by_split(dataset)
    assert tuple(len(found[name]) for name in SPLITS) == largest_remainder(len(classes), shares)
    for label, total in Counter(classes).items():
        for name, share in zip(SPLITS, shares, strict=True):
            count = sum(classes[number] == label for number in found[name])
            assert math.floor(total * share) <= count <= math.ceil(total * share)
    assert_train_moments(dataset, text)


@given(groups=st.lists(st.integers(0, 40), min_size=2, max_size=300), shares=SHARES, seed=st.integers(0, 99))
def test_grouped(
    fresh_folder: Callable[[], Path], groups: list[int], shares: tuple[Fraction, ...], seed: int
) -> None:
    """No group is in two splits, whatever blanks are around its name; borders are the nearest there are."""
    cells = [" " * (at % 3) + f"g{group}" + " " * (at % 2) for at, group in enumerate(groups)]
    text = table({"label": [at % 2 for at in range(len(groups))], "who": cells})
    dataset = converted(text, fresh_folder(), "group", "who", split=shares, seed=seed)
    found = {name: {groups[number] for number in own} for name, own in ids_by_split(dataset).items()}
    assert sum(map(len, found.values())) == len(set(groups))
    counts = Counter(groups)
    order = sorted(counts, key=lambda group: group_value(f"g{group}", seed))
    assert [split_of(group, found) for group in order] == borders([counts[group] for group in order], shares)
    assert_train_moments(dataset, text)


def split_of(value: float, found: dict[str, set[Any]]) -> str:
    """Return the split that holds a value."""
    (name,) = (name for name, values in found.items() if value in values)
    return name


def borders(counts: list[int], shares: tuple[Fraction, ...]) -> list[str]:
    """Return the split of each value, of which there are `counts`, by trying all borders."""
    ends = [sum(counts[:at]) for at in range(len(counts) + 1)]
    sizes = largest_remainder(ends[-1], shares)
    wanted = (max(sizes[0], 1), max(sizes[0] + sizes[1], 1))

    def nearest(end: int) -> int:
        return max(range(1, len(ends)), key=lambda at: (-abs(ends[at] - end), at))

    def leaves_half(at: int) -> bool:
        return at > 0 and 2 * min(ends[at], ends[train]) >= wanted[0]

    train, val = nearest(wanted[0]), nearest(wanted[1])
    if shares[2] and val == len(counts) and leaves_half(val - 1):
        val -= 1
    train = min(train, val)
    if shares[1] and train == val:
        if leaves_half(train - 1):
            train -= 1
        elif val + 1 < len(counts) + (not shares[2]):
            val += 1
    return ["train"] * train + ["val"] * (val - train) + ["test"] * (len(counts) - val)


@given(
    moments=st.lists(
        st.one_of(
            st.sampled_from(["0", "-0.0", "1.7e9", "-3", "0.1"]),
            st.integers(0, 30).map(str),
            st.floats(-1e300, 1e300, allow_nan=False).map(repr),
        ),
        min_size=2,
        max_size=300,
    ),
    shares=SHARES,
    keep=st.booleans(),
)
def test_divided_by_time(
    fresh_folder: Callable[[], Path], moments: list[str], shares: tuple[Fraction, ...], *, keep: bool
) -> None:
    """All of train is earlier than all of val, all of that than all of test; no border would be nearer."""
    text = table({"label": [at % 2 for at in range(len(moments))], "when": moments})
    kept = ("id", "when") if keep else ("id",)
    dataset = converted(text, fresh_folder(), "time", "when", split=shares, keep=kept)
    values = [float(cell) for cell in moments]
    found = {name: {values[number] for number in own} for name, own in ids_by_split(dataset).items()}
    order = sorted(set(values))
    counts = Counter(values)
    assert [split_of(value, found) for value in order] == borders([counts[value] for value in order], shares)
    assert_train_moments(dataset, text)


@pytest.mark.parametrize("named", [{}, {"keep": ("id", "when")}, {"datetime": ("when",)}])
def test_divided_by_dates(fresh_folder: Callable[[], Path], named: dict[str, Any]) -> None:
    """Dates are moments without a word, also where they are kept as text; zones count, and so do gaps."""
    rng = np.random.default_rng(5)
    seconds = np.sort(rng.integers(0, 4_000_000, 400))[rng.permutation(400)].tolist()
    begin = dt.datetime(2026, 2, 27, 23, tzinfo=dt.UTC)
    zones = [dt.timezone(dt.timedelta(hours=hours)) for hours in (-7, 0, 2)]
    moments = [begin + dt.timedelta(seconds=second) for second in seconds]
    cells = [moment.astimezone(zones[at % 3]).isoformat() for at, moment in enumerate(moments)]
    text = table({"label": [at % 2 for at in range(400)], "when": cells})
    dataset = converted(text, fresh_folder(), "time", "when", **named)
    found = {name: [moments[number] for number in own] for name, own in ids_by_split(dataset).items()}
    assert [len(own) for own in found.values()] == [320, 40, 40]
    assert max(found["train"]) < min(found["val"])
    assert max(found["val"]) < min(found["test"])
    assert_train_moments(dataset, text)
    kept = [column["dtype"] for column in dataset.manifest["columns"] if column["name"] == "when"]
    assert kept == (["string"] if "keep" in named else [])


def test_categories_know_the_values_of_their_train_split(fresh_folder: Callable[[], Path]) -> None:
    """A value that only later records have is in no vocabulary: statistics come from train alone."""
    place = [f"place {min(at // 45, 9)}" for at in range(500)]
    text = table({"label": [at % 2 for at in range(500)], "when": range(500), "place": place})
    dataset = converted(text, fresh_folder(), "time", "when", categorical=("place",))
    (column,) = (each for each in dataset.manifest["columns"] if each["name"] == "place")
    counts = Counter(place[number] for number in dataset.column("id", "train"))
    assert dict(zip(column["vocabulary"], column["counts"], strict=True)) == dict(counts)
    assert set(dataset.column("place", "test")) == {0}


@given(words=st.lists(st.sampled_from([*WORDS]), min_size=1, max_size=200), keep=st.booleans())
def test_given(fresh_folder: Callable[[], Path], words: list[str], *, keep: bool) -> None:
    """Every record is where its cell says; a split that none names is empty, with a warning."""
    words = ["train", *words]
    text = table({"label": [at % 2 for at in range(len(words))], "fold": words})
    dataset = converted(text, fresh_folder(), "given", "fold", keep=("id", "fold") if keep else ("id",))
    for name, own in ids_by_split(dataset).items():
        assert sorted(own) == [number for number, word in enumerate(words) if WORDS[word] == name]
        warned = f"the {name} split is empty: column 'fold' names it in no record"
        assert (warned in dataset.manifest["warnings"]) == (not own)
    assert ("fold" in [column["name"] for column in dataset.manifest["columns"]]) == keep
    assert_train_moments(dataset, text)


@pytest.mark.parametrize("name", ["group", "time", "given", "stratify"])
def test_records_of_a_split_are_shuffled(fresh_folder: Callable[[], Path], name: str) -> None:
    """Within a split the order is that of the keys, which know nothing of the source."""
    count = 2000
    columns: dict[str, dict[str, Sequence[object]]] = {
        "group": {"c": [at // 20 for at in range(count)]},
        "time": {"c": range(count)},
        "given": {"c": ["train"] * 1600 + ["val"] * 200 + ["test"] * 200},
        "stratify": {},
    }
    text = table({"label": [int(at > 1000) for at in range(count)], **columns[name]})
    dataset = converted(text, fresh_folder(), name, None if name == "stratify" else "c")
    dropped = ("c",) * bool(columns[name])
    plain = convert_text(text, fresh_folder(), make_options(keep=("id",), drop=dropped, range_bytes=1500))
    place = {number: at for at, number in enumerate(plain.column("id"))}
    for own in ids_by_split(dataset).values():
        assert own == sorted(own, key=place.__getitem__)
        assert own != sorted(own)


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize(
    ("name", "cell", "line_is_bad"),
    [
        ("given", "trian", True),
        ("given", "0", True),
        ("given", "", False),
        ("group", " ", False),
        ("group", "NA", False),
        ("time", "?", False),
        ("date", "", False),
        ("date", "2026-02-30", True),
        ("date", "yesterday", True),
    ],
)
def test_a_cell_that_decides_nothing_is_told(
    fresh_folder: Callable[[], Path], name: Any, cell: str, *, line_is_bad: bool, keep: bool
) -> None:
    """It is an error with line and column; told to set such rows aside, exactly that one is."""
    good = {
        "given": ["train", "test"] * 30,
        "group": ["a1", "b2"] * 30,
        "time": [1.5, 2.5] * 30,
        "date": ["2026-02-03", "2026-02-04 05:06:07Z"] * 30,
    }[name]
    cells = [*good[:40], cell, *good[40:]]
    text = table({"label": [at % 2 for at in range(len(cells))], "c": cells})
    rule = SplitRule(name="time" if name == "date" else name, column="c")
    kept = ("id", "c") if keep else ("id",)
    # Even where missing values are filled: no mean says where a record belongs.
    with pytest.raises(PipelineError) as caught:
        convert_text(text, fresh_folder(), make_options(rule=rule, keep=kept, on_missing="mean"))
    bad_row = SplitError if name == "given" else NotANumberError
    assert type(caught.value) is (bad_row if line_is_bad else MissingValueError)
    assert "mean" not in caught.value.hint
    assert (caught.value.line, caught.value.column) == (42, "c")
    options = make_options(rule=rule, keep=kept, on_bad_row="skip", on_missing="drop")
    dataset = convert_text(text, fresh_folder(), options)
    assert [(reject["line"], reject["column"]) for reject in dataset.rejects()] == [(42, "c")]
    assert sorted(dataset.column("id")) == [number for number in range(len(cells)) if number != 40]


def test_without_train_there_is_no_dataset(fresh_folder: Callable[[], Path]) -> None:
    """A column that names train nowhere is refused, and nothing is left."""
    folder = fresh_folder()
    text = table({"label": [0, 1] * 9, "fold": ["val", "test"] * 9})
    with pytest.raises(SplitError, match=r"source\.csv: column 'fold': says train in no record"):
        convert_text(text, folder, make_options(rule=SplitRule(name="given", column="fold")))
    assert [path.name for path in folder.iterdir()] == ["source.csv"]


def test_numbers_that_are_kept_are_groups_by_their_value(fresh_folder: Callable[[], Path]) -> None:
    """As text 7 and 007 are two groups; kept as integers they are one, in the split of the text 7."""
    numbers = [f"{at % 40:03d}" if at % 3 else str(at % 40) for at in range(600)]
    text = table({"label": [at % 2 for at in range(600)], "who": numbers})
    found = {}
    for kept in (("id",), ("id", "who")):
        dataset = converted(text, fresh_folder(), "group", "who", keep=kept)
        ids = ids_by_split(dataset)
        found[kept] = {name: {numbers[number] for number in own} for name, own in ids.items()}
    as_text, as_number = found.values()
    assert sum(len({int(cell) for cell in cells}) for cells in as_text.values()) > 40
    assert sum(len({int(cell) for cell in cells}) for cells in as_number.values()) == 40


def test_another_seed_puts_other_groups_into_train(fresh_folder: Callable[[], Path]) -> None:
    """Which groups go where is chance, and the seed's."""
    text = table({"label": [at % 2 for at in range(900)], "who": [at // 10 for at in range(900)]})
    first, other = (
        set(converted(text, fresh_folder(), "group", "who", seed=seed).column("id", "train"))
        for seed in (1, 2)
    )
    assert 0.5 < len(first & other) / 720 < 0.95  # of 72 groups, 58 on average


@settings(max_examples=5)
@given(seed=st.integers(0, 99))
def test_tfrecord_has_the_same_records(fresh_folder: Callable[[], Path], seed: int) -> None:
    """Both formats, written at once, hold the same records in the same order under every rule."""
    rng = np.random.default_rng(seed)
    who = rng.integers(0, 30, 500).tolist()
    text = table(
        {
            "label": rng.choice(["a", "b", "c"], 500).tolist(),
            "who": who,
            "when": rng.normal(size=500).tolist(),
        }
    )
    for rule in (SplitRule(name="stratify"), SplitRule(name="group", column="who")):
        folder = fresh_folder()
        folder.mkdir(parents=True)
        (folder / "source.csv").write_text(text)
        options = ConvertOptions(
            identity=Identity(rule=rule, shard_bytes=2000),
            roles=RoleOptions(keep=("id",)),
            formats=("parquet", "tfrecord"),
            num_workers=2,
        )
        convert(folder / "source.csv", folder / "shards", options)
        assert verify(folder / "shards").faults == ()  # it compares the formats, record by record
