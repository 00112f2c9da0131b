"""A conversion that is cut short, continued, and compared with one that was not."""

from __future__ import annotations

import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.verify import verify
from support.forked import TIMEOUT_SECONDS, recorded
from support.texts import numbered_text

if TYPE_CHECKING:
    from support.command import Outcome
    from support.file_operations import Operation
    from support.forked import Accident, Forker

TARGET = "shards"
STAGING = "shards.incomplete"
NUM_RECORDS = 1200
Files = dict[str, bytes]


def command(*options: str) -> list[str]:
    """Return the arguments of the conversion, with more `options`."""
    return ["convert", "raw.csv", TARGET, "--workers", "1", "--quiet", "--shard-size", "16kB",
            "--on-bad-row", "skip", "--keep", "word", *options]  # fmt: skip


def write_source(folder: Path) -> None:
    """Make `folder` with raw.csv: numbers and words, two rows that are no records, one blank line."""
    folder.mkdir(parents=True)
    header, *rows = numbered_text(NUM_RECORDS, seed=8).splitlines()
    lines = [f"{header},word", *(f"{row},w{index % 7}" for index, row in enumerate(rows))]
    for at, line in [(50, "1,50,,"), (700, ""), (900, "0,x,1.0,2.0,w")]:
        lines.insert(at, line)
    (folder / "raw.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def files(folder: Path) -> Files:
    """Return the bytes of every file below `folder` by its relative path."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def names(folder: Path) -> list[str]:
    """Return the names in `folder`, sorted."""
    return sorted(path.name for path in folder.iterdir())


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A conversion to be cut short: `source` holds raw.csv and, if it is to be replaced, a dataset `old`.

    `whole` are the files of the uninterrupted conversion, `operations` all it did, in order, in the folder
    `place`.
    """

    forker: Forker
    source: Path
    place: Path
    options: tuple[str, ...]
    can_exchange: bool
    old: Files
    whole: Files
    operations: list[Operation]

    def copied(self, folder: Path) -> Path:
        """Return `folder`, a new working folder as it was before the conversion began."""
        return shutil.copytree(self.source, folder)

    @property
    def command(self) -> list[str]:
        """The arguments of the conversion."""
        return command(*self.options)

    def run(self, folder: Path, accident: Accident | None = None, *, record: Path | None = None) -> Outcome:
        """Run the conversion in `folder`."""
        return self.forker.run(
            *self.command,
            cwd=folder,
            accident=accident,
            record=record,
            can_exchange=self.can_exchange,
        )

    def number_of(self, kind: str, ending: str) -> int:
        """Return the number of the first operation of `kind` on a path with this `ending`."""
        return next(
            number
            for number, operation in enumerate(self.operations, 1)
            if operation.kind == kind and operation.path.endswith(ending)
        )

    def assert_absent_or_valid(self, folder: Path) -> None:
        """Fail unless the target is what it was, or not there, or the new dataset, whole."""
        target = folder / TARGET
        if not target.exists():
            assert not self.old or not self.can_exchange, "the old dataset is gone"
            return
        found = files(target)
        assert found in (self.old, self.whole)
        assert verify(target).faults == ()

    def assert_continues(self, folder: Path) -> None:
        """Fail unless the same command ends well and leaves what the uninterrupted one leaves.

        Where that one had come to its end but for what is removed last, the target is there, and the
        command may say so.
        """
        staging = folder / STAGING
        is_over = not staging.exists() or set(names(staging)) <= {"lock"}
        is_over = is_over and (folder / TARGET).exists() and "--overwrite" not in self.options
        outcome = self.run(folder)
        said = (outcome.status, outcome.stderr.split("\n")[0])
        if is_over:
            assert said == (2, f"error[E202] {TARGET}: the target exists"), said
        else:
            assert said == (0, ""), said
        assert files(folder / TARGET) == self.whole
        assert names(folder) == ["raw.csv", TARGET]


SCENES: dict[str, dict[str, Any]] = {
    "parquet": {},
    "tfrecord": {"options": ("--format", "tfrecord")},
    "stratified": {"options": ("--stratify",)},
    "by time": {"options": ("--time-split", "id")},
    "both formats": {"options": ("--format", "parquet", "--format", "tfrecord")},
    "overwrite": {"overwrites": True},
    "overwrite, no exchange": {"overwrites": True, "can_exchange": False},
}


def make_scene(
    forker: Forker,
    folder: Path,
    *,
    options: tuple[str, ...] = (),
    overwrites: bool = False,
    can_exchange: bool = True,
) -> Scene:
    """Return the scene of a conversion with `options`, made once without an accident in `folder`."""
    write_source(folder / "source")
    old: Files = {}
    if overwrites:
        options = (*options, "--overwrite")
        assert forker.run(*command("--seed", "1"), cwd=folder / "source").status == 0
        old = files(folder / "source" / TARGET)
    whole = shutil.copytree(folder / "source", folder / "whole")
    record = folder / "operations"
    outcome = forker.run(*command(*options), cwd=whole, record=record, can_exchange=can_exchange)
    assert (outcome.status, outcome.stderr) == (0, "")
    assert names(whole) == ["raw.csv", TARGET]
    assert verify(whole / TARGET).faults == ()
    return Scene(
        forker=forker,
        source=folder / "source",
        place=whole,
        options=options,
        can_exchange=can_exchange,
        old=old,
        whole=files(whole / TARGET),
        operations=recorded(record),
    )


def wait_until_stopped(folder: Path) -> int:
    """Return the pid of the process that converts in `folder`, once it is stopped."""
    lock = folder / STAGING / "lock"
    for _ in range(TIMEOUT_SECONDS * 200):
        owner = re.match(r"pid (\d+) ", lock.read_text(encoding="utf-8")) if lock.exists() else None
        stat = Path(f"/proc/{owner[1]}/stat") if owner else None
        if owner and stat and stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "T":
            return int(owner[1])
        time.sleep(0.005)
    raise AssertionError(f"no conversion was stopped in {folder}")
