"""What a student learns from: labels with the teacher's answers beside them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
from keras import ops

from tlkeras.builders import TransferModel
from tlkeras.features.extraction import Store, choose_store, extract
from tlkeras.inputs.examples import Examples
from tlkeras.outputs import Numbers, Output, find_loss
from tlkeras.outputs.moments import Moments, moments_of


def answers(
    teacher: TransferModel,
    examples: Examples,
    batch_size: int,
    cache: str | Path | bool,
    verbose: Any,
) -> np.ndarray:
    """Returns the teacher's outputs, computed once for each example."""
    prepared = teacher.problem.input.prepare(examples)
    store = choose_store(cache) or Store(None)
    found = extract(teacher, prepared.examples, batch_size, store, verbose)
    if prepared.order is not None:
        found = found.at(np.argsort(prepared.order))
    return np.asarray(found.arrays[0], "float32")


def packed(labels: np.ndarray, taught: np.ndarray) -> np.ndarray:
    """Returns labels and the teacher's answers in one row for each example."""
    rows = np.asarray(labels, "float32").reshape(len(labels), -1)
    return np.concatenate([rows, taught], axis=1)


@dataclass(frozen=True)
class Lessons(Numbers):
    """What a pupil answers while it learns from rows that `packed` made.

    Attributes:
        width: Numbers in a row.
        are_numbers_taught: Whether what the teacher answers has the size of labels.
    """

    width: int = 1
    are_numbers_taught: bool = False

    title: ClassVar[str] = "distillation"

    @property
    def columns(self) -> int:
        return self.width

    def takes(self, other: Output) -> bool:
        """Lets labels of all kinds be part of the rows."""
        return True

    def check(self, labels: np.ndarray, part: str) -> None:
        """Lets all labels pass: they were looked at before the teacher answered."""

    def moments(self, labels: np.ndarray) -> Moments | None:
        # The teacher's answers come last.
        return moments_of(labels[:, -self.count :]) if self.are_numbers_taught else None


class JointLoss(keras.losses.Loss):
    """The loss of the labels and of the teacher's answers, weighed.

    Args:
        loss: The student's own.
        output: What teacher and student answer.
        width: Columns of labels in front of the teacher's answers.
        temperature: What logits are divided by.
        alpha: The share of the student's own loss.

    Reference:
        Hinton et al., Distilling the Knowledge in a Neural Network (2015).
    """

    def __init__(
        self, loss: Any, output: Output, width: int, temperature: float, alpha: float
    ):
        super().__init__(name="distillation")
        self.loss, self.width, self.alpha = find_loss(loss), width, alpha
        self.soft_loss = output.soft_loss(temperature)

    def call(self, y_true, y_pred):
        labels, taught = _unpacked(y_true, self.width)
        soft = self.soft_loss(taught, y_pred)
        if not self.alpha:
            return soft
        return (
            self.alpha * ops.mean(self.loss(labels, y_pred)) + (1 - self.alpha) * soft
        )

    def get_config(self):
        return {"alpha": self.alpha, "width": self.width}


def joint_metric(output: Output, width: int) -> keras.metrics.Metric:
    """Returns how right answers are by the labels alone."""

    def score(y_true, y_pred):
        labels, _ = _unpacked(y_true, width)
        return output.score(labels, y_pred)

    return keras.metrics.MeanMetricWrapper(score, name=output.score_name)


def _unpacked(y_true: Any, width: int) -> tuple[Any, Any]:
    labels = y_true[:, :width]
    return (labels[:, 0] if width == 1 else labels), y_true[:, width:]
