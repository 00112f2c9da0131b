"""Owns the cutting of text into byte ranges whose borders are record borders.

The text is cut on a grid of fixed cells; each cut moves forward to the next line end that is outside quotes.
A plain file is read in parallel, each range finding its own cuts by the quotes of its own cell; compressed
text is cut as it streams by. Both give the same ranges of the same text.

    grid     |         |         |         |
    text     aaaaaaa⏎bbbbbbb⏎cccccccc⏎ddddddd⏎eee⏎
    ranges   [ 0           )[ 1       )[ 2      ) …   a record belongs to the cell of its first byte
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import xxhash

from pipeline.errors import InputError, LineTooLongError, QuoteError
from pipeline.plan import ByteRange
from pipeline.source.files import count_line_ends, open_text, read_exactly
from pipeline.source.quotes import find_cut, last_cut, unclosed
from pipeline.standard_input import StandardInput
from pipeline.storage.reads import random_access

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pipeline.plan import SourceFile

    ReadAt = Callable[[int, int], bytes]

MAX_RECORD_BYTES = 16 << 20  # 20,000 columns of 25 bytes need 0.5 MB; a 10 MB text cell still passes
LOOK_AHEAD_BYTES = 4 << 10  # one small read finds the end of most records


class RangeTask(Protocol):
    """What a worker is handed: a byte range whose text can be had."""

    @property
    def file_index(self) -> int:
        """The index of the source file."""

    @property
    def range_index(self) -> int:
        """The index of the range within its file."""

    @property
    def follows_quotes(self) -> bool:
        """Whether quotes were followed when it was cut: if not, a fault of quotes may be one of the cut."""

    def load(self) -> RangeText:
        """Return the text, or raise what is wrong with it."""


class CutInsideQuotesError(Exception):
    """A plain file was cut inside a quoted field: its ranges must be cut by streaming, from the beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeText:
    """The text of one byte range: whole records, the last one perhaps without its line end.

    `begin` is the offset of its first byte in the uncompressed text; `has_quotes` is False where it is known
    to have none; it makes no difference between two texts.
    """

    file_index: int
    range_index: int
    begin: int
    text: bytes
    has_quotes: bool = field(default=True, compare=False)

    @property
    def follows_quotes(self) -> bool:
        """Yes, if it is a task: then it was cut as it streamed by."""
        return True

    def load(self) -> RangeText:
        """Return itself: the text is here already."""
        return self

    @property
    def digest(self) -> bytes:
        """The XXH3-128 of the text, big-endian."""
        return xxhash.xxh3_128_digest(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnreadableRange:
    """A byte range whose text cannot be had: a task like others, so that faults before it are told first."""

    file_index: int
    range_index: int
    error: InputError

    @property
    def follows_quotes(self) -> bool:
        """Yes: only text that streams by cannot be cut."""
        return True

    def load(self) -> RangeText:
        """Raise what is wrong; its line counts from the beginning of the range."""
        raise self.error


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredRange:
    """A byte range of a plain file, yet to be read."""

    source: SourceFile
    byte_range: ByteRange

    @property
    def file_index(self) -> int:
        """The index of the source file."""
        return self.byte_range.file_index

    @property
    def range_index(self) -> int:
        """The index of the range within its file."""
        return self.byte_range.range_index

    @property
    def follows_quotes(self) -> bool:
        """No: it is cut at any line end."""
        return False

    def load(self) -> RangeText:
        """Read and cut the range; any thread may do so.

        Raises:
            CutInsideQuotesError: the range holds an odd number of quotes. If every range holds an even
                number, and no quote but those around fields, then by induction every cut is outside quotes.
            LineTooLongError: no line end within `MAX_RECORD_BYTES`.
        """
        cell = self.byte_range
        # The borders are found first, by two small reads, so that the text is read but never copied.
        assert not isinstance(self.source.path, StandardInput)  # noqa: S101  # it has no ranges
        with random_access(self.source.path, max(0, cell.begin - 1), cell.end + LOOK_AHEAD_BYTES) as read_at:
            begin = self.source.text_offset
            if cell.range_index > 0:
                begin = max(begin, self._next_record(read_at, cell.begin, counted_from=cell.begin))
            end = max(begin, self._next_record(read_at, cell.end, counted_from=begin))
            text = read_at(begin, end - begin)
        has_quotes = b'"' in text
        if has_quotes and text.count(b'"') % 2:  # the search alone is ten times faster than the count
            raise CutInsideQuotesError
        return RangeText(
            file_index=cell.file_index,
            range_index=cell.range_index,
            begin=begin,
            text=text,
            has_quotes=has_quotes,
        )

    def _next_record(self, read_at: ReadAt, at: int, *, counted_from: int) -> int:
        """Return the offset of the first record border at or after `at`, or the size of the file."""
        # The byte before `at` tells whether a record begins just there.
        offset = at - 1
        while offset < self.source.num_bytes:
            window = read_at(offset, LOOK_AHEAD_BYTES)
            if not window:
                break
            found = window.find(b"\n")
            if found >= 0:
                return offset + found + 1
            offset += len(window)
            if offset - at > MAX_RECORD_BYTES:
                before = read_at(counted_from, max(at - counted_from, 0))
                begun = counted_from + before.rfind(b"\n") + 1
                raise _too_long(self.source, begun, line=count_line_ends(before) + 1)
        return self.source.num_bytes


def all_ranges(
    files: Sequence[SourceFile], range_bytes: int, *, delimiter: str, streamed: bool
) -> Iterator[RangeTask]:
    """Yield the ranges of all files in order."""
    for index, file in enumerate(files):
        yield from ranges_of(file, index, range_bytes, delimiter=delimiter, streamed=streamed)


def ranges_of(
    source: SourceFile, file_index: int, range_bytes: int, *, delimiter: str, streamed: bool
) -> Iterator[RangeTask]:
    """Yield the ranges of a file: unread, or with their text where it must stream by."""
    if streamed or not source.in_ranges:
        yield from streamed_ranges(source, file_index, range_bytes, delimiter=delimiter)
    else:
        yield from stored_ranges(source, file_index, range_bytes)


def stored_ranges(source: SourceFile, file_index: int, range_bytes: int) -> Iterator[StoredRange]:
    """Yield the ranges of a plain file, unread."""
    for range_index in range(num_ranges(source, range_bytes)):
        yield stored_range(source, file_index, range_index, range_bytes)


def num_ranges(source: SourceFile, range_bytes: int) -> int:
    """Return the number of ranges of a plain file."""
    return max(1, -(-source.num_bytes // range_bytes))


def stored_range(source: SourceFile, file_index: int, range_index: int, range_bytes: int) -> StoredRange:
    """Return one range of a plain file, unread."""
    begin = range_index * range_bytes
    cell = ByteRange(file_index=file_index, range_index=range_index, begin=begin, end=begin + range_bytes)
    return StoredRange(source=source, byte_range=cell)


def streamed_ranges(
    source: SourceFile, file_index: int, range_bytes: int, *, delimiter: str
) -> Iterator[RangeText | UnreadableRange]:
    """Yield the ranges of a file in order, reading it once from beginning to end.

    Quotes are followed from the first byte on, so that a line end inside a quoted field is never a cut. Where
    the text cannot be read, or not be cut, the last range yielded tells so when it is loaded.
    """
    range_index = 0
    try:
        for found in _cut(source, file_index, range_bytes, delimiter):
            yield found
            range_index = found.range_index + 1
    except InputError as error:
        yield UnreadableRange(file_index=file_index, range_index=range_index, error=error)


def _cut(source: SourceFile, file_index: int, range_bytes: int, delimiter: str) -> Iterator[RangeText]:
    with open_text(source.path, source.compression) as text:
        begin = len(read_exactly(text, source.text_offset))
        held = b""
        for range_index in itertools.count():
            end = (range_index + 1) * range_bytes
            held += read_exactly(text, end - begin - len(held) + LOOK_AHEAD_BYTES)
            cut = find_cut(held, end - begin, delimiter)
            while cut is None and (more := read_exactly(text, max(range_bytes, LOOK_AHEAD_BYTES))):
                held += more
                cut = find_cut(held, end - begin, delimiter)
                if cut is None and len(held) - (end - begin) > MAX_RECORD_BYTES:
                    raise _endless_record(source, begin, held, end - begin, delimiter)
            if cut is None:
                cut = len(held)
            yield RangeText(file_index=file_index, range_index=range_index, begin=begin, text=held[:cut])
            held, begin = held[cut:], begin + cut
            if not held and not (held := text.read(1)):
                return


def _endless_record(source: SourceFile, begin: int, held: bytes, at: int, delimiter: str) -> InputError:
    """Return what is wrong with `held`, the text from offset `begin` on: no record ends soon after `at`."""
    opened = unclosed(held, delimiter)
    if opened is None:
        begun = last_cut(held[: max(at, 0)], delimiter)
        return _too_long(source, begin + begun, line=count_line_ends(held, 0, begun) + 1)
    return QuoteError(
        f"a quote is opened here and not closed within {MAX_RECORD_BYTES} bytes",
        path=str(source.path),
        line=count_line_ends(held, 0, opened) + 1,
        hint="close it, or double a quote that belongs to the text and quote the whole cell",
    )


def _too_long(source: SourceFile, offset: int, *, line: int) -> LineTooLongError:
    return LineTooLongError(
        f"no end of line within {MAX_RECORD_BYTES} bytes after byte {offset}",
        path=str(source.path),
        line=line,
        hint="is this a CSV? A record may have no more than that",
    )
