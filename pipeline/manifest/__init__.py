"""Owns the manifest: the JSON file that makes a folder of shards a dataset.

`values` holds what it says, `decoding` reads typed values from JSON, `checks` finds what cannot be. `storage`
writes it last, readers start here. Format: docs/format.md.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shlex
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import AccessError, ManifestError
from pipeline.manifest.checks import REJECTS_NAME, contradictions
from pipeline.manifest.decoding import MalformedError, decode, parse
from pipeline.manifest.values import (
    ColumnEntry,
    ColumnMoments,
    Generator,
    Label,
    Manifest,
    RecordCounts,
    RejectsEntry,
    ShardEntry,
    Shuffle,
    Source,
    SourceEntry,
    Split,
)

if TYPE_CHECKING:
    from upath import UPath

__all__ = [
    "FORMAT_VERSION",
    "MANIFEST_NAME",
    "REJECTS_NAME",
    "ColumnEntry",
    "ColumnMoments",
    "Generator",
    "Label",
    "Manifest",
    "RecordCounts",
    "RejectsEntry",
    "ShardEntry",
    "Shuffle",
    "Source",
    "SourceEntry",
    "Split",
    "column_tree",
    "from_json",
    "load",
    "to_json",
]

FORMAT_VERSION = 1
MANIFEST_NAME = "manifest.json"
MAX_MANIFEST_BYTES = 64 << 20  # 20,000 columns and 100,000 shards need 30 MB; more is no manifest of ours
LIST_OF_INTEGERS = re.compile(r"\[(\n *-?[0-9]+(?:,\n *-?[0-9]+)*\n *)\]")
NO_DIGEST = "0" * 64  # what stands in the place of the digest while it is computed

_REMAKE = "make the dataset again: pipeline convert SOURCE SHARDS --overwrite"


def to_json(manifest: Manifest) -> str:
    """Return the manifest as JSON, with its digest; the same manifest gives the same text."""
    tree = dataclasses.asdict(manifest) | {"digest": NO_DIGEST}  # last, so that it stands last
    for name in ("rejects", "shuffle"):
        if tree[name] is None:
            del tree[name]
    tree["columns"] = list(map(column_tree, manifest.columns))
    text = _on_one_line(json.dumps(tree, indent=2, ensure_ascii=False, allow_nan=False)) + "\n"
    before, _, after = text.rpartition(NO_DIGEST)
    return before + hashlib.sha256(text.encode()).hexdigest() + after


def column_tree(column: ColumnEntry) -> dict[str, Any]:
    """Return a column as JSON values; what says nothing of it is left out."""
    tree = dataclasses.asdict(column)
    silent = {name for name in ("reading", "vocabulary", "counts") if tree[name] is None}
    return {name: value for name, value in tree.items() if name not in silent}


def _on_one_line(text: str) -> str:
    """Return JSON with each list of integers on one line, for people; no text of it holds line ends."""
    return LIST_OF_INTEGERS.sub(lambda found: f"[{' '.join(found[1].split())}]", text)


def from_json(text: str, *, path: str = "") -> Manifest:
    """Return the manifest written as `text`; keys it does not know are ignored.

    Raises:
        ManifestError: not JSON, an unknown version, a missing key, a wrong type, a digest that is not that of
            the text, counts that contradict each other, or a shard path that leaves the folder.
    """
    try:
        tree = parse(text)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"not a manifest: {error}", path=path, hint=_REMAKE) from None
    version = tree.get("format_version") if isinstance(tree, dict) else None
    if version != FORMAT_VERSION or isinstance(version, bool):
        raise ManifestError(
            f"format_version {version!r} is unknown, expected {FORMAT_VERSION}",
            path=path,
            hint="read it with the version of the program that wrote it",
        )
    try:
        _check_digest(text, tree)
        manifest: Manifest = decode(Manifest, tree, "manifest")
    except MalformedError as error:
        raise ManifestError(str(error), path=path, hint=_REMAKE) from None
    if found := list(contradictions(manifest)):
        others = f" (and {len(found) - 1} more contradictions)" if len(found) > 1 else ""
        raise ManifestError(found[0] + others, path=path, hint=_REMAKE)
    return manifest


def load(shards: Path | UPath) -> Manifest:
    """Return the manifest of the dataset in the folder `shards`.

    Raises:
        ManifestError: there is none, or it cannot be used.
        AccessError: permission denied.
    """
    path = shards / MANIFEST_NAME
    try:
        text = _read(path).decode("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise _no_dataset(shards) from None
    except PermissionError:
        raise AccessError("permission denied", path=str(path)) from None
    except UnicodeDecodeError:
        raise ManifestError("not a manifest: not UTF-8", path=str(path), hint=_REMAKE) from None
    except OSError as error:
        raise ManifestError(f"cannot be read: {error.strerror}", path=str(path), hint=_REMAKE) from None
    return from_json(text, path=str(path))


def _no_dataset(shards: Path | UPath) -> ManifestError:
    """Return the error for what is no dataset, by what it is instead."""
    path, hint = str(shards), "name a folder that pipeline convert wrote"
    if shards.is_file():
        hint = f"make a dataset of it, if it is a CSV: pipeline convert {shlex.quote(path)} SHARDS"
        return ManifestError("a file: this is no dataset", path=path, hint=hint)
    if not shards.is_dir():
        return ManifestError("no such folder", path=path, hint=hint)
    if (shards / "model.json").is_file():
        return ManifestError("a model: this is no dataset", path=path, hint=hint)
    return ManifestError(
        "no manifest: this is no dataset", path=str(shards / MANIFEST_NAME), hint=f"{hint}; or {_REMAKE}"
    )


def _read(path: Path | UPath) -> bytes:
    if not isinstance(path, Path):
        found: bytes = path.read_bytes()
        return found
    # A link may lead out of the folder, and a pipe would never end.
    if not stat.S_ISREG(path.lstat().st_mode):
        raise ManifestError("not a file: this is no dataset", path=str(path), hint=_REMAKE)
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
        data = file.read(MAX_MANIFEST_BYTES + 1)
    if len(data) > MAX_MANIFEST_BYTES:
        raise ManifestError(f"larger than {MAX_MANIFEST_BYTES} bytes", path=str(path), hint=_REMAKE)
    return data


def _check_digest(text: str, tree: dict[str, Any]) -> None:
    """Raise if the manifest has a digest and it is not that of `text`; see docs/format.md."""
    digest = tree.get("digest", "")
    if digest == "":
        return
    before, found, after = text.rpartition(str(digest))
    whole = (before + NO_DIGEST + after).encode("utf-8", "surrogatepass")
    if not found or hashlib.sha256(whole).hexdigest() != digest:
        raise MalformedError("changed since it was written: its digest is not that of its text")
