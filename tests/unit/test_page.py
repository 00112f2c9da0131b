"""A page shows the same on a terminal and elsewhere, and no data can steer it."""

from __future__ import annotations

import inspect
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from pipeline.cli.page import Page
from pipeline.convert.memory import peak_memory_bytes
from support.terminal import run_in_terminal

if TYPE_CHECKING:
    from pathlib import Path


def example() -> Page:
    """Return a page with a part of every kind."""
    page = Page()
    page.heading("splits")
    page.table(("split", "records"), [("train", "1,000"), ("val", "[bold]1[/]")], left=["split"])
    page.pairs({"name": "a\x1b[2Jb", "nothing": "", "long name": "c"})
    page.warnings(["column 'é' is constant"])
    page.code("import polars\n\nprint(polars.__version__)\n", "python")
    page.heading("next")
    return page


def test_plain_text_is_aligned_and_escaped() -> None:
    """Numbers stand to the right, names to the left; what there is nothing to say of is left out."""
    assert example().plain().splitlines() == [
        "splits",
        "split     records",
        "train       1,000",
        "val    [bold]1[/]",
        "name       a\\x1b[2Jb",
        "long name  c",
        "warning: column 'é' is constant",
        "import polars",
        "",
        "print(polars.__version__)",
        "",
        "next",
    ]


def test_empty_tables_are_no_fault() -> None:
    """A table without rows shows its header, pairs without anything nothing."""
    page = Page()
    page.table(("a", "b"), [])
    page.pairs({"a": ""})
    assert page.plain() == "a  b"


@pytest.mark.parametrize("width", [30, 100])
def test_a_terminal_shows_the_same_words(tmp_path: Path, width: int) -> None:
    """On a terminal every word of the plain page is there, markup in data as it is written."""
    source = textwrap.dedent(inspect.getsource(example)).replace(" -> Page", "")
    script = f"from pipeline.cli.page import Page\n{source}\nexample().show()"
    shown = run_in_terminal([sys.executable, "-W", "error", "-c", script], cwd=tmp_path, width=width)
    assert shown.status == 0
    assert " ".join(shown.lines).split() == example().plain().split()


def test_peak_memory_is_that_of_this_process() -> None:
    """It is more than what has just been allocated, and does not go down."""
    before = peak_memory_bytes()
    held = bytearray(b"x" * (before + (50 << 20)))
    assert peak_memory_bytes() >= len(held)
    del held
    assert peak_memory_bytes() >= before + (50 << 20)
