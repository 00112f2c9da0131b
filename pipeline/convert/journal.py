"""Owns what an unfinished conversion remembers: its plan, and every run and shard that is safely on disk.

    shards.incomplete/
      plan.json        what the conversion was asked for; another request is refused
      journal.jsonl    one line per finished run or shard: checksum (XXH3-64, hexadecimal), blank, JSON

A line is appended, and forced to disk, after the file it tells of; a line that a crash cut short is ignored.
Neighbours: `runs` and `writing` make the files, `convert` asks what is left to do.
"""

from __future__ import annotations

import dataclasses
import json
import os
import threading
from typing import TYPE_CHECKING, Any

import xxhash

from pipeline.convert.describing import identity_options
from pipeline.convert.journal_entries import run_from_json, run_to_json, shard_from_json
from pipeline.errors import OptionsChangedError, SourceChangedError
from pipeline.storage import fsync_directory, write_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pipeline.convert.journal_entries import FinishedRun
    from pipeline.convert.reading import RangeSummary
    from pipeline.convert.writing import WrittenShard
    from pipeline.plan import ConvertPlan, ShardSpec
    from pipeline.runs.spilled import SpilledRun

PLAN_NAME = "plan.json"
JOURNAL_NAME = "journal.jsonl"
JOURNAL_VERSION = 1
RangeId = tuple[int, int]


class Journal:
    """The memory of a conversion in the folder of its staging."""

    def __init__(self, folder: Path, plan: ConvertPlan) -> None:
        self._folder = folder
        self._request = describe_request(plan)
        self.streamed = False
        self.runs: list[FinishedRun] = []
        self._lock = threading.Lock()
        self._shards: dict[str, WrittenShard] = {}

    def resume(self) -> bool:
        """Take up what an earlier process left; return False if there is nothing to take up.

        Raises:
            OptionsChangedError: it was started with other options; they are listed.
            SourceChangedError: the source is another one by now.
        """
        before = _read_json(self._folder / PLAN_NAME)
        entries = _intact_entries(self._folder / JOURNAL_NAME)
        if before is None or not entries:
            return False
        self.streamed = bool(before.pop("streamed", False))
        _check_same(before, self._request, self._folder)
        for entry in entries:
            if entry["event"] == "run":
                self.runs.append(run_from_json(entry, self._folder / "runs"))
            else:
                shard = shard_from_json(entry)
                self._shards[shard.spec.stem] = shard
        return True

    def begin(self, *, streamed: bool) -> None:
        """Forget everything and begin anew."""
        (self._folder / JOURNAL_NAME).unlink(missing_ok=True)
        fsync_directory(self._folder)
        request = self._request | {"streamed": streamed}
        write_text(self._folder / PLAN_NAME, json.dumps(request, indent=2) + "\n")
        self.streamed = streamed
        self.runs.clear()
        self._shards.clear()

    def summaries(self) -> dict[RangeId, RangeSummary]:
        """Return the summaries of the ranges that need not be read again."""
        return {(s.file_index, s.range_index): s for run in self.runs for s in run.summaries}

    def add_run(self, run: SpilledRun, summaries: Sequence[RangeSummary]) -> None:
        """Remember a run file that is safely on disk."""
        self._append({"event": "run"} | run_to_json(run, summaries))

    def add_shard(self, shard: WrittenShard) -> None:
        """Remember a shard that is safely on disk."""
        self._append({"event": "shard"} | dataclasses.asdict(shard))

    def finished_shard(self, spec: ShardSpec, folder: Path) -> WrittenShard | None:
        """Return the shard of `spec` if it is there already, whole."""
        shard = self._shards.get(spec.stem)
        if shard is None or shard.spec != spec:
            return None
        whole = all(_size(folder / entry.path) == entry.bytes for entry in shard.entries)
        return shard if whole else None

    def _append(self, entry: dict[str, Any]) -> None:
        payload = json.dumps(entry, separators=(",", ":")).encode()
        line = xxhash.xxh3_64_hexdigest(payload).encode() + b" " + payload + b"\n"
        with self._lock, (self._folder / JOURNAL_NAME).open("ab", buffering=0) as file:
            while line:
                line = line[file.write(line) :]
            os.fsync(file.fileno())
        fsync_directory(self._folder)


def describe_request(plan: ConvertPlan) -> dict[str, Any]:
    """Return what a conversion was asked for: two that differ in it may not share their work."""
    return {
        "journal_version": JOURNAL_VERSION,
        "sources": [
            {"path": str(file.path), "bytes": file.num_bytes, "modified_ns": file.modified_ns}
            for file in plan.files
        ],
        "options": identity_options(plan) | {"formats": list(plan.options.formats)},
        # The blocks of a run file are cells: runs of different cells cannot be gathered together.
        "cell_bits": plan.memory.cell_bits,
    }


def _check_same(before: dict[str, Any], now: dict[str, Any], folder: Path) -> None:
    if before == now:
        return
    start_afresh = f"run the command as it was, or start afresh: rm -r {folder}"
    for old, new in zip(before.get("sources", []), now["sources"], strict=False):
        if old != new and old.get("path") == new["path"]:
            raise SourceChangedError(
                f"changed since the unfinished run began: {old.get('bytes')} bytes then, {new['bytes']} now",
                path=new["path"],
                hint=start_afresh,
            )
    old_flat, new_flat = before | dict(before.get("options", {})), now | now["options"]
    names = [name for name in new_flat if name != "options" and old_flat.get(name) != new_flat[name]]
    listed = "; ".join(f"{name} was {old_flat.get(name)!r}, is {new_flat[name]!r}" for name in names)
    raise OptionsChangedError(f"an unfinished run is there: {listed}", path=str(folder), hint=start_afresh)


def _intact_entries(path: Path) -> list[dict[str, Any]]:
    """Return the entries of the journal up to the first line that is not whole."""
    entries: list[dict[str, Any]] = []
    for line in path.read_bytes().split(b"\n") if path.exists() else []:
        checksum, _, payload = line.partition(b" ")
        if xxhash.xxh3_64_hexdigest(payload).encode() != checksum:
            break
        entries.append(json.loads(payload))
    return entries


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else -1
