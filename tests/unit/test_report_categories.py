"""The page about a dataset shows its categories, whatever their values look like, and needs no numbers."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

import numpy as np

from pipeline.report import report_dataset
from support.datasets import convert_text, make_options

if TYPE_CHECKING:
    from pathlib import Path

NUM_RECORDS = 1000
HOSTILE = "<span onclick=alert(1)>"


def page_of(folder: Path) -> str:
    """Return the page about a dataset of two categories and no number, one value of which is markup."""
    rng = np.random.default_rng(1)
    colours = rng.choice(["red", "green", HOSTILE], NUM_RECORDS, p=[0.5, 0.3, 0.2])
    codes = rng.integers(0, 30, NUM_RECORDS)
    rows = [f"{int(colour == 'red')},{colour},c{code}\n" for colour, code in zip(colours, codes, strict=True)]
    options = make_options(categorical=("colour", "code"))
    made = convert_text("label,colour,code\n" + "".join(rows), folder / "d", options)
    report_dataset(made.folder, folder / "page.html")
    return (folder / "page.html").read_text(encoding="utf-8")


def test_values_with_their_shares_and_the_label(tmp_path: Path) -> None:
    """The most frequent first, by split, and how often the label is 1 then; the rest together."""
    page = page_of(tmp_path)
    cells = [html.unescape(cell) for cell in re.findall(r"<t[dh]>(.*?)</t[dh]>", page)]
    at = cells.index("colour")
    assert cells[at : at + 5] == ["colour", "train", "val", "test", "label 1"]
    assert cells[at + 5] == "red"
    assert 45 < float(cells[at + 6].removesuffix("%")) < 55
    assert cells[at + 9] == "100.0%"
    assert "20 more" in cells
    assert "unknown or missing" in cells


def test_what_a_value_says_is_text(tmp_path: Path) -> None:
    """Markup in a cell of the CSV is shown, not run."""
    page = page_of(tmp_path)
    assert html.escape(HOSTILE) in page
    assert HOSTILE not in page


def test_dates_are_told_as_dates(tmp_path: Path) -> None:
    """Neither the chart of a column of dates nor its moments are in seconds; every feature counts."""
    rows = "".join(f"{at % 2},{'ab'[at % 3 > 0]},2025-{1 + at % 12:02}-01\n" for at in range(600))
    options = make_options(categorical=("word",), datetime=("since",))
    shards = convert_text("label,word,since\n" + rows, tmp_path / "work", options).folder
    page = tmp_path / "page.html"
    report_dataset(shards, page)
    text = page.read_text(encoding="utf-8")
    assert "600 records, 2 features" in text
    assert "<td>2025-01-01</td><td>2025-12-01</td>" in re.sub(r' class="[^"]*"', "", text)
    chart = text[text.index("<figcaption>since") :].split("</figure>")[0]
    assert re.findall(r">(2025-[0-9-]+)</text>", chart)
