"""The joined history of all phases."""

import math
from dataclasses import dataclass
from typing import Any

import keras

from tlkeras.freezing import FreezePoint


@dataclass(frozen=True)
class Phase:
    """One phase of a `FineTuneHistory`.

    Attributes:
        name: `"head"`, `"fine-tune"`, or `"fine-tune 1"` and so on for stages.
        unfreeze_from: Its freeze point, as it was given.
        learning_rate: Its peak learning rate, the head's where blocks have their own.
        first_epoch: Index of its first epoch in the joined history, from 0.
        epochs: How many epochs ran.
        trainable: Parameters that it trained.
        seconds: How long it took.
        extraction_seconds: How much of that the frozen part's one pass took.
        solved: Of a head that was solved the L2 `"strength"`, the number of `"folds"`
            that chose it and the `"loss"` on what they held out, by the head's name;
            `None` where the phase trained by gradient.
    """

    name: str
    unfreeze_from: FreezePoint
    learning_rate: float
    first_epoch: int
    epochs: int
    trainable: int
    seconds: float
    extraction_seconds: float
    solved: dict[str, dict[str, Any]] | None = None


class FineTuneHistory(keras.callbacks.History):
    """A Keras `History` over all phases.

    Attributes:
        history: From each metric's name to its values, one per epoch.
        epoch: The epochs' indices, from 0 on through all phases.
        phases: List of `Phase`s.
        notes: Sentences on what the run gave reason to say, such as overfitting.
        best: Where the model's weights are from, if the best were kept: `"phase"`
            (`"start"`: from before all phases), `"epoch"`, from 0, and its
            `"val_loss"`; where logits were looked at, by head what they are divided
            by, `"temperature"`, and the `"calibrated_loss"`. Else `None`.
    """

    def __init__(self):
        super().__init__()
        self.history = {}
        self.epoch = []
        self.phases = []
        self.notes = []
        self.best = None

    def __repr__(self) -> str:
        phases = ", ".join(f"{p.name}: {p.epochs} epoch(s)" for p in self.phases)
        last = ", ".join(
            f"{name} {values[-1]:.4g}"
            for name, values in self.history.items()
            if values
        )
        return f"<FineTuneHistory: {phases or 'no phase'}; last {last or 'none'}>"

    def joined_with(self, history: Any) -> dict[str, list[float]]:
        """Returns all metrics' values with those of one more phase.

        Args:
            history: A Keras `History`, or anything with `.history` and `.epoch`.
        """
        done, joined = len(self.epoch), {}
        for name in {**self.history, **history.history}:
            earlier = self.history.get(name, [math.nan] * done)
            missing = [math.nan] * len(history.epoch)
            joined[name] = earlier + history.history.get(name, missing)
        return joined

    def append(self, history: Any, phase: Phase) -> None:
        """Adds the history of one more phase.

        Args:
            history: A Keras `History`, or anything with `.history` and `.epoch`.
            phase: What the phase was: its name, freeze point, rate, epochs and times.
        """
        self.history = self.joined_with(history)
        self.epoch = list(range(len(self.epoch) + len(history.epoch)))
        self.phases.append(phase)

    def plot(self, ax: Any = None) -> Any:
        """Draws loss and metrics per epoch, with the phases' boundaries.

        Args:
            ax: Two matplotlib axes to draw on; made if `None`.

        Returns:
            The axes.
        """
        from tlkeras.plots import plot_history

        starts = [(phase.name, phase.first_epoch + 1) for phase in self.phases]
        return plot_history(self.history, ax, phases=starts)
