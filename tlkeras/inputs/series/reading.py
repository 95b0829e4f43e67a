"""Series of frames and arrays, made regular: one value for each step and channel."""

import os
import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Steps that are one season, by pandas' letter of a step.
_SEASONS = {
    **{"min": 60, "T": 60, "h": 24, "H": 24, "D": 7, "B": 5},
    **{"W": 52, "MS": 12, "ME": 12, "M": 12, "QS": 4, "QE": 4, "Q": 4},
}


@dataclass
class OneSeries:
    """One series at regular steps.

    Attributes:
        id: Its name; `None` where there is but one.
        times: Of each step, a `pandas.DatetimeIndex`; `None` where there are none.
        values: float64 `(steps, channels)`, NaN where missing.
    """

    id: Any
    times: Any
    values: np.ndarray

    @property
    def of(self) -> str:
        """Its name within a sentence; nothing where there is but one."""
        return "" if self.id is None else f" of {self.id!r}"

    def title(self, step: int) -> str:
        """Returns what a window that ends before a step is called."""
        at = f"step {step}" if self.times is None else str(self.times[step])
        return at if self.id is None else f"{self.id}, {at}"

    def until(self, step: int) -> "OneSeries":
        """Returns what comes before a step."""
        times = None if self.times is None else self.times[:step]
        return OneSeries(self.id, times, self.values[:step])


def as_frame(frame: Any) -> Any:
    """Returns a frame, read where it is the path of a CSV file; a series as a column.

    Raises:
        ValueError: If it is neither.
    """
    import pandas as pd

    if isinstance(frame, (str, os.PathLike)):
        return pd.read_csv(frame)
    if isinstance(frame, pd.Series):
        return frame.to_frame(frame.name or "value")
    if isinstance(frame, pd.DataFrame):
        return frame
    raise ValueError(
        "`frame` must be a pandas DataFrame with a row for each time, or the path of a "
        f"CSV file. Received: {type(frame).__name__}. Windows with labels are given as "
        "tl.from_series(x, labels=y)."
    )


def read_series(
    frame: Any,
    time: Hashable | None,
    columns: Sequence[Hashable],
    id: Hashable | None,
    freq: str | None,
) -> tuple[list[OneSeries], str | None]:
    """Returns the series of a frame at regular steps, and the length of a step.

    Args:
        frame: As in `as_frame`.
        time: The column of times; `None`: the index, where it is one of times, else
            rows are steps in their order.
        columns: The columns of values.
        id: The column that tells series apart, or `None`.
        freq: The length of a step as pandas writes it; `None`: what the times tell.

    Raises:
        ValueError: If a column is missing or holds no such values, or times repeat.
    """
    import pandas as pd

    frame = as_frame(frame)
    named = [*columns, *([] if id is None else [id]), *([] if time is None else [time])]
    for name in named:
        if name not in frame.columns:
            raise ValueError(
                f"There is no column {name!r}. Existing columns are: "
                f"{[*frame.columns]}."
            )
        if [*frame.columns].count(name) > 1:
            raise ValueError(
                f"There are several columns {name!r}: rename them, or leave all but "
                "one out."
            )
    if not len(frame):
        raise ValueError("The frame has no rows.")
    values = _numbers(frame, columns)
    times = _times(frame, time)
    ids = None if id is None else frame[id].to_numpy()
    if ids is not None and pd.isna(ids).any():
        raise ValueError(f"The column {id!r} has rows without a series.")
    found, irregular, timed = [], [], {}
    for each in [None] if ids is None else pd.unique(ids):
        rows = np.arange(len(frame)) if ids is None else np.flatnonzero(ids == each)
        if times is None:
            found.append(OneSeries(each, None, values[rows]))
            continue
        one = pd.DataFrame(values[rows], index=times[rows]).sort_index()
        repeated = one.index[one.index.duplicated()]
        if len(repeated):
            of = "" if each is None else f" of {each!r}"
            raise ValueError(
                f"The time {repeated[0]}{of} comes more than once. Join rows of one "
                "time, `frame.groupby(time).mean()`; or name the column that tells "
                "series apart when data are read, `tl.from_series(..., id='house')`."
            )
        timed[each] = one
    if timed and not freq:
        freq = _step_of(max(timed.values(), key=len).index)
    for each, one in timed.items():
        regular, exact = _regular(one, freq)
        irregular += [] if exact else [each]
        found.append(OneSeries(each, regular.index, regular.to_numpy()))
    if irregular:
        of = "" if id is None else f" of {len(irregular)} series"
        warnings.warn(
            f"The times{of} are at no regular steps: values are means over steps of "
            f"{freq!r}. `tl.from_series(..., freq='D')` takes other steps.",
            UserWarning,
            stacklevel=4,
        )
    return found, freq


def _numbers(frame: Any, columns: Sequence[Hashable]) -> np.ndarray:
    given = frame[[*columns]]
    try:
        if any(kind.kind in "cmM" for kind in given.dtypes):
            # pandas makes nanoseconds of times, and real parts of complex numbers.
            raise TypeError("no plain numbers")
        values = given.to_numpy("float64", na_value=np.nan)
    except (TypeError, ValueError) as error:
        kinds = {name: str(frame[name].dtype) for name in columns}
        raise ValueError(
            "Columns of series must hold numbers, or True and False. Received: "
            f"{kinds}."
        ) from error
    if np.isinf(values).any():
        raise ValueError("Series must be finite, NaN where missing. Received: inf.")
    return values


def _times(frame: Any, time: Hashable | None) -> Any:
    import pandas as pd

    if time is None:
        if isinstance(frame.index, pd.PeriodIndex):
            return frame.index.to_timestamp()
        is_time = isinstance(frame.index, pd.DatetimeIndex)
        return frame.index if is_time else None
    column = frame[time]
    if isinstance(column.dtype, pd.PeriodDtype):
        column = column.dt.to_timestamp()
    if column.dtype.kind in "iuf":
        raise ValueError(
            f"The column {time!r} holds numbers, which tell no times. Make times of "
            "them, `pd.to_datetime(frame[time], unit='s')`; or leave `time` of "
            "`tl.from_series` out, where rows are steps in their order."
        )
    try:
        found = pd.DatetimeIndex(pd.to_datetime(column))
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"The column {time!r} must hold times. Received, among others: "
            f"{column.iloc[0]!r}. Where days come before months, make times of them, "
            "`pd.to_datetime(frame[time], dayfirst=True)`; where offsets from UTC "
            f"differ, with `utc=True`. pandas says: {error}"
        ) from error
    if found.isna().any():
        raise ValueError(f"The column {time!r} has rows without a time.")
    return found


def _step_of(times: Any) -> str:
    """Returns the usual length of a step, as pandas writes it."""
    import pandas as pd
    from pandas.tseries.frequencies import to_offset

    if len(times) < 3:
        raise ValueError(
            "A step cannot be told of fewer than 3 times: give more, or the step, "
            f"`tl.from_series(..., freq='h')`. Received: {len(times)} time(s)."
        )
    with warnings.catch_warnings():
        # A later pandas returns an offset, and says so now.
        warnings.simplefilter("ignore")
        inferred = pd.infer_freq(times)
    if inferred is not None:
        return getattr(inferred, "freqstr", inferred)
    # Months and quarters are of unequal length; what is left is a number of seconds.
    months = times.tz_localize(None).to_period("M")
    if months.is_unique:
        for offset, are_such in (
            (pd.offsets.MonthBegin, times.day == 1),
            (pd.offsets.MonthEnd, times.is_month_end),
        ):
            if are_such.all():
                return offset(int(np.median(np.diff(months.asi8)))).freqstr
    step = pd.Series(times).diff().dropna().median()
    days = step / pd.Timedelta(days=1)
    return to_offset(pd.offsets.Day(int(days)) if days % 1 == 0 else step).freqstr


def _regular(one: Any, freq: str) -> tuple[Any, bool]:
    """Returns a frame at regular steps, and whether all its times are among them."""
    import pandas as pd
    from pandas.tseries.frequencies import to_offset

    try:
        step = to_offset(freq)
    except ValueError as error:
        raise ValueError(
            f"`freq` must be a step as pandas writes it, such as 'h', '15min' or 'D'. "
            f"Received: freq={freq!r}."
        ) from error
    zone, index = one.index.tz, one.index
    if zone is not None:
        # A day is a day of the calendar; hours pass alike when clocks are changed.
        is_tick = isinstance(step, pd.tseries.offsets.Tick)
        is_short = is_tick and pd.Timedelta(step) < pd.Timedelta(days=1)
        index = index.tz_convert("UTC") if is_short else index.tz_localize(None)
    grid = pd.date_range(index[0], index[-1], freq=step)
    exact = len(grid) > 0 and bool(index.isin(grid).all())
    one = one.set_axis(index)
    regular = one.reindex(grid) if exact else one.resample(step).mean()
    if zone is not None:
        index = regular.index
        index = index.tz_localize("UTC") if index.tz is None and is_short else index
        regular.index = (
            index.tz_convert(zone)
            if index.tz is not None
            else index.tz_localize(zone, ambiguous=True, nonexistent="shift_forward")
        )
    return regular, exact


def season_of(freq: str | None) -> int:
    """Returns how many steps are a season: a day, a week or a year; 1 where unknown.

    Args:
        freq: The length of a step as pandas writes it.

    Example:

    >>> season_of("15min"), season_of("D"), season_of(None)
    (96, 7, 1)
    """
    if freq is None:
        return 1
    from pandas.tseries.frequencies import to_offset

    step = to_offset(freq)
    name, count = step.rule_code.split("-")[0], step.n
    for short, of_one, long in (
        *(("min", 1440, "D"), ("T", 1440, "D")),
        *(("h", 24, "D"), ("H", 24, "D"), ("D", 7, "W")),
    ):
        if name == short and count % of_one == 0:
            name, count = long, count // of_one
    if name in ("min", "T"):
        return 1440 // count if 1440 % count == 0 and count > 1 else 60
    season = _SEASONS.get(name, 1)
    return season // count if season % count == 0 else 1


def times_after(times: Any, freq: str | None, count: int) -> Any:
    """Returns the times of the steps that follow, or their numbers.

    Args:
        times: Of a series, as in `OneSeries`.
        freq: The length of a step.
        count: How many.
    """
    import pandas as pd

    if times is None:
        return np.arange(1, count + 1)
    return pd.date_range(times[-1], periods=count + 1, freq=freq)[1:]


def as_windows(name: str, x: Any, channels: int | None = None) -> np.ndarray:
    """Returns windows as float32 `(n, steps, channels)`, NaN where missing.

    Windows of unequal length are filled up at their beginning with NaN.

    Args:
        name: What they are called.
        x: `(n, steps)`, `(n, steps, channels)`, or a list of such windows.
        channels: How many there have to be, where that is known.

    Raises:
        ValueError: If they are not as described, or not finite.
    """
    if isinstance(x, (list, tuple)):
        x = _filled_up(name, x)
    windows = np.asarray(x)
    if windows.dtype.kind not in "biuf":
        raise ValueError(f"`{name}` must be numbers. Received: dtype {windows.dtype}.")
    if windows.ndim == 2:
        windows = windows[..., None]
    if windows.ndim != 3 or 0 in windows.shape[1:]:
        raise ValueError(
            f"`{name}` must be windows (n, steps) or (n, steps, channels). Received: "
            f"shape {np.shape(x)}."
        )
    if channels is not None and windows.shape[2] != channels:
        raise ValueError(
            f"`{name}` must have {channels} channel(s). Received: shape {np.shape(x)}."
        )
    windows = windows.astype("float32")
    if np.isinf(windows).any():
        raise ValueError(
            f"`{name}` must be finite, NaN where a value is missing. Received: inf."
        )
    return windows


def _filled_up(name: str, x: Sequence[Any]) -> np.ndarray:
    each = [np.asarray(one) for one in x]
    each = [one[:, None] if one.ndim == 1 else one for one in each]
    shapes = {one.shape[1:] for one in each}
    if len(shapes) > 1 or any(
        one.ndim != 2 or one.dtype.kind not in "biuf" for one in each
    ):
        raise ValueError(
            f"`{name}` must be windows (steps,) or (steps, channels) of numbers, all "
            "of as many channels. Received shapes: "
            f"{sorted({one.shape for one in each})[:4]}."
        )
    longest = max(map(len, each), default=0)
    filled = np.full((len(each), longest, *next(iter(shapes), (1,))), np.nan)
    for row, one in zip(filled, each, strict=True):
        row[longest - len(one) :] = one
    return filled
