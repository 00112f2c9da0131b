"""The command `pipeline report`."""

from __future__ import annotations

from pathlib import Path

import click

from pipeline.cli import display
from pipeline.cli.manual import Manual


@click.command("report", cls=Manual, short_help="One HTML page about a dataset or a model.")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The page to write.  [default: report.html; of a model: model-report.html]",
)
@click.option(
    "--evaluation",
    type=click.Path(path_type=Path),
    help="For a model: the folder that `pipeline evaluate` wrote, with curves, confusion and slices.",
)
@click.option("--overwrite", is_flag=True, help="Replace the page that is there.")
@click.option("--quiet", is_flag=True, help="No progress, no summary.")
def report_command(
    path: Path, output: Path | None, evaluation: Path | None, *, overwrite: bool, quiet: bool
) -> None:
    """Write one HTML page about PATH, a dataset or a model; it needs no network and no other file.

    Of a dataset: the records, every column by split and label, correlations, and whether the shuffle and the
    split are what chance would make. Of a model: its epochs, and with --evaluation its curves and slices.

    \b
    Examples:
      pipeline report shards/
      pipeline report model/ --evaluation evaluation/
      pipeline report shards/ -o pages/monday.html --overwrite
    """  # noqa: D301  # \b is click's mark for a paragraph that is not rewrapped
    from pipeline.errors import OptionError  # noqa: PLC0415
    from pipeline.models.description import DESCRIPTION_NAME  # noqa: PLC0415
    from pipeline.report import report_dataset, report_model  # noqa: PLC0415  # loads NumPy and pyarrow

    is_model = (path / DESCRIPTION_NAME).exists()
    output = output or Path("model-report.html" if is_model else "report.html")
    if is_model:
        report_model(path, output, evaluation=evaluation, overwrite=overwrite)
    elif evaluation is not None:
        raise OptionError("--evaluation is for a model", path=str(path), hint="name the model's folder")
    else:
        report_dataset(path, output, overwrite=overwrite, progress=display.choose(quiet=quiet))
    if not quiet:
        click.echo(f"{output} is ready: open it in a browser")
