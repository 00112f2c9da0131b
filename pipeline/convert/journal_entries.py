"""Owns the JSON of what a journal remembers: runs with the summaries of their ranges, and shards."""

from __future__ import annotations

import base64
import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.convert.reading import RangeSummary
from pipeline.convert.writing import WrittenShard
from pipeline.manifest import ShardEntry
from pipeline.moments import Moments
from pipeline.plan import ShardSpec
from pipeline.runs.spilled import SpilledRun
from pipeline.source.parsed import Reject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.storage.paths import AnyPath

MOMENT_DTYPES = {"count": np.int64, "missing": np.int64}


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedRun:
    """A run file and the summaries of the ranges whose records it holds."""

    run: SpilledRun
    summaries: tuple[RangeSummary, ...]


def run_to_json(run: SpilledRun, summaries: Sequence[RangeSummary]) -> dict[str, Any]:
    """Return the JSON value of a run file and of the ranges in it."""
    return {
        "file": run.path.name,
        "shape": run.shape,
        "bytes": run.num_bytes,
        "cells": run.num_cells,
        "table_checksum": run.table_checksum,
        "ranges": [_summary_to_json(summary) for summary in summaries],
    }


def run_from_json(entry: dict[str, Any], folder: AnyPath) -> FinishedRun:
    """Return what `run_to_json` wrote; the run file lies in `folder`."""
    run = SpilledRun(
        path=folder / entry["file"],
        shape=tuple(entry["shape"]),
        num_bytes=entry["bytes"],
        num_cells=entry["cells"],
        table_checksum=entry["table_checksum"],
    )
    return FinishedRun(run=run, summaries=tuple(_summary_from_json(value) for value in entry["ranges"]))


def _summary_to_json(summary: RangeSummary) -> dict[str, Any]:
    values = {field.name: getattr(summary, field.name) for field in dataclasses.fields(summary)}
    return values | {
        "digest": summary.digest.hex(),
        "rejects": [dataclasses.asdict(reject) for reject in summary.rejects],
        "labels": sorted(summary.labels, key=str),
        "inexact": sorted(summary.inexact),
        "moments": _moments_to_json(summary.moments),
        "tracers": summary.tracers.tolist(),
    }


def _summary_from_json(value: dict[str, Any]) -> RangeSummary:
    decoded = value | {
        "digest": bytes.fromhex(value["digest"]),
        "rejects": tuple(Reject(**reject) for reject in value["rejects"]),
        "labels": frozenset(value["labels"]),
        "inexact": frozenset(value["inexact"]),
        "tally": tuple((value, count) for value, count in value["tally"]),
        "moments": _moments_from_json(value["moments"]),
        "tracers": np.array(value["tracers"], np.uint64).reshape(2, -1),
    }
    return RangeSummary(**decoded)


def _moments_to_json(moments: Moments) -> dict[str, str]:
    # As bytes: every bit must come back, infinities included, and 20,000 columns must stay small.
    return {
        field.name: base64.b64encode(getattr(moments, field.name).tobytes()).decode("ascii")
        for field in dataclasses.fields(moments)
    }


def _moments_from_json(value: dict[str, str]) -> Moments:
    arrays: dict[str, Any] = {
        name: np.frombuffer(base64.b64decode(text), MOMENT_DTYPES.get(name, np.float64))
        for name, text in value.items()
    }
    return Moments(**arrays)


def shard_from_json(entry: dict[str, Any]) -> WrittenShard:
    """Return the shard whose `dataclasses.asdict` the journal holds."""
    return WrittenShard(
        spec=ShardSpec(**entry["spec"]),
        entries=tuple(ShardEntry(**value) for value in entry["entries"]),
        class_counts=tuple(entry["class_counts"]),
        tracers=tuple((key, rank) for key, rank in entry["tracers"]),
    )
