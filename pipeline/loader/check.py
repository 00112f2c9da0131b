"""Owns the check before the first epoch: is every shard there, whole, in its place, and of this dataset.

It reads the beginning and the end of each shard and no records: `pipeline verify` does.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pipeline import manifest as manifests
from pipeline.errors import ShardError
from pipeline.loader.parquet_footer import footer_fault, footer_of
from pipeline.loader.rows import REMAKE
from pipeline.loader.shard_file import status_of
from pipeline.storage import HEAD_BYTES

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.manifest import Manifest, ShardEntry


def check_dataset(shards: Path) -> Manifest:
    """Return the manifest of a dataset whose shards all exist, with the sizes and record counts it gives.

    A shard that is another one, of this dataset or of another, is told by its first bytes, a Parquet shard
    by its footer, too.

    Raises:
        ManifestError: there is no dataset.
        ShardError: a shard is missing, cut, damaged or another one; the first of them is named.
    """
    manifest = manifests.load(shards)
    faults = []
    for split in manifest.splits.values():
        for entry in split.shards:
            try:
                check_shard(shards / entry.path, entry, manifest)
            except ShardError as error:
                faults.append(error)
    if faults:
        others = f" (and {len(faults) - 1} more shards with faults)" if len(faults) > 1 else ""
        raise ShardError(faults[0].message + others, path=faults[0].path, hint=REMAKE)
    return manifest


def check_shard(path: Path, entry: ShardEntry, manifest: Manifest) -> None:
    """Raise if a shard is not the one of the manifest, as far as its size, its first bytes and footer tell.

    Raises:
        ShardError: as said.
    """
    check_size(path, entry)
    fault = footer_fault(footer_of(path), entry, manifest) if entry.format == "parquet" else ""
    if fault := fault or _head_fault(path, entry):
        raise ShardError(fault, path=str(path), hint=REMAKE)


def check_size(path: Path, entry: ShardEntry) -> None:
    """Raise if a shard is not there, is no file, or has another size.

    Raises:
        ShardError: as said.
    """
    num_bytes = status_of(path).st_size
    if num_bytes != entry.bytes:
        raise ShardError(f"{num_bytes} bytes, expected {entry.bytes}", path=str(path), hint=REMAKE)


def _head_fault(path: Path, entry: ShardEntry) -> str:
    if not entry.head_sha256:
        return ""
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError as error:
        return str(error.strerror)
    if hashlib.sha256(head).hexdigest() == entry.head_sha256:
        return ""
    return "damaged, or another shard: its first bytes are not those that were written"
