"""`EpochReports`: what a model is worth on held-out data, epoch by epoch."""

from collections.abc import Sequence
from typing import Any

import keras

from tlkeras._validation import unknown_name
from tlkeras.evaluation.evaluating import evaluate_heads
from tlkeras.evaluation.report import Report


class EpochReports(keras.callbacks.Callback):
    """Adds figures of `tl.evaluate` on held-out data to the logs of each epoch.

    Losses and Keras' metrics are of batches; average precision of boxes, macro F1 or
    MASE are of all the data at once. This callback evaluates the whole model after each
    epoch, so that the history, its plot and other callbacks know these figures as
    `val_ap50` and the like. It costs a pass of the whole model over the data in each
    epoch, the frozen part included.

    Args:
        data: Labelled data, as `tl.evaluate` takes them, such as `data.val`.
        metrics: Which of a report's `.metrics` are added. `None`: all of them but the
            loss. Of a model with several heads their names begin with the head's:
            `"species_macro_f1"`. A callback that watches one comes behind this one, and
            says which way it goes: `keras.callbacks.EarlyStopping("val_ap50",
            mode="max")`.

    Attributes:
        reports: The last epoch's `Report`, by head; empty before the first.

    Raises:
        ValueError: If `metrics` are no names; after the first epoch, if there is no
            such figure.

    Example:

    >>> x = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 1), "uint8")
    >>> data = tl.from_arrays(x, np.arange(40) % 2)
    >>> model = tl.image_classifier("glyphnet", data.class_names)
    >>> history = tl.fine_tune(
    ...     model, data, head_epochs=0, epochs=2, verbose=0,
    ...     callbacks=[tl.EpochReports(data.val, ["balanced_accuracy"])],
    ... )
    >>> len(history.history["val_balanced_accuracy"])
    2
    """

    def __init__(self, data: Any, metrics: Sequence[str] | None = None):
        super().__init__()
        self.data = data
        named = () if metrics is None else metrics
        if isinstance(named, str) or not all(isinstance(one, str) for one in named):
            raise ValueError(
                "`metrics` must be a list of names of a report's figures, such as "
                f"['macro_f1'], or None. Received: metrics={metrics!r}."
            )
        self.metrics = None if metrics is None else list(metrics)
        self.reports: dict[str, Report] = {}

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        problem, self.reports = evaluate_heads(self.model, self.data, verbose=0)
        found = {
            f"{head}_{name}" if problem.named else name: float(value)
            for head, report in self.reports.items()
            for name, value in report.metrics.items()
            if self.metrics is not None or name != "loss"
        }
        chosen = list(found) if self.metrics is None else self.metrics
        for name in chosen:
            if name not in found:
                raise unknown_name("figure of the report", name, found)
            logs[f"val_{name}"] = found[name]
