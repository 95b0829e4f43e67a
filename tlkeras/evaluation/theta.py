"""`theta_report`: what the Theta method makes of the same windows."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from tlkeras._validation import check_int, optional_import
from tlkeras.data import Splits
from tlkeras.evaluation.report import Report
from tlkeras.inputs.examples import examples_of
from tlkeras.inputs.series.reading import season_of

_CHUNK = 256


def theta_report(data: Splits, *, season: int | None = None) -> Report:
    """Evaluates Theta, by statsmodels, on the test windows of series.

    Theta won the M3 competition of 3,003 series and is hard to beat where a series is
    short: look before you use a network. It is fitted anew on each window, of which it
    sees the targets as a model does, their gaps filled by straight lines, and nothing
    of features or of columns that are known ahead; that takes about a hundredth of a
    second for each. `tl.compare` says whether a model differs from it by more than
    chance.

    Args:
        data: `Splits` of `tl.from_series` with a test part.
        season: Steps after which things repeat; `None`: what the length of a step
            tells, as in `tl.from_series`. Windows that show it less than twice are
            forecast without.

    Returns:
        A `Report` of the test part, in its stored order, as that of
        `tl.evaluate(model, data.test)`.

    Raises:
        ImportError: If statsmodels is not installed: `pip install "tlkeras[series]"`.
        UnsupportedError: If the data are not to be forecast.
        ValueError: If there is no test part.

    Example:
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"kwh": np.sin(np.arange(150) * 0.2618)})
    >>> data = tl.from_series(frame, target="kwh", window=72, horizon=6)
    >>> tl.theta_report(data, season=24).mae < tl.theta_report(data).mae
    True

    Reference:
        Assimakopoulos and Nikolopoulos, The theta model (2000); Fiorucci et al., Models
        for optimising the theta method and their relationship to state space models
        (2016).
    """
    if not isinstance(data, Splits) or data.test is None:
        raise ValueError(
            "`data` must be `Splits` with a test part, as `tl.from_series` makes them. "
            f"Received: {data!r}."
        )
    problem = data.problem
    output = problem.output
    if not output.forecasts:
        raise output.unsupported("tl.theta_report", "forecast_columns")
    if output.around:
        raise ValueError(
            "Theta forecasts; the data ask for hidden steps within windows. Read them "
            "without `around=True`."
        )
    theta = optional_import(
        "statsmodels.tsa.forecasting.theta", "`tl.theta_report`", '"tlkeras[series]"'
    ).ThetaModel
    if season is None:
        season = season_of(problem.input.freq)
    check_int("season", season, 1)
    labels, outputs = [], []
    for windows, rows in examples_of(data.test).dataset(_CHUNK):
        one = output.taken_apart(rows.numpy())
        ahead = [
            [_forecast(theta, column, season, output.horizon) for column in window.T]
            for window in windows.numpy()[:, : problem.input.steps, : output.targets]
        ]
        scaled = (np.swapaxes(ahead, 1, 2) - one.mean) / one.deviation
        outputs.append(scaled.reshape(len(scaled), -1))
        labels.append(rows.numpy())
    about = {
        "model": "Theta by statsmodels, fitted to each window",
        "data": f"{sum(map(len, labels))} {problem.input.nouns}",
    }
    return Report(
        np.concatenate(labels), np.concatenate(outputs), output=output, about=about
    )


def _forecast(
    theta: Callable[..., Any], seen: np.ndarray, season: int, horizon: int
) -> np.ndarray:
    """Returns the steps that follow a window of one channel."""
    known = ~np.isnan(seen)
    steps = np.arange(len(seen))
    filled = np.interp(steps, steps[known], seen[known].astype("float64"))
    period = season if len(seen) >= 2 * season else 1
    with warnings.catch_warnings():
        # statsmodels says so where an optimum is flat, as of straight lines.
        warnings.simplefilter("ignore")
        # Its own test for a season sees none in windows that show it twice.
        fitted = theta(
            filled,
            period=period,
            deseasonalize=period > 1,
            use_test=False,
            method="additive",
        ).fit()
        return np.asarray(fitted.forecast(horizon))
