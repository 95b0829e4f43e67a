"""`backtest`: a forecaster trained and tested from several origins in time."""

import inspect
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tlkeras._validation import check_int, unknown_name
from tlkeras.data.series import SETTINGS, rolling_splits
from tlkeras.data.splits import Splits
from tlkeras.description import Described, Description
from tlkeras.evaluation.evaluating import evaluate
from tlkeras.evaluation.report import Report
from tlkeras.inputs.examples import examples_of
from tlkeras.metrics.table import number

_FIGURES = ("mae", "mase", "naive_mase")


@dataclass(frozen=True, eq=False, repr=False)
class Backtest(Described):
    """What `tl.backtest` found; prints a row for each origin.

    Attributes:
        reports: A `Report` of each origin's test part, in the order of time.
        origins: When the horizon of the first window of each test part begins.
        training_windows: How many windows each model learned from.
    """

    reports: tuple[Report, ...]
    origins: tuple[str, ...]
    training_windows: tuple[int, ...]

    @property
    def mase(self) -> np.ndarray:
        """The mean absolute scaled error from each origin, float64 `(folds,)`.

        Example:
        >>> tl.Backtest((), (), ()).mase.shape
        (0,)
        """
        return self._figure("mase")

    def _figure(self, name: str) -> np.ndarray:
        return np.array([report.metrics[name] for report in self.reports], "float64")

    def _described(self) -> Description:
        header = ("from", "trained on", "tested on", *_FIGURES)
        sizes = [len(report.y_true) for report in self.reports]
        figures = np.stack([self._figure(name) for name in _FIGURES], axis=1)
        rows = [
            (origin, str(trained), str(tested), *map(number, each))
            for origin, trained, tested, each in zip(
                self.origins, self.training_windows, sizes, figures, strict=True
            )
        ]
        rows.append(("mean", "", "", *map(number, figures.mean(axis=0))))
        better = int((figures[:, 1] < figures[:, 2]).sum())
        note = (
            f"From {better} of {len(rows) - 1} origins better than the seasonal naive "
            "forecast. MASE is in units of the training part before each origin."
        )
        return Description("Rolling origin", header, tuple(rows), (note,))


def backtest(
    train: Callable[[Splits], keras.Model],
    frame: Any,
    time: Hashable | None = None,
    target: Hashable | Sequence[Hashable] | None = None,
    *,
    folds: int = 4,
    validation_split: float = 0.2,
    test_split: float = 0.4,
    verbose: str | int = "auto",
    **settings: Any,
) -> Backtest:
    """Trains and tests a forecaster from several origins in time.

    One test part is one season of one year. Here the end of the series is cut into
    `folds` test parts of equal length; before each, a new model is trained on what was
    known until then. How much its error changes from one to the next tells how far one
    figure can be trusted, and how it would do where it is trained anew now and then.

    Args:
        train: Function that takes the `Splits` of an origin, with parts `train` and
            `val`, and returns a trained model. It should build it anew each time: one
            that has seen later data would know them.
        frame: A `pandas.DataFrame` with a row for each time (and series), or the path
            of a CSV file.
        time: The column of times. `None`: the index, where it is one of times or
            periods; else rows are steps in their order.
        target: The column to forecast, or several.
        folds: How many origins there are.
        validation_split: Fraction of all the time that is for validation, before each
            test part. 0 for none: `data.val` is `None` then.
        test_split: Fraction of all the time, its end, that the test parts share.
        verbose: Of the evaluations: `"auto"` or 1 (progress bar), 2 (one line) or 0.
        settings: Further arguments of `tl.from_series`: `horizon`, `window`, `id`,
            `features`, `known`, `batch_size` and the like.

    Returns:
        A `Backtest`.

    Raises:
        ValueError: If `folds` is less than 2, an argument is unknown, a column is
            missing or holds no numbers or times, a part is too short, or `train`
            returns no model.

    Example:
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"kwh": np.sin(np.arange(400) * 0.2618)})
    >>> def train(data):
    ...     model = tl.series_forecaster("patch_transformer", data, weights=None)
    ...     tl.fit_head(model, data.train, verbose=0)
    ...     return model
    >>> found = tl.backtest(
    ...     train, frame, None, "kwh", horizon=6, window=48, folds=2, verbose=0
    ... )
    >>> found.origins
    ('step 240', 'step 320')

    Reference:
        Tashman, Out-of-sample tests of forecasting accuracy (2000); Hyndman and
        Athanasopoulos, Forecasting: Principles and Practice (2021), section 5.10.
    """
    check_int("folds", folds, 2)
    if isinstance(train, keras.Model) or not callable(train):
        raise ValueError(
            "`train` must be a function that takes the `Splits` of an origin and "
            f"returns a new model, trained on them. Received: {type(train).__name__}."
        )
    possible = {*inspect.signature(backtest).parameters, *SETTINGS} - {"settings"}
    for name in settings:
        if name not in possible:
            raise unknown_name("argument", name, possible)
    reports, origins, sizes = [], [], []
    for data in rolling_splits(
        *(frame, time, target),
        folds=folds,
        validation_split=validation_split,
        test_split=test_split,
        **settings,
    ):
        if data.test is None:
            raise ValueError(
                "A test part has no window whose horizon lies within it. Take fewer "
                f"`folds`, or a larger `test_split`. Received: folds={folds}, "
                f"test_split={test_split}."
            )
        model = train(data)
        if not isinstance(model, keras.Model):
            raise ValueError(
                "`train` must return the model that it trained. Received: "
                f"{type(model).__name__}."
            )
        reports.append(evaluate(model, data.test, verbose=verbose))
        # Of several series all are tested from there on, not the first alone.
        title = examples_of(data.test).titles[0].item()
        origins.append(title.rpartition(", ")[2])
        sizes.append(len(examples_of(data.train)))
    return Backtest(tuple(reports), tuple(origins), tuple(sizes))
