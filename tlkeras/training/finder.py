"""The learning rate range test: `find_learning_rate` and what it found."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras._validation import check_choice, check_int, check_number
from tlkeras.freezing import FreezePoint, freeze_index
from tlkeras.records.encoding import random_state_kept
from tlkeras.training.job import Fitting, open_job
from tlkeras.training.recipe import Recipe
from tlkeras.training.trial import trial

# As in fastai: weight of the past in the smoothed loss; the rise that ends the test;
# what is left out of the curve at its end, where the loss goes up.
_MEMORY = 0.98
_DIVERGED = 4.0
_LAST_STEPS = 5
_FEWEST_STEPS = 20
# Falls of the smoothed loss below these shares of its first value say nothing, or
# little more than which batches came last.
_NO_FALL, _SMALL_FALL = 0.001, 0.02


@dataclass(frozen=True)
class LearningRateRange:
    """What a learning rate range test saw.

    Attributes:
        learning_rates: The rate of each step, rising.
        losses: Each step's own loss, before its update.
        smoothed: Exponential moving average of `losses`.
        valley: The rate in the middle of the longest fall of the smoothed loss.
        steepest: The rate within that fall at which the smoothed loss falls fastest.
        diverged: Whether the loss rose so far that the test ended early.
        note: What stands in the way of trusting the suggestion, or `""`.
    """

    learning_rates: np.ndarray = field(repr=False)
    losses: np.ndarray = field(repr=False)
    smoothed: np.ndarray = field(repr=False)
    valley: float
    steepest: float
    diverged: bool
    note: str = ""

    @property
    def suggestion(self) -> float:
        """The learning rate to train with: `valley`."""
        return self.valley

    def plot(self, ax: Any = None) -> Any:
        """Draws the loss over the learning rate, and where the suggestions lie.

        Args:
            ax: A matplotlib axes to draw on; made if `None`.

        Returns:
            The axes.
        """
        from tlkeras.plots import plot_learning_rates

        marks = {"valley": self.valley, "steepest": self.steepest}
        return plot_learning_rates(
            self.learning_rates, self.losses, self.smoothed, ax, marks=marks
        )

    def __repr__(self) -> str:
        first, last = self.learning_rates[[0, -1]]
        end = "; the loss diverged there" if self.diverged else ""
        note = f"; {self.note}" if self.note else ""
        return (
            f"<LearningRateRange: suggestion {self.suggestion:.2g} (valley), steepest "
            f"{self.steepest:.2g}; {len(self.losses)} steps from {first:.2g} to "
            f"{last:.2g}{end}{note}>"
        )


def find_learning_rate(
    model: keras.Model,
    train: Any,
    *,
    unfreeze_from: FreezePoint = None,
    recipe: Recipe | None = None,
    start: float = 1e-7,
    stop: float = 10.0,
    steps: int = 100,
    cache: str | Path | bool = "auto",
    verbose: Any = "auto",
) -> LearningRateRange:
    """Looks for a learning rate: trains some steps, each at a higher rate than before.

    The rate at which the loss falls, well before it rises, is a good one for the phase.
    The test trains what the phase would train, on cached features where `fine_tune`
    would, and leaves the model as it was: weights, optimizer, flags and seeds. Ask for
    the rate of the fine-tuning phase after the head has been trained.

    Args:
        model: Compiled functional `keras.Model` with a nested backbone, from
            `tl.image_classifier` or your own.
        train: Batched `tf.data.Dataset` of `(inputs, labels)`, such as `data.train`;
            a tuple of arrays; or `Splits`. Read again from its start when it ends.
        unfreeze_from: The phase's freeze point: a layer's name or the start of it
            (`"block5"`), a number of layers, or the share of the layers with weights
            that trains. `None`: the head's phase, all of the backbone frozen.
        recipe: A `tl.Recipe` or a plan, of which it reads what a step depends on:
            optimizer, batch size, augmentation, class weights and so on; not lengths,
            rates, schedule, layer decay, L2-SP and patience.
        start: The first step's learning rate, above 0.
        stop: The last step's, above `start`.
        steps: Training steps at most, at least 20.
        cache: Where to keep what the frozen part computes: `"auto"` or `"disk"` in the
            cache folder, for `tl.fine_tune` too; `"memory"`; a folder; or `False`:
            nowhere.
        verbose: 0 for no progress bar and no messages.

    Returns:
        A `LearningRateRange` with `.suggestion`, `.plot()` and the curve.

    Raises:
        ValueError: If an argument is not one of the above, the model or the data cannot
            be trained, or the losses suggest nothing: they are not finite, rise at
            once, or never fall.

    Example:

    >>> x = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 1), "uint8")
    >>> y = np.arange(8) % 2
    >>> model = tl.image_classifier("glyphnet", 2)
    >>> found = tl.find_learning_rate(model, (x, y), verbose=0)
    >>> 1e-5 < found.suggestion < 10
    True

    Reference:
        Smith, Cyclical Learning Rates for Training Neural Networks (2017); the
        suggestions are those of fastai, https://docs.fast.ai/callback.schedule.html.
    """
    check_choice("verbose", verbose, ("auto", 0, 1, 2))
    check_int("steps", steps, _FEWEST_STEPS)
    check_number("stop", stop, above=check_number("start", start, above=0))
    test = _RangeTest(np.geomspace(start, stop, steps), verbose in ("auto", 1))
    if isinstance(recipe, Recipe):
        # There is no validation to wait for.
        recipe = recipe.but(patience=None)
    fitting = Fitting(cache, verbose=verbose)
    # Augmenting layers draw their seeds.
    with random_state_kept():
        job = open_job(model, train, None, recipe, fitting)
    frozen = freeze_index(job.backbone, unfreeze_from)
    with trial(job, frozen, float(start)) as ready:
        # Each epoch has a step at least; the test ends itself.
        ready.feed.model.fit(
            **{**ready.feed.arguments, "validation_data": None},
            epochs=steps,
            callbacks=[test],
            verbose=0,
        )
    found = _interpret(test)
    if found.note:
        warnings.warn(found.note, UserWarning, stacklevel=2)
    return found


class _RangeTest(keras.callbacks.Callback):
    """Raises the learning rate from step to step, and notes each step's own loss."""

    def __init__(self, rates: np.ndarray, bar: bool):
        super().__init__()
        self.rates, self.losses, self.smoothed = rates, [], []
        self.average, self.diverged = 0.0, False
        self.bar = _keras.ProgressBar(len(rates), stateful_metrics=["loss"])
        self.shows = bar

    def on_train_batch_begin(self, batch, logs=None):
        self.model.optimizer.learning_rate = float(self.rates[len(self.losses)])
        # Keras reports the mean since the last reset.
        self.model.reset_metrics()

    def on_train_batch_end(self, batch, logs=None):
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            self.diverged = True
        else:
            self._note(loss)
        if self.diverged or len(self.losses) == len(self.rates):
            self.model.stop_training = True

    def on_train_end(self, logs=None):
        if self.shows and self.losses:
            done = len(self.losses)
            self.bar.update(done, [("loss", self.losses[-1])], finalize=True)

    def _note(self, loss: float) -> None:
        self.losses.append(loss)
        self.average = _MEMORY * self.average + (1 - _MEMORY) * loss
        smoothed = self.average / (1 - _MEMORY ** len(self.losses))
        self.smoothed.append(smoothed)
        best = min(self.smoothed)
        self.diverged = smoothed > best + (_DIVERGED - 1) * abs(best)
        if self.shows:
            self.bar.update(len(self.losses), [("loss", loss)], finalize=False)


def _interpret(test: _RangeTest) -> LearningRateRange:
    """Returns the range with its suggestions, or says why there are none."""
    losses, smoothed = np.array(test.losses), np.array(test.smoothed)
    rates, skipped = test.rates[: len(losses)], len(test.rates) // 10
    if not len(losses):
        raise ValueError(
            "The loss is not finite before anything was trained. Look for bad labels "
            "and pixels with `data.describe()` and `data.show()`."
        )
    seen = slice(skipped, len(losses) - _LAST_STEPS)
    if len(losses[seen]) < 3:
        raise ValueError(
            f"The loss diverged after {len(losses)} step(s), at a learning rate of "
            f"{rates[-1]:.2g}: {_in_words(losses[-3:])}. Start lower than "
            f"start={test.rates[0]:.2g}."
        )
    first = losses[: max(1, skipped)].mean()
    fall = (first - smoothed[seen].min()) / max(abs(first), keras.config.epsilon())
    if fall < _NO_FALL:
        raise ValueError(
            f"The loss fell at no learning rate from {rates[0]:.2g} to {rates[-1]:.2g}:"
            f" it was {first:.4g} first and {smoothed[seen].min():.4g} at best. Is it 0"
            " already, every unit of the head dead, or `stop` too low?"
        )
    note = ""
    if fall < _SMALL_FALL:
        note = (
            f"The loss hardly fell, by {fall:.1%}: the suggestion means little. Is "
            "there much left to learn in this phase?"
        )
    start, end = _longest_fall(smoothed[seen])
    third = (end - start) / 3
    slopes = np.diff(smoothed[seen][start : end + 1])
    return LearningRateRange(
        rates,
        losses,
        smoothed,
        valley=float(rates[seen][start + int(third) + int(third / 2)]),
        # Rates are evenly spaced on the logarithmic axis.
        steepest=float(rates[seen][start + int(np.argmin(slopes))]),
        diverged=test.diverged,
        note=note,
    )


def _longest_fall(losses: np.ndarray) -> tuple[int, int]:
    """Returns where the longest series of ever lower losses starts and ends."""
    lengths = np.ones(len(losses), int)
    for i in range(1, len(losses)):
        higher = losses[:i] > losses[i]
        lengths[i] = 1 + lengths[:i][higher].max(initial=0)
    end = int(lengths.argmax())
    return max(0, end - int(lengths[end])), end


def _in_words(losses: Sequence[float]) -> str:
    return ", ".join(f"{loss:.4g}" for loss in losses)
