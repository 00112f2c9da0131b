"""Owns how a number of things is told: 1 row, 2 rows, 1,200 classes."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return `number` with commas before `noun`, which is given in the singular.

    >>> counted(1, "row"), counted(1200, "class")
    ('1 row', '1,200 classes')
    """
    ending = "" if number == 1 else "es" if noun.endswith("s") else "s"
    return f"{number:,} {noun}{ending}"
