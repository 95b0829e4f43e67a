"""How the learning rate runs within a phase, scaled to the phase's steps."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import keras
from keras.optimizers.schedules import CosineDecay, LearningRateSchedule

from tlkeras._validation import check_int, check_number, did_you_mean


@dataclass(frozen=True)
class Constant:
    """The peak learning rate throughout, after a linear warmup if there is one.

    The only one that a `ReduceLROnPlateau` or `LearningRateScheduler` callback, or a
    peak that is itself a Keras schedule, goes with; then without warmup.

    Args:
        warmup: Share of the steps, in [0, 1), over which the rate rises to the peak.

    Example:

    >>> from tlkeras.optimizers import Constant
    >>> Constant().over(1e-3, steps=100)
    0.001
    """

    warmup: float = 0.0

    def __post_init__(self) -> None:
        check_number("warmup", self.warmup, minimum=0, below=1)

    def over(self, peak: Any, steps: int) -> Any:
        """Returns the learning rate of a phase, for an optimizer.

        Args:
            peak: The learning rate, or a Keras schedule, which is returned as it is.
            steps: Batches in the phase.
        """
        if self.warmup == 0 and isinstance(peak, LearningRateSchedule):
            return peak
        peak, steps = _checked(self, peak, steps)
        if self.warmup == 0:
            return peak
        return _warmed(peak, steps, self.warmup, final=1.0)


@dataclass(frozen=True)
class Cosine:
    """Linear warmup to the peak, then half a cosine down.

    Args:
        warmup: Share of the steps, in [0, 1), over which the rate rises to the peak.
        final: The last rate as a share of the peak, in [0, 1].

    Example:

    >>> from tlkeras.optimizers import Cosine
    >>> rate = Cosine(warmup=0.1).over(1e-3, steps=100)
    >>> [round(float(rate(step)), 6) for step in (0, 10, 55, 100)]
    [9.1e-05, 0.001, 0.0005, 0.0]

    Reference:
        Loshchilov and Hutter, SGDR: Stochastic Gradient Descent with Warm Restarts
        (2017). Goyal et al., Accurate, Large Minibatch SGD (2017), for the warmup.
    """

    warmup: float = 0.1
    final: float = 0.0

    def __post_init__(self) -> None:
        check_number("warmup", self.warmup, minimum=0, below=1)
        _check_share("final", self.final)

    def over(self, peak: float, steps: int) -> LearningRateSchedule:
        """Returns the learning rate of a phase, for an optimizer.

        Args:
            peak: The highest learning rate, a float above 0.
            steps: Batches in the phase.
        """
        peak, steps = _checked(self, peak, steps)
        return _warmed(peak, steps, self.warmup, self.final)


@dataclass(frozen=True)
class OneCycle:
    """Half a cosine up to the peak, half a cosine down to almost nothing.

    The defaults are PyTorch's: a first rate of peak / 25, a last one of a
    ten-thousandth of that, the peak at 30 % of the steps. Momentum stays as it is: a
    Keras optimizer has no schedule for it.

    Args:
        warmup: Share of the steps before the peak, in (0, 1).
        start: The first rate as a share of the peak, in [0, 1].
        final: The last rate as a share of the peak, in [0, 1].

    Example:

    >>> from tlkeras.optimizers import OneCycle
    >>> rate = OneCycle().over(0.1, steps=10)
    >>> [round(float(rate(step)), 4) for step in (0, 1, 2, 9)]
    [0.004, 0.052, 0.1, 0.0]

    Reference:
        Smith and Topin, Super-Convergence: Very Fast Training of Neural Networks Using
        Large Learning Rates (2018).
    """

    warmup: float = 0.3
    start: float = 1 / 25
    final: float = 1 / 25e4

    def __post_init__(self) -> None:
        check_number("warmup", self.warmup, above=0, below=1)
        _check_share("start", self.start)
        _check_share("final", self.final)

    def over(self, peak: float, steps: int) -> LearningRateSchedule:
        """Returns the learning rate of a phase, for an optimizer.

        Args:
            peak: The highest learning rate, a float above 0.
            steps: Batches in the phase.
        """
        peak, steps = _checked(self, peak, steps)
        return OneCycleSchedule(peak, steps, self.warmup, self.start, self.final)


@keras.saving.register_keras_serializable("tlkeras")
class OneCycleSchedule(LearningRateSchedule):
    """The learning rate at each step of one cycle; see `OneCycle`.

    Args:
        peak: The highest learning rate.
        steps: Batches in all; the rate stays at its last value after them.
        warmup: Share of the steps before the peak.
        start: The first rate as a share of the peak.
        final: The last rate as a share of the peak.
    """

    def __init__(
        self, peak: float, steps: int, warmup: float, start: float, final: float
    ):
        super().__init__()
        self.peak = peak
        self.steps = steps
        self.warmup = warmup
        self.start = start
        self.final = final

    def __call__(self, step: Any) -> Any:
        last = max(self.steps - 1, 1)
        top = min(max(self.warmup * self.steps - 1, 0.0), last - 0.5)
        step = keras.ops.minimum(keras.ops.cast(step, "float32"), float(last))
        up = step / top if top else keras.ops.ones_like(step)
        down = (step - top) / (last - top)
        share = keras.ops.where(
            step < top, _eased(self.start, 1.0, up), _eased(1.0, self.final, down)
        )
        return self.peak * share

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self.peak,
            "steps": self.steps,
            "warmup": self.warmup,
            "start": self.start,
            "final": self.final,
        }


Schedule = Constant | Cosine | OneCycle

SCHEDULES = {"constant": Constant, "cosine": Cosine, "one_cycle": OneCycle}


def resolve_schedule(schedule: str | Schedule) -> Schedule:
    """Returns the schedule that a name stands for, or the object itself.

    Args:
        schedule: `"constant"`, `"cosine"`, `"one_cycle"`, or a `Constant`, `Cosine` or
            `OneCycle` with settings of its own.

    Raises:
        ValueError: If it is none of these.
    """
    if isinstance(schedule, Schedule):
        return schedule
    if isinstance(schedule, str) and schedule in SCHEDULES:
        return SCHEDULES[schedule]()
    hint = did_you_mean(schedule, SCHEDULES) if isinstance(schedule, str) else ""
    if isinstance(schedule, LearningRateSchedule):
        hint = " Pass a Keras schedule as the learning rate."
    raise ValueError(
        f"`schedule` must be one of {', '.join(map(repr, SCHEDULES))}, or a Constant, "
        f"Cosine or OneCycle. Received: schedule={schedule!r}.{hint}"
    )


def check_rate_callbacks(
    callbacks: Iterable[keras.callbacks.Callback],
    schedule: str | Schedule,
    learning_rate: Any = None,
) -> None:
    """Raises where a callback sets a learning rate that a schedule sets, too.

    Keras itself raises only when the callback first acts, which may be hours later.

    Args:
        callbacks: What `fit` will get.
        schedule: As in `resolve_schedule`.
        learning_rate: The peak, which may be a Keras schedule.

    Raises:
        ValueError: If there is such a callback and the rate is not a constant.
    """
    scheduled = isinstance(learning_rate, LearningRateSchedule)
    if resolve_schedule(schedule) == Constant() and not scheduled:
        return
    setters = (
        keras.callbacks.ReduceLROnPlateau,
        keras.callbacks.LearningRateScheduler,
    )
    for callback in callbacks:
        if isinstance(callback, setters):
            what = learning_rate if scheduled else schedule
            raise ValueError(
                f"{type(callback).__name__} sets the learning rate, and so does the "
                f"schedule {what!r}. Leave out the callback, or use "
                'schedule="constant" with a number as the learning rate.'
            )


def _checked(schedule: Schedule, peak: Any, steps: Any) -> tuple[float, int]:
    if isinstance(peak, LearningRateSchedule):
        raise ValueError(
            "A learning rate that is a Keras schedule already goes with "
            f'schedule="constant" only. Received: schedule={schedule!r}, '
            f"learning_rate={peak!r}. Pass the peak learning rate as a number."
        )
    peak = check_number("learning_rate", peak, minimum=0)
    return peak, check_int("steps", steps, 1)


def _check_share(name: str, value: Any) -> None:
    if not 0 <= check_number(name, value) <= 1:
        raise ValueError(f"`{name}` must be in [0, 1]. Received: {name}={value!r}.")


def _warmed(
    peak: float, steps: int, warmup: float, final: float
) -> LearningRateSchedule:
    rising = min(round(warmup * steps), steps - 1)
    if rising == 0:
        return CosineDecay(peak, steps, alpha=final)
    return CosineDecay(
        # Above 0, so that the first batch is not for nothing.
        initial_learning_rate=peak / (rising + 1),
        decay_steps=steps - rising,
        alpha=final,
        warmup_target=peak,
        warmup_steps=rising,
    )


def _eased(first: float, last: float, share: Any) -> Any:
    """Goes from `first` to `last` along half a cosine."""
    return last + (first - last) / 2 * (1 + keras.ops.cos(math.pi * share))
