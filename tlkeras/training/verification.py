"""What must hold after a phase, verified: frozen weights stayed, others moved."""

import hashlib
from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras.lora import held_weights


class PhaseError(RuntimeError):
    """A phase of training did not what it must; the message says what."""


class Verification:
    """The state before a phase, which what must hold after it is verified against.

    Args:
        model: The model, frozen and compiled for the phase.
    """

    def __init__(self, model: keras.Model):
        self.model = model
        frozen = frozen_weights(model)
        # By identity: two nested models may hold weights of the same path.
        self.frozen = {id(v): digest(v) for v in frozen}
        self.others = [
            (v, np.array(v)) for v in model.weights if id(v) not in self.frozen
        ]

    def verify(self, suffix: keras.Model, history: Any, may_stay: bool = False) -> None:
        """Raises `PhaseError` if something does not hold.

        Args:
            suffix: The part that trained.
            history: Of the phase, with its losses in `history.history`.
            may_stay: Whether all weights may be what they were: solved once more.
        """
        losses = history.history.get("loss", [])
        if not losses:
            raise PhaseError("No epoch was completed: the data gave no batch.")
        trained = {id(v) for v in suffix.trainable_variables}
        if trained != {id(v) for v in self.model.trainable_variables}:
            raise PhaseError(
                "`trainable` flags changed during the phase; set freeze points with "
                "`tl.freeze` or `unfreeze_from=`, not in a callback."
            )
        changed = [
            v.path
            for v in frozen_weights(self.model)
            if digest(v) != self.frozen[id(v)]
        ]
        if changed:
            raise PhaseError(f"Frozen weights changed: {changed}.")
        # Where the loss is 0 there is nothing left to move for.
        at_end = may_stay or losses[-1] <= keras.config.epsilon()
        if not at_end and not self._any_moved():
            raise PhaseError(
                "No trainable weight moved. Is the learning rate 0, or every unit of "
                "the head dead?"
            )

    def _any_moved(self) -> bool:
        return any(
            v.trainable and not np.array_equal(np.array(v), before)
            for v, before in self.others
        )


def frozen_weights(model: keras.Model) -> list[keras.Variable]:
    """Returns the weights of all layers whose `trainable` is False.

    Of layers that hold LoRA adapters it returns what is not to train.
    """
    frozen = {
        id(v): v
        for layer in _keras.sublayers(model)
        for v in (held_weights(layer) if layer.trainable else layer.weights)
    }
    return list(frozen.values())


def digest(variable: keras.Variable) -> bytes:
    """Returns a fingerprint of a variable's value."""
    return hashlib.blake2b(np.ascontiguousarray(variable).tobytes()).digest()
