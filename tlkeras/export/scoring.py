"""Accuracy and latency of two artefacts, side by side in one process."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tlkeras.evaluation import Report
from tlkeras.evaluation.heads import Heads
from tlkeras.export.interface import Interface
from tlkeras.export.samples import Samples, as_samples, batches
from tlkeras.inputs.given import bounded, end_is_told, ends
from tlkeras.problem import PREDICTIONS, pack_data

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


def check_test(interface: Interface, data: Any) -> None:
    """Looks at the first batch of data for `scores`, before anything long begins.

    Args:
        interface: Of the model that is to be scored.
        data: Labelled data, as in `tl.evaluate`.

    Raises:
        ValueError: As in `scores`.
    """
    x, y = next(batches(_readable(interface, data)), (None, None))
    _check_labels(y)
    as_samples(interface, x)


def _readable(interface: Interface, data: Any) -> Any:
    if not ends(data):
        raise ValueError(
            "`test` has no end, so that it cannot be scored. Leave out `.repeat()`, or "
            "add `.take(number_of_batches)`."
        )
    if interface.problem is not None:
        data = pack_data(interface.problem, data, "test")
    return bounded(data, "test")


def _check_labels(y: Any) -> None:
    if y is None:
        raise ValueError("`test` has no labels: pass (inputs, labels).")


@end_is_told()
def scores(
    interface: Interface,
    runs: dict[str, Callable[[Samples], dict[str, np.ndarray]]],
    data: Any,
) -> dict[str, dict[str, float]]:
    """Scores functions on labelled data, which is read once.

    Args:
        interface: Of the model that they stand for.
        runs: Functions from inputs to outputs, by name.
        data: Labelled data, as in `tl.evaluate`.

    Returns:
        For each function its accuracy, or mean absolute error, by head.

    Raises:
        ValueError: If the data have no labels, or do not fit; or the model has several
            outputs and does not say what they are for.
    """
    data = _readable(interface, data)
    labels, outputs = [], {name: [] for name in runs}
    for x, y in batches(data):
        _check_labels(y)
        labels.append(np.asarray(y))
        inputs = as_samples(interface, x)
        for name, run in runs.items():
            outputs[name].append(run(inputs))
    rows = np.concatenate(labels)
    joined = {name: _joined(each) for name, each in outputs.items()}
    return {name: _scored(interface, rows, each) for name, each in joined.items()}


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}


def _scored(
    interface: Interface, rows: np.ndarray, outputs: dict[str, np.ndarray]
) -> dict[str, float]:
    problem, found = interface.problem, {}
    if problem is None:
        heads, values = Heads(interface.model), _only(outputs)
        output = heads.problem_for(rows, {PREDICTIONS: values}).output
        return dict([_figure(Report(rows, values, output=output))])
    known = problem.known(rows).values()
    for (name, output), (labels, where) in zip(
        interface.heads.items(), known, strict=True
    ):
        if not where.any():
            continue
        figure, value = _figure(
            Report(labels[where], output.condensed(outputs[name][where]), output=output)
        )
        found[f"{name} {figure}" if problem.named else figure] = value
    return found


def _figure(report: Report) -> tuple[str, float]:
    name = report.main_values.name
    return name, report.metrics[name]


def _only(outputs: dict[str, np.ndarray]) -> np.ndarray:
    if len(outputs) > 1:
        raise ValueError(
            f"The model has the outputs {list(outputs)} and does not say what they are "
            "for, so that `test` cannot score them. Leave `test` out."
        )
    return next(iter(outputs.values()))
