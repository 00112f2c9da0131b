"""The program `pipeline`, also as `python -m pipeline`: the command line in a process of its own."""

import contextlib
import os
import sys

from pipeline import cli


def main() -> None:
    """Run the command line and leave at once.

    By then everything is written, forced to disk and closed. Taking Polars, Arrow and the runs apart object
    by object would take another tenth of a second.
    """
    status: int | str | None = 0
    try:
        cli.main()
    except SystemExit as leave:
        status = leave.code
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # whoever read it has gone
            stream.flush()
    os._exit(status if isinstance(status, int) else 1)


if __name__ == "__main__":
    main()
