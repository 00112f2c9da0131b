"""Runs `pipeline` hundreds of times, each in a process of its own, at the price of one start.

A server loads the program at the scale of `small_scale` and forks a process per command, in which an
`Accident` may happen at the n-th operation on the files below the working folder. To run one such command
without a server, with the fields of its `Request` as JSON:

    python -m support.forked '{"record": "operations"}' convert raw.csv shards
"""

from __future__ import annotations

import dataclasses
import errno
import io
import json
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.command import ROOT, Outcome
from support.damage import flip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    from support.file_operations import Operation

TIMEOUT_SECONDS = 60
SECONDS_BETWEEN_LOOKS = 0.002
# A fork copies the calling thread alone. These start none when they are loaded; the one thread that is left,
# of Polars, only sleeps.
QUIET = {
    "OPENBLAS_NUM_THREADS": "1",
    "_RJEM_MALLOC_CONF": "background_thread:false",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
KILLED = -signal.SIGKILL
SIGNALS = {
    "kill": signal.SIGKILL,
    "tear": signal.SIGKILL,
    "interrupt": signal.SIGINT,
    "terminate": signal.SIGTERM,
    "stop": signal.SIGSTOP,
}
FAILURES = {
    "fill": (errno.ENOSPC, {"mkdir"}),
    "fail": (errno.EIO, {"mkdir", "fsync", "rename", "exchange", "unlink", "rmdir", "truncate"}),
}
ROW = b"1,2,3.0,4.0,w\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Accident:
    """What happens before operation number `at` (from 1) of those whose path has this `ending`.

    kill        the process ends by SIGKILL
    tear        the same, after half of what is to be written
    fill        the disk is full: this and every later operation that takes space fails
    fail        the disk fails this operation, if it changes anything
    flip        a bit of the first run file is another one
    interrupt   SIGINT arrives; `times` of them, a hundredth of a second apart
    terminate   SIGTERM arrives
    stop        SIGSTOP arrives
    append      a row is appended to raw.csv
    """

    kind: str
    at: int
    times: int = 1
    ending: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A command: its `arguments`, working folder `cwd`, and files for its `streams`, or those of the caller.

    All operations on `cwd` and below are appended to the file `record`. With `as_user` the process has the
    rights of that user; without `can_exchange` it finds a system that cannot exchange two folders; no file
    may grow beyond `max_file_bytes`; the file `stdin` is its standard input.
    """

    arguments: tuple[str, ...]
    cwd: str
    streams: tuple[str, ...] = ()
    accident: Accident | None = None
    record: str = ""
    as_user: int | None = None
    can_exchange: bool = True
    max_file_bytes: int | None = None
    stdin: str = os.devnull


def _request(**fields: Any) -> Request:
    accident = fields.pop("accident", None)
    return Request(accident=Accident(**accident) if accident else None, **fields)


class Forker:
    """The server's client; a context manager."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-m", "support.forked"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | QUIET | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])},
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait(TIMEOUT_SECONDS)
        assert self._server.stdout is not None
        self._server.stdout.close()

    def run(
        self,
        *arguments: str | Path,
        cwd: Path,
        accident: Accident | None = None,
        record: Path | None = None,
        as_user: int | None = None,
        can_exchange: bool = True,
        max_file_bytes: int | None = None,
        stdin: str = os.devnull,
    ) -> Outcome:
        """Run `pipeline` with `arguments` in `cwd`; a negative status is the signal that ended it.

        The rest is as in `Request`.
        """
        streams = [cwd.parent / f"{cwd.name}.{self._server.pid}.{name}" for name in ("stdout", "stderr")]
        request = Request(
            arguments=tuple(map(str, arguments)),
            cwd=str(cwd),
            streams=tuple(map(str, streams)),
            accident=accident,
            record=str(record or ""),
            as_user=as_user,
            can_exchange=can_exchange,
            max_file_bytes=max_file_bytes,
            stdin=stdin,
        )
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(dataclasses.asdict(request)) + "\n")
        self._server.stdin.flush()
        status = int(self._server.stdout.readline())
        texts = [path.read_text(encoding="utf-8") for path in streams]
        for path in streams:
            path.unlink()
        return Outcome(status=status, stdout=texts[0], stderr=texts[1])


def recorded(path: Path) -> list[Operation]:
    """Return the operations that a process recorded."""

    def read(file: io.BufferedReader) -> Iterator[Operation]:
        while file.peek(1):
            yield pickle.load(file)  # noqa: S301  # our own, of a moment ago

    with path.open("rb") as file:
        return list(read(file))


def serve() -> None:
    """Fork a process for every request on standard input, and answer with its status."""
    import pyarrow as pa  # noqa: PLC0415  # here and below: for the server, not for its client

    from pipeline.cli import verify  # noqa: F401, PLC0415  # all that a conversion loads, once
    from pipeline.formats import parquet, tfrecord  # noqa: F401, PLC0415
    from pipeline.source import fast  # noqa: F401, PLC0415
    from support import small_scale  # noqa: PLC0415

    small_scale.shrink()
    pa.array([""])  # loads what Arrow loads when it is first used
    warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads: see QUIET
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _become(_request(**json.loads(line)))
        print(_status(child), flush=True)  # noqa: T201  # the answer


def _status(child: int) -> int:
    """Return how `child` ended; it is ended when it takes too long."""
    # Counted, not timed: the machine may have been stopped in between, this process with it.
    for _ in range(round(TIMEOUT_SECONDS / SECONDS_BETWEEN_LOOKS)):
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os.kill(child, signal.SIGABRT)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _become(request: Request) -> None:
    """Run the command; does not return."""
    from pipeline.__main__ import main  # noqa: PLC0415
    from pipeline.storage import publication  # noqa: PLC0415
    from support.file_operations import Watch  # noqa: PLC0415

    os.chdir(request.cwd)
    for number, path in enumerate(request.streams, 1):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(request.stdin, os.O_RDONLY), 0)
    if request.max_file_bytes is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (request.max_file_bytes,) * 2)
    if request.as_user is not None:
        os.setuid(request.as_user)
    acts: list[Callable[[Operation], None]] = []
    if request.record:
        acts.append(_recorder(request.record))
    if request.accident:
        acts.append(_accident(request.accident))
    if acts:
        Watch(Path(request.cwd), lambda operation: [act(operation) for act in acts] and None).install()
    if not request.can_exchange:
        publication.exchange = lambda _first, _second: False
    sys.argv = ["pipeline", *request.arguments]
    main()


def _recorder(path: str) -> Callable[[Operation], None]:
    file = io.FileIO(path, "a")
    return lambda operation: file.write(pickle.dumps(operation)) and None


def _accident(accident: Accident) -> Callable[[Operation], None]:
    done = 0

    def act(operation: Operation) -> None:
        nonlocal done
        if operation.path.endswith(accident.ending):
            done += 1
            if done == accident.at or (done > accident.at and accident.kind == "fill"):
                _happen(accident, operation)

    return act


def _happen(accident: Accident, operation: Operation) -> None:
    """Let the accident happen before `operation`."""
    if accident.kind in FAILURES:
        number, kinds = FAILURES[accident.kind]
        if operation.kind in kinds or operation.data:
            raise OSError(number, os.strerror(number), operation.path)
    elif accident.kind == "append":
        with Path("raw.csv").open("ab", buffering=0) as file:
            file.write(ROW)
    elif accident.kind == "flip":
        run = next(Path.cwd().glob("*/runs/run-00000"))
        flip(run, run.stat().st_size // 2, bit=2)
    else:
        if accident.kind == "tear" and operation.kind == "write":
            os.write(operation.descriptor, operation.data[: len(operation.data) // 2])
        for _ in range(accident.times):
            os.kill(os.getpid(), SIGNALS[accident.kind])
            time.sleep(0.01)


def _run_one(fields: str, arguments: tuple[str, ...]) -> None:
    from support import small_scale  # noqa: PLC0415

    small_scale.shrink()
    _become(_request(arguments=arguments, cwd=str(Path.cwd()), **json.loads(fields)))


if __name__ == "__main__":
    if len(sys.argv) == 1:
        serve()
    else:
        _run_one(sys.argv[1], tuple(sys.argv[2:]))
