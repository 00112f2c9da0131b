"""Owns what a report says of a trained model, from the files that training and evaluation left.

Neighbours: `svg` and `page` draw; `train` and `evaluate` wrote what is read here.
"""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

from pipeline.errors import ModelError
from pipeline.report.page import Section, charts, paragraph, table
from pipeline.report.svg import Series, chart, number

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.models.description import ModelDescription

HINT = "name a folder that `pipeline train` or `pipeline evaluate` wrote"
MAX_CONFUSED = 30
MAX_NAMES = 60


def sections(model: Path, description: ModelDescription, evaluation: Path | None) -> list[Section]:
    """Return the sections of a model; of its evaluation, too, where there is one.

    Raises:
        ModelError: a file cannot be used.
    """
    found = [_facts(description), _epochs(model)]
    if evaluation is not None:
        found += [_figures(evaluation), _curves(evaluation), _confusion(evaluation), _slices(evaluation)]
    return [section for section in found if section is not None]


def _facts(description: ModelDescription) -> Section:
    names = description.features
    shown = ", ".join(names[:MAX_NAMES]) + (" …" if len(names) > MAX_NAMES else "")
    body = paragraph(f"{description.parameters:,} parameters. Columns, in order: {shown}.")
    rows = [[name, str(value)] for name, value in description.options.items()]
    return Section(title="Model", body=body + table(["option", "value"], rows))


def _epochs(model: Path) -> Section | None:
    path = model / "history.csv"
    if not path.exists():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in (rows[0] if rows else {}) if name != "epoch" and not name.startswith("val_")]
    epochs = [float(index + 1) for index in range(len(rows))]
    figures = []
    for name in names:
        series = [
            Series(x=epochs, y=[float(row[key]) for row in rows], name=split, color=color)
            for key, split, color in ((name, "train", 0), (f"val_{name}", "val", 1))
            if rows and all(row.get(key) for row in rows)
        ]
        if series:
            figures.append(chart(series, title=name, x_name="epoch"))
    return Section(title="Epochs", body=charts(figures))


def _figures(evaluation: Path) -> Section:
    tree = _read(evaluation / "metrics.json")
    rows = [[name, number(value)] for name, value in tree.items() if isinstance(value, int | float)]
    return Section(title=f"Figures, {tree.get('split', 'test')} split", body=table(["figure", "value"], rows))


def _curves(evaluation: Path) -> Section | None:
    figures = []
    roc, recall, bins = (_optional(evaluation / f"{name}.json") for name in ("roc", "pr", "calibration"))
    if roc:
        curve = Series(x=_column(roc, "false_positive_rate"), y=_column(roc, "true_positive_rate"))
        even = Series(x=[0.0, 1.0], y=[0.0, 1.0], color=5, style="faint")
        figures.append(
            chart([curve, even], title="ROC", x_name="false positive rate", y_name="true positive rate")
        )
    if recall:
        curve = Series(x=_column(recall, "recall"), y=_column(recall, "precision"))
        figures.append(chart([curve], title="precision and recall", x_name="recall", y_name="precision"))
    if bins:
        curve = Series(x=_column(bins, "probability"), y=_column(bins, "share"), style="dots")
        even = Series(x=[0.0, 1.0], y=[0.0, 1.0], color=5, style="faint")
        figures.append(
            chart([curve, even], title="calibration", x_name="probability", y_name="share of records")
        )
    return Section(title="Curves", body=charts(figures)) if figures else None


def _confusion(evaluation: Path) -> Section | None:
    rows = _optional(evaluation / "confusion.json")
    if not rows:
        return None
    actual = list(dict.fromkeys(str(row["actual"]) for row in rows))[:MAX_CONFUSED]
    counts = {(str(row["actual"]), str(row["predicted"])): row for row in rows}
    cells = [[name, *(f"{_count(counts.get((name, other), {})):,}" for other in actual)] for name in actual]
    return Section(title="Confusion: actual down, predicted across", body=table(["", *actual], cells))


def _slices(evaluation: Path) -> Section | None:
    rows = _optional(evaluation / "slices.json")
    if not rows:
        return None
    header = list(rows[0])
    cells = [[_shown(row.get(name)) for name in header] for row in rows]
    return Section(title="Slices", body=table(header, cells))


def _count(row: dict[str, Any]) -> int:
    return int(row.get("count", row.get("records", 0)))


def _shown(value: object) -> str:
    return number(float(value)) if isinstance(value, int | float) else str(value)


def _column(rows: list[dict[str, Any]], name: str) -> list[float]:
    return [float(row[name]) for row in rows if row.get(name) is not None]


def _optional(path: Path) -> list[dict[str, Any]]:
    found = _read(path) if path.exists() else []
    if isinstance(found, dict):
        found = next((value for value in found.values() if isinstance(value, list)), [])
    return found


def _read(path: Path) -> Any:  # noqa: ANN401  # JSON has no narrower type
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError("no such file", path=str(path), hint=HINT) from None
    except ValueError:
        raise ModelError("no JSON", path=str(path), hint=HINT) from None
