"""The command `pipeline convert`."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Literal

import click

from pipeline.cli import convert_page, display
from pipeline.cli.manual import Manual, complete_column, complete_path

if TYPE_CHECKING:
    from pipeline.plan import ConvertOptions, ShardFormat
    from pipeline.splitting.rule import SplitRule

DEFAULT_SPLIT = "0.8,0.1,0.1"
CHOICE_BAD = click.Choice(["error", "skip"])
CHOICE_MISSING = click.Choice(["error", "drop", "mean"])
CHOICE_NONFINITE = click.Choice(["error", "drop"])


@click.command(
    "convert", cls=Manual, short_help="Turn a CSV into standardized, shuffled, exactly split shards."
)
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...", shell_complete=complete_path)
@click.argument("shards", shell_complete=complete_path)
@click.option(
    "--label",
    metavar="NAME",
    shell_complete=complete_column,
    help="The label column.  [default: 'label' or 'target']",
)
@click.option(
    "--label-kind",
    type=click.Choice(["auto", "classes", "number"]),
    default="auto",
    show_default=True,
    help="Whether labels are classes or a quantity; auto looks at the first ones.",
)
@click.option(
    "--weight",
    metavar="COL",
    shell_complete=complete_column,
    help="A column of record weights; not a feature.",
)
@click.option(
    "--drop",
    multiple=True,
    metavar="COL",
    shell_complete=complete_column,
    help="Leave a column out (repeatable).",
)
@click.option(
    "--keep",
    multiple=True,
    metavar="COL",
    shell_complete=complete_column,
    help="Carry a column through, unused (repeatable).",
)
@click.option(
    "--categorical",
    multiple=True,
    metavar="COL",
    shell_complete=complete_column,
    help="A feature of few different values, words or codes (repeatable).",
)
@click.option(
    "--datetime",
    multiple=True,
    metavar="COL",
    shell_complete=complete_column,
    help="A feature of dates or times, ISO 8601: seconds since 1970 (repeatable).",
)
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["parquet", "tfrecord"]),
    default=("parquet",),
    show_default=True,
    help="Format of the shards (repeatable).",
)
@click.option("--split", metavar="A,B,C", help="Shares of train, val and test.  [default: 0.8,0.1,0.1]")
@click.option("--stratify", is_flag=True, help="Give every class of the label the same shares.")
@click.option(
    "--group-by",
    metavar="COL",
    shell_complete=complete_column,
    help="Keep all records that are equal in a column in one split.",
)
@click.option(
    "--split-by",
    metavar="COL",
    shell_complete=complete_column,
    help="Split as a column says: train, val or test.",
)
@click.option(
    "--time-split",
    metavar="COL",
    shell_complete=complete_column,
    help="The earliest records by a column are train, the latest test.",
)
@click.option("--seed", type=int, metavar="N", default=42, show_default=True, help="Decides split and order.")
@click.option(
    "--shard-size", metavar="SIZE", default="64MiB", show_default=True, help="Size a shard should have."
)
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
@click.option(
    "--max-rejects", type=click.IntRange(min=0), metavar="N", help="Give up beyond so many rows set aside."
)
@click.option(
    "--on-missing", type=CHOICE_MISSING, default="error", show_default=True, help="Cells without a value."
)
@click.option(
    "--on-nonfinite", type=CHOICE_NONFINITE, default="error", show_default=True, help="Infinite values."
)
@click.option(
    "--memory", metavar="SIZE", default="1GiB", show_default=True, help="Memory that each process may use."
)
@click.option(
    "--workers", type=click.IntRange(min=1), metavar="N", help="Threads, or processes.  [default: all cores]"
)
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
      pipeline convert rides.csv shards/ --categorical city --datetime started --on-missing mean
      pipeline convert table.tsv shards/ --delimiter '\\t' --no-header --label column_1
    """  # noqa: D301  # \b is click's mark for a paragraph that is not rewrapped
    if given["workers"]:
        # Polars takes a thread per core, once, when it is loaded.
        os.environ.setdefault("POLARS_MAX_THREADS", str(given["workers"]))
    # Nothing here multiplies matrices, and idle threads of the library that could would spin for a while.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    if given["engine"] == "dask" and not given["scheduler"] and not given["dry_run"]:
        from pipeline.engine.clusters import load_ahead  # noqa: PLC0415

        load_ahead("pipeline.convert.cluster_tasks")  # while this process loads its own part
    options = _options(given)
    from pipeline.convert import convert, make_plan  # noqa: PLC0415  # loads pyarrow
    from pipeline.convert.memory import settle_process  # noqa: PLC0415
    from pipeline.source.listing import list_sources  # noqa: PLC0415
    from pipeline.storage.paths import locate  # noqa: PLC0415

    settle_process()

    origin, target = list_sources(sources), locate(shards)
    if given["dry_run"]:
        from pipeline.convert.rehearsal import rehearse  # noqa: PLC0415

        plan = make_plan(origin, options)
        rehearsal = rehearse(plan)
        if given["as_json"]:
            click.echo(json.dumps(convert_page.plan_json(plan, rehearsal), indent=2))
        else:
            convert_page.plan_page(plan, target, rehearsal).show()
        return
    quiet = given["quiet"] or given["as_json"]
    summary = convert(origin, target, options, progress=display.choose(quiet=quiet))
    if given["as_json"]:
        click.echo(json.dumps(convert_page.summary_json(summary)))
    elif not quiet:
        convert_page.summary_page(summary, options.memory_bytes).show()


def _rule(given: dict[str, Any]) -> SplitRule:
    from pipeline.errors import OptionError  # noqa: PLC0415
    from pipeline.splitting.rule import rule_of  # noqa: PLC0415

    if given["split_by"] and given["split"]:
        raise OptionError("--split has no meaning where --split-by names a column that says it")
    return rule_of(**{name: given[name] for name in ("stratify", "group_by", "split_by", "time_split")})


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
            split=parse_split(given["split"] or DEFAULT_SPLIT),
            rule=_rule(given),
            standardize=given["standardize"],
            shard_bytes=parse_size(given["shard_size"]),
            compression=compression,
            on_bad_row=given["on_bad_row"],
            on_missing=given["on_missing"],
            on_nonfinite=given["on_nonfinite"],
        ),
        roles=RoleOptions(
            label=given["label"],
            weight=given["weight"],
            drop=given["drop"],
            keep=given["keep"],
            categorical=given["categorical"],
            datetime=given["datetime"],
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
