"""The fast parser returns what the careful one returns, or nothing at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.convert import make_plan
from pipeline.source import careful, fast
from support.datasets import make_options
from support.texts import number_cells, written

if TYPE_CHECKING:
    from pipeline.plan import ConvertPlan
    from pipeline.source.parsed import ParsedRange

# What files hold, and what readers stumble over.
PIECES = [
    *'0159.-+eE,\n\r" \t;#',
    "",
    "\r\n",
    '""',
    "0,1.5,7,t\n",
    "0,1.5,7,t,d\n",
    "1,-2e3,8,u,e\r\n",
    '1,2,3,"a,b",d\n',
    '1,2,3,"a\nb",d\n',
    "nan",
    "NA",
    "null",
    "inf",
    "1e400",
    "1_0",
    "0x1",
    "1d5",
    "true",
    "é",
    "\u00a0",
    "\u0661",
    "\uff11",
    "\ufeff",
    "\0",
    "\x0b",
    "\x0c",
    "\x1c",
    "\x85",
    "\u2028",
]


CELLS = [
    "0",
    "1",
    "7",
    "1.5",
    "-2e3",
    "",
    " ",
    "t",
    '"t"',
    '"a,b"',
    '"1"',
    " 1",
    "1 ",
    '""',
    "+1",
    "1.",
    ".5",
]
CELLS += [
    "-0.0",
    "nan",
    "NA",
    "inf",
    "1e400",
    "0x1",
    "1_0",
    "007",
    "1e2",
    "9223372036854775808",
    "é",
    "a b",
    "#",
]


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> ConvertPlan:
    """A plan for a class label, a number, a kept integer, a kept text and a dropped column."""
    path = tmp_path_factory.mktemp("plan") / "a.csv"
    path.write_text("label,a,id,t,d\n0,1.5,7,text,x\n")
    return make_plan(path, make_options(keep=("id", "t"), drop=("d",)))


@pytest.fixture(scope="module")
def text_label_plan(tmp_path_factory: pytest.TempPathFactory) -> ConvertPlan:
    """A plan for a text label that stands last, after a number."""
    path = tmp_path_factory.mktemp("plan") / "a.csv"
    path.write_text("a,label\n1.5,s\n2.5,b\n")
    return make_plan(path, make_options())


@pytest.fixture(scope="module")
def number_plan(tmp_path_factory: pytest.TempPathFactory) -> ConvertPlan:
    """A plan for a label and a number, and nothing else."""
    path = tmp_path_factory.mktemp("plan") / "a.csv"
    path.write_text("label,a\n0,1.5\n")
    return make_plan(path, make_options())


def assert_same(found: ParsedRange, expected: ParsedRange) -> None:
    """Fail unless both hold the same records, to the last bit."""
    assert found.num_records == expected.num_records == found.num_kept
    assert expected.kept is None
    np.testing.assert_array_equal(found.numbers.view(np.int64), expected.numbers.view(np.int64))
    np.testing.assert_array_equal(found.integers, expected.integers)
    assert [column.to_pylist() for column in found.texts] == [column.to_pylist() for column in expected.texts]
    assert (found.rejects, found.num_blank) == (expected.rejects, expected.num_blank) == ((), 0)
    assert found.num_lines == expected.num_lines


def check(text: str | bytes, plan: ConvertPlan) -> ParsedRange | None:
    """Return what the fast parser gives, having compared it with the careful one."""
    data = text.encode() if isinstance(text, str) else text
    found = fast.try_parse(data, plan) if data else None
    if found is not None:
        assert_same(found, careful.parse(data, plan))
    return found


@given(pieces=st.lists(st.sampled_from(PIECES), min_size=1, max_size=14))
@settings(max_examples=10 * settings().max_examples)
@example(pieces=["0,1.5,7,t,d\n", "0,1.5,7,t,d"])
@example(pieces=["0,1.5,7,t,\r\n"])
@example(pieces=["0,1.5,7,a\rb,d\n"])
@example(pieces=["0,1.5,7,\0,d\n"])
@example(pieces=["0,1.5,7,t,\0\n"])
@example(pieces=['0,1.5,7,a"b,d\n'])
@example(pieces=['0,1.5,7,a"b,"d\n'])
@example(pieces=['0,1.5,7,t,a"b\n0,1.5,7,t,a"b\n'])
@example(pieces=['0,1.5,7,t,"a"b\n'])
@example(pieces=['0,1.5,7,"x"y"z",d\n'])
@example(pieces=['0,1.5,7,t,""x""\n'])
@example(pieces=['0,1.5,7,"x" "y","a"b"c"\n'])
@example(pieces=['0,"1.5",7,t,d\n'])
@example(pieces=['0,1.5,"7",t,d\n'])
@example(pieces=['0,1.5,7, "t" ,d\n'])
@example(pieces=["0,1.5,7,t,d\n", "\n"])
@example(pieces=["0,1.5,7,t,d\n", "\r\n", "0,1.5,7,t,d\n"])
@example(pieces=["\ufeff0,1.5,7,t,d\n"])
@example(pieces=["0,1.5,7,t,d\n", "\ufeff0,1.5,7,t,d\n"])
@example(pieces=["0,1.5,7.0,t,d\n"])
@example(pieces=["0,1.5,+7,t,d\n"])
@example(pieces=["0,1.5,9223372036854775808,t,d\n"])
@example(pieces=["1,2,3,,\n"])
@example(pieces=['1,2,3,"",""\n'])
@example(pieces=["1,2,3,NA,null\n"])
@example(pieces=['0,1.5,,,\n"'])
@example(pieces=["# 1,2,3,t,d\n"])
def test_the_fast_parser_is_never_wrong(plan: ConvertPlan, pieces: list[str]) -> None:
    """Whatever the text, the fast parser gives the careful one's result or none."""
    check("".join(pieces), plan)


@given(
    rows=st.lists(st.lists(st.sampled_from(CELLS), min_size=3, max_size=6), min_size=1, max_size=5),
    line_end=st.sampled_from(["\n", "\r\n"]),
)
@settings(max_examples=10 * settings().max_examples)
@example(rows=[["1", "2", "3", "t", "d"], ["0", "1.5", "7", "t"], ["4", "5", "6", "t", "d"]], line_end="\n")
@example(rows=[["1", "2", "3", "t", "d"], ["0", "1.5", "7", "t", ""]], line_end="\r\n")
def test_no_cell_is_read_wrong(plan: ConvertPlan, rows: list[list[str]], line_end: str) -> None:
    """Rows of any cells and lengths: short ones are never filled up, odd cells never taken for others."""
    check("".join(",".join(row) + line_end for row in rows), plan)


@given(
    cells=st.lists(
        st.tuples(number_cells(largest=1.7e308), st.text("ab é,\n\r\"'#;", max_size=5)),
        min_size=1,
        max_size=10,
    ),
    crlf=st.booleans(),
    quote_all=st.booleans(),
)
@settings(max_examples=4 * settings().max_examples)
def test_well_formed_rows_are_read_alike(
    plan: ConvertPlan, cells: list[tuple[str, str]], *, crlf: bool, quote_all: bool
) -> None:
    """Rows as a CSV writer quotes them are read alike by both parsers."""
    rows = [["0", number, "7", text, text[::-1]] for number, text in cells]
    check(written(rows, line_end="\r\n" if crlf else "\n", quote_all=quote_all), plan)


@given(labels=st.lists(st.text("sb \t\"'NA?-\r\n", max_size=3), min_size=1, max_size=5), crlf=st.booleans())
@settings(max_examples=6 * settings().max_examples)
@example(labels=["s", " s"], crlf=False)
@example(labels=["s\xa0", "s\x0b"], crlf=True)
@example(labels=["NA", "b"], crlf=True)
def test_text_labels_are_read_alike(text_label_plan: ConvertPlan, labels: list[str], *, crlf: bool) -> None:
    """Labels at the end of the line, padded, quoted or missing, are the careful parser's labels."""
    rows = [["0.5", label] for label in labels]
    check(written(rows, line_end="\r\n" if crlf else "\n"), text_label_plan)
    check("".join(f"0.5,{label}\n" for label in labels), text_label_plan)


@pytest.mark.parametrize(
    "text",
    [
        "0,1.5,7,t,d\n1,-2e3,8,u,e\n",
        "0,1.5,7,t,d\r\n1,-2e3,8,u,e\r\n",
        "0,1.5,7,t,d\n1,-2e3,8,u,e",
        "0,1.000000000000000000e+00,7,t,d\n",
        '0,1.5,7,"t,u",d\n',
        "0,1.5,7,é,\n",
    ],
)
def test_ordinary_text_is_read_fast(plan: ConvertPlan, text: str) -> None:
    """Plain rows, either line end, quoted delimiters: none of these needs the careful parser."""
    found = check(text, plan)
    assert found is not None
    assert found.num_records > 0


@pytest.mark.parametrize(
    "row",
    ["0,,7,t,d", "0,nan,7,t,d", "0,inf,7,t,d", "0,1e400,7,t,d", "0,1.5,7,t", "0,1.5,7,t,d,e", "", "x"],
)
def test_doubt_is_left_to_the_careful_parser(plan: ConvertPlan, row: str) -> None:
    """A cell without value, a value too large, a ragged or blank row: the fast parser declines."""
    assert fast.try_parse(f"1,2,3,t,d\n{row}\n4,5,6,t,d\n".encode(), plan) is None


@pytest.mark.parametrize(
    "text",
    ["0,1.5\n0,1.5,", "0\r,1\n", "0,1\r2\n", "0,1\r\r\n", "0,1\n\r0,1\n", "0,1\r", '"0","1"\n0,"1"', "0,1,"],
)
def test_polars_is_not_believed_where_it_is_too_kind(number_plan: ConvertPlan, text: str) -> None:
    """In numbers alone, too: a field too many at the very end, carriage returns beside a number."""
    check(text, number_plan)
    check(text.replace("\n", "\r\n"), number_plan)


def test_a_line_without_end_is_read_fast(number_plan: ConvertPlan) -> None:
    """That the last line has no end raises no doubt by itself."""
    found = check("0,1.5\n1,2.5", number_plan)
    assert found is not None
    assert (found.num_records, found.num_lines) == (2, 1)


def test_bytes_that_are_not_utf8_are_declined(plan: ConvertPlan) -> None:
    """Bytes that are no UTF-8 are declined, in a dropped column too."""
    for row in (b"0,1.5,7,\xe9,d\n", b"0,1.5,7,t,\xff\n"):
        assert fast.try_parse(row, plan) is None


def test_parse_falls_back(plan: ConvertPlan) -> None:
    """`parse` gives the careful parser's result where the fast one declines, for no text at all too."""
    text = b'0,1.5,7,"a""b",d\n\n1,2.5,8,"c\nd",e\n'
    assert fast.try_parse(text, plan) is None
    parsed = fast.parse(text, plan)
    assert parsed.texts[0].to_pylist() == ['a"b', "c\nd"]
    assert (parsed.num_blank, parsed.num_lines) == (1, 4)
    assert fast.parse(b"", plan).num_records == 0
