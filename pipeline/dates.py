"""Owns how a date is told that is computed with as a number of seconds since 1970."""

from __future__ import annotations

from datetime import datetime, timedelta

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # dates without a zone are read as they stand
DAY_SECONDS = 86400
UNITS = ((DAY_SECONDS, "d"), (3600, "h"), (60, "min"))


def date(seconds: float) -> str:
    """Return the date that is `seconds` after 1970, with a time where it is no whole day.

    >>> date(1735689600), date(1735700580.2), date(-1), date(1e300)
    ('2025-01-01', '2025-01-01 03:03', '1969-12-31 23:59:59', '1e+300 s')
    """
    try:
        found = EPOCH + timedelta(seconds=round(seconds))
    except OverflowError:
        return f"{seconds:.5g} s"
    text = found.isoformat(sep=" ", timespec="seconds" if found.second else "minutes")
    return text.removesuffix(" 00:00")


def span(seconds: float) -> str:
    """Return how long `seconds` are, in the greatest unit that fits.

    >>> span(9072000), span(5400), span(12)
    ('105 d', '1.5 h', '12 s')
    """
    for size, name in UNITS:
        if abs(seconds) >= size:
            return f"{seconds / size:.4g} {name}"
    return f"{seconds:.4g} s"
