"""Every kind of label goes the whole way, by the command line: convert, train, evaluate, predict, report."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.command import Command

NUM_RECORDS = 900
TINY = ("--layers", "16", "--epochs", "6", "--batch-size", "64", "--learning-rate", "0.02", "--seed", "3")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A label made from two normal columns, and what must come of it; `classes` are empty for a number."""

    label: Callable[[np.ndarray, np.ndarray], np.ndarray]
    classes: tuple[str, ...]
    kind: str
    metric: str
    figure: str
    least: float
    shown: tuple[str, ...]
    level: str = "--keep"


CASES = {
    "three texts": Case(
        label=lambda a, b: np.array(["gluon", "quark", "tau"])[(a > -0.4).astype(int) + (a + b > 0.6)],
        classes=("gluon", "quark", "tau"),
        kind="classes",
        metric="accuracy",
        figure="accuracy",
        least=0.8,
        shown=("ROC", "precision and recall", "calibration", "Confusion", "drop in accuracy"),
    ),
    "two texts": Case(
        label=lambda a, b: np.where(a + b > 0, "true", "false"),
        classes=("false", "true"),
        kind="classes",
        metric="accuracy",
        figure="auc",
        least=0.95,
        shown=("ROC", "Confusion", "drop in AUC", "AUC by level"),
        level="--categorical",
    ),
    "a number": Case(
        label=lambda a, b: 250 + 20 * a - 10 * b,
        classes=(),
        kind="number",
        metric="mean_absolute_error",
        figure="r2",
        least=0.9,
        shown=("what was predicted, and what was so", "residuals", "drop in R²", "RMSE by level"),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_the_whole_way(name: str, tmp_path: Path, pipeline_command: Command) -> None:
    """Figures are those of labels that can be learnt, predictions the labels as they were written."""
    case = CASES[name]
    expected = write_csv(tmp_path / "raw.csv", case)
    shards, model, judged = (tmp_path / part for part in ("shards", "model", "evaluation"))

    def run(*arguments: str | Path) -> str:
        outcome = pipeline_command(*arguments)
        assert (outcome.status, outcome.stderr) == (0, "")
        return outcome.stdout

    run("convert", tmp_path / "raw.csv", shards, "--label", "kind", case.level, "level", "--quiet")
    label = read(shards / "manifest.json")["label"]
    assert (label["kind"], tuple(label["classes"])) == (case.kind, case.classes)
    run("train", shards, "-o", model, *TINY, "--quiet")
    assert {row["metric"] for row in read(model / "metric.json")} == {case.metric}
    summary = json.loads(run("evaluate", model, shards, "-o", judged, "--slice", "level", "--json"))
    assert summary["metrics"][case.figure] > case.least
    assert ("level" in summary["importance"]) == (case.level == "--categorical")
    assert max(summary["importance"], key=summary["importance"].get) in "ab"
    run("predict", model, tmp_path / "raw.csv", tmp_path / "predicted.csv", "--quiet")
    with (tmp_path / "predicted.csv").open(encoding="utf-8", newline="") as file:
        predicted = [row["prediction"] for row in csv.DictReader(file)]
    if case.classes:
        assert set(predicted) == set(case.classes)
        assert np.mean(np.array(predicted) == expected) > 0.8
    else:
        assert np.corrcoef(np.array(predicted, float), expected.astype(float))[0, 1] > 0.9
    page = tmp_path / "page.html"
    run("report", model, "--evaluation", judged, "-o", page, "--quiet")
    text = page.read_text(encoding="utf-8")
    assert all(shown in text for shown in (*case.shown, *case.classes, "Figures on the test split"))
    run("report", shards, "-o", page, "--overwrite", "--quiet")
    assert "✗" not in page.read_text(encoding="utf-8")


def write_csv(path: Path, case: Case) -> np.ndarray:
    """Write features, a kept text and the label; return the label."""
    rng = np.random.default_rng(7)
    features = rng.normal(size=(NUM_RECORDS, 3))
    label = case.label(features[:, 0], features[:, 1])
    rows = (
        [value, *row, ("low", "high")[index % 2]]
        for index, (value, row) in enumerate(zip(label.tolist(), features.tolist(), strict=True))
    )
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["kind", "a", "b", "c", "level"], *rows])
    return label


def read(path: Path) -> Any:
    """Return the JSON value in a file."""
    return json.loads(path.read_text(encoding="utf-8"))
