"""The command `pipeline predict`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli import display
from pipeline.cli.manual import Manual
from pipeline.counted import counted

if TYPE_CHECKING:
    from pipeline.predict import PredictOptions, PredictSummary

CHOICE_BAD = click.Choice(["error", "skip"])
CHOICE_MISSING = click.Choice(["error", "drop", "mean"])
CHOICE_NONFINITE = click.Choice(["error", "drop"])


@click.command("predict", cls=Manual, short_help="Write what a model says of every row of a CSV.")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--keep", multiple=True, metavar="COL", help="Carry a column into the output (repeatable).")
@click.option(
    "--format",
    "table_format",
    type=click.Choice(["parquet", "csv"]),
    help="Format of the output.  [default: by its name]",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    metavar="N",
    default=4096,
    show_default=True,
    help="Records the model takes at a time; changes speed and memory alone.",
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "mixed_bfloat16"]),
    default="float32",
    show_default=True,
    help="What the hidden layers compute in. mixed_bfloat16: 2 to 3 digits, fast.",
)
@click.option("--no-header", is_flag=True, help="The first line is a record; columns are column_1, …")
@click.option("--delimiter", metavar="CHAR", help="What stands between fields; \\t for tabs.  [default: ,]")
@click.option("--on-bad-row", type=CHOICE_BAD, default="error", show_default=True, help="Unreadable rows.")
@click.option(
    "--max-rejects",
    type=click.IntRange(min=0),
    metavar="N",
    help="Give up beyond so many rows set aside.",
)
@click.option(
    "--on-missing", type=CHOICE_MISSING, default="error", show_default=True, help="Cells without a value."
)
@click.option(
    "--on-nonfinite", type=CHOICE_NONFINITE, default="error", show_default=True, help="Infinite values."
)
@click.option(
    "--memory",
    metavar="SIZE",
    default="1GiB",
    show_default=True,
    help="Memory the whole process may use.",
)
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Threads.  [default: all cores]")
@click.option("--overwrite", is_flag=True, help="Replace the output that is there.")
@click.option("--json", "as_json", is_flag=True, help="One JSON summary on standard output.")
@click.option("--quiet", is_flag=True, help="No progress, no summary.")
def predict_command(model: Path, sources: tuple[str, ...], output: Path, **given: Any) -> None:  # noqa: ANN401  # click's own call
    """Write what MODEL says of every row of the CSV SOURCE to OUTPUT, a .parquet or .csv.

    SOURCE is read as `pipeline convert` reads it: files, patterns, folders, URLs, or - for standard input, in
    bounded memory. Its columns may stand in any order; those that the model does not know are ignored, a
    label among them. OUTPUT has one row for each row of SOURCE, in its order: the kept columns, the
    prediction, and the probability of each class.

    \b
    Examples:
      pipeline predict model/ new.csv predictions.parquet
      pipeline predict model/ 'days/*.csv.gz' predictions.csv --keep event_id --on-missing mean
      pipeline predict model/ - predictions.csv --delimiter ';' < new.csv
    """  # noqa: D301  # \b is click's mark for a paragraph that is not rewrapped
    as_json, is_quiet = given.pop("as_json"), given.pop("quiet")
    # Both take a thread per core, once, when they are loaded. At least two of our threads ask the model.
    num_cores = given["workers"] or len(os.sched_getaffinity(0))
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, num_cores // 2)))
    if given["workers"]:
        os.environ.setdefault("POLARS_MAX_THREADS", str(given["workers"]))
    options = _options(given)
    from pipeline.predict import predict  # noqa: PLC0415  # loads Polars, pyarrow and TensorFlow
    from pipeline.source.listing import list_sources  # noqa: PLC0415

    quiet = is_quiet or as_json
    origin = list_sources(sources)
    summary = predict(model, origin, output, options, progress=display.choose(quiet=quiet))
    if as_json:
        click.echo(json.dumps(_summary_json(summary)))
    elif not quiet:
        click.echo(_summary_text(summary))


def _options(given: dict[str, Any]) -> PredictOptions:
    from pipeline.plan import parse_size  # noqa: PLC0415  # loads NumPy
    from pipeline.predict import PredictOptions  # noqa: PLC0415

    delimiter = given.pop("delimiter")
    return PredictOptions(
        delimiter="\t" if delimiter in {"\\t", "tab"} else delimiter,
        has_header=not given.pop("no_header"),
        memory_bytes=parse_size(given.pop("memory")),
        num_workers=given.pop("workers"),
        **given,
    )


def _summary_json(summary: PredictSummary) -> dict[str, Any]:
    return {
        "output": str(summary.output),
        "format": summary.table_format,
        "records": {
            "read": summary.num_read,
            "written": summary.num_written,
            "rejected": summary.num_rejected,
            "blank": summary.num_blank,
        },
        "warnings": list(summary.warnings),
        "seconds": round(summary.seconds, 3),
    }


def _summary_text(summary: PredictSummary) -> str:
    lines = [
        f"{counted(summary.num_read, 'record')} read = {summary.num_written:,} written + "
        f"{summary.num_rejected:,} rejected"
        + (f" ({summary.num_blank:,} blank lines)" if summary.num_blank else "")
    ]
    lines += [f"warning: {display.escape(warning)}" for warning in summary.warnings]
    rate = summary.num_written / max(summary.seconds, 1e-6)
    lines.append(f"{summary.output} is ready after {summary.seconds:.1f} s ({rate:,.0f} records/s)")
    return "\n".join(lines)
