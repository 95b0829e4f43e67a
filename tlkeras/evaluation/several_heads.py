"""Models with several heads: a report for each of them."""

from typing import Any

import keras
import numpy as np

from tlkeras.evaluation.aligned import Aligned, check_values
from tlkeras.evaluation.collecting import collect
from tlkeras.evaluation.examples import EvaluatedExamples, digests
from tlkeras.evaluation.report import Report


def evaluate_heads(
    model: keras.Model, data: Any, aligned: Aligned, thresholds: Any, verbose: str | int
) -> dict[str, Report]:
    """Returns a report for each head that has labels.

    Args:
        model: A `TransferModel` with `targets`.
        data: As in `evaluate`, with labels by head, or rows that are packed.
        aligned: Values of slices and groups.
        thresholds: From heads whose labels are not exclusive to theirs, or `None`.
        verbose: As in `evaluate`.

    Raises:
        ValueError: If no label is known, or the data do not fit.
    """
    targets = model.targets
    packed = targets.pack_data(data, "data")
    side_by_side = _SideBySide(model, list(targets.by_head))
    found = collect(
        side_by_side, packed, verbose, lambda *_: None, [digests, *aligned.observers]
    )
    rows, outputs, weights, seen = found
    slices, groups = aligned.values(seen[1:])
    inputs = EvaluatedExamples(packed, rows, seen[0])
    reports, start = {}, 0
    for name, labels in targets.unpack(rows).items():
        target = targets.by_head[name]
        known = ~np.isnan(labels.reshape(len(labels), -1)).any(axis=1)
        if known.any():
            reports[name] = Report(
                labels[known],
                outputs[known, start : start + target.units],
                task=target.task,
                class_names=target.class_names,
                sample_weight=None if weights is None else weights[known],
                slices={
                    name: check_values(f"`slices` {name!r}", values, len(rows))[known]
                    for name, values in slices.items()
                },
                groups=None
                if groups is None
                else check_values("`groups`", groups, len(rows))[known],
                thresholds=(thresholds or {}).get(name),
                inputs=inputs.select(np.flatnonzero(known)),
            )
        start += target.units
    if not reports:
        raise ValueError(
            "`data` has no example all of whose labels of a head are known."
        )
    return reports


class _SideBySide:
    """A model of several heads as one with one output, as `collect` takes it."""

    def __init__(self, model: keras.Model, names: list[str]):
        self.model, self.names = model, names
        self.input, self.inputs = model.input, model.inputs
        outputs = [model.output[name] for name in names]
        self.output = keras.ops.concatenate(outputs, axis=1)
        self.ready = getattr(model, "ready", lambda x: x)
        self.distribute_strategy = getattr(model, "distribute_strategy", None)

    def predict_on_batch(self, x: Any) -> np.ndarray:
        return self._joined(self.model.predict_on_batch(x))

    def predict(self, x: Any, **arguments: Any) -> np.ndarray:
        return self._joined(self.model.predict(x, **arguments))

    def _joined(self, outputs: dict[str, Any]) -> np.ndarray:
        return np.concatenate([np.asarray(outputs[n]) for n in self.names], axis=1)
