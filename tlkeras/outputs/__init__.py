"""Outputs: all that depends on what a model answers, one file for each kind."""

from tlkeras.outputs.anything import Anything
from tlkeras.outputs.base import Output, Prediction
from tlkeras.outputs.boxes import Boxes, Detections
from tlkeras.outputs.classes import Classes
from tlkeras.outputs.forecasts import Forecast, Forecasted, Intervals
from tlkeras.outputs.label_lists import labels_given, no_numbers
from tlkeras.outputs.labels import Labels
from tlkeras.outputs.losses import (
    ClassCrossentropy,
    ClassLoss,
    LabelLoss,
    check_label_form,
    check_metric_form,
    find_loss,
    takes_logits,
)
from tlkeras.outputs.numbers import Numbers
from tlkeras.outputs.table import (
    OUTPUTS,
    TASKS,
    logits_of_keras,
    output_from_config,
    output_of_keras,
    output_of_task,
    read_feature,
    read_labels,
    read_labels_with_gaps,
    read_predictions,
)

__all__ = [
    "OUTPUTS",
    "TASKS",
    "Anything",
    "Boxes",
    "ClassCrossentropy",
    "ClassLoss",
    "Classes",
    "Detections",
    "Forecast",
    "Forecasted",
    "Intervals",
    "LabelLoss",
    "Labels",
    "Numbers",
    "Output",
    "Prediction",
    "check_label_form",
    "check_metric_form",
    "find_loss",
    "logits_of_keras",
    "output_from_config",
    "output_of_keras",
    "labels_given",
    "no_numbers",
    "output_of_task",
    "read_feature",
    "read_labels",
    "read_labels_with_gaps",
    "read_predictions",
    "takes_logits",
]
