"""Owns how often a checkpoint is written: after so many batches, or so much time."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pipeline.errors import OptionError

SECONDS = {"s": 1, "min": 60, "h": 3600}
DEFAULT_SECONDS = 60  # the work a crash may cost; a checkpoint of the default network takes 20 ms


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """Every `num_batches` batches, or every `seconds`; with neither, at the end of an epoch only."""

    num_batches: int | None = None
    seconds: float | None = None

    def is_over(self, num_batches: int, seconds: float) -> bool:
        """Whether so many batches, or so many seconds, are as long as the interval."""
        after_batches = self.num_batches is not None and num_batches >= self.num_batches
        return after_batches or (self.seconds is not None and seconds >= self.seconds)


def parse_interval(text: str) -> Interval:
    """Return the interval of "500" (batches), "60s", "5min", "1h" or "epoch".

    >>> parse_interval("500"), parse_interval("5min")
    (Interval(num_batches=500, seconds=None), Interval(num_batches=None, seconds=300.0))

    Raises:
        OptionError: none of these.
    """
    if text == "epoch":
        return Interval()
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)(s|min|h)?", text)
    amount = float(found[1]) if found else 0.0
    if found and amount > 0 and found[2]:
        return Interval(seconds=amount * SECONDS[found[2]])
    if not amount.is_integer() or amount < 1:
        hint = "write it as 500 (batches), 60s, 5min, 1h or epoch"
        raise OptionError(f"--checkpoint-every {text}: no interval", hint=hint)
    return Interval(num_batches=int(amount))
