"""Runs the program as a user does: in a process of its own, or in this one where many runs are needed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import cli

if TYPE_CHECKING:
    import pytest

TIMEOUT_SECONDS = 60
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a command left behind on its streams."""

    status: int
    stdout: str
    stderr: str


def run_process(*arguments: str | Path, cwd: Path) -> Outcome:
    """Run `pipeline` with `arguments` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "pipeline", *map(str, arguments)],
        capture_output=True,
        check=False,
        cwd=cwd,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=TIMEOUT_SECONDS,
    )
    return Outcome(status=done.returncode, stdout=done.stdout, stderr=done.stderr)


class Command:
    """Runs `pipeline` within the test's process, through its real entry point."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capfd = capfd

    def __call__(self, *arguments: str | Path) -> Outcome:
        """Run with `arguments`; the working directory is the test's."""
        self._capfd.readouterr()
        kept = signal.getsignal(signal.SIGTERM)
        status = 0
        with self._monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["pipeline", *map(str, arguments)])
            try:
                cli.main()
            except SystemExit as leave:
                status = leave.code if isinstance(leave.code, int) else int(bool(leave.code))
            finally:
                signal.signal(signal.SIGTERM, kept)
        streams = self._capfd.readouterr()
        return Outcome(status=status, stdout=streams.out, stderr=streams.err)
