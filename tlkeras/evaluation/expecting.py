"""What a model expects of each step of series: windows, forecasts, bands."""

import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np

from tlkeras.inputs.examples import reading_of
from tlkeras.inputs.series.along import Along
from tlkeras.inputs.series.scaling import Scale, scale_of
from tlkeras.outputs.base import Output
from tlkeras.problem import Problem

# Windows, or steps, that are looked at at a time.
_CHUNK = 1024


class Windows(NamedTuple):
    """Windows of series, and the steps that they are asked for.

    Attributes:
        values: Float `(steps, channels)`, all series one after the other.
        own: Which series each step is of, int64 `(steps,)`.
        starts: Where windows begin, int64 `(n,)`.
        before: How many of their steps come before those that are asked for.
    """

    values: np.ndarray
    own: np.ndarray
    starts: np.ndarray
    before: int


class Predicted(NamedTuple):
    """Windows that change, what a model says of each, and their scale."""

    windows: Windows
    outputs: np.ndarray
    scale: Scale


def windows_of(seen: Along, problem: Problem) -> Windows:
    """Returns all windows of series that tell something of a step of theirs.

    Args:
        seen: The series.
        problem: What the model is for.

    Raises:
        ValueError: If all are too short.
    """
    own, its_input = seen.own, problem.input
    # What is known ahead has to be there for all of it; else one step is enough.
    is_whole = bool(its_input.around or its_input.known)
    least = its_input.length if is_whole else its_input.steps + 1
    starts = np.arange(max(0, len(own) - least + 1))
    starts = starts[own[starts] == own[starts + least - 1]]
    if not len(starts):
        raise ValueError(
            f"The model takes series of at least {least} steps. Received: "
            f"{np.bincount(own).max()} at most."
        )
    return Windows(seen.values, own, starts, its_input.before)


def windows_of_reference(reference: Any, problem: Problem) -> Windows:
    """Returns windows of the data that errors are taken from.

    Args:
        reference: A part of `Splits`, or a frame.
        problem: What the model is for.

    Raises:
        ValueError: If it is neither, or not read as the model takes it.
    """
    reading = reading_of(reference)
    if reading is None:
        try:
            seen = problem.input.along(reference)
        except ValueError as error:
            raise ValueError(f"`reference`, `data.val` or a frame: {error}") from error
        return windows_of(seen, problem)
    problem.check_fits(reading.problem, "reference")
    examples = reading.examples
    # Neither windows nor what follows them reach from one series into the next.
    own = np.zeros(len(examples.values), "int64")
    return Windows(examples.values, own, examples.starts, problem.input.before)


def predicted(
    model: keras.Model, problem: Problem, windows: Windows, batch_size: int
) -> Predicted:
    """Returns what a model says of windows, but for those whose targets are flat.

    Of a window in which some targets are flat it is NaN of these.

    Args:
        model: The model.
        problem: What it is for.
        windows: What it looks at.
        batch_size: How many of them at a time.

    Raises:
        ValueError: If all are flat.
    """
    its_input, targets = problem.input, slice(problem.output.targets)
    kept, outputs, scales = [], [], []
    for starts in np.split(windows.starts, range(_CHUNK, len(windows.starts), _CHUNK)):
        seen = its_input.cut(windows.values, windows.own, starts)
        # All batches have one shape: TensorFlow would trace each anew.
        full = np.resize(seen, (len(seen) + -len(seen) % batch_size, *seen.shape[1:]))
        said = model.predict(full, batch_size, verbose=0)[: len(seen)]
        scale = scale_of(seen[:, : its_input.steps])
        flat = scale.flat[:, targets]
        said = said.reshape(len(seen), -1, flat.shape[1])
        said = np.where(flat[:, None], np.nan, said).reshape(len(seen), -1)
        moves = ~flat.all(axis=1)
        kept.append(starts[moves])
        outputs.append(said[moves])
        scales.append([part[moves] for part in scale])
    if not sum(map(len, kept)):
        raise ValueError(
            "No window tells anything: in each the values of the targets never change, "
            "or are missing."
        )
    scale = Scale(*map(np.concatenate, zip(*scales, strict=True)))
    windows = windows._replace(starts=np.concatenate(kept))
    return Predicted(windows, np.concatenate(outputs), scale)


def asked_of(windows: Windows, horizon: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns which steps windows are asked for, and whether their series has these.

    Both are `(n, horizon)`; a step that its series does not have is given as 0.
    """
    places = windows.starts[:, None] + windows.before + np.arange(horizon)
    inside = places < len(windows.own)
    places = np.where(inside, places, 0)
    return places, inside & (windows.own[places] == windows.own[windows.starts, None])


def errors_of(output: Output, of: Predicted) -> np.ndarray:
    """Returns errors in deviations of windows, `(n, units)`, NaN where not known."""
    targets = slice(output.targets)
    places, inside = asked_of(of.windows, output.horizon)
    true = np.where(inside[..., None], of.windows.values[places][..., targets], np.nan)
    mean, unit = (part[:, None, targets] for part in of.scale[:2])
    return ((true - mean) / unit).reshape(len(true), -1) - of.outputs


def _forecasts(
    output: Output, of: Predicted
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yields steps, what each window that is asked for them says, and its usual error.

    The latter are `(steps, horizon, targets)`, in the units of the series, NaN where
    there is no such window.
    """
    windows = of.windows
    row = np.full(len(windows.own), -1)
    row[windows.starts] = np.arange(len(windows.starts))
    ahead = np.arange(output.horizon)
    for begin in range(0, len(windows.own), _CHUNK):
        steps = np.arange(begin, min(begin + _CHUNK, len(windows.own)))
        starts = steps[:, None] - windows.before - ahead
        begun, starts = starts >= 0, np.maximum(starts, 0)
        rows = np.where(begun, row[starts], -1)
        rows[windows.own[starts] != windows.own[steps, None]] = -1
        some = (rows >= 0).any(axis=1)
        rows, steps = rows[some], steps[some]
        used, place = np.unique(rows, return_inverse=True)
        place = place.reshape(rows.shape)
        scale = Scale(*(part[used] for part in of.scale))
        values, units = output.expected(of.outputs[used], scale)
        known = (rows >= 0)[..., None]
        yield (
            steps,
            *(np.where(known, each[place, ahead], np.nan) for each in (values, units)),
        )


def scores_of(output: Output, of: Predicted) -> np.ndarray:
    """Returns scores by target, `(steps, targets)`: the largest over windows."""
    values = of.windows.values[:, : output.targets].astype("float64")
    found = np.full(values.shape, np.nan)
    for steps, expected, unit in _forecasts(output, of):
        apart = np.abs(values[steps, None] - expected) / unit
        # `fmax` takes what is known.
        found[steps] = np.fmax.reduce(apart, axis=1)
    return found


def bands_of(output: Output, of: Predicted, threshold: float) -> dict[str, np.ndarray]:
    """Returns what was expected, and what would not be flagged, `(steps, targets)`."""
    shape = len(of.windows.own), output.targets
    bands = {name: np.full(shape, np.nan) for name in ("expected", "low", "high")}
    for steps, expected, unit in _forecasts(output, of):
        with warnings.catch_warnings():
            # Of a target that is flat in all windows nothing is expected.
            warnings.filterwarnings("ignore", "All-NaN slice encountered")
            bands["expected"][steps] = np.nanmedian(expected, axis=1)
        bands["low"][steps] = np.fmax.reduce(expected - threshold * unit, axis=1)
        bands["high"][steps] = np.fmin.reduce(expected + threshold * unit, axis=1)
    return bands
