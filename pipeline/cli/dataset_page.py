"""Owns what `pipeline inspect` shows of a dataset, as a page and as JSON. Neighbour: `page` prints it."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from pipeline.cli.display import amount
from pipeline.cli.page import Page, cut
from pipeline.counted import counted
from pipeline.dates import date, span
from pipeline.splitting.rule import in_words

if TYPE_CHECKING:
    from pipeline.inspect import DatasetReport
    from pipeline.manifest import ColumnEntry, Manifest

SHOWN_COLUMNS = 40
SHOWN_CLASSES = 10
SHOWN_VALUES = 4  # of a category


def dataset_page(report: DatasetReport, *, show_all: bool) -> Page:
    """Return what a dataset holds, as a page."""
    page, manifest = Page(), report.manifest
    page.heading(report.folder)
    for fault in report.damage:
        page.line(f"damaged: {fault}", "red")
    scale = "standardized" if manifest.standardized else "raw"
    num_bytes = sum(shard.bytes for split in manifest.splits.values() for shard in split.shards)
    page.pairs(
        {
            "records": _accounts(manifest),
            "size": f"{amount(num_bytes, 'bytes')} of {' and '.join(manifest.formats)}",
            "split": in_words(manifest.split_rule, manifest.split_column, manifest.label.name),
            "features": f"{len(manifest.features):,} of float32, {scale}",
            **_categories(manifest),
            "label": _dataset_label(manifest),
            "made by": f"{manifest.generator.name} {manifest.generator.version}",
            "fingerprint": manifest.fingerprint,
        }
    )
    page.heading("splits")
    header, rows = _split_rows(manifest)
    page.table(header, rows, left=["split"])
    page.heading(f"{counted(len(manifest.columns), 'column')}; moments of the train split, in raw units")
    shown = manifest.columns if show_all else manifest.columns[:SHOWN_COLUMNS]
    page.table(
        ("column", "role", "dtype", "mean", "std", "min", "max", "missing", "values"),
        map(_dataset_row, shown),
        left=["column", "role", "dtype", "values"],
    )
    page.more_columns(len(manifest.columns) - len(shown))
    page.heading("source")
    page.table(
        ("file", "size", "records", "XXH3-128 of its text"),
        [(f.path, amount(f.bytes, "bytes"), f"{f.records:,}", f.digest) for f in manifest.source.files],
        left=["file"],
    )
    page.line("options: " + ", ".join(f"{name} {_option(value)}" for name, value in manifest.options.items()))
    _rejects(page, report)
    page.warnings(manifest.warnings)
    for piece in report.code:
        page.heading(f"# {piece.title}")
        page.code(piece.code, "python")
    return page


def _accounts(manifest: Manifest) -> str:
    counts = manifest.records
    blank = f", {counts.blank:,} blank lines" if counts.blank else ""
    return f"{counts.read:,} read = {counts.written:,} written + {counts.rejected:,} rejected{blank}"


def _categories(manifest: Manifest) -> dict[str, str]:
    if not manifest.categories:
        return {}
    return {
        "categories": f"{len(manifest.categories):,} of int64: 1 + a place in the vocabulary, 0 for others"
    }


def _dataset_label(manifest: Manifest) -> str:
    label = manifest.label
    if label.kind == "number":
        return f"{label.name} (number)"
    shown = ", ".join(cut(str(value)) for value in label.classes[:SHOWN_CLASSES])
    more = " …" * (len(label.classes) > SHOWN_CLASSES)
    return f"{label.name} ({counted(len(label.classes), 'class')}: {shown}{more})"


def _split_rows(manifest: Manifest) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the table of splits, with the share of each class where they are few."""
    classes = manifest.label.classes if len(manifest.label.classes) <= SHOWN_CLASSES else ()
    header = ["split", "records", "share", "shards", "size", *(cut(str(value)) for value in classes)]
    rows = []
    for name, split in manifest.splits.items():
        counts = manifest.label.counts.get(name, ())[: len(classes)]
        rows.append(
            [
                name,
                f"{split.records:,}",
                f"{split.records / max(manifest.records.written, 1):.1%}",
                f"{len(split.shards) // max(len(manifest.formats), 1):,}",
                amount(sum(shard.bytes for shard in split.shards), "bytes"),
                *(f"{count / max(split.records, 1):.2%}" for count in counts),
            ]
        )
    return header, rows


def _dataset_row(column: ColumnEntry) -> tuple[str, ...]:
    found = column.moments
    if found is None:
        return cut(column.name), column.role, column.dtype, "", "", "", "", "", _values(column)
    point, width = (date, span) if column.reading == "datetime" else ("{:.5g}".format, "{:.5g}".format)
    low = "" if found.min is None else point(found.min)
    high = "" if found.max is None else point(found.max)
    missing = f"{found.missing:,}" if found.missing else ""
    return (
        cut(column.name),
        column.role,
        column.dtype,
        point(found.mean),
        width(found.std),
        low,
        high,
        missing,
        column.reading or "",
    )


def _values(column: ColumnEntry) -> str:
    """Return the most frequent values of a category."""
    if column.vocabulary is None:
        return ""
    more = len(column.vocabulary) - SHOWN_VALUES
    shown = ", ".join(map(cut, column.vocabulary[:SHOWN_VALUES]))
    return shown + (f" … {more:,} more" if more > 0 else "")


def _option(value: Any) -> str:  # noqa: ANN401  # whatever the manifest has
    if isinstance(value, list):
        return "/".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def _rejects(page: Page, report: DatasetReport) -> None:
    rejects = report.manifest.rejects
    if rejects is None:
        return
    reasons = ", ".join(
        f"{count:,} {code}" + (f" in {cut(column)}" if column else "")
        for (code, column), count in report.reasons.items()
    )
    page.line(
        f"rejects: {rejects.records:,} in {rejects.path}" + (f" ({reasons})" if reasons else ""),
        "yellow",
    )


def dataset_json(report: DatasetReport) -> dict[str, Any]:
    """Return what a dataset holds, as JSON values."""
    from pipeline.manifest import column_tree  # noqa: PLC0415  # not for --help

    manifest = report.manifest
    splits = {
        name: {
            "records": split.records,
            "bytes": sum(shard.bytes for shard in split.shards),
            "shards": [shard.path for shard in split.shards],
            "label_counts": list(manifest.label.counts.get(name, ())),
        }
        for name, split in manifest.splits.items()
    }
    return {
        "dataset": report.folder,
        "fingerprint": manifest.fingerprint,
        "generator": dataclasses.asdict(manifest.generator),
        "formats": list(manifest.formats),
        "standardized": manifest.standardized,
        "records": dataclasses.asdict(manifest.records),
        "label": {
            "name": manifest.label.name,
            "kind": manifest.label.kind,
            "classes": manifest.label.classes,
        },
        "splits": splits,
        "columns": [column_tree(column) for column in manifest.columns],
        "options": manifest.options,
        "source": dataclasses.asdict(manifest.source),
        "rejects": [
            {"code": code, "column": column or None, "records": count}
            for (code, column), count in report.reasons.items()
        ],
        "warnings": list(manifest.warnings),
        "damage": list(report.damage),
        "code": {piece.name: piece.code for piece in report.code},
    }
