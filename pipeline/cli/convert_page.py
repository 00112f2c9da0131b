"""Owns what `pipeline convert` shows: the plan of a dry run, and what came of a conversion; also as JSON."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.cli.display import amount, duration, memory, speed
from pipeline.cli.page import Page
from pipeline.counted import counted
from pipeline.splitting.rule import in_words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.convert import ConvertSummary
    from pipeline.convert.rehearsal import Rehearsal
    from pipeline.manifest import Split
    from pipeline.plan import ConvertPlan
    from pipeline.schema import Column, Schema
    from pipeline.storage.paths import AnyPath

SHOWN_NAMES = 8


def plan_json(plan: ConvertPlan, rehearsal: Rehearsal | None) -> dict[str, Any]:
    """Return the plan of a conversion as JSON values."""
    estimates, rule = plan.estimates, plan.options.identity.rule
    expected: dict[str, Any] = {
        "records": estimates.num_records,
        "byte_ranges": estimates.num_ranges,
        "text_bytes": estimates.text_bytes,
        "shard_bytes": estimates.shard_bytes,
        "shards": estimates.num_shards,
        "split": None if rule.name == "given" else _split_records(plan),
    }
    if plan.options.engine == "dask":
        expected["exchange"] = _exchange_json(plan)
    if rehearsal:
        expected |= {"seconds": round(rehearsal.seconds, 1), "spilled_bytes": rehearsal.spilled_bytes}
    return {
        "source": [
            {"path": str(f.path), "bytes": f.num_bytes, "compression": f.compression} for f in plan.files
        ],
        "columns": [
            {"name": c.name, "role": c.role, "reading": c.reading, "dtype": c.dtype(plan.schema.label_kind)}
            for c in plan.schema.columns
        ],
        "label": {"name": plan.schema.label.name, "kind": plan.schema.label_kind},
        "seed": plan.options.identity.seed,
        "split_rule": rule.name,
        "split_column": rule.column,
        "split": None if rule.name == "given" else [float(share) for share in plan.options.identity.split],
        "formats": list(plan.options.formats),
        "workers": plan.memory.num_workers,
        "memory_bytes": plan.options.memory_bytes,
        "estimated": expected,
    }


def _exchange_json(plan: ConvertPlan) -> dict[str, int]:
    from pipeline.convert.exchange import exchange_of, num_processes  # noqa: PLC0415  # loads pyarrow

    exchange = exchange_of(plan, num_processes(plan.options))
    return {
        "workers": exchange.num_workers,
        "reading_tasks": exchange.num_reading_tasks,
        "runs": exchange.num_runs,
        "run_bytes": exchange.run_bytes,
        "writing_tasks": exchange.num_writing_tasks,
        "windows": exchange.num_windows,
        "slices": exchange.num_slices,
        "slice_bytes": exchange.slice_bytes,
        "reads": exchange.num_reads,
        "writes": exchange.num_writes,
        "moved_bytes": exchange.moved_bytes,
    }


def plan_page(plan: ConvertPlan, target: AnyPath, rehearsal: Rehearsal | None) -> Page:
    """Return the plan of a conversion as a page."""
    from pipeline.source.files import sizes_known  # noqa: PLC0415  # not for --help

    page, estimates, schema = Page(), plan.estimates, plan.schema
    rule = plan.options.identity.rule
    others = {"weight", "keep", "drop", "split"}
    extra = [f"{c.name} ({c.role})" for c in schema.columns if c.role in others]
    page.pairs(
        {
            "source": _source(plan),
            "label": f"{schema.label.name} ({schema.label_kind})",
            "features": f"{len(schema.features)}: {_listed([_read_as(c) for c in schema.features])}",
            **_categories(schema),
            "others": _listed(extra),
            "split": in_words(rule.name, rule.column or "", schema.label.name),
        }
    )
    condition = (
        "" if sizes_known(plan.files) else f" if it is {amount(estimates.text_bytes, 'bytes')} of text"
    )
    page.heading(f"expected{condition}: about {counted(estimates.num_records, 'record')}")
    if rule.name != "given":
        _split_table(page, plan)
    page.line("")
    page.pairs(_resources(plan, target, rehearsal))
    page.line("nothing was written: this was --dry-run")
    return page


def _split_table(page: Page, plan: ConvertPlan) -> None:
    records, num_shards = _split_records(plan), plan.estimates.num_shards
    page.table(
        ("split", "share", "records", "shards"),
        [
            (name, f"{float(share):g}", f"{records[name]:,}", f"{num_shards.get(name, 0)}")
            for name, share in zip(records, plan.options.identity.split, strict=True)
        ],
        left=["split"],
    )


def _source(plan: ConvertPlan) -> str:
    sizes = [file.num_bytes for file in plan.files]
    size = "of unknown size" if min(sizes) < 0 else amount(sum(sizes), "bytes")
    if len(plan.files) > 1:
        return f"{len(plan.files):,} files, {plan.files[0].path} to {plan.files[-1].path}, {size}"
    packed = plan.files[0].compression
    return f"{plan.files[0].path}, {size}" + (f", {packed}" if packed != "none" else "")


def _read_as(column: Column) -> str:
    return f"{column.name} ({column.reading})" if column.reading in {"boolean", "datetime"} else column.name


def _categories(schema: Schema) -> dict[str, str]:
    names = [column.name for column in schema.categories]
    return {"categories": f"{len(names)}: {_listed(names)}"} if names else {}


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN_NAMES]) + (" …" if len(names) > SHOWN_NAMES else "")


def _split_records(plan: ConvertPlan) -> dict[str, int]:
    """Return how many records each split will have, if the estimate is right."""
    from pipeline.keys import SPLITS, split_bounds  # noqa: PLC0415  # loads NumPy

    bounds = split_bounds(plan.estimates.num_records, plan.options.identity.split)
    return {name: end - begin for name, (begin, end) in zip(SPLITS, bounds, strict=True)}


def _resources(plan: ConvertPlan, target: AnyPath, rehearsal: Rehearsal | None) -> dict[str, str]:
    from pipeline.convert.disk import free_bytes  # noqa: PLC0415  # loads pyarrow

    options, division = plan.options, plan.memory
    shards = amount(plan.estimates.shard_bytes * len(options.formats), "bytes")
    disk = f"about {shards} of shards ({', '.join(options.formats)})"
    if rehearsal and rehearsal.spilled_bytes:
        disk += f", and for a while {amount(rehearsal.spilled_bytes, 'bytes')} of runs"
    if (free := free_bytes(target)) is not None:
        disk += f"; {amount(free, 'bytes')} are free"
    if options.engine == "dask":
        return {"target": str(target)} | _on_cluster(plan) | {"disk": disk, "time": _time(rehearsal)}
    threads = counted(division.num_threads, "thread")
    return {
        "target": str(target),
        "order": f"seed {options.identity.seed}, {counted(plan.estimates.num_ranges, 'byte range')}",
        "memory": f"at most {memory(options.memory_bytes)}: {threads}, {memory(division.runs_bytes)} of runs",
        "disk": disk,
        "time": _time(rehearsal),
    }


def _time(rehearsal: Rehearsal | None) -> str:
    return f"about {duration(rehearsal.seconds)}, at the speed of the first mebibyte" if rehearsal else ""


def _on_cluster(plan: ConvertPlan) -> dict[str, str]:
    """Return what the workers of a cluster will do, as docs/scaling.md explains it."""
    found, limit = _exchange_json(plan), memory(plan.options.memory_bytes)
    runs = amount(found["run_bytes"] // found["runs"], "bytes")
    return {
        "order": f"seed {plan.options.identity.seed}, {counted(plan.estimates.num_ranges, 'byte range')}",
        "workers": f"{found['workers']:,}, of at most {limit} each",
        "reading": f"{found['reading_tasks']:,} tasks, which write {found['runs']:,} runs of {runs}",
        "writing": f"{found['writing_tasks']:,} tasks, which gather {found['windows']:,} windows",
        "exchange": f"{found['slices']:,} slices of {amount(found['slice_bytes'], 'bytes')}",
        "storage": f"{found['reads']:,} reads, {found['writes']:,} writes,"
        f" {amount(found['moved_bytes'], 'bytes')} to and fro",
    }


def summary_json(summary: ConvertSummary) -> dict[str, Any]:
    """Return what came of a conversion as JSON values."""
    manifest = summary.manifest
    return {
        "target": str(summary.target),
        "fingerprint": manifest.fingerprint,
        "records": {
            name: getattr(manifest.records, name) for name in ("read", "written", "rejected", "blank")
        },
        "splits": {
            name: {"records": split.records, "shards": _num_shards(split)}
            for name, split in manifest.splits.items()
        },
        "bytes": sum(shard.bytes for split in manifest.splits.values() for shard in split.shards),
        "label": {"name": manifest.label.name, "classes": list(manifest.label.classes)},
        "warnings": list(manifest.warnings),
        "seconds": round(summary.seconds, 3),
        "text_bytes": summary.text_bytes,
        "spilled_bytes": summary.spilled_bytes,
        "peak_memory_bytes": summary.worker_bytes,
    }


def summary_page(summary: ConvertSummary, memory_bytes: int) -> Page:
    """Return what came of a conversion as a page; `memory_bytes` is what it was allowed to use."""
    page, manifest, counts = Page(), summary.manifest, summary.manifest.records
    page.table(
        ("split", "records", "shards", "size"),
        [
            (
                name,
                f"{split.records:,}",
                f"{_num_shards(split)}",
                amount(sum(shard.bytes for shard in split.shards), "bytes"),
            )
            for name, split in manifest.splits.items()
        ],
        left=["split"],
    )
    if manifest.split_rule != "key":
        rule = in_words(manifest.split_rule, manifest.split_column, manifest.label.name)
        page.line(f"divided {rule}")
    page.line(
        f"{counted(counts.read, 'record')} read = {counts.written:,} written + {counts.rejected:,} rejected"
        + (f" ({counts.blank:,} blank lines)" if counts.blank else "")
    )
    if manifest.rejects:
        page.line(f"rejected rows, with their reasons: {summary.target / manifest.rejects.path}")
    page.warnings(manifest.warnings)
    if summary.text_bytes:
        page.line(_performance(summary, memory_bytes), "dim")
    page.line(f"{summary.target} is ready after {duration(summary.seconds)}", "bold")
    page.line(f"next: pipeline inspect {summary.target}, or pipeline train {summary.target}")
    return page


def _performance(summary: ConvertSummary, memory_bytes: int) -> str:
    seconds = max(summary.seconds, 1e-6)
    spilled = f"{amount(summary.spilled_bytes, 'bytes')} spilled to disk" if summary.spilled_bytes else ""
    return ", ".join(
        [
            speed(summary.text_bytes / seconds, "bytes"),
            f"{speed(summary.manifest.records.read / seconds, 'records')[:-2]} records/s",
            f"peak memory {memory(summary.worker_bytes)} of {memory(memory_bytes)}",
            spilled or "nothing spilled to disk",
        ]
    )


def _num_shards(split: Split) -> int:
    """The number of shards, each counted once however many formats it has."""
    return len({Path(shard.path).stem for shard in split.shards})
