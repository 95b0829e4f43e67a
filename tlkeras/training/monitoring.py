"""Monitoring of a phase: its logs, its best weights, when to stop, overfitting."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tlkeras.freezing import recompile
from tlkeras.training.verification import PhaseError

# A run has exploded when its loss is so many times as bad as where it began, and its
# weights are so many times as large. Both: targets may need large weights, and a loss
# may rise for a while.
_WORSE, _LARGER = 2.0, 30.0


class EpochLogs(keras.callbacks.Callback):
    """The logs of a phase's epochs, also of those before a resumption.

    Attributes:
        epoch: Numbers of the epochs, from 0 on through all phases.
        history: From each metric's name to its values.
    """

    def __init__(self):
        super().__init__()
        self.epoch: list[int] = []
        self.history: dict[str, list[float]] = {}

    def on_epoch_end(self, epoch, logs=None):
        done = len(self.epoch)
        self.epoch.append(epoch)
        for name in {**self.history, **(logs or {})}:
            values = self.history.setdefault(name, [math.nan] * done)
            values.append(_number((logs or {}).get(name, math.nan)))


class LossMonitor(keras.callbacks.Callback):
    """Stops a phase whose loss explodes or is not finite; restores its best weights.

    The best are those after the epoch with the least validation loss, where nothing is
    validated those before the epoch with the least training loss, or those from before
    the phase.

    Args:
        name: The phase's name, for the message.
        weights: Weights that the phase may change.
    """

    def __init__(self, name: str, weights: Sequence[keras.Variable]):
        super().__init__()
        self.name, self._weights = name, list(weights)
        self.best = self._values()
        self.best_epoch: int | None = None
        self.before, self.epoch_before = self.best, self.best_epoch
        self.best_loss = math.inf
        self.first_loss: float | None = None
        self.start_size = _size(self._weights)
        self.epoch = self.step = 0

    def measure_start(self) -> None:
        """Notes how large the weights are, now that the phase is about to begin.

        A head may have been given its weights since: what numbers need is large.
        """
        self.start_size = max(self.start_size, _size(self._weights))

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch, self.step = epoch, 0

    def on_train_batch_end(self, batch, logs=None):
        before, self.step = self.step, batch + 1
        loss = _number((logs or {}).get("loss", 0.0))
        if self.first_loss is None and math.isfinite(loss):
            self.first_loss = loss
        if not math.isfinite(loss):
            self._stop(before, f"the loss became {loss}")
        if loss > _WORSE * max(self.first_loss, keras.config.epsilon()):
            growth = _size(self._weights) / max(self.start_size, 1e-12)
            if not growth <= _LARGER:
                self._stop(
                    before,
                    f"the loss rose from {self.first_loss:.4g} to {loss:.4g} and the "
                    f"weights grew {growth:.3g} times as large",
                )

    def on_epoch_end(self, epoch, logs=None):
        logs = logs or {}
        loss = _number(logs.get("val_loss", logs.get("loss", math.inf)))
        if not math.isfinite(loss):
            self._stop(self.step - 1, f"the validation loss became {loss}")
        better, self.best_loss = loss < self.best_loss, min(loss, self.best_loss)
        if "val_loss" in logs:
            if better:
                self.best, self.best_epoch = self._values(), epoch
            return
        # A training loss is that of the weights before the epoch's last steps.
        if better:
            self.best, self.best_epoch = self.before, self.epoch_before
        self.before, self.epoch_before = self._values(), epoch

    def restore(self) -> None:
        """Sets the best weights."""
        for variable, value in zip(self._weights, self.best, strict=True):
            variable.assign(value)

    def _values(self) -> list[np.ndarray]:
        return [keras.ops.convert_to_numpy(v) for v in self._weights]

    def _stop(self, before: int, what: str) -> None:
        """Restores the best weights, an optimizer without state, and raises."""
        self.restore()
        steps = (
            f"step {self.step}"
            if self.step - before <= 1
            else f"one of the steps {before + 1} to {self.step}"
        )
        where = (
            "before the phase"
            if self.best_epoch is None
            else f"after epoch {self.best_epoch + 1}, its best"
        )
        rate = float(np.asarray(self.model.optimizer.learning_rate))
        recompile(self.model)
        raise PhaseError(
            f"Phase {self.name} stopped in {steps} of epoch {self.epoch + 1}: {what}, "
            f"at a learning rate of {rate:.3g}. The model has its weights from "
            f"{where}. Lower the learning rate (`tl.find_learning_rate(model, train)` "
            "proposes one), clip gradients "
            "(`optimizer=keras.optimizers.Adam(clipnorm=1.0)`), or look for bad labels "
            "and pixels with `data.describe()` and `data.show()`."
        )


def overfitting(name: str, history: dict[str, list[float]]) -> str | None:
    """Returns a sentence if the gap between training and validation says overfitting.

    That is: the validation loss ends at least a tenth above its least, while the
    training loss went on falling; or the training accuracy is more than ten points
    above that of validation.

    Args:
        name: The phase's name.
        history: From each metric's name to its values in the phase.
    """
    train, val = history.get("loss", []), history.get("val_loss", [])
    advice = (
        "Fewer epochs or `patience=`, `augment=`, more dropout or weight decay, or "
        "more data would help."
    )
    if val and np.all(np.isfinite(val)):
        best = int(np.argmin(val))
        if val[-1] > 1.1 * val[best] + 0.01 and train[-1] < train[best]:
            return (
                f"Phase {name} overfits: the validation loss was least after its epoch "
                f"{best + 1} ({val[best]:.3g}) and rose to {val[-1]:.3g}, while the "
                f"training loss fell to {train[-1]:.3g}. {advice}"
            )
    accuracy, val_accuracy = history.get("accuracy"), history.get("val_accuracy")
    if accuracy and val_accuracy and accuracy[-1] - val_accuracy[-1] > 0.1:
        return (
            f"Phase {name} may overfit: accuracy is {accuracy[-1]:.3g} in training and "
            f"{val_accuracy[-1]:.3g} in validation. {advice}"
        )
    return None


def _size(weights: Sequence[keras.Variable]) -> float:
    """Returns the root of the mean square of all weights."""
    squares = sum(float(np.sum(np.square(np.array(v, "float64")))) for v in weights)
    return math.sqrt(squares / max(1, sum(math.prod(v.shape) for v in weights)))


def _number(value: Any) -> float:
    return float(np.asarray(value))
