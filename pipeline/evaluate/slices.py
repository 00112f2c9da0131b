"""Owns the division of records into slices: by the raw values of a column, or by tenths where they are many.

A feature stands in the shards as a standardized float32; the decimal that was in the CSV is found again.
Neighbours: `predictions` supplies the values, `figures` judges each slice.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import ColumnNotFoundError, OptionError, nearest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from pipeline.manifest import ColumnEntry, Manifest

    Integers = NDArray[np.intp]

MAX_VALUES = 20  # a number with more distinct values is cut into tenths
MAX_TEXTS = 100  # a text with more is no category
NUM_BINS = 10
MAX_DIGITS = 17  # every double is told by so many
MAX_PLAIN = 1 << 63  # greater integers are written with an exponent
MISSING = "missing"
OTHERS = "(other values)"
UNKNOWN = "(missing or unknown)"

SLICED = {"feature", "category", "keep"}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Slices:
    """How a column divides records: `index`, (num_records,), says which of `names` each belongs to.

    `values` are the names as numbers, where they are numbers and no bins. Every slice has records.
    """

    column: str
    names: tuple[str, ...]
    values: tuple[float | str, ...] | None
    index: Integers

    def __iter__(self) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Yield name and records of each slice, in the order of their values."""
        for at, name in enumerate(self.names):
            yield name, self.index == at


def slice_columns(manifest: Manifest, names: Sequence[str], *, path: str) -> tuple[ColumnEntry, ...]:
    """Return the columns called `names`.

    Raises:
        ColumnNotFoundError: the dataset has no such column.
        OptionError: it is the label or the weight.
    """
    known = {column.name: column for column in manifest.columns}
    for name in names:
        if name not in known:
            listed = ", ".join(c.name for c in manifest.columns if c.role in SLICED)
            hint = nearest(name, known) or f"the columns are {listed[:500]}"
            raise ColumnNotFoundError(f"--slice {name}: no such column", path=path, hint=hint)
        if known[name].role not in SLICED:
            raise OptionError(
                f"--slice {name}: it is the {known[name].role}, expected a feature or kept column"
            )
    return tuple(known[name] for name in names)


def by_number(
    column: str,
    stored: NDArray[Any],
    *,
    mean: float = 0.0,
    scale: float = 1.0,
    told: Callable[[float], str] | None = None,
) -> Slices:
    """Return the slices by a column of numbers, `stored` as (raw - mean) / scale; NaN is missing.

    One slice for every distinct value if they are at most 20, else ten slices of about equally many records,
    each named by its least raw value and that of the next. `told` makes a name of a raw value.
    """
    told = told or _plain
    missing = np.isnan(stored) if stored.dtype.kind == "f" else np.zeros(len(stored), bool)
    present = stored[~missing]
    distinct = np.unique(present)
    values: tuple[float, ...] | None = None
    if len(distinct) <= MAX_VALUES:
        found = np.searchsorted(distinct, present)
        values = tuple(raw_value(value, mean=mean, scale=scale) for value in distinct)
        names = [told(value) for value in values]
    else:
        ordered = np.sort(present)
        # The least value of each tenth; equal ones fall together where a value fills more than a tenth.
        begins = np.unique(ordered[np.arange(NUM_BINS) * len(ordered) // NUM_BINS])
        found = np.searchsorted(begins, present, side="right") - 1
        edges = [told(raw_value(value, mean=mean, scale=scale)) for value in (*begins, ordered[-1])]
        names = [f"{low} to {high}" for low, high in itertools.pairwise(edges)]
    index = np.full(len(stored), len(names), np.intp)
    index[~missing] = found
    if missing.any():
        names, values = [*names, MISSING], None
    return Slices(column=column, names=tuple(names), values=values, index=index)


def by_text(column: str, blocks: Iterable[Any]) -> Slices:
    """Return the slices by a column of texts, given as Arrow arrays: one for each text, in their order.

    Raises:
        OptionError: there are more than 100 texts.
    """
    places: dict[str, int] = {}
    indices = []
    for block in blocks:
        encoded = block.dictionary_encode()
        place = [places.setdefault(text, len(places)) for text in encoded.dictionary.to_pylist()]
        if len(places) > MAX_TEXTS:
            raise OptionError(
                f"--slice {column}: more than {MAX_TEXTS} distinct texts",
                hint="name a column of fewer categories",
            )
        indices.append(np.array(place, np.intp)[encoded.indices.to_numpy()])
    names = sorted(places)
    order = np.empty(len(names), np.intp)
    order[[places[name] for name in names]] = np.arange(len(names))
    return Slices(
        column=column, names=tuple(names), values=tuple(names), index=order[np.concatenate(indices)]
    )


def by_category(column: str, places: NDArray[np.int64], vocabulary: Sequence[str]) -> Slices:
    """Return the slices by a category, given as in the shards: one for each of its most frequent values.

    Beyond 20 of them, the others are one slice; so are values that are in no vocabulary.
    """
    shown = min(len(vocabulary), MAX_VALUES)
    names = [*vocabulary[:shown], OTHERS, UNKNOWN]
    index = np.where(places > shown, shown, places - 1)
    index[places == 0] = shown + 1
    present, found = np.unique(index, return_inverse=True)
    return Slices(column=column, names=tuple(names[at] for at in present), values=None, index=found)


def raw_value(stored: np.generic, *, mean: float, scale: float) -> float:
    """Return the shortest decimal that is stored as `stored` once it is standardized: what the CSV held.

    Of a float32 about seven digits are certain; the decimal that people write has fewer, or is an integer.

    >>> raw_value(np.float32((750 - 1000.5) / 353.6), mean=1000.5, scale=353.6)
    750.0
    >>> raw_value(np.float32(-0.49675 / 0.49999), mean=0.49675, scale=0.49999)
    0.0
    """
    if stored.dtype.kind == "i":
        return int(stored)  # exact beyond 2**53, where a double is not
    if stored.dtype.type(-mean / scale) == stored:
        return 0.0  # which no rounding of what is nearly 0 finds
    exact = float(stored) * scale + mean
    for digits in range(1, MAX_DIGITS):
        rounded = float(f"{exact:.{digits}g}")
        if stored.dtype.type((rounded - mean) / scale) == stored:
            return rounded
    return exact


def _plain(value: float) -> str:
    """Return a number as people write it: 750 rather than 750.0."""
    return str(int(value)) if float(value).is_integer() and abs(value) < MAX_PLAIN else repr(value)
