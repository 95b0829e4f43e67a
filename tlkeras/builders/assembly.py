"""What all builders share: the goal, the precision, head and compilation."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from tlkeras._validation import check_int
from tlkeras.builders import recording
from tlkeras.builders.transfer_model import TransferModel
from tlkeras.features.precision import dtype_policy, faster_precision
from tlkeras.freezing import freeze
from tlkeras.heads import add_head, classifier_loss, find_loss
from tlkeras.records.encoding import random_state_kept
from tlkeras.runtime import current_runtime, jit_compile


@dataclass(frozen=True)
class Goal:
    """What a model is for.

    Attributes:
        task: `"classification"`, `"multi_label"` or `"regression"`.
        class_names: The classes, `None` for regression.
        units: Width of the output.
        activation: Of the output.
        compiling: Loss and metrics, as `keras.Model.compile` takes them.
    """

    task: str
    class_names: tuple[str, ...] | None
    units: int
    activation: str | None
    compiling: dict[str, Any]


def classification(
    classes: int | Sequence[str],
    multi_label: bool,
    label_smoothing: float,
    loss: Any = None,
) -> Goal:
    """Returns the goal of a classifier."""
    names = name_classes(classes, multi_label)
    loss = classifier_loss(
        loss, multi_label=multi_label, label_smoothing=label_smoothing
    )
    if multi_label:
        metrics = [keras.metrics.BinaryAccuracy(name="accuracy")]
        goal = "multi_label", names, len(names), "sigmoid"
    else:
        metrics = ["accuracy"]
        goal = "classification", names, len(names), "softmax"
    return Goal(*goal, {"loss": loss, "metrics": metrics})


def regression(outputs: int, loss: Any) -> Goal:
    """Returns the goal of a regressor."""
    metrics = [keras.metrics.MeanAbsoluteError(name="mae")]
    compiling = {"loss": find_loss(loss), "metrics": metrics}
    return Goal("regression", None, check_int("outputs", outputs, 1), None, compiling)


def finish(
    inputs: Any,
    features: keras.KerasTensor,
    name: str,
    goal: Goal,
    heading: dict[str, Any],
) -> TransferModel:
    """Puts a head on features, and freezes and compiles the whole."""
    outputs = add_head(
        features, units=goal.units, activation=goal.activation, **heading
    )
    model = TransferModel(inputs, outputs, name=f"{name}_{goal.task}")
    model.task, model.class_names = goal.task, goal.class_names
    model.compile(optimizer="adam", jit_compile=jit_compile(), **goal.compiling)
    freeze(model)
    return model


@contextlib.contextmanager
def building(
    backbone: Any, about: str, build: Callable[[], keras.Model]
) -> Iterator[None]:
    """Surrounds building with the strategy and the precision that `configure` chose.

    Args:
        backbone: What the user gave as backbone.
        about: What else distinguishes it, such as its input's size.
        build: Builds the backbone with random weights, for measuring.
    """
    runtime = current_runtime()
    precision = recording.wanted_precision() or keras.config.dtype_policy().name
    if runtime.precision == "auto" and recording.wanted_precision() is None:
        precision = "float32"
        if isinstance(backbone, (str, os.PathLike)):
            # Whether it is measured or remembered must not show in the random start.
            with random_state_kept():
                precision = faster_precision(f"{os.fspath(backbone)}{about}", build)
    with runtime.scope(), dtype_policy(precision):
        yield


def name_classes(classes: int | Sequence[str], multi_label: bool) -> tuple[str, ...]:
    """Returns the classes' names; numbers from 0 where only their count was given."""
    fewest = 1 if multi_label else 2
    if isinstance(classes, str) or not (
        hasattr(classes, "__index__") or hasattr(classes, "__iter__")
    ):
        raise ValueError(
            "`classes` must be the number of classes or a list of their names. "
            f"Received: classes={classes!r}."
        )
    if hasattr(classes, "__index__"):
        return tuple(map(str, range(check_int("classes", classes, fewest))))
    names = tuple(map(str, classes))
    repeated = sorted({name for name in names if names.count(name) > 1})
    if len(names) < fewest or repeated:
        raise ValueError(
            f"`classes` must name at least {fewest} different classes. Received: "
            f"{len(names)} name(s){f', {repeated} repeated' if repeated else ''}: "
            f"{names}."
        )
    return names
