"""Runs the program in a process of its own and tells the peak of its memory, as the kernel counts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_SECONDS = 600
# Linux begins a process's peak with that of its parent, and the tests have TensorFlow loaded: a small parent.
LAUNCHER = """\
import json, os, sys
child = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
with open(sys.argv[1], "w") as file:
    json.dump([os.waitstatus_to_exitcode(status), usage.ru_maxrss << 10], file)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What a command came to."""

    status: int
    stderr: str
    peak_bytes: int


def run_measured(*arguments: str | Path, folder: Path) -> Measured:
    """Run `pipeline` with `arguments` in `folder`."""
    report = folder / "peak.json"
    program = (sys.executable, "-m", "pipeline", *map(str, arguments))
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", LAUNCHER, str(report), *program],
        capture_output=True,
        check=True,
        cwd=folder,
        encoding="utf-8",
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        timeout=TIMEOUT_SECONDS,
    )
    status, peak_bytes = json.loads(report.read_text(encoding="ascii"))
    report.unlink()
    return Measured(status=status, stderr=done.stderr, peak_bytes=peak_bytes)
