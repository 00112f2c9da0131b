"""A cell is a number, an integer, missing or infinite, exactly as docs/format.md says, or it is refused."""

from __future__ import annotations

import math

import pytest
from hypothesis import given

from pipeline.errors import InputError, MissingValueError, NonFiniteError, NotANumberError
from pipeline.source.cells import read_boolean, read_datetime, read_integer, read_number
from support.datasets import same_value
from support.texts import finite_floats


@pytest.mark.parametrize(
    "cell",
    [
        "0",
        "+1.5",
        "-.5",
        "5.",
        "1E5",
        "1e-5",
        " 2.5",
        "2.5\t",
        "-0.0",
        "007",
        "1e-320",
        "4.9e-3249007199254740993",
        "0." + "0" * 400 + "1",
        "1.000000000000000000e+00",
        "123456789012345678901234567890",
    ],
)
def test_numbers_are_what_float_gives(cell: str) -> None:
    """Every way in which CSV writers write a number is read as `float` reads it."""
    assert same_value(read_number(cell), float(cell))


@given(value=finite_floats(largest=1.7e308))
def test_every_double_reads_back(value: float) -> None:
    """A double written with 17 digits is read as that double."""
    assert same_value(read_number(repr(value)), value)
    assert same_value(read_number(f"{value:.18e}"), value)


@pytest.mark.parametrize(
    "cell",
    ["", " ", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?", "-", "#N/A", "\\N", "-nan", " na "],
)
def test_missing_values_are_known(cell: str) -> None:
    """What readers and writers put in place of a value is NaN, however it is written."""
    assert math.isnan(read_number(cell))


@pytest.mark.parametrize(
    ("cell", "wording"),
    [
        ("inf", "found 'inf'"),
        ("-Infinity", "found '-Infinity'"),
        ("+INF", r"found '\+INF'"),
        ("1e400", "1e400 is too large"),
        ("-" + "9" * 400, "too large"),
    ],
)
def test_infinite_and_too_large_are_told_apart(cell: str, wording: str) -> None:
    """An infinity that was written, and a number too large for a double, are two different faults."""
    with pytest.raises(NonFiniteError, match=wording):
        read_number(cell)


@pytest.mark.parametrize(
    "cell",
    [
        "word",
        "0x1p3",
        "1_000",
        "1.0D+02",
        "\N{FULLWIDTH DIGIT ONE}",
        "\u00a01",
        "true",
        "1,5",
        "1 000",
        "1e",
        "e5",
        ".",
        "+",
        "--1",
        "1.5.2",
        "1f",
        "٣",
        "1\n",
        "\r1",
        "1e5.5",
        "infinit",
        "nanx",
        "0b1",
        "1e+",
        "½",
    ],
)
def test_what_is_no_number_is_refused(cell: str) -> None:
    """Hexadecimal, underscores, Fortran exponents, foreign digits, hard blanks: none of these is a number."""
    with pytest.raises(NotANumberError, match="expected a number"):
        read_number(cell)


@pytest.mark.parametrize(
    "cell", ["1,5", "1.234,5", "-3'000,25", "1,234.5", "1 234 567", "1,234,567", "0,001"]
)
def test_separators_have_their_own_hint(cell: str) -> None:
    """Where the cell looks like a number with a decimal comma or with separators, the hint says so."""
    with pytest.raises(NotANumberError) as caught:
        read_number(cell)
    assert caught.value.hint == "decimal commas and thousands separators are not read: write 1234.5"


@pytest.mark.parametrize("number", [0, -1, 2**53 + 1, 2**63 - 1, -(2**63)])
def test_integers_are_exact(number: int) -> None:
    """Integers keep all 64 bits."""
    assert read_integer(str(number)) == number
    assert read_integer(f" {number}") == number
    assert read_integer(f"{'-' if number < 0 else '+'}{abs(number):05000d}") == number


@pytest.mark.parametrize(
    "cell",
    [
        "2.0",
        "9223372036854775808",
        "-9223372036854775809",
        "9" * 5000,
        "1e3",
        "x",
        "1_0",
        "\N{FULLWIDTH DIGIT ONE}",
    ],
)
def test_what_is_no_integer_is_refused(cell: str) -> None:
    """A fraction, a blank or 65 bits in a column of integers is an error, not a rounded number."""
    with pytest.raises(NotANumberError, match="64-bit integer"):
        read_integer(cell)


@pytest.mark.parametrize("cell", ["", " ", "NA", "null", "-", "\\N"])
def test_an_integer_can_be_missing(cell: str) -> None:
    """What stands for a missing number stands for a missing integer, which no 64 bits can hold."""
    with pytest.raises(MissingValueError, match="no value"):
        read_integer(cell)


@pytest.mark.parametrize("cell", ["x" * 10_000, "9" * 10_000, " " * 10_000, "1" * 400])
def test_messages_do_not_quote_long_cells_in_full(cell: str) -> None:
    """However long a cell, what is said of it fits on a line."""
    for read in (read_number, read_integer):
        try:
            read(cell)
        except InputError as error:
            assert len(error.message) < 150  # noqa: PT017  # some of them are numbers for one reader


@pytest.mark.parametrize("cell", ["true", "True", "TRUE", " tRuE\t"])
def test_true_is_one(cell: str) -> None:
    """In any case of letters, blanks around it; false is 0, what is missing no number."""
    assert read_boolean(cell) == 1.0
    assert read_boolean("False") == 0.0
    assert math.isnan(read_boolean("NA"))


@pytest.mark.parametrize("cell", ["yes", "1", "t", "truth", "tru\u0435", "true false"])
def test_other_words_are_no_booleans(cell: str) -> None:
    """Only the two words are read."""
    with pytest.raises(NotANumberError, match="expected true or false"):
        read_boolean(cell)


@pytest.mark.parametrize(
    ("cell", "seconds"),
    [
        ("1970-01-01", 0.0),
        ("1970-01-02T00:00", 86_400.0),
        ("1969-12-31 23:59:59.5", -0.5),
        ("2026-11-28T18:00:00Z", 1_795_888_800.0),
        ("2026-11-28T18:00:00+05:45", 1_795_868_100.0),
        (" 2024-02-29 00:00:00.123456789 ", 1_709_164_800.123456),
    ],
)
def test_dates_are_seconds_since_1970(cell: str, seconds: float) -> None:
    """UTC unless an offset is given; further digits than microseconds are cut."""
    assert read_datetime(cell) == seconds


@pytest.mark.parametrize(
    "cell",
    [
        *(
            "2023-02-29",
            "0000-01-01",
            "2026-11-28T24:00",
            "2026-11-28T10:60",
            "2026-1-1",
            "20261128",
            "28.11.2026",
        ),
        *(
            "2026-11-28Z",
            "2026-11-28 10:00.5",
            "2026-11-28T10:00+24:00",
            "2026-W48-6",
            "\uff12026-11-28",
            "10:00",
        ),
    ],
)
def test_other_dates_are_refused(cell: str) -> None:
    """Days that are none, and every other way to write a date."""
    with pytest.raises(NotANumberError):
        read_datetime(cell)
