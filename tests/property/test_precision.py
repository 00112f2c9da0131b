"""Law: no digit is lost on the way; standardizing happens in float64, and only then is a value cast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from support.datasets import convert_text, make_options, same_value
from support.texts import finite_floats, number_cells

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.datasets import Dataset

SPELLINGS = ["+1.5", ".5", "5.", "1E5", "-0.0", " 2.5 ", "\t3", '"1.5"', "1e-320", "4.9e-324", "007", "1e+02"]


@given(
    cells=st.lists(number_cells(largest=1e150), min_size=1, max_size=20),
    range_bytes=st.integers(1, 400),
)
@example(cells=SPELLINGS, range_bytes=30)
@example(cells=["0." + "0" * 300 + "1", "1" * 300, "0.1" + "0" * 500, "9007199254740993"], range_bytes=9999)
@example(cells=["2.2250738585072011e-308", "2.2250738585072014e-308", "1e150"], range_bytes=9)
@example(
    cells=[
        "8.5000000000000000000000000000000000001",
        "0.500000000000000166533453693773481063544750213623046875",
    ],
    range_bytes=9,
)
def test_kept_numbers_are_exactly_what_float_gives(
    fresh_folder: Callable[[], Path], cells: list[str], range_bytes: int
) -> None:
    """A double carried through is the one nearest to its text, to the last bit."""
    text = "label,id,a,x\n0,-1,0,0.5\n" + "".join(
        f"{index % 2},{index},{index},{cell}\n" for index, cell in enumerate(cells)
    )
    dataset = convert_text(text, fresh_folder(), make_options(keep=("id", "x"), range_bytes=range_bytes))
    found = dict(zip(dataset.column("id"), dataset.column("x"), strict=True))
    for index, cell in enumerate(cells):
        assert same_value(found[index], float(cell.strip('"'))), cell


@given(
    numbers=st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=20),
    range_bytes=st.integers(1, 300),
)
@example(numbers=[2**53, 2**53 + 1, -(2**63), 2**63 - 1, 0], range_bytes=40)
def test_kept_integers_are_exact(
    fresh_folder: Callable[[], Path], numbers: list[int], range_bytes: int
) -> None:
    """Identifiers keep all 64 bits, beyond 2**53 too."""
    text = "label,a,id\n" + "".join(f"{i % 2},{i},{number}\n" for i, number in enumerate(numbers))
    dataset = convert_text(text, fresh_folder(), make_options(keep=("id",), range_bytes=range_bytes))
    assert sorted(dataset.column("id")) == sorted(numbers)
    assert next(c["dtype"] for c in dataset.manifest["columns"] if c["name"] == "id") == "int64"


def by_id(dataset: Dataset, name: str) -> np.ndarray:
    """Return a column in the order of the source."""
    order = np.argsort(dataset.column("id"))
    return np.array(dataset.column(name))[order]


@given(
    values=st.lists(finite_floats(), min_size=2, max_size=30, unique=True), range_bytes=st.integers(1, 600)
)
def test_standardized_is_rounded_once(
    fresh_folder: Callable[[], Path], values: list[float], range_bytes: int
) -> None:
    """What stands in a shard is (x - mean) / std in float64, rounded to float32, and nothing else."""
    text = "label,id,a,b\n" + "".join(f"{i % 2},{i},{v!r},{i}\n" for i, v in enumerate(values))
    dataset = convert_text(text, fresh_folder(), make_options(keep=("id",), range_bytes=range_bytes))
    stated = dataset.moments("a")
    scale = stated["std"] or 1.0
    expected = ((np.array(values) - stated["mean"]) / scale).astype(np.float32)
    np.testing.assert_array_equal(by_id(dataset, "a").astype(np.float32), expected)


@given(values=st.lists(finite_floats(), min_size=1, max_size=30), range_bytes=st.integers(1, 600))
def test_raw_features_are_the_nearest_float32(
    fresh_folder: Callable[[], Path], values: list[float], range_bytes: int
) -> None:
    """Without standardizing, a feature is its double rounded to float32."""
    text = "label,id,a\n" + "".join(f"{i % 2},{i},{v!r}\n" for i, v in enumerate(values))
    options = make_options(keep=("id",), range_bytes=range_bytes, standardize=False)
    found = by_id(convert_text(text, fresh_folder(), options), "a").astype(np.float32)
    np.testing.assert_array_equal(found, np.array(values).astype(np.float32))


@pytest.mark.parametrize("packed", [False, True])
def test_unix_timestamps_keep_their_structure(fresh_folder: Callable[[], Path], *, packed: bool) -> None:
    """Seconds since 1970, 2 s apart, stay within 1e-6 of float64 once standardized; float32 loses all."""
    rng = np.random.default_rng(11)
    times = 1.7e9 + rng.uniform(-1, 1, 4000)
    text = "label,id,time\n" + "".join(f"{i % 2},{i},{t!r}\n" for i, t in enumerate(times.tolist()))
    options = make_options(keep=("id",), range_bytes=20_000)
    dataset = convert_text(text, fresh_folder(), options, packed=packed)
    train = times[dataset.column("id", "train")]
    offset = train - 1.7e9  # exact: the two are within a factor of 2 of each other
    expected = (times - 1.7e9 - offset.mean()) / offset.std()
    assert np.abs(by_id(dataset, "time") - expected).max() < 1e-6
    too_early = times.astype(np.float32).astype(np.float64)
    assert len(np.unique(too_early)) <= 3
    assert len(np.unique(by_id(dataset, "time"))) > 3900


def test_values_that_float32_cannot_hold_stay_apart(fresh_folder: Callable[[], Path]) -> None:
    """In a table of float32 numbers, one column that needs more keeps it, in whatever range it begins to."""
    rows = [(float(np.float32(i / 7)), 1e9 + (i if i > 150 else 0) / 8) for i in range(300)]
    text = "label,id,a,b\n" + "".join(f"{i % 2},{i},{a!r},{b!r}\n" for i, (a, b) in enumerate(rows))
    dataset = convert_text(text, fresh_folder(), make_options(keep=("id", "b"), range_bytes=500))
    assert by_id(dataset, "b").tolist() == [b for _, b in rows]
