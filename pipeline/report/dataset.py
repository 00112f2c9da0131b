"""Owns what a report says of a dataset: facts, columns, and whether the shuffle and the split are fair.

Neighbours: `sketch` gathers, `shuffle` judges, `origin` tells of the source, `svg` and `page` draw.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.counted import counted
from pipeline.dates import date, span
from pipeline.keys import SPLITS
from pipeline.report import categories, origin, shuffle
from pipeline.report.page import Section, charts, paragraph, table, verdict
from pipeline.report.svg import Axis, Band, Series, chart, matrix, number
from pipeline.splitting.rule import BY_SHARES, in_words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pipeline.manifest import Manifest
    from pipeline.report.sketch import Sketch

MAX_COLUMNS = 60  # more charts than this nobody looks at
MAX_CLASSES = 4
TWO_CLASSES = 2
MAX_SHARDS = 200
MAX_MATRIX = 100


def sections(manifest: Manifest, sketches: Mapping[str, Sketch]) -> list[Section]:
    """Return the sections of a dataset; `sketches` by split, of the splits that have records."""
    return [
        _facts(manifest),
        origin.section(manifest),
        _shuffle(manifest, sketches),
        *_of_numbers(manifest, sketches),
        *categories.sections(manifest, sketches),
        _columns(manifest),
    ]


def _of_numbers(manifest: Manifest, sketches: Mapping[str, Sketch]) -> list[Section]:
    if not manifest.features:
        return []
    return [_drift(manifest, sketches), _histograms(manifest, sketches), _correlations(manifest, sketches)]


def _facts(manifest: Manifest) -> Section:
    counts = manifest.records
    rows = []
    for name, split in manifest.splits.items():
        shards = split.of_format(manifest.formats[0]) if manifest.formats else ()
        size = _size(sum(shard.bytes for shard in split.shards))
        share = split.records / max(counts.written, 1)
        labels = manifest.label.counts.get(name, ())
        balance = ", ".join(
            f"{label}: {count / max(split.records, 1):.1%}"
            for label, count in list(zip(manifest.label.classes, labels, strict=False))[:MAX_CLASSES]
        )
        rows.append([name, f"{split.records:,}", f"{share:.2%}", str(len(shards)), size, balance])
    files = manifest.source.files
    named = files[0].path if len(files) == 1 else f"{len(files):,} files, {files[0].path} to {files[-1].path}"
    account = (
        f"{counted(counts.read, 'record')} read = {counts.written:,} written + {counts.rejected:,} set aside;"
        f" {counted(counts.blank, 'blank line')}."
    )
    header = ["split", "records", "share", "shards", "size", "labels"]
    if not manifest.label.classes:
        header, rows = header[:-1], [row[:-1] for row in rows]
    body = table(header, rows)
    rule = in_words(manifest.split_rule, manifest.split_column, manifest.label.name)
    body += paragraph(f"Divided into splits {rule}.")
    body += paragraph(f"Source: {named}, {_size(sum(file.bytes for file in files))}. {account}")
    body += f'<p class="faint">fingerprint <code>{manifest.fingerprint}</code></p>'
    body += "".join(paragraph(f"Warning: {warning}") for warning in manifest.warnings)
    return Section(title="Records", body=body)


def _size(num_bytes: int) -> str:
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if num_bytes >= unit:
            return f"{num_bytes / unit:,.4g} {name}"
    return f"{num_bytes} bytes"


def _shuffle(manifest: Manifest, sketches: Mapping[str, Sketch]) -> Section:
    rows, figures = [], []
    classes = manifest.label.classes
    for name, sketch in sketches.items():
        if finding := shuffle.runs(sketch, num_tests=len(sketches)):
            said = f"{finding.found:,.0f}; chance: {finding.low:,.0f} to {finding.high:,.0f}"
            rows.append([name, finding.name, verdict(is_fine=finding.is_fine, text=said)])
        bands = shuffle.lagged(sketch, num_tests=len(sketches) * max(len(sketch.lagged), 1))
        if len(bands):
            worst = int(np.argmax(np.abs(sketch.lagged)))
            said = (
                f"{sketch.lagged[worst]:+.5f} ({manifest.features[worst].name}); chance: ±{bands[worst]:.5f}"
            )
            fine = bool(abs(sketch.lagged[worst]) <= bands[worst])
            rows.append([name, "largest correlation of neighbours", verdict(is_fine=fine, text=said)])
    if classes and "train" in sketches:
        places = range(len(classes))
        # Of two classes one share says it all.
        shown = places[1:] if len(classes) == TWO_CLASSES else places[:MAX_CLASSES]
        figures = [_shares(manifest, sketches, index) for index in shown]
    body = paragraph(
        "What lies on disk, read in its order. In a random order neighbours have nothing to do with each "
        "other: equal labels follow each other as often as chance has it, and no column of a record says "
        "anything of the next one."
    )
    body += table(["split", "", "found"], rows, num_texts=2) + charts(figures)
    return Section(title="Is it shuffled?", body=body)


def _shares(manifest: Manifest, sketches: Mapping[str, Sketch], class_index: int) -> str:
    """Return the chart of a class's share in every shard, with the band of chance."""
    total = sum(int(sketch.class_counts.sum()) for sketch in sketches.values())
    overall = sum(int(sketch.class_counts[class_index]) for sketch in sketches.values()) / max(total, 1)
    is_fair = manifest.split_rule in BY_SHARES
    num_shards = sum(len(sketch.shard_counts) for sketch in sketches.values())
    series, low, high = [], [], []
    place = 0
    for name, sketch in sketches.items():
        of_split = int(sketch.class_counts[class_index]) / max(int(sketch.class_counts.sum()), 1)
        share = overall if is_fair else of_split
        found = shuffle.shard_shares(sketch, share, class_index, num_tests=num_shards)[:MAX_SHARDS]
        places = [float(place + index) for index in range(len(found))]
        series.append(
            Series(x=places, y=[f.found for f in found], name=name, color=SPLITS.index(name), style="dots")
        )
        low += [finding.low for finding in found]
        high += [finding.high for finding in found]
        place += len(found)
    edges = [index - 0.5 + step for index in range(place) for step in (0.0, 1.0)]
    band = Band(x=edges, low=[v for v in low for _ in "ab"], high=[v for v in high for _ in "ab"])
    return chart(
        series,
        title=f"share of label {manifest.label.classes[class_index]!s} in each shard",
        x_name="shard",
        x_axis="whole",
        bands=[band] if edges else [],
    )


def _drift(manifest: Manifest, sketches: Mapping[str, Sketch]) -> Section:
    others = [name for name in ("val", "test") if name in sketches and "train" in sketches]
    is_fair = manifest.split_rule in BY_SHARES
    names = [column.name for column in manifest.features]
    rows, figures = [], []
    for name in others:
        distance, allowed = shuffle.drift(
            sketches["train"], sketches[name], num_tests=len(others) * max(len(names), 1)
        )
        worst = int(np.argmax(distance))
        said = f"{distance[worst]:.5f} ({names[worst]}); chance: up to {allowed:.5f}"
        is_fine = bool(distance[worst] <= allowed)
        # Where no chance divided the records, how far splits lie apart is a fact about them and no fault.
        rows.append([f"train and {name}", verdict(is_fine=is_fine, text=said) if is_fair else said])
        places = list(map(float, range(len(names))))
        limit = Series(x=[0.0, max(places)], y=[allowed, allowed], name="chance", color=5, style="faint")
        points = Series(x=places, y=distance.tolist(), name=name, color=SPLITS.index(name), style="dots")
        figures.append(
            chart(
                [points, limit],
                title=f"train and {name}: distance",
                x_name="column",
                y_from_zero=True,
                x_axis="whole",
            )
        )
    body = paragraph(
        "The greatest difference between the distribution functions of two splits, in the column where it is "
        "greatest (Kolmogorov and Smirnov)."
    )
    if not is_fair:
        rule = in_words(manifest.split_rule, manifest.split_column, manifest.label.name)
        body += paragraph(
            f"The records were divided {rule}. So the splits need not be alike, and nothing is judged: what "
            "is beyond chance here is what a model meets when it is used on records unlike those of train."
        )
    return Section(
        title="Are the splits alike?", body=body + table(["splits", "found"], rows) + charts(figures)
    )


def _histograms(manifest: Manifest, sketches: Mapping[str, Sketch]) -> Section:
    figures = []
    for index, column in enumerate(manifest.features[:MAX_COLUMNS]):
        series = []
        for name, sketch in sketches.items():
            if name != "train":
                shares = sketch.histograms[:, index].sum(axis=0) / max(sketch.num_records, 1)
                series.append(_step(sketch.edges[index], shares, name, SPLITS.index(name), "step"))
        if "train" in sketches:
            series = [*_by_class(manifest, sketches["train"], index), *series]
        x_axis: Axis = "dates" if column.reading == "datetime" else "numbers"
        figures.append(chart(series, title=column.name, y_from_zero=True, x_axis=x_axis))
    said = "Shares of the records, in the units of the source"
    said += "; train by label. " if manifest.label.classes else ". "
    said += "What lies beyond four standard deviations is in the outermost bins."
    if len(manifest.features) > MAX_COLUMNS:
        said += f" The first {MAX_COLUMNS} of {len(manifest.features):,} columns."
    return Section(title="Columns", body=paragraph(said) + charts(figures))


def _by_class(manifest: Manifest, sketch: Sketch, index: int) -> list[Series]:
    classes = manifest.label.classes[:MAX_CLASSES]
    if not classes:
        shares = sketch.histograms[0, index] / max(sketch.num_records, 1)
        return [_step(sketch.edges[index], shares, "train", 0, "step")]
    return [
        _step(
            sketch.edges[index],
            sketch.histograms[at, index] / max(int(sketch.class_counts[at]), 1),
            f"train, {label}",
            (0, 3, 4, 5)[at],
            "step",
        )
        for at, label in enumerate(classes)
    ]


def _step(edges: np.ndarray, shares: np.ndarray, name: str, color: int, style: str) -> Series:
    return Series(x=edges.tolist(), y=[0.0, *shares.tolist()], name=name, color=color, style=style)


def _correlations(manifest: Manifest, sketches: Mapping[str, Sketch]) -> Section:
    if "train" not in sketches:
        return Section(title="Correlations", body=paragraph("No train split."))
    names = [column.name for column in manifest.features[:MAX_MATRIX]]
    products = sketches["train"].products[: len(names), : len(names)]
    sizes = np.sqrt(np.maximum(np.diag(products), 1e-300))
    found = np.clip(products / np.outer(sizes, sizes), -1, 1)
    said = "Of the features, in the train split."
    return Section(
        title="Correlations", body=paragraph(said) + matrix(found.tolist(), names, title="correlations")
    )


def _columns(manifest: Manifest) -> Section:
    rows = []
    for column in manifest.columns:
        moments = column.moments
        values = [moments.mean, moments.std, moments.min, moments.max] if moments else [None] * 4
        point, width = (date, span) if column.reading == "datetime" else (number, number)
        shown = [
            "" if value is None else tell(value)
            for tell, value in zip((point, width, point, point), values, strict=True)
        ]
        dtype = column.dtype + (f" ({column.reading})" if column.reading else "")
        rows.append([column.name, column.role, dtype, *shown, f"{moments.missing:,}" if moments else ""])
    header = ["column", "role", "type", "mean", "std", "min", "max", "missing"]
    return Section(title="Moments of the train split, raw units", body=table(header, rows))
