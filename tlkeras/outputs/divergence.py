"""How far a student's probabilities are from its teacher's, at a temperature.

Heads end in probabilities. Their logarithms are the logits up to a constant, which
softmax does not see; the logarithm of the odds is a sigmoid's logit.
"""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

# Below it a probability gives no logit; float32 ends at 1e-38.
_TINY = 1e-30
# A sigmoid in float32 is 1 from there on.
_NEAR_ONE = 1e-7


def of_classes(temperature: float) -> Callable[[Any, Any], Any]:
    """Returns the divergence of class probabilities, at a temperature."""
    # By its name, Keras 3.15 would apply the divergence to logits as they are.
    divergence = keras.losses.KLDivergence()
    loss = keras.distillation.LogitsDistillation(temperature, divergence)

    def soft(taught, y_pred):
        logits = [ops.log(ops.maximum(p, _TINY)) for p in (taught, y_pred)]
        return loss.compute_loss(*logits)

    return soft


def of_labels(temperature: float) -> Callable[[Any, Any], Any]:
    """Returns the divergence of each probability by itself, at a temperature."""

    def soft(taught, y_pred):
        odds = []
        for p in (taught, y_pred):
            p = ops.clip(p, _NEAR_ONE, 1 - _NEAR_ONE)
            odds.append((ops.log(p) - ops.log(1 - p)) / temperature)
        wanted = ops.sigmoid(odds[0])
        losses = ops.binary_crossentropy(wanted, odds[1], from_logits=True)
        # What is left of it at the optimum, so that 0 is agreement.
        least = ops.binary_crossentropy(wanted, odds[0], from_logits=True)
        return ops.mean(losses - least) * temperature**2

    return soft
