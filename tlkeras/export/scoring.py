"""Accuracy and latency of two artefacts, side by side in one process."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from tlkeras.evaluation import Report
from tlkeras.export.interface import heads, thresholds_of
from tlkeras.export.samples import Samples, as_samples, batches

Run = Callable[[dict[str, np.ndarray]], dict[str, Any]]

_WARM_UP = 3
_REPEATS = 30


def milliseconds(runs: dict[str, Run], inputs: Samples) -> dict[str, float]:
    """Times functions of one input, in turn, so that both meet the same load.

    Args:
        runs: Functions of a batch of one input, by name.
        inputs: What to run them on.

    Returns:
        The median time of each, in milliseconds.
    """
    ones = list(inputs.one_by_one())
    times: dict[str, list[float]] = {name: [] for name in runs}
    for repeat in range(_WARM_UP + _REPEATS):
        one = ones[repeat % len(ones)]
        for name, run in runs.items():
            start = time.perf_counter()
            run(one)
            if repeat >= _WARM_UP:
                times[name].append(time.perf_counter() - start)
    return {name: 1000 * statistics.median(each) for name, each in times.items()}


def scores(
    model: keras.Model,
    runs: dict[str, Callable[[Samples], dict[str, np.ndarray]]],
    data: Any,
) -> dict[str, dict[str, float]]:
    """Scores functions on labelled data, which is read once.

    Args:
        model: The model they stand for: it knows inputs, heads and classes.
        runs: Functions from inputs to outputs, by name.
        data: Labelled data, as in `tl.evaluate`.

    Returns:
        For each function its accuracy, or mean absolute error, by head.

    Raises:
        ValueError: If the data have no labels, or do not fit.
    """
    targets = getattr(model, "targets", None)
    if targets is not None:
        data = targets.pack_data(data, "test")
    labels, outputs = [], {name: [] for name in runs}
    for x, y in batches(data):
        if y is None:
            raise ValueError("`test` has no labels: pass (inputs, labels).")
        labels.append(np.asarray(y))
        inputs = as_samples(model, x)
        for name, run in runs.items():
            outputs[name].append(run(inputs))
    rows = np.concatenate(labels)
    return {name: _scored(model, rows, _joined(each)) for name, each in outputs.items()}


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def _scored(
    model: keras.Model, rows: np.ndarray, outputs: dict[str, np.ndarray]
) -> dict[str, float]:
    targets = getattr(model, "targets", None)
    by_head = {} if targets is None else targets.unpack(rows)
    found = {}
    for name, task, names in heads(model):
        labels = by_head.get(name, rows)
        known = np.ones(len(rows), bool)
        if labels.dtype.kind == "f":
            known = ~np.isnan(labels.reshape(len(labels), -1)).any(axis=1)
        if not known.any():
            continue
        report = Report(
            labels[known],
            outputs[name][known],
            task=task,
            class_names=names,
            thresholds=thresholds_of(model, name) if task == "multi_label" else None,
        )
        figure = "mae" if report.accuracy is None else "accuracy"
        key = figure if targets is None else f"{name} {figure}"
        found[key] = report.metrics[figure]
    return found
