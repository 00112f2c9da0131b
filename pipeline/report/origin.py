"""Owns what a report says of where records came from: their place in the source against their place now.

The tracers that `convert` followed are in the manifest. Neighbours: `shuffle` judges, `svg` and `page` draw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.keys import SPLITS
from pipeline.report import shuffle
from pipeline.report.page import Section, paragraph, table, verdict
from pipeline.report.svg import Series, chart
from pipeline.splitting.rule import BY_SHARES, in_words

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.manifest import Manifest
    from pipeline.report.shuffle import Finding

    Row = tuple[str, Finding]

MAX_RULES = 40  # borders of shards; more are a grey area


def section(manifest: Manifest) -> Section:
    """Return the section on the way from the source to the shards."""
    title = "From the source to the shards"
    if manifest.shuffle is None or not manifest.shuffle.positions:
        return Section(title=title, body=paragraph("The manifest does not say where records came from."))
    positions = np.array(manifest.shuffle.positions, np.int64)
    ranks = np.array(manifest.shuffle.ranks, np.int64)
    split_of = np.searchsorted(_ends(manifest), ranks, side="right")
    found = _judged(manifest, positions, ranks, split_of)
    body = paragraph(_said(manifest, len(positions), found))
    rows = [[split, one.name, verdict(is_fine=one.is_fine, text=_figure(one))] for split, one in found]
    body += _scatter(manifest, positions, ranks, split_of)
    return Section(
        title=title, body=body + (table(["split", "", "found"], rows, num_texts=2) if rows else "")
    )


def _ends(manifest: Manifest) -> NDArray[np.int64]:
    """Return the rank at which each split ends."""
    return np.cumsum([manifest.splits[name].records for name in SPLITS])


def _judged(
    manifest: Manifest, positions: NDArray[np.int64], ranks: NDArray[np.int64], split_of: NDArray[np.intp]
) -> list[Row]:
    """Return split and finding of all that can be judged."""
    is_blind = manifest.split_rule in BY_SHARES  # to where a record stands
    num_tests = 8 if is_blind else 6  # two for each split, and one each for where val and test come from
    found: list[Row] = []
    for index, name in enumerate(SPLITS):
        own = split_of == index
        for judged in (
            shuffle.correlation(ranks[own], num_tests=num_tests),
            shuffle.serial_correlation(ranks[own], num_tests=num_tests),
            shuffle.distance(positions[own], positions[~own], num_tests=num_tests)
            if is_blind and name != "train"
            else None,
        ):
            found += [(name, judged)] if judged else []
    return found


def _figure(finding: Finding) -> str:
    if finding.low == 0:
        return f"{finding.found:.4f}; chance: up to {finding.high:.4f}"
    return f"{finding.found:+.4f}; chance: {finding.low:+.4f} to {finding.high:+.4f}"


def _said(manifest: Manifest, num_tracers: int, found: list[Row]) -> str:
    how_many = "All" if num_tracers == manifest.records.written else f"{num_tracers:,}"
    said = (
        f"{how_many} of the {manifest.records.written:,} records were followed from their row in the source "
        "to where they were written. "
    )
    if not found:
        return said + "They are too few to judge."
    if not all(finding.is_fine for _, finding in found):
        return said + "Something of the order of the source is left in the shards: see the marks."
    said += "Where a record stood in the source says nothing of where it stands within its split"
    if manifest.split_rule in BY_SHARES:
        return said + ", nor of the split it is in."
    rule = in_words(manifest.split_rule, manifest.split_column, manifest.label.name)
    return f"{said}. The records were divided {rule}."


def _scatter(
    manifest: Manifest, positions: NDArray[np.int64], ranks: NDArray[np.int64], split_of: NDArray[np.intp]
) -> str:
    """Return the chart of places, a line at each border of a shard."""
    series = [
        Series(
            x=positions[split_of == index].tolist(),
            y=ranks[split_of == index].tolist(),
            name=name,
            color=index,
            style="points",
        )
        for index, name in enumerate(SPLITS)
        if (split_of == index).any()
    ]
    form = manifest.formats[0] if manifest.formats else ""
    sizes = [shard.records for name in SPLITS for shard in manifest.splits[name].of_format(form)]
    borders = np.cumsum(sizes)[:-1].tolist() if len(sizes) <= MAX_RULES else _ends(manifest)[:-1].tolist()
    return chart(
        series,
        title="each dot a record",
        x_name="row in the source",
        y_name="place in the shards" if len(sizes) <= MAX_RULES else "place in the splits",
        rules=borders,
        large_to=(float(manifest.records.read), float(manifest.records.written)),
    )
