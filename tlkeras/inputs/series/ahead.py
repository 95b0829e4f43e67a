"""What a forecast is made from: the end of each series, and what is known ahead."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tlkeras.inputs.series.reading import OneSeries, read_series, times_after
from tlkeras.inputs.series.scaling import Scale, scale_of

# A window of which more is missing tells little.
MOST_MISSING = 0.5


@dataclass
class Ahead:
    """What a model forecasts from, as `Input.latest` returns it.

    Attributes:
        windows: float32 `(series, steps, channels)`, the last steps of each series,
            and what is known ahead.
        scale: Of these.
        names: Of the channels.
        series: The series that they end, until there.
        input: The model's input, a `Series`, which names the columns of the table.
        freq: The length of a step.
    """

    windows: np.ndarray
    scale: Scale
    names: Sequence[str]
    series: Sequence[OneSeries]
    input: Any
    freq: str | None

    def table(self, columns: Mapping[str, np.ndarray]) -> Any:
        """Returns a DataFrame with a row for each series and step ahead.

        Args:
            columns: Each `(series, horizon)`.
        """
        import pandas as pd

        parts = []
        for i, one in enumerate(self.series):
            own = {name: values[i] for name, values in columns.items()}
            count = len(next(iter(own.values())))
            time = self.input.time or ("step" if one.times is None else "time")
            first = {} if one.id is None else {self.input.id: [one.id] * count}
            if time in own:
                raise ValueError(
                    f"The forecast has a column of its own called {time!r}: give the "
                    "target another name."
                )
            times = {time: times_after(one.times, self.freq, count)}
            parts.append(pd.DataFrame({**first, **times, **own}))
        return pd.concat(parts, ignore_index=True)


def ahead_of(its_input: Any, frame: Any, targets: int) -> Ahead:
    """Returns what a model forecasts from.

    Args:
        its_input: The model's input, a `Series`.
        frame: Series, as `read_series` takes them.
        targets: How many columns are forecast, the first ones.

    Raises:
        ValueError: If the frame lacks a column, nothing is known of what is to be
            forecast, or what should be known ahead is missing.
    """
    columns = its_input.named_columns
    series, freq = read_series(
        frame, its_input.time, columns, its_input.id, its_input.freq
    )
    windows = np.full(
        (len(series), its_input.length, its_input.channels), np.nan, "float32"
    )
    past = [one.until(_origin(its_input, one, targets)) for one in series]
    for window, one, whole in zip(windows, past, series, strict=True):
        origin = len(one.values)
        seen = one.values[-its_input.steps :]
        window[its_input.steps - len(seen) : its_input.steps] = seen
        ahead = whole.values[origin : origin + its_input.ahead, its_input.own :]
        window[its_input.steps :, its_input.own :][: len(ahead)] = ahead
    _check_seen(its_input, windows, past, freq)
    _check_known(its_input, windows, past, freq)
    seen = windows[:, : its_input.steps]
    return Ahead(windows, scale_of(seen), columns, past, its_input, freq)


def _origin(its_input: Any, one: OneSeries, targets: int) -> int:
    """Returns the step that comes after all that a series tells of its targets."""
    if not its_input.known:
        return len(one.values)
    told = np.flatnonzero(~np.isnan(one.values[:, :targets]).all(axis=1))
    return int(told[-1]) + 1 if len(told) else 0


def _check_seen(
    its_input: Any,
    windows: np.ndarray,
    past: Sequence[OneSeries],
    freq: str | None,
) -> None:
    """Raises, or warns, where little is known of what is to be forecast."""
    # Of the first column, which is forecast: others may be missing altogether.
    known = (~np.isnan(windows[..., 0])).sum(axis=1)
    if not known.all():
        one = past[int(known.argmin())]
        raise ValueError(
            f"Nothing is known{one.of} in the {its_input.steps} steps before the "
            "forecast: leave out series that have ended."
        )
    few = known < its_input.steps * (1 - MOST_MISSING)
    short = [one for one in past if len(one.values) < its_input.steps]
    if few.any() or short:
        warnings.warn(
            f"The model reads {its_input.steps} steps, of which some series have "
            f"fewer, down to {known.min()}: the others are taken as missing. Received: "
            f"{len(short)} of {len(past)} series that are shorter, and "
            f"{int(few.sum())} of which less than half is known. A step is "
            f"{freq or 'a row'}.",
            UserWarning,
            stacklevel=5,
        )


def _check_known(
    its_input: Any,
    windows: np.ndarray,
    past: Sequence[OneSeries],
    freq: str | None,
) -> None:
    """Raises where what is known ahead is missing, warns where it has gaps."""
    gone = np.isnan(windows[:, its_input.steps :, its_input.own :])
    names = np.array(its_input.columns or ())[its_input.own :]
    lacking = np.flatnonzero(gone.any(axis=(1, 2)))
    if len(lacking):
        one, where = past[lacking[0]], gone[lacking[0]]
        times = times_after(one.times, freq, its_input.ahead)[where.any(axis=1)]
        said = [*map(str, names[where.any(axis=0)])]
        more = f"; and of {len(lacking) - 1} more series" if len(lacking) > 1 else ""
        what = "" if one.times is not None else "steps ahead "
        keys = [key for key in (its_input.id, its_input.time) if key is not None]
        made = ", ".join(f"{key!r}: ..." for key in [*keys, *map(str, names)])
        index = ", index=..." if not what and its_input.time is None else ""
        raise ValueError(
            f"{said} must be known for the {its_input.ahead} steps after the last "
            f"known target{one.of}. Missing: {what}{times[0]} to {times[-1]}, "
            f"{len(times)} of them{more}. Add rows for these, without targets: "
            f"`future = pd.DataFrame({{{made}}}{index})`, "
            "`model.forecast(pd.concat([frame, future]))`."
        )
    gaps = [
        int(np.isnan(one.values[-its_input.steps :, its_input.own :]).sum())
        for one in past
    ]
    if any(gaps):
        of = past[int(np.argmax(gaps))].of
        warnings.warn(
            f"{sum(gaps)} values of {[*map(str, names)]} are missing in the "
            f"{its_input.steps} steps before the forecast{of and f', most{of}'}: the "
            "mean in training is taken for them.",
            UserWarning,
            stacklevel=5,
        )
