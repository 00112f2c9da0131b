"""Generators of CSV text: by size and seed, and Hypothesis strategies of what real files hold."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import strategies as st

if TYPE_CHECKING:
    from collections.abc import Sequence


def numbered_text(num_records: int, *, seed: int = 0, num_features: int = 2) -> str:
    """Return a CSV of `label` (0/1), the row's number `id`, and normal features `f0`, `f1` and so on."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(num_records, num_features)).tolist()
    labels = rng.integers(0, 2, num_records).tolist()
    names = ",".join(f"f{index}" for index in range(num_features))
    rows = (
        f"{label},{index}," + ",".join(map(repr, row))
        for index, (label, row) in enumerate(zip(labels, features, strict=True))
    )
    return f"label,id,{names}\n" + "".join(f"{row}\n" for row in rows)


def written(
    rows: Sequence[Sequence[str]], *, delimiter: str = ",", line_end: str = "\n", quote_all: bool = False
) -> str:
    """Return the rows as the `csv` module writes them."""
    text = io.StringIO(newline="")
    csv.writer(
        text,
        delimiter=delimiter,
        lineterminator=line_end,
        quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL,
    ).writerows(rows)
    return text.getvalue()


def as_savetxt(value: float) -> str:
    """Return "%.18e" of a value: how HEPMASS writes its numbers."""
    return f"{value:.18e}"


FORMATS = (repr, as_savetxt, "{:.17g}".format, "{:.3f}".format, "{:+.9E}".format)


def finite_floats(*, largest: float = 1e30) -> st.SearchStrategy[float]:
    """Return a strategy of finite floats up to `largest`, denormals and -0.0 among them."""
    return st.floats(min_value=-largest, max_value=largest, allow_nan=False, allow_infinity=False)


def number_cells(*, largest: float = 1e30) -> st.SearchStrategy[str]:
    """Return a strategy of numbers as CSV writers write them."""
    return st.builds(
        lambda value, form: form(value), finite_floats(largest=largest), st.sampled_from(FORMATS[:3])
    )


def text_cells() -> st.SearchStrategy[str]:
    """Return a strategy of cells with all that makes CSV hard: quotes, delimiters, line ends, Unicode."""
    hard = st.sampled_from([*"a1\",;\n é€😀\t#'", '""', "\r\n", '"\n', "x,y"])
    return st.lists(hard, max_size=6).map("".join)


def anchored(rows: Sequence[Sequence[str]], anchor: Sequence[str]) -> list[list[str]]:
    """Return more rows `anchor` than there are `rows`, then those: a column is what most cells show."""
    return [list(anchor)] * (len(rows) + 1) + [list(row) for row in rows]
