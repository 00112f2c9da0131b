"""Owns one text format: float32 values as `numpy.savetxt(fmt="%.18e", delimiter=",")` writes them, but fast.

A float32 is m * 2**(e - 150) with a 24-bit m and a biased exponent e. Nineteen significant digits are the
integer D = m * scale[e], rounded half to even, where scale = 2**(e - 150) * 10**k has at most 40 bits before
and, for 2**-38 <= |x| < 2**60, at most 32 bits behind the binary point: two 64-bit products give D exactly.
Zero needs no digits; what is left (tiny, huge, denormal, inf, nan) goes through Python's own formatting.
Neighbours: `fetch` writes what `simulation` drew. Pure arithmetic, no I/O.

A cell while it is built, 28 bytes, of which the NULs are taken out at the end:

    offset   0   1   2          3             4..7   8..11  12..15  16..19  20..23  24..27
    bytes    NUL NUL delimiter  "-" or NUL    d.dd   dddd   dddd    dddd    dddd    e+xx
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAX_CELL_BYTES = 26  # "-d.dddddddddddddddddde+xx" and the delimiter or line end behind it

_WORDS = 7  # 4-byte words of a cell under construction
_SLICE_RECORDS = 1 << 10  # some 30,000 cells: the intermediate arrays stay in the processor's cache
_FIRST = 10**16  # divides 19 digits into 3 and 16
_HALF = 10**8  # divides 16 digits into 8 and 8
_ROUND_UP = np.uint64(1 << 31)  # one half, in units of 2**-32
_FRACTION = np.uint64((1 << 32) - 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tables:
    """What depends on the biased exponent e alone; index 2 * e + 1 is for m >= threshold[e]."""

    threshold: NDArray[np.uint64]  # (256,) the least m for which the value reaches the next power of ten
    whole: NDArray[np.uint64]  # (512,) floor(scale)
    fraction: NDArray[np.uint64]  # (512,) (scale - whole) * 2**32, exactly
    suffix: NDArray[np.uint32]  # (512,) the four characters "e+xx"
    exact: NDArray[np.bool_]  # (256,) whether the scales of this e have such a form
    three_digits: NDArray[np.uint32]  # (1000,) "d.dd"
    four_digits: NDArray[np.uint32]  # (10000,) "dddd"


def savetxt_rows(table: NDArray[np.float32]) -> bytes:
    r"""Return `table`, float32 (num_records, num_columns), as lines of text, each ended by a line feed.

    Byte for byte what `numpy.savetxt` with `fmt="%.18e", delimiter=","` writes, for every float32.
    Releases the global interpreter lock most of the time.

    >>> savetxt_rows(np.array([[1, -0.1]], np.float32))
    b'1.000000000000000000e+00,-1.000000014901161194e-01\n'

    Source: C17, 7.21.6.1, conversion specifier e; IEEE 754-2019, 4.3.1, roundTiesToEven.
    """
    begins = range(0, len(table), _SLICE_RECORDS)
    return b"".join(_slice_rows(table[begin : begin + _SLICE_RECORDS]) for begin in begins)


def _slice_rows(table: NDArray[np.float32]) -> bytes:
    num_records, num_columns = table.shape
    values = np.ascontiguousarray(table).reshape(-1)
    bits = values.view(np.uint32)
    words = np.zeros(values.size * _WORDS + 1, np.uint32)  # the last word holds the last line feed
    cells = words[:-1].reshape(values.size, _WORDS)
    _write_digits(cells, bits)
    characters = words.view(np.uint8)
    grid = characters[:-4].reshape(num_records, num_columns, 4 * _WORDS)
    grid[:, :, 2] = ord(",")
    grid[:, 0, 2] = ord("\n")  # ends the row before
    grid[0, 0, 2] = 0
    grid[:, :, 3] = ((bits >> np.uint32(31)) * np.uint32(ord("-"))).reshape(num_records, num_columns)
    characters[-4] = ord("\n")
    _write_rare(cells, values)
    text: NDArray[np.uint8] = characters[characters != 0]
    return text.tobytes()


def _write_digits(cells: NDArray[np.uint32], bits: NDArray[np.uint32]) -> None:
    tables = _tables()
    exponent = _biased_exponent(bits)
    mantissa = ((bits & np.uint32(0x7FFFFF)) | np.uint32(0x800000)).astype(np.uint64)
    index = exponent << 1
    index += mantissa >= tables.threshold[exponent]
    digits = mantissa * tables.whole[index]
    rest = mantissa * tables.fraction[index]
    digits += rest >> np.uint64(32)
    rest &= _FRACTION
    rest += digits & np.uint64(1)  # a tie rounds up only from an odd digit
    digits += rest > _ROUND_UP  # never reaches 10**19: tests/unit/test_savetxt.py tries every exponent
    first = digits // np.uint64(_FIRST)
    digits -= first * np.uint64(_FIRST)
    cells[:, 1] = tables.three_digits[first.astype(np.intp)]
    upper = digits // np.uint64(_HALF)
    digits -= upper * np.uint64(_HALF)
    for place, eight in ((2, upper), (4, digits)):
        lower = eight.astype(np.uint32)
        four = lower // np.uint32(10_000)
        lower -= four * np.uint32(10_000)
        cells[:, place] = tables.four_digits[four]
        cells[:, place + 1] = tables.four_digits[lower]
    cells[:, 6] = tables.suffix[index]


def _write_rare(cells: NDArray[np.uint32], values: NDArray[np.float32]) -> None:
    """Overwrite the cells whose values the tables do not cover; half a microsecond each."""
    covered = _tables().exact[_biased_exponent(values.view(np.uint32))] | (values == 0)
    for place in np.flatnonzero(~covered):
        text = f"{float(values[place]):.18e}".lstrip("-").encode()
        cells[place, 1:] = np.frombuffer(text.ljust(4 * (_WORDS - 1), b"\0"), np.uint32)
        if np.isnan(values[place]):
            cells[place].view(np.uint8)[3] = 0  # a NaN has a sign bit, its text has none


def _biased_exponent(bits: NDArray[np.uint32]) -> NDArray[np.intp]:
    return ((bits >> np.uint32(23)) & np.uint32(0xFF)).astype(np.intp)


@functools.cache
def _tables() -> _Tables:
    threshold = np.zeros(256, np.uint64)
    whole, fraction = np.zeros(512, np.uint64), np.zeros(512, np.uint64)
    suffix = np.full(512, b"e+00", "S4")
    exact = np.zeros(256, np.bool_)
    for exponent in range(1, 255):
        unit = Fraction(2) ** (exponent - 150)
        power = _power_of_ten(unit * (1 << 23))
        threshold[exponent] = min(1 << 24, -(-(Fraction(10) ** (power + 1)) // unit))
        fixed = [unit * Fraction(10) ** (18 - power - step) * (1 << 32) for step in (0, 1)]
        exact[exponent] = all(scale.denominator == 1 for scale in fixed)
        for step, scale in enumerate(fixed if exact[exponent] else ()):
            whole[2 * exponent + step], fraction[2 * exponent + step] = divmod(int(scale), 1 << 32)
            suffix[2 * exponent + step] = b"e%+03d" % (power + step)
    return _Tables(
        threshold=threshold,
        whole=whole,
        fraction=fraction,
        suffix=suffix.view(np.uint32),
        exact=exact,
        three_digits=np.array([b"%d.%02d" % divmod(number, 100) for number in range(1000)]).view(np.uint32),
        four_digits=np.array([b"%04d" % number for number in range(10_000)]).view(np.uint32),
    )


def _power_of_ten(value: Fraction) -> int:
    """Return the greatest p with 10**p <= value."""
    power = len(str(value.numerator)) - len(str(value.denominator))
    return power if Fraction(10) ** power <= value else power - 1
