"""A vocabulary holds the values of the train split, the most frequent first; all others are 0."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from pipeline.convert import vocabulary
from pipeline.convert.vocabulary import Vocabulary, category_indices, counts_of, total, vocabularies
from pipeline.errors import CategoriesError
from pipeline.runs.run import Run
from pipeline.schema import Column, Schema

SCHEMA = Schema(
    columns=(
        Column(name="label", role="label", reading="number"),
        Column(name="note", role="keep", reading="text"),
        Column(name="city", role="category", reading="text"),
    ),
    label_kind="classes",
)


def run_of(*cities: str) -> Run:
    """Return a run of records with these values of the category."""
    texts = (
        pa.array(["a note"] * len(cities), pa.large_string()),
        pa.array(list(cities), pa.large_string()),
    )
    return Run(
        keys=np.arange(len(cities), dtype=np.uint64),
        numbers=np.zeros((1, len(cities))),
        integers=np.empty((0, len(cities)), np.int64),
        texts=texts,
    )


def test_the_most_frequent_comes_first() -> None:
    """Equally frequent ones by their code points; missing ones are in no vocabulary."""
    counts = total([counts_of([run_of("b", "c", ""), run_of("c", "a")], SCHEMA), (Counter("ac"),)], SCHEMA)
    assert list(vocabularies(counts)) == [Vocabulary(values=("c", "a", "b"), counts=(3, 2, 1))]


def test_places_count_from_one() -> None:
    """What is unknown or missing is 0."""
    known = Vocabulary(values=("c", "a"), counts=(3, 2))
    texts = pa.array(["a", "", "c", "new", "a"], pa.large_string())
    assert category_indices(texts, known).tolist() == [2, 0, 1, 0, 2]
    assert category_indices(texts.slice(1, 2), known).tolist() == [0, 1]
    assert category_indices(texts.slice(0, 0), known).tolist() == []


def test_too_many_values_are_no_categories(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the column and what to do."""
    monkeypatch.setattr(vocabulary, "MAX_VALUES", 2)
    with pytest.raises(CategoriesError, match="more than 2 different values") as caught:
        total([counts_of([run_of("a", "b")], SCHEMA), counts_of([run_of("b", "c")], SCHEMA)], SCHEMA)
    assert caught.value.column == "city"
    assert "--keep city" in caught.value.hint
