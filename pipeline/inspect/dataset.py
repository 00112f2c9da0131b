"""Owns the look at a dataset: its manifest, its shards, why rows were set aside, how to read it.

Looks at names and sizes only; that every byte is right is for `verify` to tell. Neighbour: `reading_code`.
"""

from __future__ import annotations

import json
import stat
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import manifest as manifests
from pipeline.errors import DatasetError, MachineError, SourceNotFoundError
from pipeline.inspect.reading_code import reading_code
from pipeline.manifest import MANIFEST_NAME
from pipeline.storage.paths import locate, size_of, system_errors_told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pipeline.inspect.reading_code import ReadingCode
    from pipeline.manifest import Manifest
    from pipeline.storage.paths import AnyPath

REJECTS_BYTES = 4 << 20  # of the rejects, to tell their reasons: some 10,000 rows


@dataclass(frozen=True, slots=True, kw_only=True)
class DatasetReport:
    """What a dataset holds.

    `damage` names shards that are not there or have another size; `reasons` counts the rejects by (code,
    column), as far as the first 4 MiB of them tell. The `code` reads it where it is, or a copy of it in a
    folder of the same name if it is in a store.
    """

    folder: str
    manifest: Manifest
    damage: tuple[str, ...]
    reasons: dict[tuple[str, str], int]
    code: tuple[ReadingCode, ...]


def is_dataset(named: str) -> bool:
    """Return whether a user's words name a dataset: a folder with a manifest."""
    path = locate(named)
    if isinstance(path, Path):
        return (path / MANIFEST_NAME).exists()
    # A server may have anything to say about names that it does not have.
    with suppress(DatasetError, MachineError, SourceNotFoundError), system_errors_told(path, hint=""):
        return size_of(path / MANIFEST_NAME) >= 0
    return False


def inspect_dataset(named: str) -> DatasetReport:
    """Return what the dataset in the folder `named` holds.

    Raises:
        ManifestError: there is no dataset, or its manifest cannot be used.
    """
    folder = locate(named)
    manifest = manifests.load(folder)
    return DatasetReport(
        folder=named,
        manifest=manifest,
        damage=tuple(_damage(folder, manifest)),
        reasons=_reasons(folder, manifest),
        code=reading_code(manifest, named if isinstance(folder, Path) else folder.name),
    )


def _damage(folder: AnyPath, manifest: Manifest) -> Iterator[str]:
    for split in manifest.splits.values():
        for shard in split.shards:
            num_bytes = size_of(folder / shard.path)
            if num_bytes != shard.bytes:
                found = (
                    "is missing" if num_bytes < 0 else f"has {num_bytes:,} bytes, expected {shard.bytes:,}"
                )
                yield f"{shard.path} {found}"


def _reasons(folder: AnyPath, manifest: Manifest) -> dict[tuple[str, str], int]:
    if manifest.rejects is None or size_of(folder / manifest.rejects.path) < 0:
        return {}
    path = folder / manifest.rejects.path
    if isinstance(path, Path) and not stat.S_ISREG(path.lstat().st_mode):
        return {}  # a link may lead out of the folder, and a pipe would never end
    with path.open("rb") as file:
        lines = file.read(REJECTS_BYTES).split(b"\n")[:-1]
    counts: Counter[tuple[str, str]] = Counter()
    with suppress(ValueError, KeyError, TypeError):  # not what we wrote; `verify` tells
        for line in lines:
            entry = json.loads(line)
            counts[str(entry["code"]), str(entry["column"] or "")] += 1
    return dict(counts.most_common())
