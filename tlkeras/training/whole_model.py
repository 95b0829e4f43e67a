"""The bridge from a phase's events to the user's callbacks."""

from collections.abc import Sequence

import keras


class WholeModel(keras.callbacks.Callback):
    """Hands a phase's events to callbacks with the whole model in hand.

    A phase trains a model made of parts. Checkpoints, early stopping and the like must
    see, save and restore the user's model instead. A phase that resumes within an
    epoch is two calls of `fit`, the rest of that epoch and the other epochs; callbacks
    see one, and the steps' true numbers.

    Args:
        whole: The user's model.
        callbacks: Her callbacks, and those of the phase.
        epochs: Number of the phase's last epoch, plus 1.
    """

    def __init__(
        self,
        whole: keras.Model,
        callbacks: Sequence[keras.callbacks.Callback],
        epochs: int,
    ):
        super().__init__()
        self.whole = whole
        self.callbacks = list(callbacks)
        self.epochs = epochs
        self.events = None
        self.first_step = 0
        self.goes_on = False

    def on_train_begin(self, logs=None):
        if self.events is not None:
            return
        self.whole.stop_training = False
        steps = self.params.get("steps")
        self.events = keras.callbacks.CallbackList(
            self.callbacks,
            model=self.whole,
            verbose=self.params.get("verbose"),
            epochs=self.epochs,
            steps=None if steps is None else steps + self.first_step,
        )
        self.events.on_train_begin(logs)

    def on_train_end(self, logs=None):
        if not self.goes_on:
            self.events.on_train_end(logs)

    def on_epoch_begin(self, epoch, logs=None):
        self.events.on_epoch_begin(epoch, logs)

    def on_epoch_end(self, epoch, logs=None):
        self.events.on_epoch_end(epoch, logs)
        self._pass_on_stop()

    def on_train_batch_begin(self, batch, logs=None):
        self.events.on_train_batch_begin(batch + self.first_step, logs)

    def on_train_batch_end(self, batch, logs=None):
        self.events.on_train_batch_end(batch + self.first_step, logs)
        self._pass_on_stop()

    def on_test_begin(self, logs=None):
        self.events.on_test_begin(logs)

    def on_test_end(self, logs=None):
        self.events.on_test_end(logs)

    def on_test_batch_begin(self, batch, logs=None):
        self.events.on_test_batch_begin(batch, logs)

    def on_test_batch_end(self, batch, logs=None):
        self.events.on_test_batch_end(batch, logs)

    def _pass_on_stop(self):
        self.model.stop_training = self.model.stop_training or self.whole.stop_training


def watches_batches(callback: keras.callbacks.Callback) -> bool:
    """Whether a callback does something before or after each training step."""
    events = ("on_train_batch_begin", "on_train_batch_end")
    events += ("on_batch_begin", "on_batch_end")
    plain = keras.callbacks.Callback
    return any(
        getattr(getattr(callback, event), "__func__", None) is not getattr(plain, event)
        for event in events
    )
