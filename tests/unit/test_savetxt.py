"""`savetxt_rows` writes what Python's own formatting writes, for every kind of float32."""

from __future__ import annotations

import io
from fractions import Fraction

import numpy as np
import pytest

from pipeline.savetxt import MAX_CELL_BYTES, savetxt_rows


def python_rows(table: np.ndarray) -> bytes:
    """Return the rows as Python formats them, cell by cell."""
    rows = (",".join("%.18e" % value for value in row) for row in table.tolist())  # noqa: UP031  # the oracle: C's printf
    return "".join(f"{row}\n" for row in rows).encode()


def of_bits(bits: np.ndarray, *, num_columns: int = 1) -> np.ndarray:
    """Return the table of float32 whose bits are given."""
    return bits.astype(np.uint32).view(np.float32).reshape(-1, num_columns)


def test_rows_are_those_of_numpy() -> None:
    """The text of a table is the very text of numpy.savetxt."""
    table = np.random.default_rng(1).normal(size=(2500, 29)).astype(np.float32)  # more than two slices
    wanted = io.BytesIO()
    np.savetxt(wanted, table, fmt="%.18e", delimiter=",")
    assert savetxt_rows(table) == wanted.getvalue()


def test_every_exponent_and_sign() -> None:
    """Every exponent, with either sign and random fractions, is written as Python writes it."""
    rng = np.random.default_rng(2)
    fractions = rng.integers(0, 1 << 23, size=(512, 24))
    fractions[:, :3] = [0, 1, (1 << 23) - 1]
    table = of_bits((np.arange(512)[:, None] << 23) | fractions, num_columns=24)
    assert savetxt_rows(table) == python_rows(table)


def test_random_bit_patterns() -> None:
    """Any 32 bits, denormals, infinities and NaN among them, are written as Python writes them."""
    table = of_bits(np.random.default_rng(3).integers(0, 1 << 32, size=100_000), num_columns=10)
    assert savetxt_rows(table) == python_rows(table)


@pytest.mark.parametrize("exponent", [120, 126, 127, 128, 130, 133])
def test_ties_go_to_the_even_digit(exponent: int) -> None:
    """A value exactly between two texts of 19 digits takes the one whose last digit is even."""
    rng = np.random.default_rng(exponent)
    table = of_bits((exponent << 23) | rng.integers(0, 1 << 23, size=20_000))
    ties = np.array([[value] for (value,) in table.tolist() if _is_tie(value)], np.float32)
    assert len(ties) > 0
    text = savetxt_rows(ties)
    assert text == python_rows(ties)
    assert {line[19:20] for line in text.split()} <= {b"0", b"2", b"4", b"6", b"8"}


def _is_tie(value: float) -> bool:
    power = int(f"{value:.18e}".rpartition("e")[2])
    return (Fraction(value) * Fraction(10) ** (18 - power)).denominator == 2


def test_borders_of_the_powers_of_ten() -> None:
    """The floats on either side of each power of ten have the right exponent: rounding never carries over."""
    powers = np.array([float(f"1e{power}") for power in range(-44, 39)], np.float32)
    table = np.stack(
        [np.nextafter(powers, np.float32(0)), powers, np.nextafter(powers, np.float32(np.inf))], axis=1
    )
    assert savetxt_rows(table) == python_rows(table)


def test_zeros_keep_their_sign() -> None:
    """Both zeros are written, each with its own sign."""
    assert (
        savetxt_rows(np.array([[0.0, -0.0]], np.float32))
        == b"0.000000000000000000e+00,-0.000000000000000000e+00\n"
    )


def test_not_a_number_has_no_sign() -> None:
    """A NaN with its sign bit set is written `nan`, as Python does."""
    assert savetxt_rows(of_bits(np.array([0xFFC00000, 0x7FC00000]), num_columns=2)) == b"nan,nan\n"


def test_strided_tables_are_read_in_order() -> None:
    """A transposed, strided view is written record by record."""
    table = np.arange(12, dtype=np.float32).reshape(3, 4).T[::2]
    assert savetxt_rows(table) == python_rows(table)


def test_no_records_give_no_text() -> None:
    """An empty table is an empty text."""
    assert savetxt_rows(np.empty((0, 29), np.float32)) == b""


def test_widest_cell() -> None:
    """No finite cell, with its delimiter, is wider than MAX_CELL_BYTES, and some are that wide."""
    table = of_bits(np.random.default_rng(4).integers(0, 1 << 32, size=5000))
    assert max(map(len, savetxt_rows(table).splitlines(keepends=True))) == MAX_CELL_BYTES
