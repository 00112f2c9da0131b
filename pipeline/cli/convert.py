"""The command `pipeline convert`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from pipeline.cli import display

if TYPE_CHECKING:
    from pipeline.convert import ConvertSummary
    from pipeline.manifest import Split
    from pipeline.plan import ConvertOptions, ConvertPlan, ShardFormat

CHOICE_BAD = click.Choice(["error", "skip"])
CHOICE_MISSING = click.Choice(["error", "drop", "mean"])
CHOICE_NONFINITE = click.Choice(["error", "drop"])


@click.command("convert", short_help="Turn a CSV into standardized, shuffled, exactly split shards.")
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.argument("shards")
@click.option("--label", metavar="NAME", help="The label column.  [default: 'label' or 'target']")
@click.option(
    "--label-kind",
    type=click.Choice(["auto", "classes", "number"]),
    default="auto",
    show_default=True,
    help="Whether labels are classes or a quantity; auto looks at the first ones.",
)
@click.option("--weight", metavar="COL", help="A column of record weights; not a feature.")
@click.option("--drop", multiple=True, metavar="COL", help="Leave a column out (repeatable).")
@click.option("--keep", multiple=True, metavar="COL", help="Carry a column through, unused (repeatable).")
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["parquet", "tfrecord"]),
    default=("parquet",),
    show_default=True,
    help="Format of the shards (repeatable).",
)
@click.option("--split", default="0.8,0.1,0.1", show_default=True, help="Shares of train, val and test.")
@click.option("--seed", type=int, default=42, show_default=True, help="Decides split and order.")
@click.option("--shard-size", default="64MiB", show_default=True, help="Size a shard should have.")
@click.option(
    "--compression",
    type=click.Choice(["none", "zstd", "snappy", "gzip"]),
    default="none",
    show_default=True,
    help="Compression inside the shards (gzip: TFRecord; zstd, snappy: Parquet).",
)
@click.option("--standardize/--no-standardize", default=True, show_default=True, help="(x - mean) / std.")
@click.option("--no-header", is_flag=True, help="The first line is a record; columns are column_1, …")
@click.option("--delimiter", metavar="CHAR", help="What stands between fields; \\t for tabs.  [default: ,]")
@click.option("--on-bad-row", type=CHOICE_BAD, default="error", show_default=True, help="Unreadable rows.")
@click.option("--max-rejects", type=click.IntRange(min=0), help="Give up beyond so many rows set aside.")
@click.option(
    "--on-missing", type=CHOICE_MISSING, default="error", show_default=True, help="Cells without a value."
)
@click.option(
    "--on-nonfinite", type=CHOICE_NONFINITE, default="error", show_default=True, help="Infinite values."
)
@click.option("--memory", default="1GiB", show_default=True, help="Memory that each process may use.")
@click.option("--workers", type=click.IntRange(min=1), help="Threads, or processes.  [default: all cores]")
@click.option(
    "--engine",
    type=click.Choice(["local", "dask"]),
    default="local",
    show_default=True,
    help="Threads of this process, or the processes of a Dask cluster.",
)
@click.option(
    "--scheduler", metavar="ADDRESS", help="Of a Dask cluster, tcp://… or tls://…  [default: one of its own]"
)
@click.option("--performance-report", metavar="FILE", help="Dask's own report of the run, HTML.")
@click.option("--overwrite", is_flag=True, help="Replace the dataset that is there.")
@click.option("--dry-run", is_flag=True, help="Print the plan and do nothing.")
@click.option("--json", "as_json", is_flag=True, help="One JSON summary on standard output.")
@click.option("--quiet", is_flag=True, help="No progress, no summary.")
def convert_command(sources: tuple[str, ...], shards: str, **given: Any) -> None:  # noqa: ANN401  # click's own call
    """Turn the CSV files SOURCE... into a dataset of shards in the folder SHARDS.

    Files may be plain, or gzip, zstd, bzip2, xz. Patterns, folders and - (standard input) stand for files;
    s3://, gs://, https:// and the like for files elsewhere, SHARDS as well. All need the same columns.

    One pass over the text: mean and std of the train split, a global shuffle, an exact split. The same
    content and options give the same bytes, whatever the number of workers.

    \b
    Examples:
      pipeline convert raw.csv shards/
      pipeline convert 'days/*.csv.gz' s3://bucket/shards --engine dask
      pipeline convert events.csv.gz shards/ --label signal --drop run --keep event_id
      pipeline convert table.tsv shards/ --delimiter '\\t' --no-header --label column_1
    """  # noqa: D301  # \b is click's mark for a paragraph that is not rewrapped
    if given["workers"]:
        # Polars takes a thread per core, once, when it is loaded.
        os.environ.setdefault("POLARS_MAX_THREADS", str(given["workers"]))
    # Nothing here multiplies matrices, and idle threads of the library that could would spin for a while.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    options = _options(given)
    from pipeline.convert import convert, make_plan  # noqa: PLC0415  # loads Polars and pyarrow
    from pipeline.convert.memory import settle_process  # noqa: PLC0415
    from pipeline.source.listing import list_sources  # noqa: PLC0415
    from pipeline.storage.paths import locate  # noqa: PLC0415

    settle_process()

    origin, target = list_sources(sources), locate(shards)
    if given["dry_run"]:
        plan = make_plan(origin, options)
        click.echo(json.dumps(_plan_json(plan), indent=2) if given["as_json"] else _plan_text(plan))
        return
    quiet = given["quiet"] or given["as_json"]
    summary = convert(origin, target, options, progress=display.choose(quiet=quiet))
    if given["as_json"]:
        click.echo(json.dumps(_summary_json(summary)))
    elif not quiet:
        click.echo(_summary_text(summary))


def _options(given: dict[str, Any]) -> ConvertOptions:
    from pipeline.keys import parse_split  # noqa: PLC0415  # loads NumPy
    from pipeline.plan import ConvertOptions, Identity, parse_size  # noqa: PLC0415
    from pipeline.schema import RoleOptions  # noqa: PLC0415

    formats: tuple[ShardFormat, ...] = given["formats"]
    compression: Literal["none", "zstd", "snappy", "gzip"] = given["compression"]
    delimiter = given["delimiter"]
    return ConvertOptions(
        identity=Identity(
            seed=given["seed"],
            split=parse_split(given["split"]),
            standardize=given["standardize"],
            shard_bytes=parse_size(given["shard_size"]),
            compression=compression,
            on_bad_row=given["on_bad_row"],
            on_missing=given["on_missing"],
            on_nonfinite=given["on_nonfinite"],
        ),
        roles=RoleOptions(
            label=given["label"], weight=given["weight"], drop=given["drop"], keep=given["keep"]
        ),
        label_kind=given["label_kind"],
        formats=formats,
        delimiter="\t" if delimiter in {"\\t", "tab"} else delimiter,
        has_header=not given["no_header"],
        memory_bytes=parse_size(given["memory"]),
        num_workers=given["workers"],
        engine=given["engine"],
        scheduler=given["scheduler"],
        performance_report=given["performance_report"],
        max_rejects=given["max_rejects"],
        overwrite=given["overwrite"],
    )


def _plan_json(plan: ConvertPlan) -> dict[str, Any]:
    estimates = plan.estimates
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
        "split": [float(share) for share in plan.options.identity.split],
        "formats": list(plan.options.formats),
        "workers": plan.memory.num_workers,
        "memory_bytes": plan.options.memory_bytes,
        "estimated": {
            "records": estimates.num_records,
            "byte_ranges": estimates.num_ranges,
            "text_bytes": estimates.text_bytes,
            "shard_bytes": estimates.shard_bytes,
            "shards": estimates.num_shards,
        },
    }


def _plan_text(plan: ConvertPlan) -> str:
    estimates, schema = plan.estimates, plan.schema
    shares = " ".join(
        f"{name} {float(share):g}"
        for name, share in zip(("train", "val", "test"), plan.options.identity.split, strict=True)
    )
    shards = " ".join(f"{name} {count}" for name, count in estimates.num_shards.items())
    extra = [f"{c.name} ({c.role})" for c in schema.columns if c.role in {"weight", "keep", "drop"}]
    source = f"{plan.files[0].path}  {_size(plan)}  {plan.files[0].compression}"
    if len(plan.files) > 1:
        source = f"{len(plan.files):,} files, {plan.files[0].path} to {plan.files[-1].path}  {_size(plan)}"
    shown = ", ".join(c.name for c in schema.features[:8])
    formats, shard_size = ", ".join(plan.options.formats), display.amount(estimates.shard_bytes, "bytes")
    rows = {
        "source": source,
        "label": f"{schema.label.name} ({schema.label_kind})",
        "features": f"{len(schema.features)}: {shown}" + (" …" if len(schema.features) > 8 else ""),  # noqa: PLR2004
        "others": ", ".join(extra),
        "split": f"{shares}  (seed {plan.options.identity.seed})",
        "expected": f"about {estimates.num_records:,} records in {estimates.num_ranges} byte ranges",
        "shards": f"{shards}  ({formats}, about {shard_size})",
        "workers": str(plan.memory.num_workers),
    }
    lines = [f"{name:<10}{value}" for name, value in rows.items() if value]
    lines.append("nothing was written: this was --dry-run")
    return "\n".join(lines)


def _size(plan: ConvertPlan) -> str:
    sizes = [file.num_bytes for file in plan.files]
    return "of unknown size" if min(sizes) < 0 else display.amount(sum(sizes), "bytes")


def _summary_json(summary: ConvertSummary) -> dict[str, Any]:
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
    }


def _num_shards(split: Split) -> int:
    """The number of shards, each counted once however many formats it has."""
    return len({Path(shard.path).stem for shard in split.shards})


def _summary_text(summary: ConvertSummary) -> str:
    manifest = summary.manifest
    lines = [f"{'split':<8}{'records':>14}{'shards':>8}{'size':>12}"]
    for name, split in manifest.splits.items():
        size = display.amount(sum(shard.bytes for shard in split.shards), "bytes")
        lines.append(f"{name:<8}{split.records:>14,}{_num_shards(split):>8}{size:>12}")
    counts = manifest.records
    lines.append(
        f"{counts.read:,} records read = {counts.written:,} written + {counts.rejected:,} rejected"
        + (f" ({counts.blank:,} blank lines)" if counts.blank else "")
    )
    lines += [f"warning: {warning}" for warning in manifest.warnings]
    lines.append(
        f"{summary.target} is ready after {summary.seconds:.1f} s; next: pipeline train {summary.target}"
    )
    return "\n".join(lines)
