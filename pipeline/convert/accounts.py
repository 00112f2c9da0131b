"""Owns the accounts of a conversion: what all ranges together come to, added up in range order."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import xxhash

from pipeline import moments as moments_of
from pipeline.convert.reading import check_classes
from pipeline.convert.split_values import total_tally
from pipeline.convert.tracers import Tracers
from pipeline.counted import counted
from pipeline.errors import EmptySourceError, TooManyRejectsError
from pipeline.manifest import SourceEntry

if TYPE_CHECKING:
    from pipeline.convert.reading import RangeSummary
    from pipeline.moments import Moments
    from pipeline.plan import ConvertPlan
    from pipeline.source.parsed import Reject


@dataclass(slots=True, kw_only=True)
class FileAccount:
    """The sums over the ranges of one file."""

    num_lines: int = 0
    num_text_bytes: int = 0
    num_records: int = 0
    digests: list[bytes] = field(default_factory=list)

    def digest(self) -> str:
        """Return the XXH3-128 over the digests of the ranges, hexadecimal."""
        return xxhash.xxh3_128_hexdigest(b"".join(self.digests))


class Accounts:
    """Adds up the summaries of all ranges; `add` must be called in range order."""

    def __init__(self, plan: ConvertPlan) -> None:
        self._plan = plan
        self.files = [FileAccount(num_lines=file.header_lines) for file in plan.files]
        self.moments: Moments = moments_of.empty(len(plan.schema.numbers))
        self.labels: set[float | str] = set()
        self.tally: dict[int, int] = {}
        self.rejects: list[tuple[int, Reject]] = []
        self.warnings: list[str] = []
        self.inexact: set[str] = set()
        self.tracers = Tracers()
        self.num_read = self.num_kept = self.kept_text_bytes = 0
        self.num_blank = sum(file.num_blank for file in plan.files)

    def add(self, summary: RangeSummary) -> None:
        """Add the summary of the next range.

        Raises:
            LabelError: the labels have more distinct values than classes can have.
            TooManyRejectsError: more rows were set aside than allowed.
        """
        account = self.files[summary.file_index]
        for reject in summary.rejects:
            moved = dataclasses.replace(
                reject,
                line=reject.line + account.num_lines,
                byte_offset=reject.byte_offset + summary.begin,
            )
            self.rejects.append((summary.file_index, moved))
        account.num_lines += summary.num_lines
        account.num_records += summary.num_records
        account.num_text_bytes += summary.num_text_bytes
        # A record longer than a cell leaves empty ranges behind; they are no part of the text's identity.
        account.digests += [summary.digest] if summary.num_text_bytes else []
        self.moments = moments_of.merge(self.moments, summary.moments)
        self.labels |= summary.labels
        self.tally = total_tally(self.tally, summary.tally, self._plan.options.identity.rule.name)
        self.inexact |= summary.inexact
        self.tracers.add(summary.tracers, records_before=self.num_read)
        self.num_read += summary.num_records
        self.num_kept += summary.num_kept
        self.num_blank += summary.num_blank
        self.kept_text_bytes += summary.kept_text_bytes
        if summary.ends_open:
            path = self._plan.files[summary.file_index].path.name
            self.warnings.append(f"{path}: the last line has no line end; is the file complete?")
        self._check()

    def lines_before(self, path: str) -> int:
        """Return how many lines of the file `path` lie before the next range of it."""
        named = [str(file.path) for file in self._plan.files]
        return self.files[named.index(path)].num_lines

    def _check(self) -> None:
        check_classes(len(self.labels), self._plan.schema.label.name)
        allowed = self._plan.options.max_rejects
        if allowed is not None and len(self.rejects) > allowed:
            index, reject = self.rejects[allowed]
            raise TooManyRejectsError(
                f"more than {counted(allowed, 'row')} set aside; this one: {reject.reason}",
                path=str(self._plan.files[index].path),
                line=reject.line,
                column=reject.column,
                hint="raise --max-rejects if that is to be expected",
            )

    def finish(self) -> None:
        """Check the accounts once every range is in.

        Raises:
            EmptySourceError: not a single record is left.
        """
        assert self.num_read == self.num_kept + len(self.rejects)  # noqa: S101  # the law of conservation
        if self.num_kept == 0:
            hint = f"all {self.num_read} rows were set aside" if self.num_read else ""
            raise EmptySourceError("0 data rows", path=str(self._plan.files[0].path), hint=hint)

    def source_entries(self) -> tuple[SourceEntry, ...]:
        """Return what the manifest says of each source file."""
        return tuple(
            SourceEntry(
                path=file.path.name,
                bytes=file.num_bytes if file.num_bytes >= 0 else file.text_offset + account.num_text_bytes,
                records=account.num_records,
                digest=account.digest(),
            )
            for file, account in zip(self._plan.files, self.files, strict=True)
        )
