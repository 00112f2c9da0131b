"""Owns the vocabulary of a category: the values it has in the train split, the most frequent first.

In a shard a value is 1 + its place in the vocabulary; 0 stands for values that the train split does not have,
and for missing ones. Neighbours: `work` counts in the runs, `writing` looks values up.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.errors import CategoriesError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from pipeline.runs.run import Run
    from pipeline.schema import Schema

MAX_VALUES = 100_000  # more are no categories; their texts have to fit into the memory of every worker

Counts = tuple[Counter[str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """The values of a category, most frequent first, and how many records of the train split have each."""

    values: tuple[str, ...]
    counts: tuple[int, ...]


def counts_of(pieces: Sequence[Run], schema: Schema) -> Counts:
    """Return how many of the records of `pieces` have which value, a counter for each category."""
    found = []
    for column in schema.categories:
        row = schema.texts.index(column)
        values = pa.concat_arrays([piece.texts[row] for piece in pieces]).value_counts()
        found.append(Counter(dict(zip(*(part.to_pylist() for part in values.flatten()), strict=True))))
    return tuple(found)


def total(parts: Iterable[Counts], schema: Schema) -> Counts:
    """Return the sums of `parts`.

    Raises:
        CategoriesError: a category has more than MAX_VALUES values.
    """
    sums: Counts = tuple(Counter() for _ in schema.categories)
    for part in parts:
        for column, known, found in zip(schema.categories, sums, part, strict=True):
            known.update(found)
            if len(known) > MAX_VALUES:
                raise CategoriesError(
                    f"more than {MAX_VALUES:,} different values in the train split",
                    column=column.name,
                    hint=f"pass --keep {column.name} or --drop {column.name} instead of --categorical",
                )
    return sums


def vocabularies(counts: Counts) -> Iterator[Vocabulary]:
    """Yield the vocabulary of each category.

    Values that are equally frequent come in the order of their code points; missing ones, which are empty
    texts, are in none.
    """
    for known in counts:
        ordered = sorted(((-count, value) for value, count in known.items() if value))
        yield Vocabulary(
            values=tuple(value for _, value in ordered), counts=tuple(-count for count, _ in ordered)
        )


def category_indices(texts: pa.LargeStringArray, vocabulary: Vocabulary) -> NDArray[np.int64]:
    """Return 1 + the place of each text in the vocabulary, 0 for texts that are not in it."""
    codes = texts.dictionary_encode()
    place = {value: index for index, value in enumerate(vocabulary.values, start=1)}
    found = np.array([place.get(value, 0) for value in codes.dictionary.to_pylist()], np.int64)
    indices: NDArray[np.int64] = found[codes.indices.to_numpy()] if len(codes) else np.empty(0, np.int64)
    return indices
