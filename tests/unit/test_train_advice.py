"""A training says when its model has learnt nothing that an answer without looking does not give."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.metrics import many_class_metrics, number_metrics, two_class_metrics
from pipeline.train.advice import no_better

LABELS = np.array([0, 0, 0, 1])
TWO = {
    "one 0 wrong": (np.array([0.1, 0.1, 0.9, 0.9]), True),
    "always 0": (np.array([0.1, 0.1, 0.1, 0.1]), True),
    "all wrong": (1.0 - LABELS, True),
    "all right": (LABELS.astype(float), False),
}


@pytest.mark.parametrize("name", TWO)
def test_two_classes_are_compared_with_the_more_frequent(name: str) -> None:
    """Three of four are of class 0: with three right or fewer, saying so of all does as well."""
    score, is_told = TWO[name]
    expected = "saying no of every record (accuracy 0.7500)" if is_told else ""
    assert no_better(two_class_metrics(LABELS, score), ("no", "yes")) == expected


def test_records_of_one_class_tell_nothing() -> None:
    """Where all records are of one class, being right is no fault."""
    assert no_better(two_class_metrics(np.zeros(3, int), np.full(3, 0.1)), (0, 1)) == ""


def test_many_classes_are_compared_with_the_most_frequent() -> None:
    """The class that is named is that of the most records, wherever it stands."""
    labels = np.array([0, 1, 2, 2])
    always = np.tile([0.1, 0.2, 0.7], (4, 1))
    assert no_better(many_class_metrics(labels, always), ("a", "b", "c")) == (
        "saying c of every record (accuracy 0.5000)"
    )
    assert no_better(many_class_metrics(labels, np.eye(3)[labels]), ("a", "b", "c")) == ""


def test_a_number_is_compared_with_the_mean() -> None:
    """R² of 0 is what the mean has; below it a model is worse. Of a constant label nothing is said."""
    label = np.array([1.0, 2.0, 3.0])
    assert no_better(number_metrics(label, np.full(3, 2.0)), ()) == "the mean of the labels for every record"
    assert no_better(number_metrics(label, label[::-1]), ()) == "the mean of the labels for every record"
    assert no_better(number_metrics(label, label + 0.1), ()) == ""
    assert no_better(number_metrics(np.ones(3), label), ()) == ""
