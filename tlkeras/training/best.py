"""The weights with the least validation loss of all phases, which are kept."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np


class BestWeights(keras.callbacks.Callback):
    """Remembers the best weights of a run, and puts them back.

    What a phase ends with may be those of no epoch, where weights are averaged: then
    they are measured, too.

    Args:
        weights: All weights that the run may change.

    Attributes:
        loss: The least validation loss.
        phase: The phase that it belongs to.
        epoch: Its epoch in the joined history, from 0; `None` for the end of a phase.
    """

    def __init__(self, weights: Sequence[keras.Variable]):
        super().__init__()
        self._weights = list(weights)
        self.values = self.last = _values(self._weights)
        self.loss, self.phase, self.epoch = math.inf, None, None
        self.running: str | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """Where the best weights are from, as JSON knows it."""
        return {"phase": self.phase, "epoch": self.epoch, "val_loss": self.loss}

    def start_with(self, facts: dict[str, Any] | None) -> None:
        """Goes on with an earlier run's best, which are the model's weights now."""
        self.values = self.last = _values(self._weights)
        if facts is not None:
            self.phase, self.epoch = facts["phase"], facts["epoch"]
            self.loss = facts["val_loss"]

    def on_epoch_end(self, epoch, logs=None):
        if "val_loss" in (logs or {}):
            self.last = _values(self._weights)
            self._offer(float(np.asarray(logs["val_loss"])), epoch, self.last)

    def changed_since_epoch(self) -> bool:
        """Whether something else than an epoch has set weights since."""
        pairs = zip(self._weights, self.last, strict=True)
        return any(not np.array_equal(np.array(v), value) for v, value in pairs)

    def offer_end(self, loss: float) -> None:
        """Tells the validation loss of what a phase has ended with."""
        self._offer(loss, None, _values(self._weights))

    def restore(self) -> None:
        """Sets the best weights."""
        for variable, value in zip(self._weights, self.values, strict=True):
            variable.assign(value)
        self.last = self.values

    def _offer(self, loss: float, epoch: int | None, values: list) -> None:
        if loss < self.loss:
            self.loss, self.phase, self.epoch = loss, self.running, epoch
            self.values = values


def _values(weights: Sequence[keras.Variable]) -> list[np.ndarray]:
    return [np.array(v) for v in weights]
