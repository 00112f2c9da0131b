"""Owns what an unfinished conversion remembers: its plan, and every run and shard that is safely on disk.

    shards.incomplete/
      plan.json        what the conversion was asked for; another request is refused
      journal.jsonl    one line per finished run or shard: checksum (XXH3-64, hexadecimal), blank, JSON

A line is appended, and forced to disk, after the file it tells of. Before anything is taken up it is looked
at: lines by their checksums, up to the first that is not whole; run files by those of their blocks; shards by
their SHA-256. What is lost is done again. Neighbours: `runs` and `writing` make the files, `convert` asks
what is left to do.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import threading
from typing import TYPE_CHECKING, Any

import xxhash

from pipeline.convert.describing import identity_options
from pipeline.convert.journal_entries import FinishedRun, run_from_json, run_to_json, shard_from_json
from pipeline.errors import OptionsChangedError, SourceChangedError
from pipeline.progress import SILENT
from pipeline.storage.files import Log, write_text
from pipeline.storage.paths import absolute, is_local, size_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.convert.reading import RangeSummary
    from pipeline.convert.writing import WrittenShard
    from pipeline.manifest import ShardEntry
    from pipeline.plan import ConvertPlan, ShardSpec
    from pipeline.progress import Progress
    from pipeline.runs.spilled import SpilledRun
    from pipeline.storage.paths import AnyPath

PLAN_NAME = "plan.json"
JOURNAL_NAME = "journal.jsonl"
JOURNAL_VERSION = 5
READ_BYTES = 1 << 20
RangeId = tuple[int, int]


class Journal:
    """The memory of a conversion in the folder of its staging."""

    def __init__(self, folder: AnyPath, plan: ConvertPlan) -> None:
        self._folder = folder
        self._request = describe_request(plan)
        self.streamed = False
        self.runs: list[FinishedRun] = []
        self._log = Log(folder / JOURNAL_NAME)
        self._lock = threading.Lock()
        self._shards: dict[str, WrittenShard] = {}

    def resume(self, progress: Progress = SILENT) -> bool:
        """Take up what an earlier process left whole; return False if there is nothing to take up.

        Raises:
            OptionsChangedError: it was started with other options; they are listed.
            SourceChangedError: the source is another one by now.
        """
        before = _read_json(self._folder / PLAN_NAME)
        text = self._log.read()
        entries = _intact_entries(text)
        if before is None or not entries:
            return False
        self.streamed = bool(before.pop("streamed", False))
        _check_same(before, self._request, self._folder)
        found = [run_from_json(e, self._folder / "runs") for e in entries if e["event"] == "run"]
        self.runs = _whole_runs(found, progress)
        kept = {finished.run.path.name for finished in self.runs}
        entries = [entry for entry in entries if entry["event"] != "run" or entry["file"] in kept]
        shards = [shard_from_json(entry) for entry in entries if entry["event"] == "shard"]
        self._shards = {shard.spec.stem: shard for shard in shards}
        rewritten = b"".join(_line(entry) for entry in entries)
        if rewritten != text:  # what is appended must not follow a torn line, nor lines on what is lost
            self._log.replace([_line(entry) for entry in entries])
        return True

    def begin(self, *, streamed: bool) -> None:
        """Forget everything and begin anew; the files are left to whoever made them."""
        self._log.remove()
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
        self.runs.append(FinishedRun(run=run, summaries=()))  # there may be millions

    def add_shard(self, shard: WrittenShard) -> None:
        """Remember a shard that is safely on disk."""
        self._append({"event": "shard"} | dataclasses.asdict(shard))

    def finished_shard(self, spec: ShardSpec, folder: AnyPath) -> WrittenShard | None:
        """Return the shard of `spec` if it is there already, whole."""
        shard = self._shards.get(spec.stem)
        if shard is None or shard.spec != spec:
            return None
        whole = all(_is_whole(folder / entry.path, entry) for entry in shard.entries)
        return shard if whole else None

    def _append(self, entry: dict[str, Any]) -> None:
        line = _line(entry)
        with self._lock:
            self._log.append(line)

    def exists(self) -> bool:
        """Whether there is anything that could be continued."""
        return bool(_intact_entries(self._log.read()))

    def request_digest(self) -> str:
        """Return the XXH3-128 (hexadecimal) of what the conversion was asked for."""
        return xxhash.xxh3_128_hexdigest(json.dumps(self._request, sort_keys=True).encode())


def describe_request(plan: ConvertPlan) -> dict[str, Any]:
    """Return what a conversion was asked for: two that differ in it may not share their work."""
    return {
        "journal_version": JOURNAL_VERSION,
        "sources": [
            {"path": str(absolute(file.path)), "bytes": file.num_bytes, "modified_ns": file.modified_ns}
            for file in plan.files
        ],
        "options": identity_options(plan) | {"formats": list(plan.options.formats)},
        # The blocks of a run file are cells: runs of different cells cannot be gathered together.
        "cell_bits": plan.memory.cell_bits,
    }


def _check_same(before: dict[str, Any], now: dict[str, Any], folder: AnyPath) -> None:
    if before == now:
        return
    start_afresh = f"run the command as it was, or start afresh: rm -r {folder}"
    for old, new in zip(before["sources"], now["sources"], strict=False):
        if old != new and old["path"] == new["path"]:
            sizes = f"{old['bytes']} bytes then, {new['bytes']} now"
            if old["bytes"] == new["bytes"]:
                sizes = f"{old['bytes']} bytes then and now, modified in between"
            raise SourceChangedError(
                f"changed since the unfinished run began: {sizes}", path=new["path"], hint=start_afresh
            )
    old_flat, new_flat = _flat(before), _flat(now)
    names = [name for name in {**new_flat, **old_flat} if old_flat.get(name) != new_flat.get(name)]
    listed = "; ".join(f"{name} was {old_flat.get(name)!r}, is {new_flat.get(name)!r}" for name in names)
    raise OptionsChangedError(f"an unfinished run is there: {listed}", path=str(folder), hint=start_afresh)


def _flat(request: dict[str, Any]) -> dict[str, Any]:
    """Return everything that was asked for by name, of the sources their paths."""
    paths = [source["path"] for source in request["sources"]]
    return {"source": paths, "version": request["journal_version"], **request["options"]} | {
        "cell_bits": request["cell_bits"]
    }


def _line(entry: dict[str, Any]) -> bytes:
    payload = json.dumps(entry, separators=(",", ":")).encode()
    return xxhash.xxh3_64_hexdigest(payload).encode() + b" " + payload + b"\n"


def _intact_entries(text: bytes) -> list[dict[str, Any]]:
    """Return the entries of a journal up to the first line that is not whole."""
    entries: list[dict[str, Any]] = []
    for line in text.split(b"\n"):
        checksum, _, payload = line.partition(b" ")
        if xxhash.xxh3_64_hexdigest(payload).encode() != checksum:
            break
        entries.append(json.loads(payload))
    return entries


def _whole_runs(found: Sequence[FinishedRun], progress: Progress) -> list[FinishedRun]:
    """Return the runs up to the first one that is damaged: the files are numbered by how many there are."""
    if not found:
        return []
    progress.start("checking runs", total=sum(finished.run.num_bytes for finished in found), unit="bytes")
    whole: list[FinishedRun] = []
    for finished in found:
        # What a store has it has whole; a disk may have lost, or changed, what was not read since.
        run = finished.run
        if not (run.is_whole() if is_local(run.path) else run.is_there()):
            break
        whole.append(finished)
        progress.advance(finished.run.num_bytes)
    progress.finish()
    return whole


def _is_whole(path: AnyPath, entry: ShardEntry) -> bool:
    if size_of(path) != entry.bytes:
        return False
    if not is_local(path):
        return True
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(READ_BYTES):
            digest.update(part)
    return digest.hexdigest() == entry.sha256


def _read_bytes(path: AnyPath) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _read_json(path: AnyPath) -> dict[str, Any] | None:
    """Return a plan, or None if there is none that a `Journal` wrote whole."""
    try:
        found = json.loads(_read_bytes(path))
        _flat(found)
    except (ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, dict) else None
