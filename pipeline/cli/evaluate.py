"""The command `pipeline evaluate`."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli import display
from pipeline.cli.manual import Manual

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pipeline.evaluate import EvaluateSummary
    from pipeline.evaluate.importance import Importance

NUM_COLUMNS = 5
# What is shown of the figures, as far as they are there, and under which name.
SHOWN = {
    "records": "records",
    "loss": "loss",
    "accuracy": "accuracy",
    "auc": "AUC",
    "average_precision": "avg. precision",
    "calibration_error": "calibration error",
    "mae": "MAE",
    "rmse": "RMSE",
    "r2": "R²",
}


@click.command("evaluate", cls=Manual, short_help="Judge a model on a split of a dataset, also by slices.")
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("shards", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("evaluation"),
    show_default=True,
    help="Folder for metrics, tables and plots.",
)
@click.option(
    "--split",
    type=click.Choice(["train", "val", "test"]),
    default="test",
    show_default=True,
    help="The records to judge the model on.",
)
@click.option(
    "--slice",
    "slices",
    multiple=True,
    metavar="COL",
    help="Figures for each value of a feature or kept column, too (repeatable).",
)
@click.option(
    "--importance",
    type=click.IntRange(min=0),
    metavar="N",
    help="Permute each column over N records, to see what it is worth; 0: none.  [default: up to 10000]",
)
@click.option(
    "--batch-size",
    type=click.IntRange(min=1),
    metavar="N",
    default=8192,
    show_default=True,
    help="Records at a time; changes speed and memory alone.",
)
@click.option(
    "--precision",
    type=click.Choice(["float32", "mixed_bfloat16"]),
    default="float32",
    show_default=True,
    help="What the hidden layers compute in.",
)
@click.option(
    "--format",
    "shard_format",
    type=click.Choice(["parquet", "tfrecord"]),
    help="Which shards to read.  [default: those that are there]",
)
@click.option("--overwrite", is_flag=True, help="Replace the evaluation that is there.")
@click.option("--json", "as_json", is_flag=True, help="One JSON summary on standard output.")
@click.option("--quiet", is_flag=True, help="No progress, no summary.")
def evaluate_command(model: Path, shards: Path, output: Path, **given: Any) -> None:  # noqa: ANN401  # click's own call
    """Judge the MODEL that `pipeline train` made on the dataset SHARDS.

    Loss, accuracy, exact AUC, precision-recall, calibration and confusion for classes; errors, R² and
    residuals for a number; and what each column is worth, found by permuting it. As JSON, for `dvc metrics`
    and `dvc plots`, and as PNG.

    \b
    Examples:
      pipeline evaluate model/ shards/
      pipeline evaluate model/ shards/ --slice mass -o by-mass/
      pipeline evaluate model/ shards/ --split val --json > figures.json
    """  # noqa: D301  # \b is click's mark for a paragraph that is not rewrapped
    as_json, is_quiet = given.pop("as_json"), given.pop("quiet")
    from pipeline.evaluate import EvaluateOptions, evaluate  # noqa: PLC0415  # loads NumPy and more

    options = EvaluateOptions(**given)
    quiet = is_quiet or as_json
    summary = evaluate(model, shards, output, options, progress=display.choose(quiet=quiet))
    if as_json:
        click.echo(json.dumps(_summary_json(summary)))
    elif not quiet:
        click.echo(_summary_text(summary))
        made = shlex.join([str(model), "--evaluation", str(output)])
        click.echo(f"next: pipeline report {made}")


def _summary_json(summary: EvaluateSummary) -> dict[str, Any]:
    slices: dict[str, dict[str, Any]] = {}
    for one in summary.slices:
        slices.setdefault(one.column, {})[one.name] = one.figures
    return {
        "output": str(summary.output),
        "split": summary.split,
        "metrics": summary.figures,
        "slices": slices,
        "importance": {one.column: one.drop for one in summary.importance},
        "warnings": list(summary.warnings),
        "seconds": round(summary.seconds, 3),
    }


def _summary_text(summary: EvaluateSummary) -> str:
    shown = {name: max(len(title), 10) + 2 for name, title in SHOWN.items() if name in summary.figures}
    rows = [(summary.split, summary.figures)]
    rows += [(display.escape(f"{one.column} {one.name}"), one.figures) for one in summary.slices]
    width = max(len(name) for name, _ in rows)
    lines = [" " * width + "".join(f"{SHOWN[name]:>{room}}" for name, room in shown.items())]
    lines += [
        f"{name:<{width}}" + "".join(f"{_cell(figures[n]):>{room}}" for n, room in shown.items())
        for name, figures in rows
    ]
    if summary.importance:
        lines.append(_importance_text(summary.importance))
    lines += [f"warning: {warning}" for warning in summary.warnings]
    lines.append(f"{summary.output} is ready after {summary.seconds:.1f} s")
    return "\n".join(lines)


def _importance_text(found: Sequence[Importance]) -> str:
    first = ", ".join(f"{display.escape(one.column)} {one.drop:.3g}" for one in found[:NUM_COLUMNS])
    return f"worth most, by the drop in {SHOWN[found[0].metric]} when permuted: {first}"


def _cell(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:.5g}"
