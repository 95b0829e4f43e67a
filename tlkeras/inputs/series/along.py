"""`Along`: whole series, step by step, and what users say of their steps."""

import numbers
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tlkeras._validation import shown, unknown_name
from tlkeras.inputs.series.reading import OneSeries, read_series


@dataclass
class Along:
    """Series that a model goes along, all one after the other.

    Attributes:
        frame: The `pandas.DataFrame` that they were read from.
        series: The series.
        time: The column of times, or `None`.
        id: The column that tells series apart, or `None`.
        freq: The length of a step.
    """

    frame: Any
    series: Sequence[OneSeries]
    time: Any
    id: Any
    freq: str | None

    @property
    def values(self) -> np.ndarray:
        """Float64 `(steps, channels)`, NaN where missing."""
        return np.concatenate([one.values for one in self.series])

    @property
    def begins(self) -> np.ndarray:
        """Where each series begins among the steps, int64 `(series,)`."""
        lengths = [len(one.values) for one in self.series]
        return np.cumsum([0, *lengths[:-1]])

    @property
    def own(self) -> np.ndarray:
        """The number of the series of each step, int64 `(steps,)`."""
        lengths = [len(one.values) for one in self.series]
        return np.repeat(np.arange(len(lengths)), lengths)

    def number(self, id: Any) -> int:
        """Returns the number of a series.

        Args:
            id: What its column says of it.

        Raises:
            ValueError: If there is none of this name.
        """
        ids = [one.id for one in self.series]
        if self.id is None and id is not None:
            raise ValueError(
                f"There is one series, without an `id`. Received: {id!r}. Give what "
                "is said of it alone."
            )
        if id not in ids:
            names = ", ".join(map(str, ids))
            raise ValueError(f"There is no series {id!r}. Existing are: {names:.80}.")
        return ids.index(id)

    def steps(self, number: int) -> Any:
        """Returns the times of a series' steps; their numbers where there are none."""
        one = self.series[number]
        return np.arange(len(one.values)) if one.times is None else one.times

    def table(self, columns: Sequence[tuple[str, np.ndarray]]) -> Any:
        """Returns a DataFrame with a row for each step.

        Args:
            columns: Names, and values `(steps,)`.

        Raises:
            ValueError: If two columns have one name, those of series and time included.
        """
        import pandas as pd

        has_times = self.series[0].times is not None
        time = self.time or ("time" if has_times else "step")
        each = [pd.Series(self.steps(i)) for i in range(len(self.series))]
        columns = [(time, pd.concat(each, ignore_index=True)), *columns]
        if self.id is not None:
            ids = np.array([one.id for one in self.series], object)[self.own]
            columns = [(self.id, pd.Series(ids).infer_objects()), *columns]
        names = [name for name, _ in columns]
        twice = sorted({str(name) for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                f"Rename {twice} in the frame, and train on it: the table that is made "
                f"of it has columns {names}."
            )
        return pd.DataFrame(dict(columns))

    def labels(self, given: Any) -> np.ndarray:
        """Returns which steps are said to be anomalous, bool `(steps,)`.

        Args:
            given: A column of the frame, by name; bools, one for each of its rows; or
                intervals `(first, last)`, of several series by `id`.

        Raises:
            ValueError: If it is none of these, or says nothing of a step.
        """
        if isinstance(given, Mapping):
            found = np.zeros(len(self.own), bool)
            for id, intervals in given.items():
                number = self.number(id)
                found[self.own == number] = self._within(number, intervals)
            return found
        is_pairs = isinstance(given, (list, tuple)) and given and np.ndim(given[0]) == 1
        if is_pairs:
            if len(self.series) > 1:
                raise ValueError(
                    "Of several series intervals are given by `id`: {id: [(first, "
                    f"last)]}}. Received: {shown(given)}."
                )
            return self._within(0, given)
        return self._of_rows(given)

    def _within(self, number: int, intervals: Any) -> np.ndarray:
        """Returns which steps of a series lie within intervals, their ends included."""
        steps = self.steps(number)
        found = np.zeros(len(steps), bool)
        for pair in intervals if np.iterable(intervals) else [intervals]:
            if np.ndim(pair) != 1 or len(pair) != 2:
                raise ValueError(
                    "Intervals must be pairs of their ends, [(first, last)]. Received: "
                    f"{shown(pair)} among them."
                )
            first, last = pair
            within = (steps >= _as_step(first, steps)) & (
                steps <= _as_step(last, steps)
            )
            if not np.any(within):
                raise ValueError(
                    f"No step lies from {first!r} to {last!r}: the series has steps "
                    f"from {steps[0]} to {steps[-1]}."
                )
            found |= np.asarray(within)
        return found

    def _of_rows(self, given: Any) -> np.ndarray:
        """Returns which steps a column of the frame, or one like it, marks."""
        frame, name = self.frame, given
        if not isinstance(given, str):
            _check_order(given, frame)
            values = np.asarray(given)
            if values.shape != (len(frame),):
                raise ValueError(
                    "`labels` must be a column of the frame, a bool for each of its "
                    f"{len(frame)} rows, or intervals [(first, last)]. Received: "
                    f"{shown(given)}."
                )
            name = "labels of steps"
            frame = frame.assign(**{name: values})
        elif name not in frame.columns:
            raise unknown_name("column", name, frame.columns)
        if not frame[name].isin((0, 1)).all():
            raise ValueError(
                f"`labels` must be bools, or 0 and 1. Received: {shown(given)}."
            )
        with warnings.catch_warnings():
            # What there was to say of times was said when the series were read.
            warnings.simplefilter("ignore")
            series, _ = read_series(frame, self.time, [name], self.id, self.freq)
        # Rows of one step are a mean.
        return np.concatenate([one.values[:, 0] for one in series]) > 0


def _check_order(given: Any, frame: Any) -> None:
    """Raises `ValueError` where bools have the index of the frame in another order."""
    if not hasattr(given, "iloc") or len(given) != len(frame):
        return
    own, its = frame.index, given.index
    if own.is_unique and own.isin(its).all() and not own.equals(its):
        raise ValueError(
            "`labels` have the index of the frame in another order, but go together by "
            "position. Pass `labels.loc[frame.index]`."
        )


def _as_step(given: Any, steps: Any) -> Any:
    """Returns an end of an interval as the steps of a series are given."""
    import pandas as pd

    if isinstance(steps, np.ndarray):
        if not isinstance(given, numbers.Real):
            raise ValueError(
                "The series has no times: intervals must be of the numbers of steps, "
                f"from 0. Received: {given!r}."
            )
        return given
    moment = pd.Timestamp(given)
    zone = steps.tz
    if zone is None and moment.tz is not None:
        raise ValueError(
            f"The times of the series have no time zone. Received: {given!r}."
        )
    return moment.tz_localize(zone) if zone and moment.tz is None else moment
