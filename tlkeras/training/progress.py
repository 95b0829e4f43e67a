"""What a phase shows of its progress: a bar for each epoch, or one for all."""

from typing import Any

import keras

from tlkeras import _keras

# A phase of more epochs than these has one bar for all of them: a head that trains on
# cached features has 150, each of a fraction of a second.
_MOST_LINES = 20


class PhaseBar(keras.callbacks.ProgbarLogger):
    """Keras' logger of `verbose=1`, with fewer lines and better guesses.

    Args:
        first_epoch: Number of the first epoch.
        end: Number of the last one, plus 1.
    """

    def __init__(self, first_epoch: int, end: int):
        super().__init__()
        self.first_epoch, self.end = first_epoch, end
        self.bar: _keras.ProgressBar | None = None
        self.for_all = end - first_epoch > _MOST_LINES
        self.done, self.logs = 0, []

    def on_train_begin(self, logs=None):
        if self.for_all:
            self._begin(self.end - self.first_epoch, "epoch")

    def on_epoch_begin(self, epoch, logs=None):
        if not self.for_all:
            if self.end > 1:
                print(f"Epoch {epoch + 1}/{self.end}")
            self._begin(self.target, "step")

    def on_train_batch_end(self, batch, logs=None):
        if not self.for_all:
            self._update(batch + 1, logs)

    def on_epoch_end(self, epoch, logs=None):
        if self.for_all:
            self._update(epoch + 1 - self.first_epoch, logs)
        else:
            self._finish(logs)

    def on_train_end(self, logs=None):
        if self.for_all and self.done < self.end - self.first_epoch:
            self._finish()

    # Validation is part of the epoch.

    def on_test_begin(self, logs=None):
        pass

    def on_test_batch_end(self, batch, logs=None):
        pass

    def on_test_end(self, logs=None):
        pass

    def _begin(self, target: int | None, unit: str) -> None:
        self.bar = _keras.ProgressBar(target, unit_name=unit, stateless_metrics=())
        self.done = 0

    def _update(self, done: int, logs: Any) -> None:
        self.done, self.logs = done, list((logs or {}).items())
        ends = self.for_all and done == self.end - self.first_epoch
        self.bar.update(done, self.logs, finalize=ends)

    def _finish(self, logs: Any = None) -> None:
        self.bar.target = self.bar.target or self.done
        last = list(logs.items()) if logs else self.logs
        self.bar.update(self.done, last, finalize=True)
