"""Owns the staging folder of a target in a store, where there are no locks, and folders have no renames.

A publication copies objects, or renames files where there are files (sftp, …), the manifest last: without it
nobody takes what is there for a dataset. Neighbours: `staging` does the same on a disk.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pipeline.manifest import MANIFEST_NAME
from pipeline.storage.files import write_text
from pipeline.storage.paths import abort_uploads, is_object_store, make_folder, names_in, remove_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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
        self.reopen()

    def reopen(self) -> None:
        """Make what is missing of the folders, where a store has any."""
        for folder in (self.dataset, self.runs):
            make_folder(folder)

    def publish(self, *, request: str, names: Iterable[str]) -> None:
        """Bring `names` of the dataset to the target, the manifest last; then remove the staging folder.

        A dataset that was there loses its manifest first: what is there in between is no dataset. `request`
        says what was asked for: after a crash, `published_request` gives it back.
        """
        new = set(names)
        write_text(self._receipt, json.dumps({"request": request}) + "\n")
        old = set(names_in(self.target))
        if MANIFEST_NAME in old:
            (self.target / MANIFEST_NAME).unlink()
        make_folder(self.target)
        self._bring(sorted(new - {MANIFEST_NAME}))
        for name in sorted(old - new):
            (self.target / name).unlink()
        write_text(self.target / MANIFEST_NAME, (self.dataset / MANIFEST_NAME).read_text(encoding="utf-8"))
        self.discard()

    def _bring(self, names: Sequence[str]) -> None:
        store = self.target.fs
        staged = [(self.dataset / name).path for name in names]
        final = [(self.target / name).path for name in names]
        if is_object_store(self.target):
            store.copy(staged, final)  # many at the same time
            return
        for one, other in zip(staged, final, strict=True):
            store.mv(one, other)

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
        """Remove the staging folder and everything in it, and what dead workers were uploading."""
        abort_uploads(self.folder)
        remove_tree(self.folder)
