"""Windows in units of their own: mean and deviation, in graphs and in arrays."""

from collections.abc import Sequence
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

# A deviation below this share of the mean is rounding: the window does not change.
_FLAT = 1e-6


class Scale(NamedTuple):
    """What windows are measured in.

    Attributes:
        mean: Of what is known of each channel, `(n, channels)`; 0 where nothing is.
        deviation: The same; 1 where the values do not change.
        flat: Whether they do not change, bool `(n, channels)`.
    """

    mean: np.ndarray
    deviation: np.ndarray
    flat: np.ndarray


def scale_of(windows: np.ndarray) -> Scale:
    """Returns mean and deviation of each channel of windows, as the graph finds them.

    Args:
        windows: Float `(n, steps, channels)`, NaN where a value is missing.

    Example:

    >>> scale_of(np.array([[[1.0], [3.0], [np.nan]]])).mean.tolist()
    [[2.0]]
    """
    known = ~np.isnan(windows)
    count = np.maximum(known.sum(axis=1), 1)
    values = np.where(known, windows, 0).astype("float64")
    mean = values.sum(axis=1) / count
    squares = np.where(known, values - mean[:, None], 0) ** 2
    deviation = np.sqrt(squares.sum(axis=1) / count)
    flat = deviation <= _FLAT * np.abs(mean)
    return Scale(mean, np.where(flat, 1.0, deviation), flat)


@keras.saving.register_keras_serializable("tlkeras")
class WindowScaling(keras.layers.Layer):
    """Scales each channel of a window by its own mean and deviation; marks gaps.

    Series of any size and level look alike then, and what drifts away from training
    data in level alone is still known. Missing values (NaN) become 0, the mean. Flat
    channels become 0.

    Call arguments: windows `(batch, steps, channels)`.

    Returns: float `(batch, steps, 2 * channels)`: the scaled values of each channel,
    then for each channel 1 where its value is missing, else 0; and the level, `(batch,
    2 * channels)`: the symmetric logarithm (`asinh`) of means, and of deviations.

    Example:

    >>> scaled, level = WindowScaling()(np.array([[[1.0], [3.0], [np.nan]]]))
    >>> np.abs(scaled).tolist()
    [[[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]]

    Reference:
        Kim et al., Reversible Instance Normalization for Accurate Time-Series
        Forecasting against Distribution Shift (2022).
    """

    def __init__(self, **kwargs):
        # Half precision would round the levels that it takes off.
        super().__init__(**{"dtype": "float32", **kwargs})

    def call(self, windows):
        windows = ops.cast(windows, "float32")
        missing = ops.isnan(windows)
        known = 1.0 - ops.cast(missing, "float32")
        values = ops.where(missing, ops.zeros_like(windows), windows)
        count = ops.maximum(ops.sum(known, axis=1, keepdims=True), 1.0)
        mean = ops.sum(values, axis=1, keepdims=True) / count
        apart = (values - mean) * known
        # Of large values the mean is off by what float32 rounds: it is taken twice.
        rest = ops.sum(apart, axis=1, keepdims=True) / count
        apart, mean = (apart - rest) * known, mean + rest
        deviation = ops.sqrt(ops.sum(apart**2, axis=1, keepdims=True) / count)
        is_flat = deviation <= _FLAT * ops.abs(mean)
        unit = ops.where(is_flat, ops.ones_like(deviation), deviation)
        flat = ops.cast(is_flat, "float32")
        scaled = (1.0 - flat) * apart / unit
        level = ops.concatenate([mean, (1.0 - flat) * deviation], axis=-1)
        level = ops.arcsinh(level[:, 0])
        return ops.concatenate([scaled, 1.0 - known], axis=-1), level

    def compute_output_shape(self, input_shape):
        batch, steps, channels = input_shape
        return (batch, steps, 2 * channels), (batch, 2 * channels)


@keras.saving.register_keras_serializable("tlkeras")
class KnownScaling(keras.layers.Layer):
    """Scales channels that are known ahead alike in all windows; marks gaps.

    A holiday means the same whether or not a window has another one. Missing values
    (NaN) become 0, the mean.

    Args:
        scale: Of each channel mean and deviation, as they are in training.

    Call arguments: `(batch, steps, channels)`.

    Returns: float `(batch, steps, 2 * channels)`, scaled values and marks, as those of
    `WindowScaling`.

    Example:

    >>> holidays = np.array([[[1.0], [0.0], [np.nan]]])
    >>> KnownScaling([(0.5, 0.5)])(holidays).numpy().tolist()
    [[[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]]]
    """

    def __init__(self, scale: Sequence[Sequence[float]], **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.scale = [[float(mean), float(unit)] for mean, unit in scale]

    def call(self, values):
        mean, unit = np.array(self.scale, "float32").T
        missing = ops.isnan(values)
        scaled = ops.where(missing, ops.zeros_like(values), (values - mean) / unit)
        return ops.concatenate([scaled, ops.cast(missing, "float32")], axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], 2 * input_shape[-1])

    def get_config(self):
        return {**super().get_config(), "scale": self.scale}
