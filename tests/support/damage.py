"""Does to a dataset what disks and strangers do: flipped bits, and manifests that say something else."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MANIFEST = "manifest.json"
PLACE_OF_DIGEST = "0" * 64


def flip(path: Path, place: int, *, bit: int) -> None:
    """Flip one bit of the byte at `place`."""
    with path.open("r+b") as file:
        file.seek(place)
        found = file.read(1)[0]
        file.seek(place)
        file.write(bytes([found ^ (1 << bit)]))


def sealed(tree: dict[str, Any]) -> str:
    """Return the JSON of a manifest with the digest that docs/format.md says it must have."""
    text = json.dumps(tree | {"digest": PLACE_OF_DIGEST})
    digest = hashlib.sha256(text.encode()).hexdigest()
    return text.replace(f'"digest": "{PLACE_OF_DIGEST}"', f'"digest": "{digest}"')


def rewrite(shards: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Let `change` alter the manifest of a dataset, and give it the digest that then fits."""
    path = shards / MANIFEST
    tree = json.loads(path.read_text(encoding="utf-8"))
    change(tree)
    path.write_text(sealed(tree), encoding="utf-8")


def reseal(shards: Path) -> None:
    """Give a manifest the sizes and checksums of its shards as they are now, as if they were meant so."""

    def change(tree: dict[str, Any]) -> None:
        for split in tree["splits"].values():
            for entry in split["shards"]:
                data = (shards / entry["path"]).read_bytes()
                entry["bytes"] = len(data)
                entry["sha256"] = hashlib.sha256(data).hexdigest()
                entry["head_sha256"] = hashlib.sha256(data[:4096]).hexdigest()

    rewrite(shards, change)
