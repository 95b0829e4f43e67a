"""Averages of the weights that training went through."""

import keras
import numpy as np

from tlkeras._validation import check_number


class WeightAveraging(keras.callbacks.Callback):
    """Ends each phase with the mean of its later epochs' weights.

    Stochastic weight averaging: the mean of weights along the path of training often
    lies in a flatter place, and generalises better, than its end does. Batch norms in
    inference mode, as `fine_tune` has them, need no second pass over the data; where
    they train, their moving statistics are averaged as well. Validation during the
    phase sees the weights as they are, not their mean.

    Args:
        start: Share of the phase's epochs after which averaging begins, in [0, 1).

    Raises:
        ValueError: If `start` is not in [0, 1).

    Example:

    >>> x = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 1), "uint8")
    >>> y = np.arange(8) % 2
    >>> model = tl.image_classifier("glyphnet", 2)
    >>> averaging = tl.WeightAveraging()
    >>> history = tl.fit_head(model, (x, y), epochs=4, callbacks=[averaging], verbose=0)
    >>> averaging.count
    2

    Reference:
        Izmailov et al., Averaging Weights Leads to Wider Optima and Better
        Generalization (2018).
    """

    def __init__(self, start: float = 0.5):
        super().__init__()
        self.start = check_number("start", start, minimum=0, below=1)
        self.first_epoch: int | None = None
        self.count = 0
        self.mean: list[np.ndarray] = []

    def on_train_begin(self, logs=None):
        self.first_epoch, self.count, self.mean = None, 0, []

    def on_epoch_begin(self, epoch, logs=None):
        if self.first_epoch is None:
            self.first_epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        epochs = self.params["epochs"] - self.first_epoch
        if epoch - self.first_epoch < int(self.start * epochs):
            return
        self.count += 1
        values = [keras.ops.convert_to_numpy(v) for v in self._weights()]
        if not self.mean:
            self.mean = [value.astype("float64") for value in values]
        for mean, value in zip(self.mean, values, strict=True):
            mean += (value - mean) / self.count

    def on_train_end(self, logs=None):
        for variable, mean in zip(self._weights(), self.mean, strict=False):
            variable.assign(mean.astype("float32"))
        self.mean = []

    def _weights(self) -> list[keras.Variable]:
        """Returns what may have changed: weights that train, and statistics."""
        trained = self.model.trainable_weights
        statistics = [
            v
            for v in self.model.non_trainable_weights
            if "float" in v.dtype and v.path.rpartition("/")[2].startswith("moving_")
        ]
        return [*trained, *statistics]
