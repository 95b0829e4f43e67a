"""`ForecastLoss`: any loss of Keras, over the steps of a horizon that are known."""

import keras
from keras import ops

from tlkeras.outputs.losses import find_loss

# Deviations of a window beyond which a target counts as if it were this far: of a
# window that hardly varies and the burst that follows it, the square would outweigh
# all others. A straight line gets as far in nearly four times its window. Chronos
# (Ansari et al. 2024) cuts values there, too.
FARTHEST = 15.0


@keras.saving.register_keras_serializable("tlkeras")
class ForecastLoss(keras.losses.Loss):
    """A loss between forecasts and the targets that labels begin with.

    What labels hold behind the targets, to measure and to compare by, is left aside. A
    target that is missing (NaN) counts as if it had been forecast, one beyond 15
    deviations as if it were 15.

    Args:
        loss: A `keras.losses.Loss`, its name, or a function of targets and outputs.

    Call arguments: labels `(batch, columns)` and outputs `(batch, units)`, at most as
    many as columns.

    Example:

    >>> loss = ForecastLoss("mean_absolute_error")
    >>> float(loss(np.array([[1.0, np.nan, 7.0]]), np.array([[3.0, 5.0]])))
    1.0
    """

    def __init__(self, loss="mean_squared_error", name="forecast_loss"):
        super().__init__(name=name)
        self.loss = find_loss(loss)

    def call(self, y_true, y_pred):
        targets = ops.cast(y_true[:, : y_pred.shape[-1]], y_pred.dtype)
        targets = ops.clip(targets, -FARTHEST, FARTHEST)
        targets = ops.where(ops.isnan(targets), ops.stop_gradient(y_pred), targets)
        return getattr(self.loss, "call", self.loss)(targets, y_pred)

    def get_config(self):
        return {"loss": keras.losses.serialize(self.loss), "name": self.name}

    @classmethod
    def from_config(cls, config):
        return cls(keras.losses.deserialize(config["loss"]), config["name"])
