"""Owns the section about the categories of a dataset: how often each value is, and what the label is then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.report.page import Section, paragraph, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from pipeline.manifest import ColumnEntry, Manifest
    from pipeline.report.sketch import Sketch

MAX_COLUMNS = 40
MAX_VALUES = 10
TWO_CLASSES = 2


def sections(manifest: Manifest, sketches: Mapping[str, Sketch]) -> Iterator[Section]:
    """Yield the section, if there are categories; `sketches` by split."""
    if not manifest.categories:
        return
    said = (
        "Shares of the records that have a value; the most frequent values of the train split. A value that "
    )
    said += "train does not have is unknown to a model, and so is a missing one."
    body = paragraph(said)
    for index, column in enumerate(manifest.categories[:MAX_COLUMNS]):
        body += _values(index, column, manifest, sketches)
    if len(manifest.categories) > MAX_COLUMNS:
        body += paragraph(f"The first {MAX_COLUMNS} of {len(manifest.categories):,} categories.")
    yield Section(title="Categories", body=body)


def _values(index: int, column: ColumnEntry, manifest: Manifest, sketches: Mapping[str, Sketch]) -> str:
    known = column.vocabulary or ()
    shares = {name: _shares(sketch.places[index], sketch.num_records) for name, sketch in sketches.items()}
    header = [column.name, *shares]
    of_label = None
    if len(manifest.label.classes) == TWO_CLASSES and "train" in sketches:
        counts = sketches["train"].places[index]
        of_label = counts[1] / np.maximum(counts.sum(axis=0), 1)
        header.append(f"{manifest.label.name} {manifest.label.classes[1]}")
    rows = []
    for place in [*range(1, len(known) + 1)][:MAX_VALUES]:
        rows.append([known[place - 1], *(f"{of_split[place]:.2%}" for of_split in shares.values())])
        if of_label is not None:
            rows[-1].append(f"{of_label[place]:.1%}")
    if len(known) > MAX_VALUES:
        further = [f"{of_split[MAX_VALUES + 1 :].sum():.2%}" for of_split in shares.values()]
        rows.append([f"{len(known) - MAX_VALUES:,} more", *further, *([""] if of_label is not None else [])])
    unknown = [f"{of_split[0]:.2%}" for of_split in shares.values()]
    rows.append(["unknown or missing", *unknown, *([""] if of_label is not None else [])])
    return table(header, rows)


def _shares(counts: NDArray[np.int64], num_records: int) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = counts.sum(axis=0) / max(num_records, 1)
    return shares
