"""Owns how a shard file is met: it must be there, be a regular file, and be one that could hold its records.

Every reader passes here before it opens anything. Neighbours: `check` looks further, `read_…` read.
"""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from pipeline.errors import ShardError
from pipeline.loader.rows import REMAKE
from pipeline.manifest.checks import MOST_EXPANSION

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from pathlib import Path

    from pipeline.manifest import ShardEntry


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


def check_can_hold(shards: Path, entries: Iterable[ShardEntry], *, num_bytes_per_record: int) -> None:
    """Raise if a shard is not there, or is so small that no compression would let it hold its records.

    Whoever plans an epoch relies on the manifest: it must not plan for more than there can be.

    Raises:
        ShardError: as said.
    """
    for entry in entries:
        path = shards / entry.path
        num_bytes = status_of(path).st_size
        if entry.records * num_bytes_per_record > num_bytes * MOST_EXPANSION:
            raise ShardError(
                f"{num_bytes} bytes, which cannot hold {entry.records} records", path=str(path), hint=REMAKE
            )
