"""Owns what a folder holds beside its shards, and what a manifest says that no shard need be read for."""

from __future__ import annotations

import hashlib
import json
import stat
from typing import TYPE_CHECKING, Any

from pipeline.manifest import MANIFEST_NAME, REJECTS_NAME
from pipeline.splitting.rule import BY_SHARES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.manifest import Manifest

GENERATOR = "csv-shard-pipeline"  # its manifests always have a digest
SHARD_ENDINGS = (".parquet", ".tfrecord")
MAX_LINE_BYTES = 1 << 20  # the text of a row is cut at 1,000 characters
REJECT_KEYS = {"file", "line", "byte_offset", "column", "code", "reason", "text"}


def folder_faults(shards: Path, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """Yield the name of a file and what is wrong with it, for all files that are no shards."""
    if not manifest.digest and manifest.generator.name == GENERATOR:
        yield MANIFEST_NAME, "its digest is missing: it was changed, or made before there was one"
    yield from ((MANIFEST_NAME, fault) for fault in _wrong_accounts(manifest))
    named = {entry.path for split in manifest.splits.values() for entry in split.shards}
    for path in sorted(shards.iterdir()):
        # Whoever reads shards/train-*.parquet would read this one, too.
        if path.name.endswith(SHARD_ENDINGS) and path.name not in named:
            yield path.name, "a shard that the manifest does not name"
    yield from ((REJECTS_NAME, fault) for fault in _rejects_faults(shards / REJECTS_NAME, manifest))


def notes(manifest: Manifest) -> Iterator[str]:
    """Yield what cannot be verified because the manifest does not say it."""
    if not manifest.digest and manifest.generator.name != GENERATOR:
        yield "the manifest has no digest: whether it was changed cannot be told"
    if manifest.records.rejected and manifest.rejects is None:
        yield f"the manifest has no checksum of {REJECTS_NAME}: whether it was changed cannot be told"
    if manifest.shuffle is None:
        yield "the manifest has no tracers: what became of the order of the source cannot be told"


def _wrong_accounts(manifest: Manifest) -> Iterator[str]:
    num_read = sum(source.records for source in manifest.source.files)
    if num_read != manifest.records.read:
        yield f"the sources have {num_read} records, expected {manifest.records.read}"
    for name, split in manifest.splits.items():
        for form in manifest.formats:
            sizes = [entry.records for entry in split.of_format(form)]
            if sizes and max(sizes) - min(sizes) > 1:
                yield f"{name}: shards of {min(sizes)} to {max(sizes)} records, expected one size"
    if manifest.split_rule in BY_SHARES:  # the others come as near to the shares as their values allow
        yield from _wrong_shares(manifest.options.get("split"), manifest)


def _wrong_shares(shares: Any, manifest: Manifest) -> Iterator[str]:  # noqa: ANN401  # JSON
    if not isinstance(shares, list) or not all(isinstance(share, int | float) for share in shares):
        return
    for share, (name, split) in zip(shares, manifest.splits.items(), strict=False):
        if wrong := _wrong_share(split.records, share, manifest.records.written):
            yield f"{name}: {wrong}"
        if manifest.split_rule != "stratify":
            continue
        totals = map(sum, zip(*manifest.label.counts.values(), strict=True))
        counts = manifest.label.counts.get(name, ())
        for value, count, total in zip(manifest.label.classes, counts, totals, strict=False):
            if wrong := _wrong_share(count, share, total):
                yield f"{name}, class {value!r}: {wrong}"


def _wrong_share(count: int, share: float, total: int) -> str:
    """Return what is wrong if `count` is not a share of `total`, rounded up or down."""
    expected = share * total
    # By the method of the largest remainder, no split is a whole record off; the share was rounded.
    if abs(count - expected) <= 1 + expected * 1e-15:
        return ""
    return f"{count} records, expected a share of {share}, {expected:.0f}"


def _rejects_faults(path: Path, manifest: Manifest) -> Iterator[str]:
    rejects, num_rejected = manifest.rejects, manifest.records.rejected
    try:
        status = path.lstat()
    except FileNotFoundError:
        if num_rejected:
            yield f"not there, expected {num_rejected} rows"
        return
    if not stat.S_ISREG(status.st_mode):
        yield "no regular file"
    elif not num_rejected:
        yield "there, but no row was set aside"
    elif rejects is not None and status.st_size != rejects.bytes:
        yield f"{status.st_size} bytes, expected {rejects.bytes}"
    else:
        yield from _wrong_lines(path, num_rejected, rejects.sha256 if rejects else "")


def _wrong_lines(path: Path, num_rejected: int, sha256: str) -> Iterator[str]:
    digest, num_lines, are_rejects = hashlib.sha256(), 0, True
    with path.open("rb") as file:
        while line := file.readline(MAX_LINE_BYTES):
            digest.update(line)
            num_lines += 1
            are_rejects = are_rejects and _is_reject(line)
    if sha256 and digest.hexdigest() != sha256:
        yield "damaged: its SHA-256 is not the one in the manifest"
    elif num_lines != num_rejected:
        yield f"{num_lines} rows, expected {num_rejected}"
    elif not are_rejects:
        yield "a line that is no row set aside"


def _is_reject(line: bytes) -> bool:
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.keys() >= REJECT_KEYS
