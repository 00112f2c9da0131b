"""Runs a command in a pseudo terminal of a given width, and tells what its screen shows in the end."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from dataclasses import dataclass
from typing import TYPE_CHECKING

from support.command import ROOT, TIMEOUT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CONTROL = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|\x1b\][^\x07]*\x07|\r|\n|\x1b.|[^\x1b\r\n]+", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a command left on its terminal."""

    status: int
    lines: list[str]
    cursor_is_hidden: bool


def run_in_terminal(arguments: Sequence[str], *, cwd: Path, width: int = 80) -> Shown:
    """Run `arguments` in a terminal of `width` columns, both streams on it."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
    env = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES", "NO_COLOR"}}
    with subprocess.Popen(
        arguments,
        cwd=cwd,
        env=env | {"TERM": "xterm-256color", "PYTHONPATH": str(ROOT)},
        stdin=slave,
        stdout=slave,
        stderr=slave,
    ) as process:
        os.close(slave)
        data = _all_of(master)
        status = process.wait(TIMEOUT_SECONDS)
    lines, cursor_is_hidden = _screen(data.decode("utf-8"), width)
    return Shown(status=status, lines=lines, cursor_is_hidden=cursor_is_hidden)


def _all_of(master: int) -> bytes:
    parts = []
    try:
        while part := os.read(master, 1 << 16):
            parts.append(part)
    except OSError:  # Linux ends a terminal without writers so
        pass
    os.close(master)
    return b"".join(parts)


def _screen(text: str, width: int) -> tuple[list[str], bool]:
    """Return the lines of a screen without end on which `text` was written, and if the cursor is hidden."""
    rows: dict[int, list[str]] = {0: []}
    y = x = 0
    hidden = False
    for found in CONTROL.finditer(text):
        part, argument, kind = found[0], found[1] or "", found[2]
        if part == "\r":
            x = 0
        elif part == "\n":
            y += 1
        elif kind == "A":
            y -= int(argument or 1)
        elif kind == "K":
            rows[y] = [] if argument == "2" else rows.get(y, [])[:x]
        elif kind in {"h", "l"} and argument == "?25":
            hidden = kind == "l"
        elif not part.startswith("\x1b"):
            for character in part:
                if x == width:
                    y, x = y + 1, 0
                row = rows.setdefault(y, [])
                row += [" "] * (x + 1 - len(row))
                row[x] = character
                x += 1
    return ["".join(rows.get(at, [])).rstrip() for at in range(max(rows) + 1)], hidden
