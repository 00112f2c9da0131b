"""A range with some cells in doubt is mended to just what the careful parser makes of it, or left to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from pipeline.convert import make_plan
from pipeline.source import careful, fast
from pipeline.source.mend import try_mend
from support.datasets import make_options

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.plan import ConvertPlan

HEADER = "label,x,n,note,city,when,flag\n"
GOOD = "0,1.5,7,a note,Bern,2026-11-28,true\n1,-2e3,8,,Ulm,2026-11-28 18:00,False\n"


def plan_of(folder: Path, **options: Any) -> ConvertPlan:
    """Return the plan for a source with columns of every kind."""
    (folder / "raw.csv").write_text(HEADER + GOOD)
    asked = make_options(keep=("n", "note"), categorical=("city",), datetime=("when",), **options)
    return make_plan(folder / "raw.csv", asked)


def same(left: Any, right: Any) -> bool:
    """Whether two parsed ranges are the same, NaN where NaN is."""
    arrays = [
        (left.numbers, right.numbers, True),
        (left.integers, right.integers, False),
        (np.asarray(left.kept, object), np.asarray(right.kept, object), False),
    ]
    rest = [(p.num_records, p.texts, p.rejects, p.num_blank, p.num_lines) for p in (left, right)]
    return rest[0] == rest[1] and all(np.array_equal(a, b, equal_nan=nan) for a, b, nan in arrays)


MENDED = {
    "missing numbers": "0,,7,n,Bern,2026-11-28,true\n1,NA,8,n,Ulm,,null\n",
    "padded": "0, 1.5 ,7,n, Bern,\t2026-11-28,true \n",
    "blank lines": "\n \n0,2,7,n,Bern,2026-11-28,true\n\n",
    "windows": GOOD.replace("\n", "\r\n") + "1,,8,,Ulm,2026-11-28,TRUE\r\n",
    "no last line end": "1,,8,,Ulm,2026-11-28,TRUE",
    "missing category": "1,2,8,,,2026-11-28,TRUE\n",
    "odd spellings": "1.000e+00,+.5,007,\u00e9,none,0001-01-01,tRUE\n",
}
SET_ASIDE = {
    "text": "0,x,7,n,Bern,2026-11-28,true\n",
    "short": "0,1,7\n",
    "long": "0,1,7,n,Bern,2026-11-28,true,more\n",
    "no label": ",1,7,n,Bern,2026-11-28,true\n",
    "no integer": "0,1,7.5,n,Bern,2026-11-28,true\n",
    "no such day": "0,1,7,n,Bern,2026-02-30,true\n",
    "infinite": "0,1e400,7,n,Bern,2026-11-28,yes\n",
    "header again": HEADER,
}


@pytest.mark.parametrize("name", MENDED)
def test_what_may_be_missing_is_mended(tmp_path: Path, name: str) -> None:
    """Without `careful` seeing more than the rows that are no records."""
    plan = plan_of(tmp_path, on_missing="mean")
    for before in (GOOD, GOOD * 3):
        text = (before + MENDED[name]).encode()
        found = try_mend(text, plan)
        assert found is not None
        assert same(found, careful.parse(text, plan))
        assert same(fast.parse(text, plan), found)


@pytest.mark.parametrize("name", SET_ASIDE)
def test_rows_with_a_fault_are_set_aside_in_their_place(tmp_path: Path, name: str) -> None:
    """With line, byte and index of the record; blank lines among them are none."""
    plan = plan_of(tmp_path, on_missing="drop", on_bad_row="skip", on_nonfinite="drop")
    text = (GOOD + "\n" + SET_ASIDE[name] + GOOD + " \n" + SET_ASIDE[name] + GOOD * 2).encode()
    found = try_mend(text, plan)
    assert found is not None
    assert len(found.rejects) == 2
    assert same(found, careful.parse(text, plan))


@pytest.mark.parametrize(
    "text",
    [
        GOOD + '0,1,7,"n",Bern,2026-11-28,true\n',
        GOOD + "0,1,7,\0,Bern,2026-11-28,true\n",
        "0,x,7\n" * 3 + GOOD,
        "",
    ],
    ids=["quotes", "a NUL byte", "mostly faults", "nothing"],
)
def test_the_rest_is_left_to_the_careful_parser(tmp_path: Path, text: str) -> None:
    """What is quoted, odd, or mostly at fault."""
    assert try_mend(text.encode(), plan_of(tmp_path, on_bad_row="skip")) is None


def test_a_fault_that_may_not_be_set_aside_is_left_to_it_too(tmp_path: Path) -> None:
    """It tells the fault with all that is around it."""
    plan = plan_of(tmp_path)
    assert try_mend((GOOD * 3 + SET_ASIDE["text"]).encode(), plan) is None
    assert try_mend(GOOD.encode() + b"0,1,7,\xff,Bern,2026-11-28,true\n", plan) is None


@pytest.mark.parametrize("first", ["\ufeff1", "\ufeff"])
def test_a_byte_order_mark_is_not_lost_with_the_line_before_it(tmp_path: Path, first: str) -> None:
    """A mark that comes to stand first, once lines at fault are taken out, is no mark of the text."""
    plan = plan_of(tmp_path, on_bad_row="skip", on_missing="drop")
    text = f"0,short\n{first},1.5,7,n,Bern,2026-11-28,true\n{GOOD * 3}".encode()
    assert [reject.line for reject in careful.parse(text, plan).rejects] == [1, 2]
    assert same(fast.parse(text, plan), careful.parse(text, plan))
