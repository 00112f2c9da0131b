r"""Owns which quotes open and close a field, as `csv` sees it, and so which line ends are ends of records.

A quote opens a field only where a field begins; anywhere else outside a quoted field it is a character like
any other (`5" pipe`). Within a quoted field, two of them stand for one. Neighbours: `ranges` cuts where this
says, `sniff` ends its first records there, `careful` asks where the quote stands that was never closed.
"""

from __future__ import annotations

import functools
import re
from collections import deque
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

QUOTE, LF, CR = b'"\n\r'


def find_cut(text: bytes, at: int, delimiter: str) -> int | None:
    r"""Return where the first record at or after `at` begins; `text` begins with a record.

    None if the text ends before that.

    >>> find_cut(b'1,"x\n2,y"\n3,z\n', 3, ",")
    10
    """
    if at <= 0:
        return 0
    found = text.find(b"\n", at - 1)
    if found < 0 or text.find(b'"', 0, found) < 0:
        return found + 1 if found >= 0 else None
    begins, ends = _quoted_fields(text, delimiter)
    while found >= 0:
        field = int(np.searchsorted(begins, found)) - 1
        if field < 0 or ends[field] <= found:
            return found + 1
        found = text.find(b"\n", ends[field])
    return None


def last_cut(text: bytes, delimiter: str) -> int:
    r"""Return where the last record of `text` that is whole ends, 0 if there is none; it begins with one.

    >>> last_cut(b'1,x\n2,"y\n', ",")
    4
    """
    found = text.rfind(b"\n")
    if text.find(b'"') < 0:
        return found + 1
    begins, ends = _quoted_fields(text, delimiter)
    while found >= 0:
        field = int(np.searchsorted(begins, found)) - 1
        if field < 0 or ends[field] <= found:
            return found + 1
        found = text.rfind(b"\n", 0, begins[field])
    return 0


def unclosed(text: bytes, delimiter: str) -> int | None:
    r"""Return the offset of the quote that opens the last field of `text` and is never closed, or None.

    >>> unclosed(b'1,x\n2,"y\n', ",")
    6
    """
    fields = deque(_quoted_field(delimiter).finditer(text), maxlen=1)
    last = fields[0] if fields else None
    if last is None or last.end() < len(text):
        return None
    inner = last[0][1:]
    # What follows the content is a closing quote, or pairs of quotes that stand for one each.
    num_last = len(inner) - len(inner.rstrip(b'"'))
    return last.start() if num_last % 2 == 0 else None


def are_plain(text: bytes, delimiter: str) -> bool:
    r"""Return whether every quote stands at the beginning or at the end of a quoted field, and nowhere else.

    Then quotes open and close in turn, none is doubled, and the text ends outside of quotes.

    >>> are_plain(b'1,"x,y"\n"2",z\n', ","), are_plain(b'1,"x""y"\n', ",")
    (True, False)
    """
    characters = np.frombuffer(text, np.uint8)
    quotes = np.flatnonzero(characters == QUOTE)
    if len(quotes) % 2:
        return False
    opening, closing = quotes[::2], quotes[1::2]
    before = characters[opening[opening > 0] - 1]
    behind = characters[closing[closing + 1 < len(text)] + 1]
    ends_field = (behind == ord(delimiter)) | (behind == LF) | (behind == CR)
    begins_field = (before == ord(delimiter)) | (before == LF) | (before == CR)
    return bool(begins_field.all() and ends_field.all())


def _quoted_fields(text: bytes, delimiter: str) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where the quoted fields of `text` begin and end, half-open; one not closed ends with the text.

    Where every second quote stands at the beginning of a field, or doubles the one before it, quotes open
    and close in turn, which is found for all of them at once. Otherwise fields are followed one by one.
    """
    characters = np.frombuffer(text, np.uint8)
    quotes = np.flatnonzero(characters == QUOTE)
    opening, closing = quotes[::2], quotes[1::2]
    before = characters[opening - 1]  # of a quote at 0 it is the last character: excused below
    at_field = (before == ord(delimiter)) | (before == LF) | (before == CR) | (opening == 0)
    at_field[1:] |= opening[1:] == closing[: len(opening) - 1] + 1
    if not at_field.all():
        fields = [found.span() for found in _quoted_field(delimiter).finditer(text)]
        spans = np.array(fields, np.intp).reshape(-1, 2)
        return spans[:, 0], spans[:, 1]
    ends = closing + 1
    return opening, ends if len(ends) == len(opening) else np.append(ends, len(text))


@functools.cache
def _quoted_field(delimiter: str) -> re.Pattern[bytes]:
    return re.compile(rb'(?:(?<=[%s\r\n])|\A)"(?:[^"]++|"")*+"?' % re.escape(delimiter).encode())
