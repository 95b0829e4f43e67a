"""Splits of series: windows and what follows them, split by time; or with labels."""

import inspect
import itertools
import warnings
from collections.abc import Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tlkeras._validation import check_int, in_order
from tlkeras.data.groups import groups_of_array
from tlkeras.data.splits import Splits, make_splits
from tlkeras.data.splitting import PARTS, check_splitting
from tlkeras.inputs import Series
from tlkeras.inputs.series.examples import WindowExamples
from tlkeras.inputs.series.networks import LONGEST
from tlkeras.inputs.series.reading import OneSeries, as_frame, read_series, season_of
from tlkeras.inputs.series.scaling import scale_of
from tlkeras.outputs import Forecast, read_labels
from tlkeras.problem import Problem

# Seasons that a window shows where its length is not given, and its least length.
_SEASONS, _LEAST_WINDOW = 4, 64
# Windows of a series that are neighbours in time are held out together.
_BLOCKS = 10
# So many windows are copied at a time: those of a long series take much memory.
_CHUNK = 4096


def from_series(
    frame: Any,
    time: Hashable | None = None,
    target: Hashable | Sequence[Hashable] | None = None,
    *,
    labels: Any = None,
    id: Hashable | None = None,
    features: Sequence[Hashable] = (),
    known: Sequence[Hashable] = (),
    window: int | None = None,
    horizon: int | None = None,
    stride: int = 1,
    gap: int = 0,
    around: bool = False,
    freq: str | None = None,
    season: int | None = None,
    groups: Any = None,
    class_names: Sequence[str] | None = None,
    task: str | None = None,
    batch_size: int = 32,
    validation_split: float = 0.2,
    test_split: float = 0.2,
    seed: int = 0,
) -> Splits:
    """Makes `Splits` of time series: to forecast, or, with `labels`, to classify.

    To forecast: each example is a window of a series and, as its label, what follows.
    Parts follow time: all that training has to forecast lies before all that
    validation has to, and that before the test part, of all series at the same dates;
    windows whose horizon crosses a border are left out. A window may reach back into
    the part before, as it will in use. Series are brought to regular steps; missing
    values are NaN, which models fill and mark.

    With labels: each example is a whole series, or a window that was cut already.

    Args:
        frame: A `pandas.DataFrame` with a row for each time (and series), or the path
            of a CSV file. With `labels`: windows `(n, steps)` or `(n, steps,
            channels)`, or a list of such of unequal length.
        time: The column of times, also with a time zone. `None`: the index, where it
            is one of times or periods; else rows are steps in their order.
        target: The column to forecast, or several.
        labels: Of each window: classes, or numbers, as in `from_arrays`.
        id: The column that tells series apart; `None`: it is one series.
        features: Further columns that are seen in windows and not forecast.
        known: Further columns that are known ahead, such as holidays, prices or a
            planned temperature: numbers, or True and False. They are seen over the
            window and over the horizon, scaled by their mean and deviation in the
            training part; what is missing is taken for the mean.
        window: Steps that are seen. `None`: four seasons, at least 64 steps and twice
            the horizon, at most 512.
        horizon: Steps that are forecast.
        stride: Steps from one training window to the next. Validation and test take
            every window.
        gap: Further steps that are left out before each border.
        around: To fill in instead of to forecast: the middle `horizon` steps of each
            window are hidden in the targets and asked for, and the window, of `window`
            steps in all, is seen on both sides of them, each of which should hold a
            season. For `tl.series_anomalies`.
        freq: The length of a step as pandas writes it: `"h"`, `"15min"`, `"D"`. `None`:
            what the times tell.
        season: Steps after which things repeat, for the seasonal naive forecast that
            errors are compared with. `None`: a day of hours or minutes, a week of days,
            a year of weeks, months or quarters, else 1.
        groups: With `labels`: a group for each window, such as its person; groups stay
            in one part.
        class_names: With `labels`: as in `from_arrays`.
        task: With `labels`: as in `from_arrays`.
        batch_size: Windows per batch.
        validation_split: Fraction of the time, or of the labelled windows, for
            validation.
        test_split: The same for testing.
        seed: Seed of the order of training, and of the split of labelled windows.

    Returns:
        `Splits`, which `tl.series_forecaster` takes: they say channels, window and
        horizon. With `known` columns examples are `(window + horizon, channels)`: the
        targets, the features, then these; behind the window all others are NaN. With
        `around` the middle of the targets is NaN.

    Raises:
        ValueError: If a column is missing or holds no numbers or times, times repeat,
            or a series is too short.

    Example:

    >>> import pandas as pd
    >>> times = pd.date_range("2024-01-01", periods=600, freq="h")
    >>> frame = pd.DataFrame({"at": times, "kwh": np.sin(np.arange(600) * 0.2618)})
    >>> data = tl.from_series(frame, "at", "kwh", window=48, horizon=12)
    >>> data.problem.output.horizon
    12
    >>> next(iter(data.train))[0].shape
    TensorShape([32, 48, 1])

    Reference:
        Hyndman and Athanasopoulos, Forecasting: Principles and Practice (2021),
        section 5.8.
    """
    check_splitting(batch_size, seed, validation_split, test_split)
    if labels is not None:
        _refuse_for_labels(time=time, target=target, id=id, window=window, freq=freq)
        _refuse_for_labels(horizon=horizon, season=season, features=features or None)
        _refuse_for_labels(known=known or None, around=around or None)
        return _labelled(
            *(frame, labels, groups, class_names, task),
            batch_size=batch_size,
            validation_split=validation_split,
            test_split=test_split,
            seed=seed,
        )
    if groups is not None or class_names is not None or task is not None:
        raise ValueError(
            "`groups`, `class_names` and `task` are for windows with `labels`."
        )
    whole = _read(
        *(frame, time, target),
        id=id,
        features=features,
        known=known,
        window=window,
        horizon=horizon,
        stride=stride,
        gap=gap,
        around=around,
        freq=freq,
        season=season,
    )
    shares = 1 - validation_split - test_split, 1 - test_split
    borders = _borders(whole.series, shares)
    return _splits(whole, borders, batch_size=batch_size, seed=seed)


def rolling_splits(
    frame: Any,
    time: Hashable | None = None,
    target: Hashable | Sequence[Hashable] | None = None,
    *,
    folds: int,
    batch_size: int = 32,
    validation_split: float = 0.2,
    test_split: float = 0.4,
    seed: int = 0,
    **settings: Any,
) -> Iterator[Splits]:
    """Yields the splits of several origins: each knows what came before its test part.

    Args:
        frame: As in `from_series`, like all that is not named here.
        time: The column of times.
        target: The column to forecast, or several.
        folds: How many origins there are.
        batch_size: Windows per batch.
        validation_split: Fraction of all the time that is for validation, before each
            test part.
        test_split: Fraction of the time, its end, that is cut into test parts of equal
            length.
        seed: Seed of the order of training.
        settings: As in `from_series`: `id`, `features`, `known`, `window`, `horizon`
            and so on.

    Raises:
        ValueError: As `from_series` does.
    """
    check_splitting(batch_size, seed, validation_split, test_split)
    whole = _read(frame, time, target, **{"stride": 1, "gap": 0, **settings})
    each, begin = test_split / folds, 1 - test_split
    for fold in range(folds):
        origin = begin + fold * each
        shares = origin - validation_split, origin, origin + each
        borders = _borders(whole.series, shares)
        past = [
            one.until(end) for one, (*_, end) in zip(whole.series, borders, strict=True)
        ]
        yield _splits(
            whole._replace(series=past),
            [border[:2] for border in borders],
            batch_size=batch_size,
            seed=seed,
        )


class _Whole(NamedTuple):
    """Series as they were read, and how they are cut into windows.

    Attributes:
        series: All of them.
        input: What windows are.
        output: What labels are.
        stride: Steps from one training window to the next.
        gap: Steps that are left out before a border.
    """

    series: Sequence[OneSeries]
    input: Series
    output: Forecast
    stride: int
    gap: int

    @property
    def length(self) -> int:
        """How many steps a window and what is asked for take."""
        return self.input.steps + self.output.horizon * (not self.output.around)

    @property
    def about(self) -> str:
        """These steps in words."""
        window, horizon = self.input.steps, self.output.horizon
        if self.output.around:
            return f"{window} steps (`window`)"
        return f"{window} + {horizon} steps (`window` and `horizon`)"


def _read(
    frame: Any,
    time: Hashable | None,
    target: Any,
    *,
    stride: int,
    gap: int,
    id: Hashable | None = None,
    features: Sequence[Hashable] = (),
    known: Sequence[Hashable] = (),
    window: int | None = None,
    horizon: int | None = None,
    around: bool = False,
    freq: str | None = None,
    season: int | None = None,
) -> _Whole:
    """Reads series to forecast. The arguments are those of `from_series`."""
    horizon = check_int("horizon", _given("horizon", horizon), 1)
    check_int("stride", stride, 1)
    check_int("gap", gap, 0)
    is_one = isinstance(target, Hashable) and not isinstance(target, tuple)
    targets = [target] if is_one else [*target]
    _given("target", target)
    for name, given in (("features", features), ("known", known)):
        if isinstance(given, str) or not np.iterable(given):
            raise ValueError(
                f"`{name}` must be a list of columns. Received: {name}={given!r}."
            )
    features, known = [*features], [*known]
    columns = [*targets, *features, *known]
    if len(set(columns)) < len(columns):
        raise ValueError(
            "A column is named twice: each is a target, a feature, or known ahead and "
            f"then seen as features are. Received: target={target!r}, "
            f"features={features}, known={known}."
        )
    series, step = read_series(as_frame(frame), time, columns, id, freq)
    season = season_of(step) if season is None else check_int("season", season, 1)
    if window is None:
        wanted = max(_LEAST_WINDOW, _SEASONS * season, 2 * horizon)
        window = min(wanted + horizon * around, LONGEST)
    window = check_int("window", window, 2)
    if around:
        _check_around(window, horizon, known)
    output = Forecast(horizon, targets=len(targets), around=bool(around))
    names = [str(name) for name in columns]
    if names != columns:
        raise ValueError(
            f"Columns must have names that are strings. Received: {columns}."
        )
    its_input = Series(
        *(window, len(columns), names, time, id, step),
        known=[(0.0, 1.0)] * len(known),
        ahead=horizon if known else 0,
        around=(horizon, len(targets)) if around else (),
        season=season,
    )
    return _Whole(series, its_input, output, stride, gap)


def _check_around(window: int, horizon: int, known: Sequence[Hashable]) -> None:
    if known:
        raise ValueError(
            "With `around=True` features are seen beside the hidden steps, too: name "
            f"columns that are known there as `features`. Received: known={[*known]}."
        )
    if window < horizon + 2:
        raise ValueError(
            "With `around=True` the `horizon` is hidden within the `window`, which "
            "must be at least 2 steps longer. Received: "
            f"window={window}, horizon={horizon}."
        )


# What `rolling_splits` takes, by name.
SETTINGS = {
    *inspect.signature(rolling_splits).parameters,
    *inspect.signature(_read).parameters,
}


def _splits(
    whole: _Whole, borders: Sequence[tuple[int, ...]], *, batch_size: int, seed: int
) -> Splits:
    """Returns splits at the steps of each series at which validation and test begin."""
    parts, blocks = _windows(whole, borders)
    whole.output.check_train(parts["train"].labels)
    return Splits(
        parts,
        problem=Problem(_with_scale(whole, borders), whole.output),
        batch_size=batch_size,
        seed=seed,
        groups=blocks,
    )


def _with_scale(whole: _Whole, borders: Sequence[tuple[int, ...]]) -> Series:
    """Returns the input that scales known columns as they are in the training part."""
    values = np.concatenate(
        [
            one.values[: border[0], whole.input.own :]
            for one, border in zip(whole.series, borders, strict=True)
        ]
    )
    still = scale_of(values[None]).flat[0]
    if still.any():
        names = [*itertools.compress(whole.input.columns[whole.input.own :], still)]
        warnings.warn(
            f"Known columns that never change in the training part tell nothing: "
            f"{names}.",
            UserWarning,
            stacklevel=4,
        )
    return whole.input.with_scale(values)


def _given(name: str, value: Any) -> Any:
    if value is None:
        raise ValueError(
            f"`{name}` is missing: tl.from_series(frame, 'time', 'target', "
            "horizon=24), or, of windows with labels, tl.from_series(x, labels=y)."
        )
    return value


def _refuse_for_labels(**arguments: Any) -> None:
    for name, value in arguments.items():
        if value is not None:
            raise ValueError(
                f"`{name}` is for series to forecast; windows with `labels` are taken "
                f"whole. Received: {name}={value!r}."
            )


def _labelled(
    x: Any,
    labels: Any,
    groups: Any,
    class_names: Any,
    task: str | None,
    **settings: Any,
) -> Splits:
    """Makes splits of windows with labels."""
    if isinstance(x, (str, Path)):
        raise ValueError(
            "With `labels` windows are arrays (n, steps) or (n, steps, channels). "
            f"Received: the path {str(x)!r}."
        )
    its_input, windows = Series.of_arrays(in_order("x", x))
    output, read = read_labels(in_order("labels", labels), class_names, task)
    if len(windows) != len(read):
        raise ValueError(
            "There must be a label for each window. Received: "
            f"{len(windows)} windows, {len(read)} labels."
        )
    its_input, examples = its_input.of_rows(windows, read)
    by_part = groups and {"train": groups_of_array(groups, len(read))}
    problem = Problem(its_input, output)
    return make_splits(examples, problem=problem, groups=by_part, **settings)


def _windows(
    whole: _Whole, borders: Sequence[tuple[int, ...]]
) -> tuple[dict[str, WindowExamples], list[int]]:
    """Returns the windows of each part, and the blocks of time of the training part."""
    series, output = whole.series, whole.output
    values = np.concatenate([one.values for one in series]).astype("float32")
    found: dict[str, list[tuple]] = {part: [] for part in PARTS}
    blocks: list[int] = []
    offset, flat, short = 0, 0, []
    for number, one in enumerate(series):
        train_end = borders[number][0]
        naive_error = _naive_error(
            one.values[:train_end, : output.targets], whole.input.season
        )
        if len(one.values) < whole.length:
            short.append(one.id)
        for part, origins in _origins(len(one.values), borders[number], whole):
            chunks = [
                _rows(one.values, origins[at : at + _CHUNK], naive_error, whole)
                for at in range(0, len(origins), _CHUNK)
            ]
            kept, rows = map(np.concatenate, zip(*chunks, strict=True))
            flat += len(origins) - len(kept)
            titles = [one.title(step) for step in kept]
            starts = kept - whole.input.before + offset
            found[part].append((starts, rows, titles))
            if part == "train" and len(kept):
                span = kept[-1] - kept[0] + 1
                own = (kept - kept[0]) * _BLOCKS // span
                blocks += (number * _BLOCKS + own).tolist()
        offset += len(one.values)
    if short:
        of = "" if series[0].id is None else f" {len(short)} of {len(series)} series"
        message = f"Windows take {whole.about};{of or ' the series'} has fewer."
        if len(short) == len(series):
            raise ValueError(
                f"{message} The longest has {max(len(s.values) for s in series)}."
            )
        warnings.warn(f"{message} They are left out.", UserWarning, stacklevel=4)
    examples = {
        part: _examples(values, each, whole.input) for part, each in found.items()
    }
    if not len(examples.get("train") or ()):
        lengths = [len(one.values) for one in series]
        why = (
            f"{flat} have values that never change, or nothing of what follows is "
            "known."
            if flat
            else f"the longest series has {max(lengths)} steps, of which validation "
            "and test take the last. Take a smaller `window` or `horizon`, or smaller "
            "splits."
        )
        raise ValueError(f"No training window of {whole.about} is left: {why}")
    if flat:
        warnings.warn(
            f"{flat} windows are left out: their values never change, or nothing of "
            "what follows is known.",
            UserWarning,
            stacklevel=4,
        )
    return {part: each for part, each in examples.items() if each is not None}, blocks


def _rows(
    values: np.ndarray, origins: np.ndarray, naive_error: np.ndarray, whole: _Whole
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the origins of a series whose windows tell something, and their labels.

    Args:
        values: Of the series, `(steps, channels)`.
        origins: The steps at which horizons begin.
        naive_error: Of each target, as in `Forecast.rows_of`.
        whole: What windows and labels are.
    """
    its_input, output = whole.input, whole.output
    targets = values[:, : output.targets]
    seen = _view(targets, origins - its_input.before, its_input.steps)
    if its_input.around:
        seen[:, its_input.hidden[:, : output.targets]] = np.nan
    true = _view(targets, origins, output.horizon)
    scale = scale_of(seen)
    keep = ~scale.flat.any(axis=1) & ~np.isnan(true).all(axis=(1, 2))
    rows = output.rows_of(
        true[keep],
        _naive(seen[keep, : its_input.before], whole.input.season, output.horizon),
        scale.mean[keep],
        scale.deviation[keep],
        np.broadcast_to(naive_error, (int(keep.sum()), output.targets)),
    )
    return origins[keep], rows


def _examples(
    values: np.ndarray, found: list[tuple], its_input: Series
) -> WindowExamples | None:
    found = [each for each in found if len(each[0])]
    if not found:
        return None
    starts, rows, titles = zip(*found, strict=True)
    return WindowExamples(
        values,
        np.concatenate(starts).astype("int64"),
        its_input.length,
        np.concatenate(rows),
        [title for each in titles for title in each],
        its_input.hidden,
    )


def _borders(
    series: Sequence[OneSeries], shares: Sequence[float]
) -> list[tuple[int, ...]]:
    """Returns of each series the steps before which these shares of the time lie."""
    if series[0].times is None:
        return [
            tuple(round(share * len(one.values)) for share in shares) for one in series
        ]
    # All series change parts at the same dates: one must not tell another's future.
    every = np.sort(np.concatenate([one.times.asi8 for one in series]))
    places = [min(round(share * len(every)), len(every)) for share in shares]
    dates = [every[at] if at < len(every) else every[-1] + 1 for at in places]
    return [
        tuple(int(np.searchsorted(one.times.asi8, date)) for date in dates)
        for one in series
    ]


def _origins(
    steps: int, borders: tuple[int, ...], whole: _Whole
) -> list[tuple[str, np.ndarray]]:
    """Returns for each part the steps at which horizons begin."""
    before = whole.input.before
    begins = [before, *borders]
    ends = [*(border - whole.gap for border in borders), steps]
    found = []
    for part, begin, end in zip(PARTS, begins, ends, strict=True):
        step = whole.stride if part == "train" else 1
        # What is seen behind hidden steps lies before the border, too.
        last = end - (whole.length - before)
        origins = np.arange(max(begin, before), last + 1, step)
        if len(origins):
            found.append((part, origins))
    return found


def _view(values: np.ndarray, starts: np.ndarray, steps: int) -> np.ndarray:
    """Returns windows `(n, steps, channels)` that begin at `starts`."""
    return values[starts[:, None] + np.arange(steps)]


def _naive(seen: np.ndarray, season: int, horizon: int) -> np.ndarray:
    """Returns the last season of windows, repeated; gaps filled by what was before."""
    filled = seen.copy()
    for step in range(1, filled.shape[1]):
        gone = np.isnan(filled[:, step])
        # A season ago, or else the step before.
        before = filled[:, step - season] if step >= season else filled[:, step - 1]
        before = np.where(np.isnan(before), filled[:, step - 1], before)
        filled[:, step] = np.where(gone, before, filled[:, step])
    season = min(season, filled.shape[1])
    last = filled[:, filled.shape[1] - season :]
    repeated = np.tile(last, (1, -(-horizon // season), 1))[:, :horizon]
    mean = scale_of(seen).mean[:, None]
    return np.where(np.isnan(repeated), mean, repeated)


def _naive_error(values: np.ndarray, season: int) -> np.ndarray:
    """Returns the mean error of the seasonal naive forecast of each target.

    1 where that is not known, or 0.
    """
    season = min(season, max(1, len(values) - 1))
    errors = np.abs(values[season:] - values[:-season])
    known = ~np.isnan(errors)
    mean = np.where(known, errors, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(mean > 0, mean, 1.0)
