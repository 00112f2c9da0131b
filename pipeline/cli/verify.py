"""The command `pipeline verify`."""

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
    from pipeline.verify import VerifySummary


@click.command("verify", cls=Manual, short_help="Read every byte of a dataset and say what is damaged.")
@click.argument("shards", type=click.Path(path_type=Path))
@click.option("--workers", type=click.IntRange(min=1), metavar="N", help="Threads.  [default: all cores]")
@click.option("--json", "as_json", is_flag=True, help="One JSON summary on standard output.")
@click.option("--quiet", is_flag=True, help="No progress, no summary.")
def verify_command(shards: Path, *, workers: int | None, as_json: bool, quiet: bool) -> None:
    """Check every byte and every record of the dataset SHARDS against its manifest.

    Names every shard that is missing, cut or damaged, down to a single bit; the status is 4 if there is one.

    \b
    Examples:
      pipeline verify shards/
      pipeline verify shards/ --json > faults.json
    """  # noqa: D301  # \b is click's mark for a paragraph that is not rewrapped
    from pipeline.verify import verify  # noqa: PLC0415  # loads NumPy and pyarrow

    num_workers = workers or len(os.sched_getaffinity(0))
    summary = verify(shards, num_workers=num_workers, progress=display.choose(quiet=quiet or as_json))
    if as_json:
        click.echo(json.dumps(_as_json(summary)))
    elif not quiet:
        for note in summary.notes:
            click.echo(f"note: {display.escape(note)}")
        if not summary.faults:
            click.echo(f"{shards} is whole: {_counts(summary)}")
    if summary.faults:
        for fault in summary.faults[:-1]:
            click.echo(f"error[{fault.code}] {display.escape(str(fault))}", err=True)
        raise summary.faults[-1]


def _as_json(summary: VerifySummary) -> dict[str, Any]:
    return {
        "shards": summary.num_shards,
        "bytes": summary.num_bytes,
        "records": summary.num_records,
        "faults": [
            {"code": f.code, "path": f.path, "column": f.column, "message": f.message} for f in summary.faults
        ],
        "notes": list(summary.notes),
        "seconds": round(summary.seconds, 3),
    }


def _counts(summary: VerifySummary) -> str:
    size, rate = summary.num_bytes, summary.num_bytes / max(summary.seconds, 1e-6)
    amounts = f"{display.amount(size, 'bytes')} ({display.amount(rate, 'bytes')}/s)"
    return f"{counted(summary.num_records, 'record')} in {counted(summary.num_shards, 'shard')}, {amounts}"
