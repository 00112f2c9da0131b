"""Owns the cutting of text into byte ranges whose borders are record borders.

The text is cut on a grid of fixed cells; each cut moves forward to the next line end that is outside quotes.
A plain file is read in parallel, each range finding its own cuts by the quotes of its own cell; compressed
text is cut as it streams by. Both give the same ranges of the same text.

    grid     |         |         |         |
    text     aaaaaaa⏎bbbbbbb⏎cccccccc⏎ddddddd⏎eee⏎
    ranges   [ 0           )[ 1       )[ 2      ) …   a record belongs to the cell of its first byte
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import xxhash

from pipeline.errors import LineTooLongError
from pipeline.plan import ByteRange
from pipeline.source.files import open_text, read_exactly

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.plan import SourceFile

MAX_RECORD_BYTES = 16 << 20  # 20,000 columns of 25 bytes need 0.5 MB; a 10 MB text cell still passes
LOOK_AHEAD_BYTES = 4 << 10  # one small read finds the end of most records


class CutInsideQuotesError(Exception):
    """A plain file was cut inside a quoted field: its ranges must be cut by streaming, from the beginning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeText:
    """The text of one byte range: whole records, the last one perhaps without its line end.

    `begin` is the offset of its first byte in the uncompressed text.
    """

    file_index: int
    range_index: int
    begin: int
    text: bytes

    def load(self) -> RangeText:
        """Return itself: the text is here already."""
        return self

    @property
    def digest(self) -> bytes:
        """The XXH3-128 of the text, big-endian."""
        return xxhash.xxh3_128_digest(self.text)


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

    def load(self) -> RangeText:
        """Read and cut the range; any thread may do so.

        Raises:
            CutInsideQuotesError: the range holds an odd number of quotes. If every range holds an even
                number, then by induction every cut is outside quotes.
            LineTooLongError: no record border within `MAX_RECORD_BYTES`.
        """
        cell = self.byte_range
        descriptor = os.open(self.source.path, os.O_RDONLY)
        try:
            begin = self.source.text_offset
            if cell.range_index > 0:
                begin = max(begin, self._next_record(descriptor, cell.begin))
            end = max(begin, self._next_record(descriptor, cell.end))
            # The borders are found first, by two small reads, so that the text is read but never copied.
            text = _read_at(descriptor, begin, end - begin)
        finally:
            os.close(descriptor)
        if b'"' in text and text.count(b'"') % 2:  # the search alone is ten times faster than the count
            raise CutInsideQuotesError
        return RangeText(file_index=cell.file_index, range_index=cell.range_index, begin=begin, text=text)

    def _next_record(self, descriptor: int, at: int) -> int:
        """Return the offset of the first record border at or after `at`, or the size of the file."""
        # The byte before `at` tells whether a record begins just there.
        offset = at - 1
        while offset < self.source.num_bytes:
            window = os.pread(descriptor, LOOK_AHEAD_BYTES, offset)
            if not window:
                break
            found = window.find(b"\n")
            if found >= 0:
                return offset + found + 1
            offset += len(window)
            if offset - at > MAX_RECORD_BYTES:
                raise _too_long(self.source, at)
        return self.source.num_bytes


def _read_at(descriptor: int, offset: int, num_bytes: int) -> bytes:
    """Return `num_bytes` of the file at `offset`, fewer only at its end."""
    first = os.pread(descriptor, num_bytes, offset)
    if len(first) == num_bytes or not first:
        return first
    parts = [first]
    done = len(first)
    while done < num_bytes and (part := os.pread(descriptor, num_bytes - done, offset + done)):
        parts.append(part)
        done += len(part)
    return b"".join(parts)


def stored_ranges(source: SourceFile, file_index: int, range_bytes: int) -> Iterator[StoredRange]:
    """Yield the ranges of a plain file, unread."""
    for range_index in range(max(1, -(-source.num_bytes // range_bytes))):
        begin = range_index * range_bytes
        cell = ByteRange(file_index=file_index, range_index=range_index, begin=begin, end=begin + range_bytes)
        yield StoredRange(source=source, byte_range=cell)


def streamed_ranges(source: SourceFile, file_index: int, range_bytes: int) -> Iterator[RangeText]:
    """Yield the ranges of a file in order, reading it once from beginning to end.

    Quotes are followed from the first byte on, so that a line end inside a quoted field is never a cut.

    Raises:
        LineTooLongError: no record border within `MAX_RECORD_BYTES`.
    """
    with open_text(source.path, source.compression) as text:
        begin = len(read_exactly(text, source.text_offset))
        held = b""
        range_index = 0
        while True:
            end = (range_index + 1) * range_bytes
            held += read_exactly(text, end - begin - len(held) + LOOK_AHEAD_BYTES)
            cut = find_cut(held, end - begin)
            while cut is None and (more := read_exactly(text, range_bytes)):
                held += more
                if len(held) - (end - begin) > MAX_RECORD_BYTES:
                    raise _too_long(source, begin)
                cut = find_cut(held, end - begin)
            if cut is None:
                cut = len(held)
            yield RangeText(file_index=file_index, range_index=range_index, begin=begin, text=held[:cut])
            held, begin, range_index = held[cut:], begin + cut, range_index + 1
            if not held and not (held := text.read(1)):
                return


def find_cut(text: bytes, at: int) -> int | None:
    r"""Return where the first record at or after `at` begins; `text` begins with a record.

    None if the text ends before that. A doubled quote inside a quoted field counts twice, as it should.

    >>> find_cut(b'1,"x\n2,y"\n3,z\n', 3)
    10
    """
    if at <= 0:
        return 0
    found, counted, num_quotes = text.find(b"\n", at - 1), 0, 0
    while found >= 0:
        num_quotes += text.count(b'"', counted, found)
        if num_quotes % 2 == 0:
            return found + 1
        counted = found
        found = text.find(b"\n", found + 1)
    return None


def _too_long(source: SourceFile, offset: int) -> LineTooLongError:
    return LineTooLongError(
        f"no end of record within {MAX_RECORD_BYTES} bytes after byte {offset}",
        path=str(source.path),
        hint="is this a CSV, and are its quotes closed?",
    )
