"""What a `Report` is made of: checks of its arguments, and parts of them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tlkeras._validation import unknown_name
from tlkeras.evaluation.aligned import check_values
from tlkeras.evaluation.examples import EvaluatedExamples
from tlkeras.inputs.given import weight_array
from tlkeras.outputs import Output, read_predictions


def check_arrays(
    labels: Any,
    outputs: Any,
    names: Sequence[str] | None = None,
    has_rows: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns labels as numbers and outputs as rows, of as many examples each.

    Args:
        labels: As in `Report`.
        outputs: As in `Report`.
        names: The classes' names, where they are known.
        has_rows: As in `Output`.
    """
    labels = np.asarray(labels)
    listed = labels.tolist() if labels.ndim == 1 else []
    if listed and all(isinstance(label, str) for label in listed):
        labels = _numbers_of(listed, names)
    outputs = np.asarray(outputs, dtype="float32")
    if (
        labels.ndim == 0
        or outputs.ndim not in (1, 2, 2 + has_rows)
        or len(labels) != len(outputs)
    ):
        raise ValueError(
            "`labels` and `outputs` must be arrays of as many examples each, `outputs` "
            "of shape (n,) or (n, outputs). "
            f"Received shapes {labels.shape} and {outputs.shape}."
        )
    if not len(labels):
        raise ValueError("`labels` and `outputs` must hold at least one example.")
    if labels.ndim > 2 + has_rows:
        raise ValueError(
            "Labels must have shape (n,) or (n, columns). "
            f"Received labels of shape {labels.shape}."
        )
    return labels, outputs.reshape(len(outputs), -1)


def _numbers_of(labels: list[str], names: Sequence[str] | None) -> np.ndarray:
    """Returns class numbers of labels that are names."""
    if names is None:
        raise ValueError(
            "Labels that are names need `class_names`, in the order of the outputs. "
            f"Received: labels such as {labels[:1]}."
        )
    lookup = {str(name): number for number, name in enumerate(names)}
    for label in labels:
        if label not in lookup:
            raise unknown_name("class name", label, lookup)
    return np.array([lookup[label] for label in labels], np.int64)


def check_weights(sample_weight: Any, examples: int) -> np.ndarray | None:
    if sample_weight is None:
        return None
    weights = weight_array(sample_weight, "`sample_weight`").ravel()
    if len(weights) != examples or not np.all(weights >= 0) or not weights.any():
        raise ValueError(
            f"`sample_weight` must hold {examples} numbers of at least 0, not all of "
            f"them 0. Received {len(weights)} with a sum of {weights.sum()}."
        )
    return weights


def check_groups(groups: Any, examples: int) -> np.ndarray | None:
    return None if groups is None else check_values("`groups`", groups, examples)


def output_for(
    labels: np.ndarray,
    outputs: np.ndarray,
    known: Output | None,
    task: str | None = None,
    class_names: Sequence[str] | None = None,
    thresholds: Any = None,
    logits: bool | None = None,
) -> Output:
    """Returns what labels and outputs are of.

    Args:
        labels: As `check_arrays` returned them.
        outputs: The same.
        known: What they are known to be of, or `None`.
        task: Wins over what is known.
        class_names: The same.
        thresholds: The same.
        logits: As in `read_predictions`.

    Raises:
        ValueError: If what was given does not fit, or nothing tells it.
    """
    if known is None or task not in (None, known.task):
        if class_names is None and known is not None:
            class_names = known.class_names
        output = read_predictions(labels, outputs, task, class_names, logits)
    else:
        output = known if class_names is None else known.renamed(class_names)
    return output if thresholds is None else output.with_thresholds(thresholds)


def examples_of(inputs: Any) -> EvaluatedExamples | None:
    if inputs is None or isinstance(inputs, EvaluatedExamples):
        return inputs
    return EvaluatedExamples(np.asarray(inputs))


def part_of(values: np.ndarray | None, positions: np.ndarray) -> np.ndarray | None:
    return None if values is None else values[positions]


def positions_of(where: Any, examples: int) -> np.ndarray:
    where = np.asarray(where)
    mask = where.dtype.kind == "b" and where.shape == (examples,)
    numbers = where.dtype.kind in "iu" and where.ndim == 1
    if not where.size or not (mask or numbers) or (mask and not where.any()):
        raise ValueError(
            f"`where` must be {examples} booleans, or positions, that leave at least "
            f"one example. Received shape {where.shape} of dtype {where.dtype}."
        )
    positions = np.flatnonzero(where) if mask else where
    if numbers and not np.all((positions >= 0) & (positions < examples)):
        raise ValueError(
            f"`where` must hold positions from 0 to {examples - 1}. Received: "
            f"{positions.min()} to {positions.max()}."
        )
    return positions
