"""Reads the documents of the repository, and runs what they tell a reader to type."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_SECONDS = 240


def document(name: str) -> str:
    """Return the text of the document `name`, relative to the root of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def fenced(text: str, language: str) -> list[str]:
    """Return the contents of the fenced blocks of `language`, in their order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def table_rows(text: str, first_cell: str) -> list[list[str]]:
    """Return the cells of the table rows whose first cell matches the pattern `first_cell`."""
    rows = (line for line in text.splitlines() if re.match(rf"\| {first_cell} \|", line))
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1]] for row in rows]


def run_script(script: str, cwd: Path) -> str:
    """Run `script` in bash as a reader would, with our commands on the path; return what it printed.

    Fails, with all that was printed, if any command fails.
    """
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        check=False,
        cwd=cwd,
        encoding="utf-8",
        env=os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=TIMEOUT_SECONDS,
    )
    assert done.returncode == 0, f"exit status {done.returncode}\n{script}\n{done.stdout}"
    return done.stdout
