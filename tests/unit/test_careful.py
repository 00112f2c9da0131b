"""The careful parser reads what `csv` and `float` read, and names the line of everything else."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.convert import make_plan
from pipeline.errors import (
    EncodingError,
    FieldCountError,
    InputError,
    MissingValueError,
    NonFiniteError,
    NotANumberError,
    QuoteError,
)
from pipeline.source.careful import parse
from pipeline.source.rows import read_rows
from support.datasets import make_options
from support.oracle import csv_rows
from support.texts import text_cells, written

if TYPE_CHECKING:
    from collections.abc import Callable

    from pipeline.plan import ConvertPlan
    from pipeline.source.parsed import ParsedRange


@given(rows=st.lists(st.lists(text_cells(), min_size=2, max_size=4), max_size=8), crlf=st.booleans())
@example(rows=[["a\nb", ""], ["", "\n\n"], ["x", '"']], crlf=True)
def test_rows_are_those_of_the_csv_module(rows: list[list[str]], *, crlf: bool) -> None:
    """Any quoting gives the rows of the `csv` module, each with the line on which it begins."""
    text = written(rows, line_end="\r\n" if crlf else "\n")
    found = list(read_rows(text.encode(), ","))
    assert [row for _, row in found if row] == csv_rows(text)
    starts = [1]
    for row in rows:
        starts.append(starts[-1] + written([row], line_end="\n").replace("\r\n", "\n").count("\n"))
    assert [line for line, row in found if row] == starts[: len(rows)]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('a,b\nc,"d\ne,f\ng,h\n', 2),
        ('a,b\n"c"d,e\n', 2),
        ('a,"b\n\n"\nc,"', 4),
        ('a,"b"c\n', 1),
    ],
)
def test_faulty_quotes_name_the_line_where_the_row_begins(text: str, line: int) -> None:
    """An unclosed quote, or text after a closing one, is an error where its row begins."""
    with pytest.raises(QuoteError) as caught:
        list(read_rows(text.encode(), ","))
    assert caught.value.line == line


@pytest.mark.parametrize(("data", "line"), [(b"a,b\nc,\xe9\n", 2), (b"a,b\nc,d\n\0,e\n", 3)])
def test_bytes_that_are_no_text_name_their_line(data: bytes, line: int) -> None:
    """What is not UTF-8, or holds NUL bytes, is an error with its line."""
    with pytest.raises(EncodingError) as caught:
        list(read_rows(data, ","))
    assert caught.value.line == line


@pytest.fixture(scope="module")
def plan_for(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ConvertPlan]:
    """A maker of plans for a label, a number, a kept integer, a kept text and a dropped column."""
    path = tmp_path_factory.mktemp("plan") / "a.csv"
    path.write_text("label,a,id,t,d\n0,1.5,7,text,x\n")

    def make(
        *,
        on_bad_row: Literal["error", "skip"] = "error",
        on_missing: Literal["error", "drop", "mean"] = "error",
        on_nonfinite: Literal["error", "drop"] = "error",
    ) -> ConvertPlan:
        return make_plan(
            path,
            make_options(
                keep=("id", "t"),
                drop=("d",),
                on_bad_row=on_bad_row,
                on_missing=on_missing,
                on_nonfinite=on_nonfinite,
            ),
        )

    return make


def test_cells_go_to_their_columns(plan_for: Callable[..., ConvertPlan]) -> None:
    """Numbers, integers and texts are apart, in the order of the header; dropped cells are not looked at."""
    parsed = parse(b'0,1.5,7,"a,b",word\n1,-2,8,,"x\ny"\n', plan_for())
    assert sorted(map(tuple, parsed.numbers.tolist())) == [(0.0, 1.0), (1.5, -2.0)]
    assert parsed.integers.tolist() == [[7, 8]]
    assert [column.to_pylist() for column in parsed.texts] == [["a,b", ""]]
    assert (parsed.num_records, parsed.num_kept, parsed.kept, parsed.num_lines) == (2, 2, None, 3)


def test_blank_lines_are_counted_and_no_records(plan_for: Callable[..., ConvertPlan]) -> None:
    """Empty lines and lines of blanks, with either line end, are skipped and counted."""
    parsed = parse(b"\n0,1,2,t,d\n  \n\t\n\r\n1,2,3,u,e\n\n", plan_for())
    assert (parsed.num_records, parsed.num_blank, parsed.num_lines) == (2, 5, 7)


@pytest.mark.parametrize(
    ("row", "kind", "column"),
    [
        ("0,1.5,7,t", FieldCountError, None),
        ("0,1.5,7,t,d,e", FieldCountError, None),
        ("0,word,7,t,d", NotANumberError, "a"),
        ("0,1.5,7.5,t,d", NotANumberError, "id"),
        ("0,,7,t,d", MissingValueError, "a"),
        ("NA,1.5,7,t,d", MissingValueError, "label"),
        ("0,inf,7,t,d", NonFiniteError, "a"),
    ],
)
def test_faults_name_line_and_column(
    plan_for: Callable[..., ConvertPlan], row: str, kind: type[InputError], column: str | None
) -> None:
    """The first fault is raised with its line and column and a hint, lines within quotes being counted."""
    with pytest.raises(kind) as caught:
        parse(f'1,2,3,"t\nt",d\n\n{row}\n1,x,y\n'.encode(), plan_for())
    assert (caught.value.line, caught.value.column) == (4, column)
    assert caught.value.hint


def set_aside(parsed: ParsedRange) -> list[tuple[int, int, int, str | None, str]]:
    """Return index, line, byte, column and code of the rows set aside."""
    return [(r.record_index, r.line, r.byte_offset, r.column, r.code) for r in parsed.rejects]


def test_rows_set_aside_keep_their_place(plan_for: Callable[..., ConvertPlan]) -> None:
    """A row set aside is known by index, line, byte and text; all others are kept with their index."""
    plan = plan_for(on_bad_row="skip", on_missing="drop", on_nonfinite="drop")
    rows = ['0,1,2,"é\n",d', "0,1", "", "0,,2,t,d", "0,3,4,u,d", "0,inf,4,u,d", "0,5,6,v,d"]
    parsed = parse("\n".join(rows).encode(), plan)
    assert set_aside(parsed) == [
        (1, 3, 14, None, "E102"),
        (2, 5, 19, "a", "E104"),
        (4, 7, 38, "a", "E105"),
    ]
    assert [reject.text for reject in parsed.rejects] == ["0,1", "0,,2,t,d", "0,inf,4,u,d"]
    assert parsed.kept is not None
    assert parsed.kept.tolist() == [0, 3, 5]
    assert parsed.integers.tolist() == [[2, 4, 6]]
    assert (parsed.num_records, parsed.num_kept) == (6, 3)


def test_each_option_sets_aside_its_own_faults(plan_for: Callable[..., ConvertPlan]) -> None:
    """Skipping bad rows does not excuse missing values, and so on."""
    faults = {"0,word,2,t,d\n": "on_bad_row", "0,,2,t,d\n": "on_missing", "0,inf,2,t,d\n": "on_nonfinite"}
    settings = {"on_bad_row": "skip", "on_missing": "drop", "on_nonfinite": "drop"}
    for row, name in faults.items():
        assert len(parse(row.encode(), plan_for(**{name: settings[name]})).rejects) == 1
        others = {other: value for other, value in settings.items() if other != name}
        with pytest.raises(InputError):
            parse(row.encode(), plan_for(**others))


def test_missing_features_can_be_filled(plan_for: Callable[..., ConvertPlan]) -> None:
    """With `mean`, a feature without value becomes NaN; a label without one is still an error."""
    plan = plan_for(on_missing="mean")
    parsed = parse(b"0,NA,2,t,d\n", plan)
    assert sorted(math.isnan(row[0]) for row in parsed.numbers.tolist()) == [False, True]
    with pytest.raises(MissingValueError):
        parse(b"NA,1,2,t,d\n", plan)


def test_a_long_rejected_row_is_cut(plan_for: Callable[..., ConvertPlan]) -> None:
    """A rejected row of a megabyte keeps its first 1,000 characters only."""
    parsed = parse(b"0,1,2," + b"x" * 1_000_000 + b"\n", plan_for(on_bad_row="skip"))
    assert len(parsed.rejects[0].text) == 1000
    with pytest.raises(NotANumberError) as caught:
        parse(b"0," + b"x" * 1_000_000 + b",2,t,d\n", plan_for())
    assert len(str(caught.value)) < 200


def test_a_carriage_return_alone_ends_a_row_too(plan_for: Callable[..., ConvertPlan]) -> None:
    """Old line ends are read as the `csv` module reads them, faults behind them set aside like any other."""
    parsed = parse(b"0,1,2,t,d\r0,1\r1,2,3,u,e\r\n0,x,2,t,d\r", plan_for(on_bad_row="skip"))
    assert (parsed.num_records, parsed.num_kept, parsed.num_lines) == (4, 2, 4)
    assert set_aside(parsed) == [(1, 2, 10, None, "E102"), (3, 4, 25, "a", "E103")]


def test_many_rejects_take_linear_time(plan_for: Callable[..., ConvertPlan]) -> None:
    """A range of bad rows only is read as fast as any other: their places are not searched from the start."""
    parsed = parse(b"0,x\n" * 50_000, plan_for(on_bad_row="skip"))
    assert [reject.byte_offset for reject in parsed.rejects] == list(range(0, 200_000, 4))
