"""Owns what a report says of how a model did, from the tables that an evaluation left.

Neighbours: `model` has the figures and the epochs, `svg` and `page` draw; `evaluate` wrote what is read here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.report.page import Section, charts, heat, paragraph, table
from pipeline.report.svg import Band, Series, bars, chart, number

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Rows = list[dict[str, Any]]

MAX_CLASSES = 30  # of a confusion matrix
MAX_CURVES = 5  # of single classes beside their mean
MAX_BARS = 60
EVEN = Series(x=[0.0, 1.0], y=[0.0, 1.0], color=5, style="faint")
METRICS = {"auc": "AUC", "f1": "F1", "brier": "Brier score", "mae": "MAE", "rmse": "RMSE", "r2": "R²"}
# What of a slice is shown; the rest is in its table.
OF_SLICES = (
    "records",
    "loss",
    "accuracy",
    "auc",
    "average_precision",
    "calibration_error",
    "mae",
    "rmse",
    "r2",
)


def sections(folder: Path, rows_of: Callable[[Path], Rows]) -> list[Section | None]:
    """Return the sections of the evaluation in `folder`; `rows_of` reads a table, empty if there is none."""
    tables = {
        name: rows_of(folder / f"{name}.json")
        for name in (
            *("roc", "pr", "curves_by_class", "calibration", "confusion", "importance", "slices"),
            "residuals",
        )
    }
    return [
        _curves(tables),
        _numbers(tables["calibration"], tables["residuals"]),
        _confusion(tables["confusion"]),
        _slices(tables["slices"]),
        _importance(tables["importance"]),
    ]


def _curves(tables: dict[str, Rows]) -> Section | None:
    drawn = []
    if roc := tables["roc"]:
        behind = _by_class(tables["curves_by_class"], "false_positive_rate", "recall")
        curve = _series(roc, "false_positive_rate", "true_positive_rate", "mean" if behind else "")
        rates = ("false positive rate", "true positive rate")
        drawn.append(chart([EVEN, *behind, curve], title="ROC", x_name=rates[0], y_name=rates[1]))
    if recall := tables["pr"]:
        behind = _by_class(tables["curves_by_class"], "recall", "precision")
        curve = _series(recall, "recall", "precision", "mean" if behind else "")
        title = "precision and recall"
        drawn.append(
            chart([*behind, curve], title=title, x_name="recall", y_name="precision", y_from_zero=True)
        )
    if (bins := tables["calibration"]) and not tables["residuals"]:
        points = _series(bins, "predicted", "actual", style="dots")
        title = "calibration"
        drawn.append(
            chart([EVEN, points], title=title, x_name="predicted probability", y_name="how often so")
        )
    if not drawn:
        return None
    said = "Calibration: of the records that were given a probability, how many were of that class."
    if tables["curves_by_class"]:
        said = "Each class against the rest. " + said.replace(
            "given a probability", "predicted with a probability"
        )
    return Section(title="Curves", body=paragraph(said) + charts(drawn))


def _by_class(rows: Rows, x: str, y: str) -> list[Series]:
    """Return the curves of the first classes; none if there are more than can be told apart."""
    names = list(dict.fromkeys(str(row["class"]) for row in rows))
    if len(names) > MAX_CURVES:
        return []
    own = {name: [row for row in rows if str(row["class"]) == name] for name in names}
    return [_series(own[name], x, y, name, color=1 + index) for index, name in enumerate(names)]


def _series(rows: Rows, x: str, y: str, name: str = "", *, color: int = 0, style: str = "line") -> Series:
    points = [(float(row[x]), float(row[y])) for row in rows if row[x] is not None and row[y] is not None]
    return Series(x=[px for px, _ in points], y=[py for _, py in points], name=name, color=color, style=style)


def _numbers(predicted: Rows, residuals: Rows) -> Section | None:
    if not residuals:
        return None
    x = [float(row["predicted"]) for row in predicted]
    low, high = ([float(row[name]) for row in predicted] for name in ("low", "high"))
    even = Series(x=[x[0], x[-1]], y=[x[0], x[-1]], color=5, style="faint")
    means = Series(x=x, y=[float(row["actual"]) for row in predicted], style="dots")
    drawn = chart(
        [even, means],
        title="what was predicted, and what was so",
        x_name="predicted",
        y_name="actual",
        bands=[Band(x=x, low=low, high=high)],
    )
    shares = Series(
        x=[float(row["residual"]) for row in residuals], y=[float(row["share"]) for row in residuals]
    )
    spread = chart([shares], title="residuals", x_name="predicted - actual", y_name="share of records below")
    said = (
        "Records in the order of what was predicted of them, in equal parts: a dot for the mean of each, "
        "nine tenths of the records in the band. On the dashed line, what was predicted was so."
    )
    return Section(title="Predicted and actual", body=paragraph(said) + charts([drawn, spread]))


def _importance(rows: Rows) -> Section | None:
    if not rows:
        return None
    metric = METRICS.get(str(rows[0]["metric"]), str(rows[0]["metric"]))
    said = (
        f"By how much {metric} drops when the values of a column are given to other records: the mean of "
        "several permutations, and a line from the least to the most. Of columns that say the same, each can "
        "stand in for the other."
    )
    if len(rows) > MAX_BARS:
        said += f" The first {MAX_BARS} of {len(rows):,} columns."
    figure = bars(
        [(str(r["column"]), float(r["drop"]), float(r["low"]), float(r["high"])) for r in rows[:MAX_BARS]],
        title=f"drop in {metric}",
        large=True,
    )
    return Section(title="What each column is worth", body=paragraph(said) + figure)


def _confusion(rows: Rows) -> Section | None:
    if not rows:
        return None
    names = list(dict.fromkeys(str(row["actual"]) for row in rows))
    shown = names[:MAX_CLASSES]
    found = {(str(row["actual"]), str(row["predicted"])): row for row in rows}
    nothing = {"records": 0, "share": 0.0}
    cells = []
    for actual in shown:
        row = [found.get((actual, predicted), nothing) for predicted in shown]
        cells.append([actual, *(heat(f"{int(one['records']):,}", float(one["share"] or 0)) for one in row)])
    said = "Actual class down, predicted class across; the darker, the greater the share of the actual class."
    if len(names) > MAX_CLASSES:
        said += f" The first {MAX_CLASSES} of {len(names):,} classes."
    return Section(title="Confusion", body=paragraph(said) + table(["", *shown], cells))


def _slices(rows: Rows) -> Section | None:
    if not rows:
        return None
    shown = [name for name in OF_SLICES if name in rows[0]]
    cells = [[str(row["column"]), str(row["slice"]), *(_shown(row[name]) for name in shown)] for row in rows]
    header = ["column", "slice", *(METRICS.get(name, name.replace("_", " ")) for name in shown)]
    drawn = [_by_slice(column, rows) for column in dict.fromkeys(str(row["column"]) for row in rows)]
    return Section(title="Slices", body=charts(drawn) + table(header, cells, num_texts=2))


def _by_slice(column: str, rows: Rows) -> str:
    own = [row for row in rows if row["column"] == column and row["figure"] is not None][:MAX_BARS]
    if not own:
        return ""
    values = [(str(row["slice"]), float(row["figure"])) for row in own]
    metric = METRICS.get(str(own[0]["metric"]), str(own[0]["metric"]))
    return bars([(name, value, value, value) for name, value in values], title=f"{metric} by {column}")


def _shown(value: object) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return number(value) if isinstance(value, float) else "-"
