"""Owns how a shard file is met: it must be there, be a regular file, and be one that could hold its records.

Every reader passes here before it opens anything. Neighbours: `check` looks further, `read_…` read.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from pipeline.errors import ManifestError, ShardError
from pipeline.loader.rows import REMAKE
from pipeline.manifest import MANIFEST_NAME
from pipeline.manifest.checks import MOST_EXPANSION, record_bytes
from pipeline.plan import MIN_ROW_GROUP_RECORDS, row_group_records

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from pathlib import Path

    from pipeline.manifest import Manifest, ShardEntry

ROW_GROUP_RECORDS = "row_group_records"  # the option of the manifest


def status_of(path: Path) -> os.stat_result:
    """Return the status of a shard that is a regular file, without opening it.

    Raises:
        ShardError: there is none, or it is a link (which may lead out of the folder) or a pipe (which would
            never end), or its folder cannot be searched.
    """
    try:
        status = path.lstat()
    except OSError as error:
        found = "no such shard" if isinstance(error, FileNotFoundError) else str(error.strerror)
        raise ShardError(found, path=str(path), hint=REMAKE) from None
    if stat.S_ISLNK(status.st_mode):
        raise ShardError("a symbolic link, expected a file", path=str(path), hint=REMAKE)
    if not stat.S_ISREG(status.st_mode):
        raise ShardError("no regular file", path=str(path), hint=REMAKE)
    return status


def check_can_hold(shards: Path, manifest: Manifest, entries: Iterable[ShardEntry]) -> None:
    """Raise if shards are not there, or are too small for their records whatever their compression.

    Whoever plans an epoch, or takes memory for a block, relies on the manifest: it must not plan for more
    than there can be.

    Raises:
        ManifestError: row groups of a size that the format does not have.
        ShardError: as said.
    """
    num_bytes = record_bytes(manifest)
    most = row_group_records(num_bytes)
    stored = manifest.options.get(ROW_GROUP_RECORDS, most)
    if not isinstance(stored, int) or not MIN_ROW_GROUP_RECORDS <= stored <= most:
        raise ManifestError(
            f"manifest.options.{ROW_GROUP_RECORDS}: {stored!r}, expected {MIN_ROW_GROUP_RECORDS} to {most}",
            path=str(shards / MANIFEST_NAME),
            hint=REMAKE,
        )
    for entry in entries:
        path = shards / entry.path
        stored_bytes = status_of(path).st_size
        if entry.records * num_bytes > stored_bytes * MOST_EXPANSION:
            message = f"{stored_bytes} bytes, which cannot hold {entry.records} records"
            raise ShardError(message, path=str(path), hint=REMAKE)
