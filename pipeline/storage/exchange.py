"""Owns the one system call that Python lacks: two folders change their names at once.

Neighbours: `storage` replaces a dataset by it.
"""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

AT_WORKING_FOLDER = -100  # AT_FDCWD
RENAME_EXCHANGE = 2


def exchange(first: Path, second: Path) -> bool:
    """Let `first` and `second` change names at once; return False where system or file system cannot.

    Source: renameat2(2): Linux 3.15, glibc 2.28.
    """
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    if renameat2 is None:
        return False
    names = os.fsencode(first), os.fsencode(second)
    status: int = renameat2(AT_WORKING_FOLDER, names[0], AT_WORKING_FOLDER, names[1], RENAME_EXCHANGE)
    return status == 0
