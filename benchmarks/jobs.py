"""The commands that benchmarks measure: ours, and the peers, each a small script in peers/ of its own."""

from __future__ import annotations

import functools
import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import checks
from measure import Job
from sources import FOLDER

if TYPE_CHECKING:
    from collections.abc import Callable

    from sources import Source

PEERS = Path(__file__).resolve().parent / "peers"
OUTPUT = FOLDER / "output"
WHOLE_JOB = "whole job"


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A script of peers/: what it does, the packages it needs, and how to see that it did it."""

    script: str
    does: str
    packages: tuple[str, ...]
    check: Callable[[Source], Callable[[str], None]]


def _parquet(source: Source) -> Callable[[str], None]:
    return lambda _: checks.check_parquet(OUTPUT, source)


def _records(source: Source) -> Callable[[str], None]:
    return lambda _: checks.check_count(f"{OUTPUT}/*.parquet", source)


def _printed(source: Source) -> Callable[[str], None]:
    return functools.partial(checks.check_printed_count, source=source)


POLARS_WHOLE = Peer(script="polars_in_memory", does=WHOLE_JOB, packages=("polars",), check=_parquet)
DUCKDB_WHOLE = Peer(script="duckdb_order_by_hash", does=WHOLE_JOB, packages=("duckdb",), check=_parquet)
POLARS_PARSE = Peer(script="polars_parse_blocks", does="parse only", packages=("polars",), check=_printed)
ALL_PEERS = (
    POLARS_WHOLE,
    DUCKDB_WHOLE,
    Peer(script="polars_sink_parquet", does="parse, write", packages=("polars",), check=_records),
    Peer(script="dask_to_parquet", does="parse, write", packages=("dask", "pandas"), check=_records),
    Peer(script="pandas_parse_chunks", does="parse only", packages=("pandas",), check=_printed),
    POLARS_PARSE,
)


def peer(peer: Peer, source: Source) -> Job | None:
    """Return the job of `peer`, or None, with a word, where its package is not installed."""
    missing = [package for package in peer.packages if importlib.util.find_spec(package) is None]
    if missing:
        print(f"left out: {peer.script}, because {' and '.join(missing)} is not installed")
        return None
    return Job(
        name=peer.script,
        command=(sys.executable, str(PEERS / f"{peer.script}.py"), str(source.path), str(OUTPUT)),
        output=OUTPUT,
        check=peer.check(source),
        facts=facts(source) | {"does": peer.does},
    )


def ours(
    source: Source,
    name: str,
    *options: str,
    formats: tuple[str, ...] = ("parquet",),
    extra: dict[str, Any] | None = None,
) -> Job:
    """Return the job of `pipeline convert` with `options`, as a user starts it."""
    chosen = [part for form in formats for part in ("--format", form)]
    command = ("-m", "pipeline", "convert", str(source.path), str(OUTPUT), "--quiet", *chosen, *options)

    def check(_: str) -> None:
        if "parquet" in formats:
            checks.check_parquet(OUTPUT, source)
        if "tfrecord" in formats:
            checks.check_tfrecord(OUTPUT, source)

    return Job(
        name=name,
        command=(sys.executable, *command),
        output=OUTPUT,
        temporary=OUTPUT.with_name(OUTPUT.name + ".incomplete"),
        check=check,
        facts=facts(source) | {"does": WHOLE_JOB} | (extra or {}),
    )


def facts(source: Source) -> dict[str, Any]:
    """Return what a report must know of the source."""
    return {"num_records": source.num_records, "source_bytes": source.num_bytes}
