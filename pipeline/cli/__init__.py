"""The command line: each command turns options into one call and prints what comes back.

`main` holds the one handler of errors and signals. Importing this package loads click and nothing heavy.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from typing import TYPE_CHECKING

import click

from pipeline.cli.convert import convert_command
from pipeline.cli.display import escape
from pipeline.cli.evaluate import evaluate_command
from pipeline.cli.fetch import fetch_group
from pipeline.cli.inspect import inspect_command
from pipeline.cli.manual import ManualGroup
from pipeline.cli.predict import predict_command
from pipeline.cli.report import report_command
from pipeline.cli.train import train_command
from pipeline.cli.verify import verify_command
from pipeline.errors import DiskError, PipelineError

if TYPE_CHECKING:
    from types import FrameType

INTERRUPTED = 130
TERMINATED = 143
INTERNAL = 1


@click.group(
    cls=ManualGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(package_name="csv-shard-pipeline", prog_name="pipeline")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def cli(context: click.Context, *, debug: bool) -> None:
    """Turn a CSV too big for memory into training-ready shards, and train from them.

    \b
    Examples:
      pipeline fetch simulated raw.csv --rows 200000
      pipeline inspect raw.csv
      pipeline convert raw.csv shards/
      pipeline train shards/ -o model/
    """  # noqa: D301  # \b is click's mark for a paragraph that is not rewrapped
    context.obj = debug


# In the order in which one needs them: so they are told.
cli.add_command(fetch_group)
cli.add_command(inspect_command)
cli.add_command(convert_command)
cli.add_command(verify_command)
cli.add_command(report_command)
cli.add_command(train_command)
cli.add_command(evaluate_command)
cli.add_command(predict_command)


class _Terminated(BaseException):
    """SIGTERM arrived; unwinds like Ctrl-C, so that staging folders are cleaned up."""


def _raise_terminated(_number: int, _frame: FrameType | None) -> None:
    raise _Terminated


def main() -> None:
    """Run the command line and exit with the status that docs/errors.md promises."""
    signal.signal(signal.SIGTERM, _raise_terminated)
    sys.exit(_run(sys.argv[1:]))


def _run(arguments: list[str]) -> int:
    debug = "--debug" in arguments
    try:
        cli.main(args=arguments, prog_name="pipeline", standalone_mode=False)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except (KeyboardInterrupt, click.Abort, _Terminated) as error:
        terminated = isinstance(error, _Terminated)
        click.echo("terminated" if terminated else "interrupted", err=True)
        return TERMINATED if terminated else INTERRUPTED
    except Exception as error:  # noqa: BLE001  # the one handler: no traceback reaches a user unasked
        return _report(error, debug=debug)
    return 0


def _report(error: Exception, *, debug: bool) -> int:
    """Tell `error` on standard error and return the exit status it stands for."""
    if debug:
        import traceback  # noqa: PLC0415  # only for who asks for it

        traceback.print_exception(error)
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if isinstance(error, BrokenPipeError):
        # Whoever reads our output has gone, as in `pipeline … | head`; nothing more to say to them.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INTERNAL
    if isinstance(error, OSError) and error.errno == errno.ENOSPC and not error.filename:
        # What is told of files has their names; what has none is where we print.
        error = DiskError(os.strerror(errno.ENOSPC), path="standard output", hint="the work itself is done")
    if isinstance(error, PipelineError):
        click.echo(f"error[{error.code}] {escape(str(error))}", err=True)
        hint, status = error.hint, error.exit_status
    else:
        click.echo(f"internal error: {type(error).__name__}: {escape(str(error))}", err=True)
        hint, status = "this is a fault of the program; see it with: pipeline --debug …", INTERNAL
    if hint:
        click.echo(f"  hint: {escape(hint)}", err=True)
    return status


__all__ = ["cli", "main"]
