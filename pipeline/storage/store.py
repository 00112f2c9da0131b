"""Owns the staging folder of a target in an object store, where there are neither renames nor locks.

A publication copies objects within the store, the manifest last: without it nobody takes what is there for a
dataset. Neighbours: `staging` does the same on a disk.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pipeline.manifest import MANIFEST_NAME
from pipeline.storage.files import write_text
from pipeline.storage.paths import names_in, remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterable

    from upath import UPath

INCOMPLETE = ".incomplete"
RECEIPT_NAME = "receipt.json"


class StoreStaging:
    """The folder in a store in which a dataset comes to be.

    It has no lock. Two runs of the same command write the same bytes, so neither harms the other.
    """

    def __init__(self, target: UPath) -> None:
        self.target = target
        self.folder = target.with_name(target.name + INCOMPLETE)
        self.dataset = self.folder / "dataset"
        self.runs = self.folder / "runs"
        self._receipt = self.folder / RECEIPT_NAME

    def begin(self) -> None:
        """Forget shards and runs of before."""
        if self.has_receipt():
            self._receipt.unlink()
        for folder in (self.dataset, self.runs):
            remove_tree(folder)

    def reopen(self) -> None:
        """Do nothing: a store has no folders that could be missing."""

    def publish(self, *, request: str, names: Iterable[str]) -> None:
        """Copy `names` of the dataset to the target, the manifest last; then remove the staging folder.

        A dataset that was there loses its manifest first: what is there in between is no dataset. `request`
        says what was asked for: after a crash, `published_request` gives it back.
        """
        store, new = self.target.fs, set(names)
        write_text(self._receipt, json.dumps({"request": request}) + "\n")
        old = set(names_in(self.target))
        if MANIFEST_NAME in old:
            store.rm_file((self.target / MANIFEST_NAME).path)
        for name in sorted(new - {MANIFEST_NAME}):
            store.cp_file((self.dataset / name).path, (self.target / name).path)
        for name in sorted(old - new):
            store.rm_file((self.target / name).path)
        store.cp_file((self.dataset / MANIFEST_NAME).path, (self.target / MANIFEST_NAME).path)
        self.discard()

    def has_receipt(self) -> bool:
        """Whether a publication was begun."""
        return RECEIPT_NAME in names_in(self.folder)

    def published_request(self) -> str | None:
        """Return what was asked for, if the target is what an earlier process published from here."""
        try:
            receipt = json.loads(self._receipt.read_bytes())
            staged = (self.dataset / MANIFEST_NAME).read_bytes()
            published = (self.target / MANIFEST_NAME).read_bytes()
        except (FileNotFoundError, ValueError):
            return None
        return str(receipt["request"]) if staged == published else None

    def discard(self) -> None:
        """Remove the staging folder and everything in it."""
        remove_tree(self.folder)
