"""The commands `pipeline fetch simulated` and `pipeline fetch hepmass`."""

from __future__ import annotations

import dataclasses
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pipeline.cli import display
from pipeline.cli.manual import ManualGroup

if TYPE_CHECKING:
    from pipeline.fetch import FetchSummary


@click.group(
    "fetch", cls=ManualGroup, short_help="Get sample data: simulated collisions, or the real HEPMASS."
)
def fetch_group() -> None:
    """Get data to work with: simulated collisions, or the real HEPMASS.

    \b
    Examples:
      pipeline fetch simulated raw.csv --rows 1000000
      pipeline fetch hepmass data/
    """  # noqa: D301  # \b is click's mark for a paragraph that is not rewrapped


@fetch_group.command("simulated", short_help="Write simulated collisions in the format of HEPMASS.")
@click.argument("dest", type=click.Path(path_type=Path))
@click.option(
    "--rows", type=click.IntRange(min=1), metavar="N", default=200_000, show_default=True, help="Records."
)
@click.option(
    "--seed", type=click.IntRange(min=0), metavar="N", default=42, show_default=True, help="Which data."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON summary on standard output.")
@click.option("--quiet", is_flag=True, help="No progress, no summary.")
def simulated(dest: Path, *, rows: int, seed: int, as_json: bool, quiet: bool) -> None:
    """Write simulated collision events to the file DEST, in the text format of HEPMASS.

    The same rows and seed give the same bytes. A DEST that ends in .gz is compressed.

    \b
    Examples:
      pipeline fetch simulated raw.csv --rows 1000000
      pipeline fetch simulated another.csv.gz --seed 7
    """  # noqa: D301  # \b is click's mark for a paragraph that is not rewrapped
    from pipeline.fetch import fetch_simulated  # noqa: PLC0415  # loads NumPy

    bars = display.choose(quiet=quiet or as_json)
    _print(fetch_simulated(dest, num_records=rows, seed=seed, progress=bars), as_json=as_json, quiet=quiet)


@fetch_group.command("hepmass", short_help="Download the real HEPMASS, and check it.")
@click.argument("dest", type=click.Path(path_type=Path))
@click.option(
    "--part",
    type=click.Choice(["train", "test"]),
    default="train",
    show_default=True,
    help="7,000,000 events for training (1.8 GB) or 3,500,000 for the test (0.9 GB).",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON summary on standard output.")
@click.option("--quiet", is_flag=True, help="No progress, no summary.")
def hepmass(dest: Path, *, part: str, as_json: bool, quiet: bool) -> None:
    """Download the real HEPMASS data to DEST (a file or a folder) and check them.

    A download that broke off continues where it was.

    \b
    Examples:
      pipeline fetch hepmass data/
      pipeline fetch hepmass data/ --part test
    """  # noqa: D301  # \b is click's mark for a paragraph that is not rewrapped
    from pipeline.fetch import fetch_hepmass  # noqa: PLC0415

    bars = display.choose(quiet=quiet or as_json)
    _print(fetch_hepmass(dest, part=part, progress=bars), as_json=as_json, quiet=quiet)


def _print(summary: FetchSummary, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        click.echo(json.dumps(dataclasses.asdict(summary), default=str))
    elif not quiet:
        click.echo(f"{summary.path}: {display.amount(summary.num_bytes, 'bytes')}")
        click.echo(f"next: pipeline convert {shlex.quote(str(summary.path))} shards/")
