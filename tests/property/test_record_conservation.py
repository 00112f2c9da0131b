"""Law: records read = written + rejected, whatever the text holds; blank lines are counted apart."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from typing import TYPE_CHECKING, Literal

from hypothesis import example, given
from hypothesis import strategies as st

from support.datasets import convert_text, make_options

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Kind = Literal["good", "bad-row", "missing", "nonfinite", "blank"]
ROWS: dict[Kind, tuple[str, ...]] = {
    "good": ("0,{id},1.5,2e3", "1,{id}, -0.25 ,+7.", '1,{id},"3.5",.5'),
    "bad-row": ("0,{id},1.5", "0,{id},1.5,2,3", "0,{id},word,2", "0,{id},1_000,2", "x"),
    "missing": ("0,{id},,2", "1,{id},NA,2", "1,{id},2,nan", "?,{id},2,3"),
    "nonfinite": ("0,{id},inf,2", "1,{id},1e400,2", "1,{id},2,-Infinity"),
    "blank": ("", "  ", "\t"),
}


@st.composite
def lines(draw: st.DrawFn) -> list[tuple[Kind, str]]:
    """Draw the lines of a table of four columns, each with its kind; good ones come first, and prevail."""
    kinds: list[Kind] = draw(st.lists(st.sampled_from(list(ROWS)), max_size=15))
    good: list[Kind] = ["good"]
    chosen = good * (len(kinds) + 1) + kinds
    return [(kind, draw(st.sampled_from(ROWS[kind])).format(id=index)) for index, kind in enumerate(chosen)]


@given(table=lines(), range_bytes=st.integers(1, 400), ends_open=st.booleans())
@example(table=[("good", "0,0,1,2"), ("blank", "  "), ("bad-row", "x")], range_bytes=8, ends_open=True)
def test_read_is_written_plus_rejected(
    fresh_folder: Callable[[], Path], table: list[tuple[Kind, str]], range_bytes: int, *, ends_open: bool
) -> None:
    """Each good row is written once, each bad one is set aside with its line, byte and text, none is lost."""
    header = "label,id,a,b\n"
    text = header + "\n".join(line for _, line in table) + ("" if ends_open else "\n")
    dataset = convert_text(
        text,
        fresh_folder(),
        make_options(
            range_bytes=range_bytes, on_bad_row="skip", on_missing="drop", on_nonfinite="drop", keep=("id",)
        ),
    )
    kinds = Counter(kind for kind, _ in table)
    num_rejected = kinds["bad-row"] + kinds["missing"] + kinds["nonfinite"]
    num_trailing_blank = 0
    if ends_open and table[-1] == ("blank", ""):
        num_trailing_blank = 1  # an empty line without its end is no line at all
    assert dataset.manifest["records"] == {
        "read": kinds["good"] + num_rejected,
        "written": kinds["good"],
        "rejected": num_rejected,
        "blank": kinds["blank"] - num_trailing_blank,
    }
    assert sorted(dataset.column("id")) == [index for index, (kind, _) in enumerate(table) if kind == "good"]
    offsets = [len(header)]
    for _, line in table:
        offsets.append(offsets[-1] + len(line) + 1)
    expected = [
        (index + 2, offsets[index], next(csv.reader(io.StringIO(line))))
        for index, (kind, line) in enumerate(table)
        if kind not in {"good", "blank"}
    ]
    found = [
        (reject["line"], reject["byte_offset"], reject["text"].split(",")) for reject in dataset.rejects()
    ]
    assert found == expected


@given(table=lines(), range_bytes=st.integers(1, 400))
def test_missing_values_filled_are_counted(
    fresh_folder: Callable[[], Path], table: list[tuple[Kind, str]], range_bytes: int
) -> None:
    """With `mean`, rows that lack a feature are written, with 0 once standardized, and counted per column."""
    kept = [(kind, line) for kind, line in table if kind in {"good", "missing"} and not line.startswith("?")]
    text = "label,id,a,b\n" + "".join(line + "\n" for _, line in kept)
    dataset = convert_text(
        text, fresh_folder(), make_options(range_bytes=range_bytes, on_missing="mean", keep=("id",))
    )
    lacking = [index for index, (_, line) in enumerate(table) if line.split(",")[2:3] in (["NA"], [""])]
    features = dict(zip(dataset.column("id"), dataset.column("a"), strict=True))
    assert len(features) == len(kept)
    assert all(features[index] == 0 for index in lacking)
    assert all(math.isfinite(value) for value in features.values())
    train = dataset.column("id", "train")
    assert dataset.moments("a")["missing"] == len(set(train) & set(lacking))
    assert dataset.moments("a")["count"] + dataset.moments("a")["missing"] == len(train)
