"""The command `pipeline train`."""

from __future__ import annotations

import dataclasses
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli import display
from pipeline.cli.manual import Manual

if TYPE_CHECKING:
    from pipeline.train import TrainOptions, TrainSummary

# The names are repeated here because importing the module that owns them would load NumPy for `--help`;
# tests/unit/test_train_command.py holds the two together.
MODELS = ["dense", "resnet"]
ACTIVATIONS = ["relu", "elu", "selu", "gelu", "silu", "mish", "leaky_relu", "tanh", "sigmoid", "softplus"]
OPTIMIZERS = ["adam", "adamw", "adamax", "nadam", "lion", "rmsprop", "sgd", "adagrad", "adadelta"]
SCHEDULES = ["constant", "cosine"]
CLASS_WEIGHTS = ["none", "balanced"]
PRECISIONS = ["float32", "mixed_bfloat16", "mixed_float16"]
STRATEGIES = ["none", "mirrored", "multiworker"]


def _by_model(dense: object, resnet: object, text: str) -> str:
    """Return a help text with the defaults of both networks."""
    return f"{text}  [default: {dense}; resnet: {resnet}]"


@click.command("train", cls=Manual, short_help="Train a network on shards; the model takes raw rows.")
@click.argument("shards", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("model"),
    show_default=True,
    help="Folder for the model, its history, metrics and plots.",
)
@click.option("--model", type=click.Choice(MODELS), default="dense", show_default=True, help="Which network.")
@click.option(
    "--layers",
    metavar="N,N,…",
    help=_by_model("500,400,300,200,100", "64,64", "Units of the hidden layers, or in each block."),
)
@click.option(
    "--members",
    type=int,
    metavar="N",
    default=16,
    show_default=True,
    help="Networks side by side, averaged (resnet).",
)
@click.option(
    "--activation", type=click.Choice(ACTIVATIONS), help=_by_model("relu", "silu", "What follows a layer.")
)
@click.option(
    "--batch-norm/--no-batch-norm", default=True, show_default=True, help="Batch normalization (dense)."
)
@click.option("--dropout", type=float, metavar="SHARE", help=_by_model(0.0, 0.3, "Share of units left out."))
@click.option(
    "--optimizer", type=click.Choice(OPTIMIZERS), help=_by_model("adam", "adamw", "What changes the weights.")
)
@click.option(
    "--learning-rate", type=float, metavar="RATE", help=_by_model(0.001, 0.004, "Its greatest value.")
)
@click.option(
    "--schedule",
    type=click.Choice(SCHEDULES),
    help=_by_model("constant", "cosine", "The learning rate over all epochs; cosine ends at 0."),
)
@click.option(
    "--warmup",
    type=float,
    metavar="SHARE|STEPS",
    help=_by_model(
        0, 0.05, "Steps over which the learning rate rises: 0.05 is a twentieth of all, 500 so many."
    ),
)
@click.option(
    "--weight-decay",
    type=float,
    metavar="SHARE",
    help=_by_model("0.004 for adamw, else 0", 0.01, "By how much weights shrink, times the learning rate."),
)
@click.option(
    "--label-smoothing",
    type=float,
    metavar="SHARE",
    default=0.0,
    show_default=True,
    help="Share of a record's label that is spread over all classes.",
)
@click.option(
    "--class-weight",
    type=click.Choice(CLASS_WEIGHTS),
    default="none",
    show_default=True,
    help="balanced: classes count alike, however many records they have.",
)
@click.option(
    "--batch-size", type=int, metavar="N", help=_by_model(1024, 256, "Records per step, over all workers.")
)
@click.option("--epochs", type=int, metavar="N", help=_by_model(30, 25, "At most so many epochs."))
@click.option(
    "--patience",
    type=int,
    metavar="N",
    help=_by_model(3, 0, "Stop after so many epochs without a better validation loss; 0: never."),
)
@click.option(
    "--seed", type=int, metavar="N", default=42, show_default=True, help="Decides first weights and order."
)
@click.option(
    "--format",
    "shard_format",
    type=click.Choice(["parquet", "tfrecord"]),
    help="Which shards to read.  [default: those that are there]",
)
@click.option(
    "--precision",
    type=click.Choice(PRECISIONS),
    default="float32",
    show_default=True,
    help="What the hidden layers compute in; weights stay float32.",
)
@click.option(
    "--jit/--no-jit",
    default=None,
    help="Compile the network with XLA.  [default: from 5 million records on, over all epochs]",
)
@click.option(
    "--steps-per-execution",
    default="auto",
    show_default=True,
    metavar="auto|N",
    help="Steps between two looks at the loss.",
)
@click.option("--deterministic", is_flag=True, help="The same weights in every run, more slowly.")
@click.option(
    "--strategy",
    type=click.Choice(STRATEGIES),
    default="none",
    show_default=True,
    help="Train on all GPUs of this machine (mirrored), or with the workers in TF_CONFIG (multiworker).",
)
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
      pipeline train shards/ --model resnet
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
        click.echo(_summary_text(summary, shards))


def _options(given: dict[str, Any]) -> TrainOptions:
    from pipeline.train import default_options, parse_interval, parse_layers, parse_steps  # noqa: PLC0415

    chosen = {name: value for name, value in given.items() if value is not None}
    for name, parse in (
        ("layers", parse_layers),
        ("steps_per_execution", parse_steps),
        ("checkpoint_every", parse_interval),
    ):
        if name in chosen:
            chosen[name] = parse(chosen[name])
    return dataclasses.replace(default_options(given["model"]), **chosen)


def _summary_json(summary: TrainSummary) -> dict[str, Any]:
    return {
        "output": str(summary.output),
        "split": summary.split,
        "metrics": dataclasses.asdict(summary.metrics),
        "epochs": len(summary.history),
        "best_epoch": summary.best_epoch,
        "history": [dataclasses.asdict(record) for record in summary.history],
        "rank": summary.rank,
        "world_size": summary.world_size,
        "parameters": summary.num_parameters,
        "warnings": list(summary.warnings),
        "seconds": round(summary.seconds, 3),
    }


def _summary_text(summary: TrainSummary, shards: Path) -> str:
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
    written = f"{summary.output} is ready" if summary.rank == 0 else "worker 0 writes the model; ready"
    lines.append(f"{written} after {summary.seconds:.1f} s")
    if summary.rank == 0:
        model, dataset = shlex.quote(str(summary.output)), shlex.quote(str(shards))
        lines.append(f"next: pipeline evaluate {model} {dataset}, or pipeline predict {model} CSV OUTPUT")
    return "\n".join(lines)
