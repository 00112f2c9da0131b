"""Says how good predictions are: plain NumPy, exact, weighted where records are.

figures      loss, accuracy, AUC, confusion, … of one set of predictions
curves       ROC and precision-recall, as points of which there are not too many
calibration  whether a probability of 0.7 is right seven times in ten

Shapes: label and weight (num_records,); score (num_records,) for two classes, (num_records, num_classes) for
more. Counts are numbers of records, all else is weighted. A figure that is not defined is None.
"""

from pipeline.metrics.calibration import (
    Bin,
    Calibration,
    NumberBin,
    brier_score,
    calibration,
    number_calibration,
)
from pipeline.metrics.curves import MAX_POINTS, Curve, curve, mean_precision, mean_recall
from pipeline.metrics.figures import (
    ManyClassMetrics,
    NumberMetrics,
    TwoClassMetrics,
    auc,
    many_class_metrics,
    number_metrics,
    residual_quantiles,
    two_class_metrics,
)

__all__ = [
    "MAX_POINTS",
    "Bin",
    "Calibration",
    "Curve",
    "ManyClassMetrics",
    "NumberBin",
    "NumberMetrics",
    "TwoClassMetrics",
    "auc",
    "brier_score",
    "calibration",
    "curve",
    "many_class_metrics",
    "mean_precision",
    "mean_recall",
    "number_calibration",
    "number_metrics",
    "residual_quantiles",
    "two_class_metrics",
]
