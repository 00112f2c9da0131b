"""The use case `verify`: is every byte of a dataset what was written, and is the manifest true.

`shard` looks at one shard, `claims` holds the manifest against all of them, `equal_records` finds records
that stand twice, `folder` looks at what else is there. Neighbours: `loader` decodes, `engine` spreads shards.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline import manifest as manifests
from pipeline.counted import counted
from pipeline.engine.local import map_tasks
from pipeline.errors import DatasetError, ManifestError, ShardError
from pipeline.loader.rows import REMAKE
from pipeline.progress import SILENT
from pipeline.splitting.rule import BY_SHARES
from pipeline.verify.claims import wrong_claims
from pipeline.verify.equal_records import compare, hasher_for
from pipeline.verify.folder import folder_faults, notes
from pipeline.verify.shard import verify_shard

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.manifest import Manifest, ShardEntry
    from pipeline.progress import Progress
    from pipeline.verify.shard import Found


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifySummary:
    """What was verified.

    `faults` holds an error for every shard that is damaged and every claim that does not hold, `notes` what
    could not be verified and what is worth knowing.
    """

    num_shards: int
    num_bytes: int
    num_records: int
    faults: tuple[DatasetError, ...]
    notes: tuple[str, ...]
    seconds: float


def verify(shards: Path, *, num_workers: int = 2, progress: Progress = SILENT) -> VerifySummary:
    """Read every byte and every record of the dataset in `shards` once; nothing is written.

    Every damage that changes a single bit of a file of the dataset is found. Memory does not depend on the
    size of the dataset: a row group for each worker, and the hashes of at most a million records.

    Raises:
        ManifestError: there is no dataset.
    """
    began = time.monotonic()
    manifest = manifests.load(shards)
    entries = [entry for split in manifest.splits.values() for entry in split.shards]
    faults: list[DatasetError] = []
    found: dict[str, Found] = {}
    for entry, outcome in _verify_shards(shards, manifest, entries, num_workers, progress):
        if isinstance(outcome, ShardError):
            faults.append(outcome)
        else:
            found[entry.path] = outcome
    for name, fault in folder_faults(shards, manifest):
        kind = ManifestError if name == manifests.MANIFEST_NAME else ShardError
        faults.append(kind(fault, path=str(shards / name), hint=REMAKE))
    remarks = list(notes(manifest))
    if len(found) == len(entries):
        path = str(shards / manifests.MANIFEST_NAME)
        faults += [ManifestError(claim, path=path, hint=REMAKE) for claim in wrong_claims(manifest, found)]
        faults += _overlaps(shards, manifest, found, remarks)
    return VerifySummary(
        num_shards=len(entries),
        num_bytes=sum(entry.bytes for entry in entries),
        num_records=manifest.records.written,
        faults=tuple(faults),
        notes=tuple(remarks),
        seconds=time.monotonic() - began,
    )


def _verify_shards(
    shards: Path, manifest: Manifest, entries: list[ShardEntry], num_workers: int, progress: Progress
) -> Iterator[tuple[ShardEntry, Found | ShardError]]:
    num_columns = sum(column.dtype != "string" for column in manifest.columns)
    hasher = hasher_for(manifest.records.written, num_columns)

    def check(entry: ShardEntry) -> Found | ShardError:
        try:
            return verify_shard(shards / entry.path, entry, manifest, hasher, progress.advance)
        except ShardError as error:
            return error

    progress.start("verifying", total=sum(entry.bytes for entry in entries), unit="bytes")
    yield from zip(entries, map_tasks(check, entries, num_workers=num_workers), strict=True)
    progress.finish()


def _overlaps(
    shards: Path, manifest: Manifest, found: dict[str, Found], remarks: list[str]
) -> Iterator[ShardError]:
    """Yield an error for every two shards or splits that share more records than chance gives."""
    form = manifest.formats[0] if manifest.formats else ""
    splits = {entry.path: name for name, split in manifest.splits.items() for entry in split.of_format(form)}
    hashes = [found[path].hashes for path in splits]
    at_random = manifest.split_rule in BY_SHARES
    compared = compare(hashes, list(splits), list(splits.values()), at_random=at_random)
    num_compared, num_records = sum(map(len, hashes)), manifest.records.written
    if num_compared < num_records:
        remarks.append(f"{num_compared:,} of {num_records:,} records were compared with each other")
    if compared.num_in_two_splits:
        but_text = " but for their text" if any(c.dtype == "string" for c in manifest.columns) else ""
        remarks.append(
            f"{counted(compared.num_in_two_splits, 'record')} in two splits: rows that are equal{but_text}"
        )
    for overlap in compared.overlaps:
        one, other = overlap.names
        what = f"holds {counted(overlap.num_shared, 'record')} twice"
        if one != other:
            what = f"shares {counted(overlap.num_shared, 'record')} with {other}"
        message = f"{what}: more than equal rows of the source explain"
        yield ShardError(message, path=str(shards / one), hint=REMAKE)
