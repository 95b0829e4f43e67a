"""`classical_report`: what methods of statistics make of the same windows."""

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from tlkeras import _keras
from tlkeras._validation import check_choice, check_int, optional_import
from tlkeras.data import Splits
from tlkeras.evaluation.report import Report
from tlkeras.inputs.examples import RandomAccessExamples, examples_of
from tlkeras.outputs.forecasts import LEAST_ERRORS
from tlkeras.problem import Problem

METHODS = ("theta", "ets", "naive")
_TITLES = {
    "theta": "Theta by statsmodels, fitted to each window",
    "ets": "Holt and Winters' damped trend by statsmodels, fitted to each window",
    "naive": "the last season of each window, repeated",
}
_CHUNK = 256
# Intervals take the errors of so many windows of the validation part at most, evenly
# spread over it: the 2.5% level is the sixth of them.
_FOR_INTERVALS = 250


def classical_report(
    data: Splits,
    method: str = "theta",
    *,
    season: int | None = None,
    verbose: str | int = "auto",
) -> Report:
    """Evaluates a method of statistics on the test windows of series.

    Such methods are hard to beat where a series is short: look before you use a
    network. Each is fitted anew to each window, of which it sees the targets as a model
    does, their gaps filled by straight lines, and nothing of features or of columns
    that are known ahead. `tl.compare` says whether a model differs from it by more than
    chance.

    `"theta"` won the M3 competition of 3,003 series; a window takes some hundredths of
    a second. `"ets"` is exponential smoothing with an additive, damped trend and an
    additive season, and takes some ten times as long. `"naive"` repeats the last
    season, as in every report of a forecaster.

    Where there is a validation part of at least 39 windows, the method forecasts 250 of
    them at most, too, and gets intervals of its errors there, as `tl.calibrate` makes
    those of a model. So its coverage and its CRPS stand beside the model's.

    Args:
        data: `Splits` of `tl.from_series` with a test part.
        method: `"theta"`, `"ets"` or `"naive"`.
        season: Steps after which things repeat; `None`: that of the data, as
            `tl.from_series` found it or was told. Windows that show it less than twice
            are forecast without. That of `"naive"` is always in the data.
        verbose: `"auto"` or 1 (progress bar), 2 or 0 (silent).

    Returns:
        A `Report` of the test part, in its stored order, as that of
        `tl.evaluate(model, data.test)`.

    Raises:
        ImportError: If statsmodels is not installed: `pip install "tlkeras[series]"`.
        UnsupportedError: If the data are not to be forecast.
        ValueError: If there is no test part, no such method, or windows are too short
            for it.

    Example:
    >>> import pandas as pd
    >>> kwh = np.sin(np.arange(150) * 0.2618) + np.arange(150) / 50
    >>> frame = pd.DataFrame({"kwh": kwh})
    >>> data = tl.from_series(frame, target="kwh", window=72, horizon=6, season=24)
    >>> theta = tl.classical_report(data, verbose=0)
    >>> theta.mae < tl.classical_report(data, "naive", verbose=0).mae
    True

    Reference:
        Assimakopoulos and Nikolopoulos, The theta model (2000); Fiorucci et al., Models
        for optimising the theta method and their relationship to state space models
        (2016); Hyndman and Athanasopoulos, Forecasting: Principles and Practice (2021),
        chapter 8.
    """
    check_choice("method", method, METHODS)
    check_choice("verbose", verbose, ("auto", 0, 1, 2))
    if not isinstance(data, Splits) or data.test is None:
        raise ValueError(
            "`data` must be `Splits` with a test part, as `tl.from_series` makes them. "
            f"Received: {data!r}."
        )
    output = data.problem.output
    if not output.forecasts:
        raise output.unsupported("tl.classical_report", "forecast_columns")
    if output.around:
        raise ValueError(
            "Classical methods forecast; the data ask for hidden steps within windows. "
            "Read them without `around=True`."
        )
    if method == "naive":
        if season is not None:
            raise ValueError(
                "The season of 'naive' is that of the data: `tl.from_series(..., "
                f"season={season!r})`. Received: season={season!r}."
            )
        forecast = None
    else:
        season = data.problem.input.season if season is None else season
        forecast = _forecaster(method, check_int("season", season, 1))
    test = examples_of(data.test)
    val = None if data.val is None else _spread(examples_of(data.val))
    total = len(test) + (0 if val is None else len(val))
    shown = forecast is not None and verbose in ("auto", 1)
    bar = _keras.ProgressBar(total, verbose=int(shown), unit_name="window")
    done = itertools.count(1)

    def progress() -> None:
        bar.update(next(done))

    output = output.as_trained()
    if val is not None:
        labels, outputs = _said(val, data.problem, forecast, progress)
        known = (~np.isnan(output.solved(labels))).sum(axis=0)
        if known.min() >= LEAST_ERRORS:
            output, _ = output.calibrated(labels, outputs)
    labels, outputs = _said(test, data.problem, forecast, progress)
    about = {"model": _TITLES[method], "data": f"{len(labels)} series"}
    return Report(labels, outputs, output=output, about=about)


def _spread(examples: RandomAccessExamples) -> RandomAccessExamples:
    """Returns as many windows as intervals take, evenly spread."""
    count = min(len(examples), _FOR_INTERVALS)
    return examples.select(np.linspace(0, len(examples) - 1, count).astype("int64"))


def _said(
    examples: RandomAccessExamples,
    problem: Problem,
    forecast: Callable[[np.ndarray, int], np.ndarray] | None,
    progress: Callable[[], None],
) -> tuple[np.ndarray, np.ndarray]:
    """Returns labels and outputs, in deviations as a model's, of windows.

    Args:
        examples: The windows.
        problem: What they are, and are labelled for.
        forecast: Function of one channel and the horizon; `None`: the naive one that
            labels hold.
        progress: Called after each window.
    """
    steps, output = problem.input.steps, problem.output
    labels, outputs = [], []
    for windows, rows in examples.dataset(_CHUNK):
        one = output.taken_apart(rows.numpy())
        scaled = one.naive
        if forecast is not None:
            ahead = []
            for window in windows.numpy()[:, :steps, : output.targets]:
                ahead.append([forecast(each, output.horizon) for each in window.T])
                progress()
            scaled = (np.swapaxes(ahead, 1, 2) - one.mean) / one.deviation
        outputs.append(scaled.reshape(len(scaled), -1))
        labels.append(rows.numpy())
    return np.concatenate(labels), np.concatenate(outputs)


def _forecaster(method: str, season: int) -> Callable[[np.ndarray, int], np.ndarray]:
    """Returns a function of a window of one channel, NaN where missing, and a count.

    It returns the steps that follow.
    """
    what = f'`tl.classical_report(data, "{method}")`'
    if method == "theta":
        of = optional_import(
            "statsmodels.tsa.forecasting.theta", what, '"tlkeras[series]"'
        )

        def fitted(seen: np.ndarray, period: int) -> Any:
            # Its own test for a season sees none in windows that show it twice.
            return of.ThetaModel(
                seen,
                period=period,
                deseasonalize=period > 1,
                use_test=False,
                method="additive",
            ).fit()

    else:
        of = optional_import("statsmodels.tsa.holtwinters", what, '"tlkeras[series]"')

        def fitted(seen: np.ndarray, period: int) -> Any:
            least = 10 + 2 * (period // 2)
            if len(seen) < least:
                raise ValueError(
                    f"'ets' with a season of {period} takes windows of at least "
                    f"{least} steps. Received: {len(seen)}."
                )
            return of.ExponentialSmoothing(
                seen,
                trend="add",
                damped_trend=True,
                seasonal="add" if period > 1 else None,
                seasonal_periods=period if period > 1 else None,
            ).fit()

    def forecast(seen: np.ndarray, horizon: int) -> np.ndarray:
        known = ~np.isnan(seen)
        steps = np.arange(len(seen))
        filled = np.interp(steps, steps[known], seen[known].astype("float64"))
        period = season if len(seen) >= 2 * season else 1
        with warnings.catch_warnings():
            # statsmodels says so where an optimum is flat, as of straight lines.
            warnings.simplefilter("ignore")
            return np.asarray(fitted(filled, period).forecast(horizon))

    return forecast
