"""A saved model as a function: doubles in, any number of records, from several threads."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
import pytest

from pipeline.errors import ModelError
from pipeline.models.saved import open_model
from pipeline.models.scoring import (
    RawRows,
    class_probabilities,
    predicted_classes,
    require_defined,
    score_function,
    standardization,
)

if TYPE_CHECKING:
    from support.trained import Made


def raw_rows(made: Made, num_records: int) -> RawRows:
    """Return the first raw rows of a source, as the model takes them."""
    names = json.loads((made.model / "model.json").read_text())["features"]
    features = np.stack([made.columns[name][:num_records] for name in names], axis=1).astype(np.float64)
    return RawRows(features=features, categories=np.empty((num_records, 0), object))


def test_any_number_of_records_from_any_thread(two: Made) -> None:
    """Batches of every size, scored by four threads at once, give what one batch gives."""
    score = score_function(open_model(two.model))
    rows = raw_rows(two, 100)
    expected = score(rows)
    assert (expected.shape, expected.dtype) == ((100, 1), np.float32)
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda size: score(rows.between(0, size)), range(101)))
    for size, part in enumerate(parts):
        assert part == pytest.approx(expected[:size], abs=1e-6)


def test_the_standardization_is_that_of_the_manifest(two: Made) -> None:
    """Mean and scale of every feature, to the last digits; a constant is divided by 1."""
    saved = open_model(two.model)
    found = standardization(saved)
    assert found is not None
    columns = {
        column["name"]: column for column in json.loads((two.shards / "manifest.json").read_text())["columns"]
    }
    moments = [columns[name]["moments"] for name in saved.description.features]
    assert found.mean.tolist() == [of_column["mean"] for of_column in moments]
    scale = [of_column["std"] or 1.0 for of_column in moments]
    assert found.scale == pytest.approx(scale, rel=1e-15)
    assert 1.0 in found.scale


def test_probabilities_of_two_classes(two: Made) -> None:
    """One output is the probability of the second class; the other one has the rest."""
    described = open_model(two.model).description
    score = np.array([[0.25], [0.75], [0.5]], np.float32)
    assert class_probabilities(described, score).tolist() == [[0.75, 0.25], [0.25, 0.75], [0.5, 0.5]]
    assert predicted_classes(described, score).tolist() == [0, 1, 0]


def test_probabilities_of_many_classes(many: Made) -> None:
    """They are the outputs, and the greatest is predicted."""
    described = open_model(many.model).description
    score = np.array([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1]], np.float32)
    assert class_probabilities(described, score) is score
    assert predicted_classes(described, score).tolist() == [3, 0]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_an_error(value: float) -> None:
    """With the model it comes from."""
    with pytest.raises(ModelError, match="model: its predictions are not finite"):
        require_defined(np.array([[0.5], [value]], np.float32), path="model")
