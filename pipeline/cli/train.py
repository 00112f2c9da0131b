"""The command `pipeline train`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli import display

if TYPE_CHECKING:
    from pipeline.train import TrainOptions, TrainSummary

# The names are repeated here because importing the module that owns them would load NumPy for `--help`;
# tests/unit/test_cli.py holds the two together.
ACTIVATIONS = ["relu", "elu", "selu", "gelu", "silu", "mish", "leaky_relu", "tanh", "sigmoid", "softplus"]
OPTIMIZERS = ["adam", "adamw", "adamax", "nadam", "lion", "rmsprop", "sgd", "adagrad", "adadelta"]


@click.command("train", short_help="Train a network on shards; the model takes raw rows.")
@click.argument("shards", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("model"),
    show_default=True,
    help="Folder for the model, its history, metrics and plots.",
)
@click.option(
    "--layers", default="500,400,300,200,100", show_default=True, help="Units of the hidden layers."
)
@click.option("--activation", type=click.Choice(ACTIVATIONS), default="relu", show_default=True)
@click.option("--batch-norm/--no-batch-norm", default=True, show_default=True, help="Batch normalization.")
@click.option("--dropout", type=float, default=0.0, show_default=True, help="Share of units left out.")
@click.option("--optimizer", type=click.Choice(OPTIMIZERS), default="adam", show_default=True)
@click.option("--learning-rate", type=float, default=1e-3, show_default=True)
@click.option("--batch-size", type=int, default=1024, show_default=True, help="Records per step.")
@click.option("--epochs", type=int, default=30, show_default=True, help="At most so many epochs.")
@click.option(
    "--patience",
    type=int,
    default=3,
    show_default=True,
    help="Stop after so many epochs without a better validation loss; 0: never.",
)
@click.option("--seed", type=int, default=42, show_default=True, help="Decides first weights and order.")
@click.option(
    "--format",
    "shard_format",
    type=click.Choice(["parquet", "tfrecord"]),
    help="Which shards to read.  [default: those that are there]",
)
@click.option("--jit", is_flag=True, help="Compile the network with XLA.")
@click.option("--deterministic", is_flag=True, help="The same weights in every run, more slowly.")
@click.option(
    "--checkpoint-every",
    default="60s",
    show_default=True,
    metavar="INTERVAL",
    help="How often to remember where it stands: 500 (batches), 60s, 5min, 1h or epoch.",
)
@click.option("--overwrite", is_flag=True, help="Replace the model that is there.")
@click.option("--json", "as_json", is_flag=True, help="One JSON summary on standard output.")
@click.option("--quiet", is_flag=True, help="No progress, no summary.")
def train_command(shards: Path, output: Path, **given: Any) -> None:  # noqa: ANN401  # click's own call
    """Train a network on the dataset SHARDS and judge it on the test split.

    Two classes end in a sigmoid, more in a softmax, a number in a linear unit. The best epoch's weights are
    kept. The saved model.keras takes raw rows: it standardizes them itself, in float64.

    \b
    Examples:
      pipeline train shards/ -o model/
      pipeline train shards/ --layers 64,32 --optimizer adamw --epochs 100 --patience 10
    """  # noqa: D301  # \b is click's mark for a paragraph that is not rewrapped
    as_json, is_quiet = given.pop("as_json"), given.pop("quiet")
    options = _options(given)
    from pipeline.train import train  # noqa: PLC0415  # loads NumPy and more

    quiet = is_quiet or as_json
    summary = train(shards, output, options, progress=display.choose(quiet=quiet))
    if as_json:
        click.echo(json.dumps(_summary_json(summary)))
    elif not quiet:
        click.echo(_summary_text(summary))


def _options(given: dict[str, Any]) -> TrainOptions:
    from pipeline.train import TrainOptions, parse_interval, parse_layers  # noqa: PLC0415

    layers, interval = parse_layers(given.pop("layers")), parse_interval(given.pop("checkpoint_every"))
    return TrainOptions(layers=layers, checkpoint_every=interval, **given)


def _summary_json(summary: TrainSummary) -> dict[str, Any]:
    return {
        "output": str(summary.output),
        "split": summary.split,
        "metrics": dataclasses.asdict(summary.metrics),
        "epochs": len(summary.history),
        "best_epoch": summary.best_epoch,
        "parameters": summary.num_parameters,
        "warnings": list(summary.warnings),
        "seconds": round(summary.seconds, 3),
    }


def _summary_text(summary: TrainSummary) -> str:
    num_epochs, best, size = len(summary.history), summary.best_epoch, summary.num_parameters
    lines = [
        f"{num_epochs} epochs, the best was {best}; {size:,} parameters",
        f"on the {summary.split} split:",
    ]
    for name, value in dataclasses.asdict(summary.metrics).items():
        if isinstance(value, int):
            lines.append(f"  {name:<16}{value:>12,}")
        elif isinstance(value, float):
            lines.append(f"  {name:<16}{value:>12.4f}")
    lines += [f"warning: {warning}" for warning in summary.warnings]
    lines.append(f"{summary.output} is ready after {summary.seconds:.1f} s")
    return "\n".join(lines)
