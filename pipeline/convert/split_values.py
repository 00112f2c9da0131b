"""Owns the split value of a record: the 64 bits that a split rule makes of it, which travel in its run.

    stratify  the class of the label: the number itself, or XXH3-64 of the text
    group     the hash of the cell's text without blanks around it, from the dataset's seed
    given     0, 1 or 2: train, val, test
    time      the number, or the seconds from 1970 to a date, as an integer of the same order

Neighbours: `reading` appends them to a run as the last row of integers, `splitting` decides by them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import xxhash
from pyarrow import compute

from pipeline.convert.text_hashes import hash_bytes, hash_texts
from pipeline.source import cells

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import pyarrow as pa
    from numpy.typing import NDArray

    from pipeline.plan import ConvertPlan
    from pipeline.schema import Column, Schema
    from pipeline.source.parsed import ParsedRange

    Integers = NDArray[np.int64]

Tally = tuple[tuple[int, int], ...]


def split_values(parsed: ParsedRange, plan: ConvertPlan) -> Integers | None:
    """Return the split values of the records of a range, int64 (num_kept,); None where their keys decide."""
    rule, seed = plan.options.identity.rule, plan.options.identity.seed
    if rule.name == "key":
        return None
    column = plan.schema.label if rule.name == "stratify" else plan.schema.split
    assert column is not None  # noqa: S101  # the plan marks it
    numbers, texts = _cells(parsed, plan.schema, column)
    if rule.name == "stratify":
        return _of_texts(texts, class_value) if numbers is None else numbers.astype(np.int64)
    if rule.name == "given":
        return _of_texts(texts, given_value)
    if rule.name == "time":
        return _of_texts(texts, moment_value) if numbers is None else time_values(numbers)
    return group_values(texts, seed) if numbers is None else group_values_of_numbers(numbers, seed)


def _cells(
    parsed: ParsedRange, schema: Schema, column: Column
) -> tuple[NDArray[np.float64] | Integers | None, pa.LargeStringArray | None]:
    """Return the cells of a column: its numbers, or its texts."""
    if column.role == "split":
        assert parsed.splits is not None  # noqa: S101  # both parsers read it
        if column.reading == "text":
            return None, parsed.splits
        return np.frombuffer(
            parsed.splits.buffers()[1], np.float64, len(parsed.splits), 8 * parsed.splits.offset
        ), None
    if column.reading == "text":
        return None, parsed.texts[schema.texts.index(column)]
    if column.reading == "integer":
        return parsed.integers[schema.integers.index(column)], None
    return parsed.numbers[schema.numbers.index(column)], None


def _of_texts(texts: pa.LargeStringArray | None, value_of: Callable[[str], int]) -> Integers:
    """Return the value of each text; every distinct one is looked at once."""
    assert texts is not None  # noqa: S101  # the plan reads it as text
    codes = texts.dictionary_encode()
    values = np.array([value_of(text) for text in codes.dictionary.to_pylist()], np.int64)
    # Not to_numpy(): that imports pandas where it is installed.
    places = np.frombuffer(codes.indices.buffers()[1], np.int32, len(texts), 4 * codes.indices.offset)
    return values[places]


def class_value(text: str) -> int:
    """Return the split value of a class that is a text."""
    return xxhash.xxh3_64_intdigest(text.encode()) - (1 << 63)


def group_values(texts: pa.LargeStringArray, seed: int) -> Integers:
    """Return values from 0 to 2**63 - 1 by which groups are ordered: by chance, another one for each seed."""
    hashes = hash_texts(compute.utf8_trim(texts, characters=cells.BLANKS), seed)
    return (hashes >> np.uint64(1)).view(np.int64)


def group_values_of_numbers(numbers: NDArray[np.float64] | Integers, seed: int) -> Integers:
    """Return the values that the numbers have as texts: a column that is kept has no texts any more."""
    if numbers.dtype == np.int64:
        hashes = hash_bytes(numbers.astype("S20"), seed)
    else:
        distinct, places = np.unique(numbers, return_inverse=True)
        hashes = hash_bytes(np.array([_as_text(value) for value in distinct.tolist()], "S"), seed)[places]
    return (hashes >> np.uint64(1)).view(np.int64)


def given_value(text: str) -> int:
    """Return the split that a cell names."""
    return cells.SPLIT_WORDS[text.strip(cells.BLANKS).lower()]


def moment_value(text: str) -> int:
    """Return the split value of a date or time that is a text."""
    return int(time_values(np.array([cells.read_datetime(text)]))[0])


def time_values(moments: NDArray[np.float64] | Integers) -> Integers:
    """Return integers in the order of finite numbers, equal where those are.

    >>> time_values(np.array([-1.5, -0.0, 0.0, 2.0])).argsort(kind="stable").tolist()
    [0, 1, 2, 3]
    """
    if moments.dtype == np.int64:
        return moments.astype(np.int64)
    bits = (moments + 0.0).view(np.int64)  # -0.0 becomes 0.0
    return np.where(bits < 0, bits ^ np.int64((1 << 63) - 1), bits)


def _as_text(value: float) -> str:
    """Return a number as it is mostly written.

    >>> _as_text(7.0), _as_text(0.1)
    ('7', '0.1')
    """
    return str(int(value)) if float(value).is_integer() else repr(value)


def tally_of(values: Integers | None, rule_name: str) -> Tally:
    """Return how many records have each split value, of classes and given splits.

    Of moments, which may all be different, the least and the greatest one; of groups, whose values lie
    anywhere, nothing.
    """
    if values is None or not len(values) or rule_name == "group":
        return ()
    if rule_name == "time":
        return (int(values.min()), 1), (int(values.max()), 1)
    distinct, counts = np.unique(values, return_counts=True)
    return tuple(zip(distinct.tolist(), counts.tolist(), strict=True))


def total_tally(left: Mapping[int, int], right: Tally, rule_name: str) -> dict[int, int]:
    """Return the tally of the records of both."""
    total = dict(left)
    for value, count in right:
        total[value] = total.get(value, 0) + count
    if rule_name == "time" and total:
        return {value: total[value] for value in (min(total), max(total))}
    return total
