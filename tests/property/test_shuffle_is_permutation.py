"""Law: the shards together are a permutation of the source, and nothing of its order is left in them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.datasets import convert_text, make_options
from support.oracle import csv_columns, rank_correlation, uniform_distance
from support.texts import anchored, number_cells, numbered_text, text_cells, written

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.datasets import Dataset

NUM_RECORDS = 6000
SIGMA = 5
KS_BOUND = 2.5  # 2 exp(-2 * 2.5²) = 7e-6


@st.composite
def tables(draw: st.DrawFn) -> list[list[str]]:
    """Draw rows of a label, a feature, a kept number and a kept text."""
    cells = st.tuples(
        st.sampled_from(["0", "1.000e+00"]), number_cells(), number_cells(largest=1e150), text_cells()
    )
    return [list(row) for row in draw(st.lists(cells, min_size=1, max_size=30))]


@given(rows=tables(), range_bytes=st.integers(1, 500), quote_all=st.booleans(), crlf=st.booleans())
def test_shards_hold_the_records_of_the_source(
    fresh_folder: Callable[[], Path],
    rows: list[list[str]],
    range_bytes: int,
    *,
    quote_all: bool,
    crlf: bool,
) -> None:
    """Source and shards hold the same multiset of records: doubles bit for bit, texts to the letter."""
    text = written(
        [["label", "f", "x", "t"], *anchored(rows, ["0", "0.5", "0.5", "text"])],
        quote_all=quote_all,
        line_end="\r\n" if crlf else "\n",
    )
    dataset = convert_text(
        text, fresh_folder(), make_options(range_bytes=range_bytes, keep=("x", "t"), standardize=False)
    )
    columns = csv_columns(text)
    classes = dataset.manifest["label"]["classes"]
    found = Counter(
        (classes[label], np.float32(f).tobytes(), np.float64(x).tobytes(), t)
        for label, f, x, t in dataset.all_rows()
    )
    expected = Counter(
        (int(float(label)), np.float32(float(f)).tobytes(), np.float64(float(x)).tobytes(), t)
        for label, f, x, t in zip(*columns.values(), strict=True)
    )
    assert found == expected


@pytest.fixture(scope="module")
def shuffled(fresh_folder: Callable[[], Path]) -> Dataset:
    """6,000 numbered records in some forty byte ranges and some ten shards."""
    options = make_options(keep=("id",), range_bytes=8000, shard_bytes=16_000)
    return convert_text(numbered_text(NUM_RECORDS), fresh_folder(), options)


def test_no_trace_of_the_order_is_left(shuffled: Dataset) -> None:
    """Places in the source and in the shards do not correlate; the source read in order would, by far."""
    assert abs(rank_correlation(shuffled.column("id"))) < SIGMA
    assert rank_correlation(range(NUM_RECORDS)) > 10 * SIGMA


def test_every_shard_draws_from_the_whole_source(shuffled: Dataset) -> None:
    """Each shard's records are spread evenly over the source, and so is each eighth of a shard."""
    shards = [
        table.column("id").to_pylist() for name in ("train", "val", "test") for table in shuffled.tables(name)
    ]
    assert len(shards) >= 8
    assert max(uniform_distance(ids, NUM_RECORDS) for ids in shards) < KS_BOUND
    pieces = [ids[len(ids) * k // 8 : len(ids) * (k + 1) // 8] for ids in shards for k in range(8)]
    assert max(uniform_distance(ids, NUM_RECORDS) for ids in pieces if ids) < KS_BOUND


def test_neighbours_in_the_source_are_parted(shuffled: Dataset) -> None:
    """Records that follow each other in the source hardly ever do so in a shard."""
    ids = np.array(shuffled.column("id"))
    assert np.count_nonzero(np.diff(ids) == 1) <= 1 + SIGMA  # one is expected, Poisson


def test_a_shuffle_buffer_would_fail() -> None:
    """A buffer of 500 records, shuffled while streaming, fails the very bounds that the shards pass."""
    rng = np.random.default_rng(1)
    buffer, order = list(range(500)), []
    for record in range(500, NUM_RECORDS):
        place = int(rng.integers(len(buffer)))
        order.append(buffer[place])
        buffer[place] = record
    order += rng.permutation(buffer).tolist()
    assert sorted(order) == list(range(NUM_RECORDS))
    assert rank_correlation(order) > SIGMA
    assert uniform_distance(order[:600], NUM_RECORDS) > KS_BOUND


def test_seeds_give_unrelated_orders(fresh_folder: Callable[[], Path]) -> None:
    """Another seed gives another order and another split of the same records."""
    text = numbered_text(2000)
    orders = [
        convert_text(text, fresh_folder(), make_options(keep=("id",), seed=seed)).column("id")
        for seed in (0, 1, 42, 2**64 - 1)
    ]
    assert all(sorted(order) == list(range(2000)) for order in orders)
    places = [np.argsort(order) for order in orders]
    for index, place in enumerate(places):
        for other in orders[:index]:
            assert abs(rank_correlation(place[other].tolist())) < SIGMA


def test_the_order_does_not_depend_on_the_values(fresh_folder: Callable[[], Path]) -> None:
    """Two texts whose records end at the same bytes are shuffled alike, whatever the records hold."""
    zeros = "label,id,a\n" + "".join(f"{index % 2},{index:05d},0.00\n" for index in range(900))
    others = "label,id,a\n" + "".join(f"1,{index:05d},{index % 7:.2f}\n" for index in range(900))
    options = make_options(keep=("id",), range_bytes=1000)
    first, second = (convert_text(text, fresh_folder(), options) for text in (zeros, others))
    assert first.column("id") == second.column("id")
