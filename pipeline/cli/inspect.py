"""The command `pipeline inspect`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from pipeline.cli import dataset_page, source_page
from pipeline.cli.manual import Manual, complete_column, complete_path
from pipeline.errors import OptionError

if TYPE_CHECKING:
    from collections.abc import Sequence

# Repeated here because importing the module that owns them would load more than `--help` needs;
# tests/unit/test_inspect.py holds the two together.
CODE = [
    "tensorflow",
    "tfrecord",
    "pytorch",
    "numpy",
    "polars",
    "duckdb",
    "huggingface",
    "pandas",
    "dask",
    "pyarrow",
    "scikit-learn",
]


@click.command("inspect", cls=Manual, short_help="Look at a CSV before converting it, or at a dataset.")
@click.argument("what", nargs=-1, required=True, metavar="SHARDS|SOURCE...", shell_complete=complete_path)
@click.option(
    "--label",
    metavar="NAME",
    shell_complete=complete_column,
    help="Of a source: the label column.  [default: found out]",
)
@click.option("--delimiter", metavar="CHAR", help="Of a source: between fields.  [default: found out]")
@click.option("--header/--no-header", default=None, help="Of a source: the first line.  [default: found out]")
@click.option(
    "--code", type=click.Choice(CODE), help="Of a dataset: print this reading code and nothing else."
)
@click.option("--all", "show_all", is_flag=True, help="Show all columns, however many.")
@click.option("--json", "as_json", is_flag=True, help="Everything as one JSON object.")
def inspect_command(
    what: tuple[str, ...],
    *,
    label: str | None,
    delimiter: str | None,
    header: bool | None,
    code: str | None,
    show_all: bool,
    as_json: bool,
) -> None:
    """Look at CSV files SOURCE... before they are converted, or at the dataset SHARDS.

    Of a source: dialect, columns, first rows, expected records, what is suspicious, and the `convert` command
    that would do. Reads the first mebibyte. Files, patterns, folders and addresses as for `convert`.

    Of a dataset: splits, label shares, columns with their moments, options, where it came from, rejects, and
    code that reads it, ready to paste.

    \b
    Examples:
      pipeline inspect raw.csv
      pipeline inspect 'days/*.csv.gz' --label signal
      pipeline inspect shards/
      pipeline inspect shards/ --code polars > read.py
    """  # noqa: D301  # \b is click's mark for a paragraph that is not rewrapped
    from pipeline.inspect import inspect_dataset, inspect_source, is_dataset  # noqa: PLC0415  # loads NumPy

    if len(what) == 1 and what[0] != "-" and is_dataset(what[0]):
        report = inspect_dataset(what[0])
        if code:
            click.echo(_chosen(code, {piece.name: piece.code for piece in report.code}), nl=False)
        elif as_json:
            click.echo(json.dumps(dataset_page.dataset_json(report), indent=2))
        else:
            dataset_page.dataset_page(report, show_all=show_all).show()
        return
    if code:
        raise OptionError("--code is for datasets", path=what[0], hint="convert the source first")
    found = inspect_source(
        what,
        delimiter="\t" if delimiter in {"\\t", "tab"} else delimiter,
        has_header=header,
        label=label,
    )
    if as_json:
        click.echo(json.dumps(source_page.source_json(found), indent=2))
    else:
        source_page.source_page(found, what, show_all=show_all).show()


def _chosen(name: str, code: dict[str, str]) -> str:
    if name not in code:
        raise OptionError(
            f"--code {name}: the dataset has no shards of that format", hint=_listing(list(code))
        )
    return code[name]


def _listing(names: Sequence[str]) -> str:
    return f"there is code for {', '.join(names)}"
