"""Owns what a cell is: a number, as `float` reads it, an integer, a boolean, a date, missing, infinite.

docs/format.md says the same in words. Neighbours: `careful` reads by it, `sniff` tells columns apart by it.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from typing import TYPE_CHECKING

from pipeline.errors import MissingValueError, NonFiniteError, NotANumberError, SplitError

if TYPE_CHECKING:
    from collections.abc import Sequence

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-", "#n/a", "\\n", "-nan", "+nan"})
INFINITE = frozenset({"inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"})
# Decimal and exponent as C and CSV writers have them: no underscores, no hexadecimal, ASCII digits alone.
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
INTEGER = re.compile(r"[+-]?[0-9]+")
BOOLEAN = {"true": 1.0, "false": 0.0}  # in any case of letters
# ISO 8601 as programs write it: a date, or date and time; without an offset it is UTC. Also a regular
# expression of Rust, for the fast parser.
DATETIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ]([01][0-9]|2[0-3]):([0-5][0-9])(?::([0-5][0-9])(?:\.([0-9]{1,9}))?)?"
    r"(?:Z|([+-])([01][0-9]|2[0-3]):([0-5][0-9]))?)?"
)
BLANKS = " \t"
MAX_DIGITS = 19
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MAX_EXACT = float(1 << 53)  # from here on, neighbouring integers can be one double

# 1,5 and 1.234,5 and 1,234.5 and 1 234 567: what other countries and spreadsheets write.
SEPARATED = re.compile(r"[+-]?[0-9]{1,3}(?:[.,' ][0-9]{3})*(?:[.,][0-9]+)?|[+-]?[0-9]+,[0-9]+")
SEPARATED_HINT = "decimal commas and thousands separators are not read: write 1234.5"
BAD_ROW_HINT = "pass --on-bad-row skip to set such rows aside"
NONFINITE_HINT = "pass --on-nonfinite drop to set such rows aside"
# What a cell may be called that names a split; in lower case. "holdout" is not among them: to some it is val.
SPLIT_WORDS = {
    "train": 0,
    "training": 0,
    "val": 1,
    "valid": 1,
    "validation": 1,
    "dev": 1,
    "test": 2,
    "testing": 2,
}
MISSING_HINT = "pass --on-missing drop to set such rows aside"
BOOLEAN_HINT = f"{BAD_ROW_HINT}, or --categorical for a column of any words"
DATETIME_HINT = "write dates as 2026-11-28, times as 2026-11-28T18:00:00Z or +01:00"
MAX_SHOWN = 60  # characters of a cell that a message quotes: what fits on one line


def read_number(cell: str) -> float:
    """Return the float of `cell`, exactly what `float()` gives; NaN for a missing value.

    Raises:
        NonFiniteError: written as infinite, or too large for a double.
        NotANumberError: anything else that is no decimal number.
    """
    text = cell.strip(BLANKS)
    if NUMBER.fullmatch(text):
        value = float(text)
        if math.isinf(value):
            raise NonFiniteError(f"{shortened(text)} is too large for a double", hint=NONFINITE_HINT)
        return value
    if is_missing(text):
        return math.nan
    if text.lower() in INFINITE:
        raise NonFiniteError(f"found {text!r}, expected a finite number", hint=NONFINITE_HINT)
    raise NotANumberError(f"found {shortened(cell)!r}, expected a number", hint=number_hint(text))


def read_integer(cell: str) -> int:
    """Return the integer of `cell`, exact to 64 bits.

    Raises:
        MissingValueError: no value.
        NotANumberError: not an integer of 64 bits.
    """
    text = cell.strip(BLANKS)
    digits = text.lstrip("+-0")
    # Python refuses to convert thousands of digits; no 64-bit integer has more than 19.
    if INTEGER.fullmatch(text) and len(digits) <= MAX_DIGITS:
        value = int(digits or "0") * (-1 if text[0] == "-" else 1)
        if -(1 << 63) <= value < 1 << 63:
            return value
    if is_missing(text):
        raise MissingValueError(
            f"no value: found {shortened(cell)!r}, expected an integer", hint=MISSING_HINT
        )
    raise NotANumberError(
        f"found {shortened(cell)!r}, expected a 64-bit integer as in the rows before",
        hint="drop the column with --drop",
    )


def read_boolean(cell: str) -> float:
    """Return 1.0 of `true` and 0.0 of `false`, in any case of letters; NaN for a missing value.

    Raises:
        NotANumberError: anything else.
    """
    text = cell.strip(BLANKS)
    value = BOOLEAN.get(text.lower())
    if value is not None:
        return value
    if is_missing(text):
        return math.nan
    raise NotANumberError(f"found {shortened(cell)!r}, expected true or false", hint=BOOLEAN_HINT)


def read_datetime(cell: str) -> float:
    """Return the seconds from 1970-01-01T00:00:00Z to the date or time of `cell`; NaN for a missing value.

    To a microsecond; further digits are cut.

    >>> read_datetime("1970-01-02"), read_datetime("1970-01-01 01:00:00.5+01:00")
    (86400.0, 0.5)

    Raises:
        NotANumberError: anything else, and days that no month has.

    Source: ISO 8601-1:2019, the calendar dates and times of day of its section 5 in extended format.
    """
    text = cell.strip(BLANKS)
    if DATETIME.fullmatch(text):
        try:
            moment = dt.datetime.fromisoformat(_to_microseconds(text))
        except ValueError:
            raise NotANumberError(
                f"found {shortened(cell)!r}, which is no day of any year", hint=BAD_ROW_HINT
            ) from None
        moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
        # As doubles, as the fast parser does: beyond the year 2255 that is not what dividing integers gives.
        return float((moment - EPOCH) // dt.timedelta(microseconds=1)) / 1e6
    if is_missing(text):
        return math.nan
    raise NotANumberError(f"found {shortened(cell)!r}, expected a date or time", hint=DATETIME_HINT)


def _to_microseconds(text: str) -> str:
    """Return `text` with at most six digits of a second."""
    return re.sub(r"(\.[0-9]{6})[0-9]+", r"\1", text)


def check_split(cell: str, rule: str) -> None:
    """Raise if a cell cannot decide the split of its record under the split rule `rule`.

    Raises:
        MissingValueError: no value.
        SplitError: it must name a split, and names none.
        NotANumberError: it must tell a moment, and does not.
    """
    text = cell.strip(BLANKS)
    if is_missing(text):
        raise MissingValueError(
            f"no value: found {shortened(cell)!r}, and the column decides the split", hint=MISSING_HINT
        )
    if rule == "time":
        read_datetime(text)
    if rule == "given" and text.lower() not in SPLIT_WORDS:
        raise SplitError(f"found {shortened(cell)!r}, expected train, val or test", hint=BAD_ROW_HINT)


def is_missing(text: str) -> bool:
    """Return whether `text`, without blanks around it, stands for a missing value."""
    return text.lower() in MISSING


def number_hint(text: str) -> str:
    """Return what to do about `text`, which is no number."""
    return SEPARATED_HINT if SEPARATED.fullmatch(text) else BAD_ROW_HINT


def shortened(text: str) -> str:
    """Return the beginning of `text`, as much of it as a message can hold."""
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"


def is_turned_header(row: Sequence[str], header: Sequence[str]) -> bool:
    """Return whether a row has exactly the names of the header in it, in another order.

    >>> is_turned_header(["b", " a"], ("a", "b")), is_turned_header(["a", "b"], ("a", "b"))
    (True, False)
    """
    if len(row) != len(header):
        return False
    names = [cell.strip(BLANKS) for cell in row]
    return sorted(names) == sorted(header) and names != list(header)
