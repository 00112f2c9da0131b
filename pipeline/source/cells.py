"""Owns what a cell is: a number, as `float` reads it, an integer, missing, infinite, or none of these.

docs/format.md says the same in words. Neighbours: `careful` reads by it, `sniff` tells columns apart by it.
"""

from __future__ import annotations

import math
import re

from pipeline.errors import MissingValueError, NonFiniteError, NotANumberError

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "?", "-", "#n/a", "\\n", "-nan", "+nan"})
INFINITE = frozenset({"inf", "+inf", "-inf", "infinity", "+infinity", "-infinity"})
# Decimal and exponent as C and CSV writers have them: no underscores, no hexadecimal, ASCII digits alone.
NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
INTEGER = re.compile(r"[+-]?[0-9]+")
BLANKS = " \t"
MAX_DIGITS = 19
MAX_EXACT = float(1 << 53)  # from here on, neighbouring integers can be one double

# 1,5 and 1.234,5 and 1,234.5 and 1 234 567: what other countries and spreadsheets write.
SEPARATED = re.compile(r"[+-]?[0-9]{1,3}(?:[.,' ][0-9]{3})*(?:[.,][0-9]+)?|[+-]?[0-9]+,[0-9]+")
SEPARATED_HINT = "decimal commas and thousands separators are not read: write 1234.5"
BAD_ROW_HINT = "pass --on-bad-row skip to set such rows aside"
NONFINITE_HINT = "pass --on-nonfinite drop to set such rows aside"
MISSING_HINT = "pass --on-missing drop to set such rows aside"
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


def is_missing(text: str) -> bool:
    """Return whether `text`, without blanks around it, stands for a missing value."""
    return text.lower() in MISSING


def number_hint(text: str) -> str:
    """Return what to do about `text`, which is no number."""
    return SEPARATED_HINT if SEPARATED.fullmatch(text) else BAD_ROW_HINT


def shortened(text: str) -> str:
    """Return the beginning of `text`, as much of it as a message can hold."""
    return text if len(text) <= MAX_SHOWN else text[:MAX_SHOWN] + "…"
