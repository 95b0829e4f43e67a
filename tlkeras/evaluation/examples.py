"""The examples behind a report: read again by position, where they can be."""

import zlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from tlkeras.evaluation.collecting import batches_of, label_array
from tlkeras.inputs.examples import Reading, reading_of

# Of each example every n-th value goes into its digest.
_STRIDE = 97


def as_arrays(x: Any) -> Any:
    """Returns inputs as NumPy arrays, texts as arrays of `str`."""
    return keras.tree.map_structure(_as_array, x)


def digests(x: Any, y: np.ndarray) -> np.ndarray:
    """Returns a number per example by which it is known again; NaN where there is none.

    Args:
        x: A batch of inputs.
        y: Its labels.
    """
    leaves = keras.tree.flatten(x)
    rows = np.asarray(leaves[0])
    if rows.ndim == 0 or len(rows) != len(y):
        return np.full(len(y), np.nan)
    rows = rows.reshape(len(rows), -1)
    if rows.dtype.kind in "OSTU":
        texts = ["\0".join(map(str, row)).encode() for row in rows.tolist()]
        return np.array([zlib.crc32(text) for text in texts], "float64")
    return rows[:, ::_STRIDE].astype("float64").sum(axis=1)


class EvaluatedExamples:
    """Examples that are read again when they are to be shown.

    Args:
        data: What was evaluated: as in `evaluate`, or an array of inputs.
        labels: The labels found in it, in the order read.
        digests: What `digests` gave for each example.
        positions: Which of the examples these are. Defaults to all.
    """

    def __init__(
        self,
        data: Any,
        labels: np.ndarray | None = None,
        digests: np.ndarray | None = None,
        positions: np.ndarray | None = None,
    ):
        self.data, self.labels, self.digests = data, labels, digests
        self.positions = positions

    def select(self, positions: np.ndarray) -> "EvaluatedExamples":
        """Returns the examples at `positions`."""
        return EvaluatedExamples(
            self.data, self.labels, self.digests, self._places(positions)
        )

    def names(self, positions: np.ndarray) -> list[str] | None:
        """Returns the names of image files relative to their folder, if they are."""
        reading = reading_of(self.data)
        names = file_names(reading)
        return names and [names[i] for i in self._places(positions)]

    def read(self, positions: np.ndarray) -> np.ndarray:
        """Returns the inputs at `positions`, in that order.

        Raises:
            ValueError: If the inputs are no single array, or the data gives other
                examples than when it was evaluated.
        """
        places = self._places(positions)
        if not len(places):
            raise ValueError("There are no examples to show: no position was given.")
        reading = reading_of(self.data)
        if reading is not None:
            return _of_splits(reading, places)
        if isinstance(self.data, tuple):
            return _checked(_rows(self.data[0], places))
        if isinstance(self.data, np.ndarray | list):
            return _checked(_rows(self.data, places))
        return self._read_again(places)

    def _places(self, positions: np.ndarray) -> np.ndarray:
        positions = np.asarray(positions, "int64")
        return positions if self.positions is None else self.positions[positions]

    def _read_again(self, places: np.ndarray) -> np.ndarray:
        found, start = {}, 0
        wanted = set(places.tolist())
        for batch in batches_of(self.data)[0]:
            x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
            y = label_array(y)
            here = slice(start, start + len(y))
            self._check_same(x, y, here)
            rows = _checked(as_arrays(x))
            found.update((i, rows[i - start]) for i in wanted.intersection(_of(here)))
            start += len(y)
            if len(found) == len(wanted):
                return np.stack([found[i] for i in places.tolist()])
        raise _changed()

    def _check_same(self, x: Any, y: np.ndarray, here: slice) -> None:
        same = np.array_equal(y, self.labels[here]) and np.array_equal(
            digests(x, y), self.digests[here], equal_nan=True
        )
        if not same:
            raise _changed()


def file_names(reading: Reading | None) -> list[str] | None:
    """Returns the paths of image files relative to their folder, else `None`."""
    return None if reading is None else reading.examples.files


def _of(part: slice) -> range:
    return range(part.start, part.stop)


def _of_splits(reading: Reading, places: np.ndarray) -> np.ndarray:
    # `select` takes positions that increase.
    increasing, order = np.unique(places, return_inverse=True)
    few = reading.examples.select(increasing).dataset(len(increasing))
    inputs, _ = next(iter(few))
    return _checked(as_arrays(inputs))[order]


def _rows(x: Any, places: Sequence[int]) -> Any:
    if isinstance(x, dict):
        return x
    return as_arrays(np.asarray(x)[places])


def _checked(x: Any) -> np.ndarray:
    if isinstance(x, np.ndarray) and x.ndim:
        return x
    raise ValueError(
        "Examples can be shown where the inputs are a single array of pictures or "
        f"texts. Received inputs of type {type(x).__name__}."
    )


def _as_array(part: Any) -> np.ndarray:
    rows = np.asarray(part)
    if rows.dtype.kind not in "OSU":
        return rows
    texts = [
        text.decode(errors="replace") if isinstance(text, bytes) else str(text)
        for text in rows.flat
    ]
    return np.array(texts, dtype=object).reshape(rows.shape)


def _changed() -> ValueError:
    return ValueError(
        "The examples cannot be shown: the data does not give the same examples in the "
        "same order as when it was evaluated. Evaluate data that is not shuffled anew "
        "on every pass (`reshuffle_each_iteration=False`) and can be read twice."
    )
