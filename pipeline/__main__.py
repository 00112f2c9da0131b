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
    _open_streams()
    status: int | str | None = 0
    try:
        cli.main()
    except SystemExit as leave:
        status = leave.code
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # whoever read it has gone
            stream.flush()
    os._exit(status if isinstance(status, int) else 1)


def _open_streams() -> None:
    """Let streams that the caller closed lead nowhere.

    Otherwise the next files to be opened, shards among them, would take their places, and get whatever a
    library has to say to standard error.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004  # 0, 1, 2: the streams
        pass
    os.close(descriptor)
    sys.stdout = sys.stdout or os.fdopen(1, "w")
    sys.stderr = sys.stderr or os.fdopen(2, "w")


if __name__ == "__main__":
    main()
