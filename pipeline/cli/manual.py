"""Owns what `--help` looks like: options by what they are about, then the exit statuses; and completion.

Neighbours: every command is a `Manual`; docs/cli.md is made of the same texts.
"""

from __future__ import annotations

import csv
import gzip
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# What the options of all commands are about, in the order in which they are told.
# fmt: off
SECTIONS: dict[str, tuple[str, ...]] = {
    "Columns": (
        "label", "label_kind", "weight", "drop", "keep", "categorical", "datetime", "slices", "importance",
    ),
    "Source": ("delimiter", "header", "no_header", "on_bad_row", "max_rejects", "on_missing", "on_nonfinite"),
    "Dataset": (
        "formats", "split", "stratify", "group_by", "split_by", "time_split", "part", "rows", "seed",
        "shard_size", "compression", "standardize", "shard_format",
    ),
    "Network": ("model", "layers", "members", "activation", "batch_norm", "dropout"),
    "Training": (
        "optimizer", "learning_rate", "schedule", "warmup", "weight_decay", "label_smoothing", "class_weight",
        "batch_size", "epochs", "patience", "checkpoint_every",
    ),
    "Machine": (
        "memory", "workers", "batch_size", "engine", "scheduler", "performance_report", "precision", "jit",
        "steps_per_execution", "deterministic", "strategy",
    ),
    "Output": (
        "output", "table_format", "evaluation", "code", "show_all", "overwrite", "dry_run", "as_json",
        "quiet", "help",
    ),
}
# fmt: on
STATUSES = (
    "0 done; 2 the command line; 3 the source; 4 a dataset or a model; 5 the machine; 6 busy; "
    "130 interrupted. What went wrong is told on standard error, with a code: see docs/errors.md."
)
COMPLETION = [
    ("in ~/.bashrc", 'eval "$(_PIPELINE_COMPLETE=bash_source pipeline)"'),
    ("in ~/.zshrc", 'eval "$(_PIPELINE_COMPLETE=zsh_source pipeline)"'),
    ("in config.fish", "_PIPELINE_COMPLETE=fish_source pipeline | source"),
]
HEAD_BYTES = 1 << 16  # of a source, to complete the names of its columns
GZIP_MAGIC = b"\x1f\x8b"


class Manual(click.Command):
    """A command whose help tells its options by what they are about."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, section by section."""
        for heading, parameters in by_section(self.get_params(ctx)):
            records = [record for p in parameters if (record := p.get_help_record(ctx)) is not None]
            with formatter.section(heading):
                formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the exit statuses."""
        del ctx
        with formatter.section("Exit status"):
            formatter.write_text(STATUSES)


class ManualGroup(click.Group):
    """A group of commands that are told in the order in which one needs them."""

    command_class = Manual

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write where more is told, and at the top how a shell is made to complete all this."""
        with formatter.section("More"):
            formatter.write_text(f"{ctx.command_path} COMMAND --help: options, examples, exit statuses.")
        if ctx.parent is None:
            with formatter.section("Completion by the shell, also of the columns of a CSV"):
                formatter.write_dl(COMPLETION)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands in the order in which they were added."""
        del ctx
        return list(self.commands)


def by_section(parameters: Sequence[click.Parameter]) -> Iterator[tuple[str, list[click.Option]]]:
    """Yield each section that is not empty, with its options in the order of the section."""
    options = {_name(option): option for option in parameters if isinstance(option, click.Option)}
    for heading, names in SECTIONS.items():
        if heading == "Training" and "epochs" not in options:
            continue  # the batches of a command that does not train are a matter of speed and memory
        if found := [options.pop(name) for name in names if name in options]:
            yield heading, found
    if options:
        yield "Options", list(options.values())


def _name(option: click.Option) -> str | None:
    return "help" if "--help" in option.opts else option.name  # click gives it a name of its own


def complete_path(
    context: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    """Return what makes a shell complete names of files, though addresses and patterns are taken as well."""
    del context, parameter
    return [CompletionItem(incomplete, type="file")]


def complete_column(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Return the columns, of the first source on the line, whose names go on from what is typed."""
    del parameter
    # The option that is being typed lacks its value yet, so click has left the words before it alone.
    names = next(filter(None, map(_header, context.args)), [])
    return [name for name in names if name.startswith(incomplete)]


def _header(named: str) -> list[str]:
    """Return the names in the first line of a local file, roughly; nothing where it cannot be read."""
    path = Path(named)
    try:
        with path.open("rb") as file:
            packed = file.read(2) == GZIP_MAGIC
        with gzip.open(path) if packed else path.open("rb") as text:
            line = text.readline(HEAD_BYTES).decode("utf-8-sig").rstrip("\r\n")
    except (OSError, EOFError, UnicodeDecodeError):
        return []
    delimiter = max(",;\t|", key=line.count)
    cells = next(csv.reader([line], delimiter=delimiter), [])
    return [cell.strip().removeprefix("#").strip() for cell in cells]
