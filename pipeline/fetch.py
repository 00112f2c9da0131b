"""Owns `pipeline fetch`: simulated records, or the real HEPMASS, as one CSV file.

Neighbours: `simulation` draws the records and `savetxt` writes them down; `download` brings the real ones.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.download import RemoteFile, download, is_present
from pipeline.engine.local import map_tasks
from pipeline.errors import OptionError, nearest
from pipeline.partial import written_aside
from pipeline.progress import SILENT
from pipeline.savetxt import MAX_CELL_BYTES, savetxt_rows
from pipeline.simulation.records import BLOCK_RECORDS, COLUMN_NAMES, simulate_block

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pipeline.progress import Progress

HEPMASS_URL = "http://mlphysics.ics.uci.edu/data/hepmass/"
HEPMASS = {
    "train": RemoteFile(
        name="all_train.csv.gz",
        num_bytes=1_760_680_846,
        sha256="52061273edbe84cbfff6cc5432a04366d3401c39baf80da99d9baf91e0165498",
        num_records=7_000_000,
    ),
    "test": RemoteFile(
        name="all_test.csv.gz",
        num_bytes=880_352_641,
        sha256="eccba00f8d82c471c582ab629084103356f8dda637fad6d43f16a056673091b3",
        num_records=3_500_000,
    ),
}

HEADER = b"# " + ",".join(COLUMN_NAMES).encode() + b"\n"  # the leading "# " is numpy.savetxt's

_MAX_SEED = (1 << 64) - 1  # half of a Philox key
_MAX_WORKERS = 8  # beyond that the disk is slower
# Of this text, level 1 leaves 39 % at 100 MB/s, level 6 leaves 33 % at 20 MB/s.
_GZIP_LEVEL = 1
# RFC 1952: magic, deflate, no flags, time 0 (so that the same records are the same bytes), unknown system.
_GZIP_HEADER = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"
_DEFLATE_END = b"\x03\x00"  # an empty last block


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchSummary:
    """What is at `path` now, and how it came there."""

    path: Path
    num_bytes: int
    num_records: int | None
    sha256: str
    num_resumed_bytes: int = 0  # of an earlier download that broke off
    was_present: bool = False  # nothing had to be done


def fetch_simulated(
    dest: Path,
    *,
    num_records: int,
    seed: int,
    num_workers: int | None = None,
    progress: Progress = SILENT,
) -> FetchSummary:
    """Write `num_records` simulated records to `dest`, gzip-compressed if its name ends in .gz.

    The text is that of HEPMASS: header, 29 columns, float32 values in `%.18e`. The same records and seed are
    the same bytes, on any machine and with any number of workers (compressed: with the same zlib); fewer
    records are a prefix of more. Memory is bounded: some 30 MB per worker.

    Raises:
        OptionError: `num_records` or `seed` is out of range.
        TargetExistsError, BusyError, DiskError, AccessError: as `written_aside` says.
    """
    if num_records < 1:
        raise OptionError(f"cannot simulate {num_records} records", hint="ask for one record or more")
    if not 0 <= seed <= _MAX_SEED:
        raise OptionError(f"seed {seed} is out of range", hint="give a seed from 0 to 2**64 - 1")
    simulation = _Simulation(num_records=num_records, seed=seed, is_compressed=dest.suffix == ".gz")
    digest = hashlib.sha256()
    expected_bytes = num_records * len(COLUMN_NAMES) * MAX_CELL_BYTES
    with written_aside(
        dest, num_bytes=expected_bytes // 2 if simulation.is_compressed else expected_bytes
    ) as file:
        file.truncate(0)
        try:
            for stored in _stored(simulation, num_workers=num_workers or _num_workers(), progress=progress):
                digest.update(stored)
                file.write(stored)
        except BaseException:
            file.truncate(0)  # it cannot be continued
            raise
    return FetchSummary(
        path=dest, num_bytes=dest.stat().st_size, num_records=num_records, sha256=digest.hexdigest()
    )


def fetch_hepmass(
    dest: Path, *, part: str = "train", base_url: str = HEPMASS_URL, progress: Progress = SILENT
) -> FetchSummary:
    """Download a part of HEPMASS, "train" or "test", to `dest`, a file; in a folder it keeps its own name.

    Continues a download that broke off; does nothing if the file is there and has the right checksum.

    Raises:
        OptionError: there is no such part, or `base_url` is neither http nor https.
        DownloadError, ChecksumError: as `download` says.
        TargetExistsError, BusyError, DiskError, AccessError: as `written_aside` says.
    """
    if part not in HEPMASS:
        hint = nearest(part, HEPMASS) or "the parts are " + " and ".join(map(repr, HEPMASS))
        raise OptionError(f"HEPMASS has no part {part!r}", hint=hint)
    return _fetched(HEPMASS[part], dest, base_url=base_url, progress=progress)


def _fetched(remote: RemoteFile, dest: Path, *, base_url: str, progress: Progress) -> FetchSummary:
    path = dest / remote.name if dest.is_dir() else dest
    was_present = is_present(remote, path)
    num_resumed_bytes = 0
    if not was_present:
        url = base_url.rstrip("/") + "/" + remote.name
        num_resumed_bytes = download(remote, url, path, progress=progress)
    return FetchSummary(
        path=path,
        num_bytes=remote.num_bytes,
        num_records=remote.num_records,
        sha256=remote.sha256,
        num_resumed_bytes=num_resumed_bytes,
        was_present=was_present,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Simulation:
    num_records: int
    seed: int
    is_compressed: bool

    def block(self, index: int) -> tuple[int, bytes, bytes]:
        """Return number of records, text, and text as stored of block `index`."""
        num_records = min(BLOCK_RECORDS, self.num_records - index * BLOCK_RECORDS)
        text = savetxt_rows(simulate_block(seed=self.seed, block=index)[:num_records])
        return num_records, text, _deflated(text) if self.is_compressed else text


def _stored(simulation: _Simulation, *, num_workers: int, progress: Progress) -> Iterator[bytes]:
    """Yield the bytes of the file, in order."""
    text = _text_blocks(simulation, num_workers=num_workers, progress=progress)
    if not simulation.is_compressed:
        yield from (stored for _, stored in text)
        return
    checksum, num_bytes = 0, 0
    yield _GZIP_HEADER
    for plain, stored in text:
        checksum, num_bytes = zlib.crc32(plain, checksum), num_bytes + len(plain)
        yield stored
    yield _DEFLATE_END + checksum.to_bytes(4, "little") + (num_bytes % (1 << 32)).to_bytes(4, "little")


def _text_blocks(
    simulation: _Simulation, *, num_workers: int, progress: Progress
) -> Iterator[tuple[bytes, bytes]]:
    """Yield header and blocks: their text, and what is stored of it."""
    yield HEADER, _deflated(HEADER) if simulation.is_compressed else HEADER
    progress.start("simulating", total=simulation.num_records, unit="records")
    try:
        blocks = range(-(-simulation.num_records // BLOCK_RECORDS))
        for num_records, text, stored in map_tasks(simulation.block, blocks, num_workers=num_workers):
            yield text, stored
            progress.advance(num_records)
    finally:
        progress.finish()


def _deflated(text: bytes) -> bytes:
    """Return `text` as deflate blocks that end on a byte: such pieces make one stream, whoever made them."""
    compressor = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH)


def _num_workers() -> int:
    return min(os.cpu_count() or 1, _MAX_WORKERS)
