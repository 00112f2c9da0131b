"""Owns the guess of how a text is divided: which delimiter, and whether its first line is a header.

`convert` takes commas and a header unless it is told otherwise; here both are found out. Neighbour:
`source.sniff` reads the beginning by what is guessed.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from pipeline.errors import HeaderError, InputError, LineTooLongError
from pipeline.source.cells import INTEGER
from pipeline.source.columns import is_number
from pipeline.source.sniff import sniff

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.source.sniff import Sniffed
    from pipeline.storage.paths import SourcePath

DELIMITERS = (",", ";", "\t", "|", " ")
ENOUGH_EVEN_ROWS = 0.9  # of the rows have as many fields as the first: then it is the delimiter


def sniff_any(path: SourcePath, *, delimiter: str | None, has_header: bool | None) -> Sniffed:
    """Return what the beginning of `path` shows; a delimiter or header that is None is found out.

    Raises:
        InputError: it cannot be read with any delimiter; what is wrong with commas is told.
    """
    first_error: InputError | None = None
    best: tuple[float, Sniffed] | None = None
    for candidate in [delimiter] if delimiter else DELIMITERS:
        try:
            found = _sniff(path, candidate, has_header)
        except LineTooLongError:
            raise
        except InputError as error:
            first_error = first_error or error
            continue
        share = _share_of_even_rows(found)
        if share >= ENOUGH_EVEN_ROWS:
            return found
        if best is None or share > best[0]:
            best = share, found
    if best is not None:
        return best[1]
    assert first_error is not None  # noqa: S101  # each candidate was found or failed
    raise first_error


def _sniff(path: SourcePath, delimiter: str, has_header: bool | None) -> Sniffed:  # noqa: FBT001  # None: not known
    if has_header is not None:
        return sniff(path, delimiter=delimiter, has_header=has_header)
    bare = sniff(path, delimiter=delimiter, has_header=False)
    if first_is_record(bare.rows[0], bare.rows[1:]):
        return bare
    try:
        return sniff(path, delimiter=delimiter, has_header=True)
    except HeaderError:
        if all(map(is_number, bare.rows[0])):
            return bare
        raise


def _share_of_even_rows(found: Sniffed) -> float:
    return sum(len(row) == len(found.names) for row in found.rows) / len(found.rows)


def first_is_record(first: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Return whether the first line is data: it has numbers where the rows have, and they do not just rise.

    >>> first_is_record(["5.1", "3.5", "setosa"], [["4.9", "3.0", "setosa"]])
    True
    >>> first_is_record(["name", "2001", "2002"], [["Kim", "4", "3"]])
    False
    """
    even = [row for row in rows if len(row) == len(first)]
    if not even:
        return all(map(is_number, first))
    of_numbers = [at for at in range(len(first)) if _is_value(even[0][at])]
    numbers = [first[at].strip() for at in of_numbers if _is_value(first[at])]
    if not numbers or 2 * len(numbers) < len(of_numbers):
        return False
    # Years, wavelengths, bins: whole numbers that rise are names.
    rising = all(map(INTEGER.fullmatch, numbers)) and len(numbers) > 1
    return not (rising and all(int(a) < int(b) for a, b in itertools.pairwise(numbers)))


def _is_value(cell: str) -> bool:
    return bool(cell.strip()) and is_number(cell) and any(map(str.isdigit, cell))
