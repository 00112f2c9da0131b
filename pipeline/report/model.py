"""Owns what a report says of a trained model, from the files that training left.

Neighbours: `evaluation` tells what came of judging it, `svg` and `page` draw; `train` wrote what is read.
"""

from __future__ import annotations

import csv
import json
from typing import TYPE_CHECKING, Any

from pipeline.counted import counted
from pipeline.errors import ModelError
from pipeline.report import evaluation as evaluations
from pipeline.report.page import Section, charts, facts, paragraph
from pipeline.report.svg import Series, chart, number

if TYPE_CHECKING:
    from pathlib import Path

    from pipeline.models.description import ModelDescription

HINT = "name a folder that `pipeline train` or `pipeline evaluate` wrote"
MAX_NAMES = 60
EPOCH_CURVES = ("learning_rate", "seconds", "records_per_second")  # drawn after loss and metric


def sections(model: Path, description: ModelDescription, evaluation: Path | None) -> list[Section]:
    """Return the sections of a model; of its evaluation, too, where there is one.

    Raises:
        ModelError: a file cannot be used.
    """
    found: list[Section | None] = []
    if evaluation is None:
        found.append(
            figures(read_json(model / "metrics.json")) if (model / "metrics.json").exists() else None
        )
    else:
        found += [figures(read_json(evaluation / "metrics.json")), *evaluations.sections(evaluation, _rows)]
    found += [_epochs(model), _facts(description)]
    return [section for section in found if section is not None]


def figures(tree: dict[str, Any]) -> Section:
    """Return the figures of all records of a split."""
    shown = {
        evaluations.METRICS.get(name, name): f"{value:,}" if isinstance(value, int) else number(value)
        for name, value in tree.items()
        if isinstance(value, int | float) and not name.startswith("residual_")
    }
    return Section(title=f"Figures on the {tree.get('split', 'test')} split", body=facts(shown))


def _facts(description: ModelDescription) -> Section:
    names = description.inputs
    shown = ", ".join(names[:MAX_NAMES]) + (" …" if len(names) > MAX_NAMES else "")
    kind = (
        "is a number"
        if description.label_kind == "number"
        else f"has {counted(len(description.classes), 'class')}"
    )
    said = f"{description.parameters:,} parameters. The label {description.label!r} {kind}."
    body = paragraph(said) + paragraph(f"Columns, in order: {shown}.")
    options = {name: _option(value) for name, value in description.options.items() if value is not None}
    return Section(title="How it was made", body=body + facts(options))


def _option(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _epochs(model: Path) -> Section | None:
    path = model / "history.csv"
    if not path.exists():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in (rows[0] if rows else {}) if name != "epoch" and not name.startswith("val_")]
    epochs = [float(index + 1) for index in range(len(rows))]
    drawn = []
    for name in names:
        series = [
            Series(x=epochs, y=[float(row[key]) for row in rows], name=split, color=color)
            for key, split, color in ((name, "train", 0), (f"val_{name}", "val", 1))
            if rows and all(row.get(key) for row in rows)
        ]
        if series:
            from_zero = name in EPOCH_CURVES
            drawn.append(
                chart(
                    series,
                    title=name.replace("_", " "),
                    x_name="epoch",
                    y_from_zero=from_zero,
                    x_axis="whole",
                )
            )
    return Section(title="Epochs", body=charts(drawn))


def _rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a table; none where there is no such table."""
    found = read_json(path) if path.exists() else []
    if not isinstance(found, list):
        raise ModelError("no table", path=str(path), hint=HINT)
    return found


def read_json(path: Path) -> Any:  # noqa: ANN401  # JSON has no narrower type
    """Return the JSON value in a file.

    Raises:
        ModelError: there is none.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError("no such file", path=str(path), hint=HINT) from None
    except ValueError:
        raise ModelError("no JSON", path=str(path), hint=HINT) from None
