"""Owns one checkpoint file: named arrays and a JSON tree, whole or absent.

    checkpoint.npz     NumPy's own format: a zip of .npy files, each with its CRC-32
      tree             the tree as JSON, UTF-8
      model/0000       arrays, under the names they were given
      …

Knows nothing of networks. Neighbour: `continuing` says what goes in, and when.
"""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.errors import ModelError
from pipeline.storage import fsync_directory

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

TREE = "tree"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Checkpoint:
    """A tree of JSON values, and arrays by name."""

    tree: dict[str, Any]
    arrays: Mapping[str, NDArray[Any]]


def write_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write the checkpoint aside, force it to the disk, and rename it to `path`.

    Whatever interrupts this, `path` is the checkpoint it was before, or this one.
    """
    tree = np.frombuffer(json.dumps(checkpoint.tree).encode(), np.uint8)
    aside = path.with_name(path.name + ".partial")
    with aside.open("wb") as file:
        np.savez(file, allow_pickle=False, **{TREE: tree, **checkpoint.arrays})
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)
    fsync_directory(path.parent)


def read_checkpoint(path: Path) -> Checkpoint | None:
    """Return the checkpoint at `path`, every checksum verified, or None where there is none.

    Raises:
        ModelError: it is damaged.
    """
    try:
        # As a zip from the start: given another file, `np.load` would look for a pickle, or leave it open.
        with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as members:
            arrays = {name: members[name] for name in members.files}
        tree = json.loads(arrays.pop(TREE).tobytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        hint = f"start afresh: rm -r {path.parent}"
        raise ModelError(f"a damaged checkpoint: {error}", path=str(path), hint=hint) from None
    return Checkpoint(tree=tree, arrays=arrays)
