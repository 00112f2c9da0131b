"""Owns the check before the first epoch: is every shard there, whole, and of this dataset.

It reads no records: `pipeline verify` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline import manifest as manifests
from pipeline.errors import ShardError
from pipeline.loader.rows import REMAKE

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.manifest import Manifest, ShardEntry


def check_dataset(shards: Path) -> Manifest:
    """Return the manifest of a dataset whose shards all exist, with the sizes and record counts it gives.

    Raises:
        ManifestError: there is no dataset.
        ShardError: a shard is missing, cut, damaged or of another dataset; the first of them is named.
    """
    manifest = manifests.load(shards)
    entries = [entry for split in manifest.splits.values() for entry in split.shards]
    faults = [
        (entry, fault) for entry in entries if (fault := shard_fault(shards / entry.path, entry, manifest))
    ]
    if faults:
        entry, fault = faults[0]
        others = f" (and {len(faults) - 1} more shards with faults)" if len(faults) > 1 else ""
        raise ShardError(fault + others, path=str(shards / entry.path), hint=REMAKE)
    return manifest


def shard_fault(path: Path, entry: ShardEntry, manifest: Manifest) -> str:
    """Return what is wrong with a shard as far as its size and footer tell, or nothing."""
    if path.is_symlink():
        return "a symbolic link, expected a file"  # it may lead out of the folder
    try:
        num_bytes = path.stat().st_size
    except OSError as error:
        return "no such shard" if isinstance(error, FileNotFoundError) else str(error.strerror)
    if num_bytes != entry.bytes:
        return f"{num_bytes} bytes, expected {entry.bytes}"
    return _parquet_fault(path, entry, manifest) if entry.format == "parquet" else ""


def _parquet_fault(path: Path, entry: ShardEntry, manifest: Manifest) -> str:
    try:
        footer = pq.read_metadata(path)
    except (OSError, pa.ArrowException) as error:
        return f"damaged: {error}"
    if footer.num_rows != entry.records:
        return f"{footer.num_rows} records, expected {entry.records}"
    fingerprint = (footer.metadata or {}).get(b"pipeline.fingerprint", b"").decode()
    if fingerprint and fingerprint != manifest.fingerprint:
        return "a shard of another dataset"
    return ""
