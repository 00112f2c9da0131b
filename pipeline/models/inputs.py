"""Owns what a network takes in: numbers, and categories as places in their vocabularies, in one row.

    row   [ number 0, number 1, …, category 0, category 1, … ]   float32, as the loader gives it

Numbers go on as they are; each category is looked up in a table of learned vectors. Only built-in layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline import backend

if TYPE_CHECKING:
    import keras

    from pipeline.manifest import Manifest

MAX_UNITS = 16  # of the vector that stands for a value of a category


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """The columns of a row: `num_numbers` numbers, then one category for each size of a vocabulary."""

    num_numbers: int
    vocabulary_sizes: tuple[int, ...] = ()

    @property
    def num_columns(self) -> int:
        """The number of columns of a row."""
        return self.num_numbers + len(self.vocabulary_sizes)


def inputs_of(manifest: Manifest) -> Inputs:
    """Return what a network takes that is trained on the dataset of `manifest`."""
    return Inputs(
        num_numbers=len(manifest.features),
        vocabulary_sizes=tuple(len(column.vocabulary or ()) for column in manifest.categories),
    )


def units_of(vocabulary_size: int) -> int:
    """Return how many units stand for a category: half as many as it has values, 16 at most.

    >>> [units_of(size) for size in (1, 2, 5, 1000)]
    [1, 2, 3, 16]
    """
    num_values = vocabulary_size + 1  # with what is in no vocabulary
    return min(MAX_UNITS, max(1, (num_values + 1) // 2))


def numbers_of(row: keras.KerasTensor, inputs: Inputs) -> keras.KerasTensor | None:
    """Return the numbers of a row, float32 (batch, num_numbers), or None if it has none."""
    if not inputs.num_numbers:
        return None
    if not inputs.vocabulary_sizes:
        return row
    return columns_between(row, 0, inputs.num_numbers, inputs.num_columns, name="numbers")


def embedded(row: keras.KerasTensor, inputs: Inputs) -> list[keras.KerasTensor]:
    """Return the vector of each category of a row, float32 (batch, units) each."""
    keras = backend.keras()
    found = []
    for index, size in enumerate(inputs.vocabulary_sizes):
        at = inputs.num_numbers + index
        # float32 whatever the network computes in: bfloat16 cannot tell the places 256 and 257 apart.
        place = columns_between(row, at, at + 1, inputs.num_columns, name=f"place_{index}")
        table = keras.layers.Embedding(size + 1, units_of(size), dtype="float32", name=f"embedding_{index}")
        found.append(keras.layers.Flatten(dtype="float32", name=f"category_{index}")(table(place)))
    return found


def side_by_side(
    numbers: keras.KerasTensor | None, vectors: list[keras.KerasTensor], precision: str
) -> keras.KerasTensor:
    """Return numbers and the vectors of categories as one tensor (batch, values)."""
    parts = [*([] if numbers is None else [numbers]), *vectors]
    if len(parts) == 1:
        return parts[0]
    return backend.keras().layers.Concatenate(dtype=precision, name="inputs")(parts)


def columns_between(
    row: keras.KerasTensor, begin: int, end: int, width: int, *, name: str, dtype: str = "float32"
) -> keras.KerasTensor:
    """Return the columns [begin, end) of `row`, which has `width` of them."""
    layers = backend.keras().layers
    upright = layers.Reshape((width, 1), dtype=dtype, name=f"{name}_upright")(row)
    cropped = layers.Cropping1D((begin, width - end), dtype=dtype, name=f"{name}_cropped")(upright)
    return layers.Flatten(dtype=dtype, name=name)(cropped)
