"""Owns the record of a training, epoch by epoch: as CSV for people and DVC, as events for TensorBoard."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline import backend
from pipeline.errors import DiskError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tensorflow.summary import SummaryWriter


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochRecord:
    """What one epoch (counted from 1) gave; validation figures are None without a validation split."""

    epoch: int
    loss: float
    metric: float
    val_loss: float | None
    val_metric: float | None
    learning_rate: float
    seconds: float
    records_per_second: float

    @property
    def score(self) -> float:
        """The loss that decides which epoch is the best."""
        return self.loss if self.val_loss is None else self.val_loss


def to_csv(history: Sequence[EpochRecord], metric: str) -> str:
    """Return the history as CSV; the columns of the metric carry its name."""
    names = ("epoch", "loss", metric, "val_loss", f"val_{metric}", "learning_rate")
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow([*names, "seconds", "records_per_second"])
    for record in history:
        figures = (record.loss, record.metric, record.val_loss, record.val_metric, record.learning_rate)
        cells = ["" if figure is None else f"{figure:.7g}" for figure in figures]
        rows.writerow([record.epoch, *cells, f"{record.seconds:.3f}", f"{record.records_per_second:.0f}"])
    return text.getvalue()


class EventLog:
    """Writes epochs where TensorBoard looks for them; both curves of a figure share its name there."""

    def __init__(self, folder: Path, metric: str) -> None:
        self._tf = backend.tensorflow()
        self._folder = folder
        self._metric = metric
        self._writers: dict[str, SummaryWriter] = {}

    def add(self, record: EpochRecord) -> None:
        """Append an epoch.

        Raises:
            DiskError: the disk is full or fails.
        """
        train = {"loss": record.loss, self._metric: record.metric, "learning_rate": record.learning_rate}
        self._write("train", record.epoch, train | {"records_per_second": record.records_per_second})
        if record.val_loss is not None and record.val_metric is not None:
            self._write("val", record.epoch, {"loss": record.val_loss, self._metric: record.val_metric})

    def _write(self, split: str, epoch: int, figures: dict[str, float]) -> None:
        try:
            self._append(split, epoch, figures)
        except self._tf.errors.OpError as error:  # no OSError: the files are TensorFlow's own
            said = str(error.message).partition("\n")[0].rpartition("; ")[2]
            hint = "free some space, then run the same command again"
            raise DiskError(f"the log for TensorBoard: {said}", path=str(self._folder), hint=hint) from None

    def _append(self, split: str, epoch: int, figures: dict[str, float]) -> None:
        if split not in self._writers:
            self._writers[split] = self._tf.summary.create_file_writer(str(self._folder / split))
        writer = self._writers[split]
        with writer.as_default(step=epoch):
            for name, figure in figures.items():
                self._tf.summary.scalar(name, figure)
        writer.flush()
