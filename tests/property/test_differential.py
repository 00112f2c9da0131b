"""Law: never silently wrong. What is read is what `csv` and `float` read, or the first fault is named.

Hard texts go through sniffing, cutting and parsing at byte ranges from one byte upward, as a plain file and
as a stream, with one, two and four workers; the oracle reads them as a whole.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline.convert import make_plan
from pipeline.errors import InputError
from pipeline.source.sniff import sniff
from support.hard_texts import HardText, hard_texts, joined, names_of
from support.our_reading import Grid, Reading, as_columns, options_for, read_ours
from support.plain_csv import Excused, read_plainly

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.plan import ConvertPlan
    from support.plain_csv import Kind

RANGE_BYTES = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89, 144, 1000)
WHOLE = Grid(range_bytes=8 << 20)
CLEAN: dict[Kind, str] = {
    "feature": "1.5",
    "boolean": "true",
    "datetime": "2026-11-28",
    "category": "c",
    "label": "0",
    "text label": "s",
    "kept number": "0.5",
    "kept integer": "7",
    "kept text": "t",
    "dropped": "d",
}


class Sources:
    """Writes texts to one file, and plans them as if a clean first mebibyte stood before their first row."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "hard.csv"
        self._clean = folder / "clean.csv"
        self.plan_clean = functools.cache(self._plan_clean)

    def _plan_clean(self, kinds: tuple[Kind, ...], delimiter: str, excused: Excused) -> ConvertPlan:
        rows = [names_of(kinds), [CLEAN[kind] for kind in kinds]]
        self._clean.write_text("".join(joined(row, delimiter, 2) + "\n" for row in rows))
        return make_plan(self._clean, options_for(kinds, delimiter, excused, WHOLE))

    def plan(self, text: HardText) -> ConvertPlan:
        """Return the plan of a conversion of `text`.

        Raises:
            InputError: the text cannot even be planned.
        """
        clean = self.plan_clean(text.kinds, text.delimiter, text.excused)
        self._path.write_bytes(text.data)
        sniffed = sniff(self._path, delimiter=text.delimiter, has_header=True)
        assert sniffed.names == clean.schema.names
        return dataclasses.replace(clean, files=(sniffed.file,), header=sniffed.header)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """A maker of plans for hard texts."""
    return Sources(tmp_path_factory.mktemp("differential"))


grids = st.builds(
    Grid,
    range_bytes=st.sampled_from(RANGE_BYTES),
    num_workers=st.sampled_from((1, 1, 1, 1, 2, 4)),
    streamed=st.booleans(),
)
several_grids = st.lists(grids, min_size=3, max_size=3)


def expected_of(text: HardText) -> Reading:
    """Return what the oracle makes of `text`, and of texts that have no line feed or no row at all."""
    plain = read_plainly(text.data, text.kinds, delimiter=text.delimiter, excused=text.excused)
    body = text.data.lstrip(b"\xef\xbb\xbf \t\r\n")
    if b"\n" not in body and b"\r" in body.rstrip():
        return Reading(fault=(None, "E112"))
    if not plain.fault and not plain.records and not plain.rejects:
        return Reading(fault=(None, "E106"))
    return as_columns(plain, text.kinds)


def check(sources: Sources, text: HardText, grids: list[Grid]) -> None:
    """Fail unless every grid gives the oracle's records, or its fault."""
    expected = expected_of(text)
    try:
        plan = sources.plan(text)
    except InputError as error:
        found = {"when it was planned": Reading(fault=(error.line, error.code))}
    else:
        found = {grid: read_ours(plan, grid) for grid in (WHOLE, *grids)}
    for grid, reading in found.items():
        assert reading == expected, grid


def hard(data: str | bytes, *kinds: Kind, excused: Excused | None = None) -> HardText:
    """Return a text for an explicit case."""
    data = data.encode() if isinstance(data, str) else data
    return HardText(data=data, kinds=kinds, delimiter=",", excused=excused or Excused())


SMALL = [Grid(range_bytes=size, streamed=streamed) for size in (1, 3, 8) for streamed in (False, True)]


@given(text=hard_texts(), grids=several_grids)
@settings(max_examples=16 * settings().max_examples)
@example(
    text=hard('label,b,c\n0,1,5" pipe\n1,2,"x\ny"\n0,3,z\n', "label", "feature", "kept text"), grids=SMALL
)
@example(
    text=hard('label,b,c\n0,1,a"b\n1,2,"x\ny,0,1,z"\n0,3,z"\n', "label", "feature", "dropped"), grids=SMALL
)
def test_every_grid_reads_what_the_oracle_reads(sources: Sources, text: HardText, grids: list[Grid]) -> None:
    """The same records in their order, to the last bit, the same rows set aside, or the same first fault."""
    check(sources, text, grids)


@pytest.mark.slow
@given(text=hard_texts(), grids=several_grids)
@settings(
    max_examples=100_000,
    derandomize=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
def test_a_hundred_thousand_texts(sources: Sources, text: HardText, grids: list[Grid]) -> None:
    """The same, of a hundred thousand texts drawn anew each time, each cut in four ways."""
    check(sources, text, grids)
