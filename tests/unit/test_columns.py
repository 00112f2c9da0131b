"""What columns hold is told by their first cells: integers, numbers or text; labels, classes or a number."""

from __future__ import annotations

import pytest

from pipeline.errors import FieldCountError
from pipeline.source.columns import Held, held, label_kind


def held_by(*cells: str) -> Held:
    """Return what a column with these cells holds, beside a column of texts."""
    found = held(["a", "t"], [(cell, "x") for cell in cells])
    assert found["t"] == Held(reading="text", whole=False)
    return found["a"]


@pytest.mark.parametrize(
    ("cells", "reading"),
    [
        (("0", "1", "-7"), "integer"),
        (("9007199254740993",), "integer"),
        (("1", ""), "number"),
        (("1", "2.5"), "number"),
        (("1.000e+00", "0.000e+00"), "number"),
        (("", "NA", "nan"), "number"),
        (("inf", "1"), "number"),
        (("1e400", "x"), "number"),
        (("1", "2", "word"), "number"),
        (("s", "b"), "text"),
        (("1", "b", "c"), "text"),
        (("true", "false"), "boolean"),
        (("True", "", "FALSE"), "boolean"),
        (("true", "no"), "text"),
        (("2012-01-02",), "text"),
        (("1_000", "2_000"), "text"),
        ((" 1", "2 "), "integer"),
    ],
)
def test_columns_are_what_most_of_their_cells_are(cells: tuple[str, ...], reading: str) -> None:
    """Integers, numbers or text; one bad cell does not make a column of numbers text."""
    assert held_by(*cells).reading == reading


@pytest.mark.parametrize(
    ("cells", "whole"),
    [(("1", "2"), True), (("1", "", "NA"), True), (("1", "2.0"), False), (("", "NA"), False)],
)
def test_columns_of_integers_are_known_though_values_are_missing(
    cells: tuple[str, ...], *, whole: bool
) -> None:
    """Beyond 2**53 integers are not exact in a double: so it matters that they were some."""
    assert held_by(*cells).whole == whole


def test_ragged_rows_are_left_out_of_the_reading() -> None:
    """A row of another length says nothing of the columns; where all are so, the header is in doubt."""
    found = held(["a", "b"], [("1",), ("x", "2"), ("1", "2", "3")])
    assert [column.reading for column in found.values()] == ["text", "integer"]
    with pytest.raises(FieldCountError, match="expected 2 fields as in the header, found 3"):
        held(["a", "b"], [("1", "2", "3")])


@pytest.mark.parametrize(
    ("cells", "reading", "kind"),
    [
        (["s", "b"], "text", "classes"),
        (["true", "false"], "boolean", "classes"),
        (["0", "1"], "integer", "classes"),
        (["1.000e+00", "0.000e+00"], "number", "classes"),
        (["0", "1", ""], "number", "classes"),
        (["0.5", "1"], "number", "number"),
        ([str(value) for value in range(100)], "integer", "classes"),
        ([str(value) for value in range(101)], "integer", "number"),
        ([" 1", "1 "], "integer", "classes"),
    ],
)
def test_labels_are_classes_or_a_number(cells: list[str], reading: str, kind: str) -> None:
    """Text and few whole numbers are classes; fractions, and more than a hundred values, are a number."""
    assert label_kind(cells, reading) == kind  # type: ignore[arg-type]  # a literal by its parameter
