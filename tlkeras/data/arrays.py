"""Splits from arrays of pixels or texts."""

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tlkeras._validation import check_int
from tlkeras.data.examples import RandomAccessExamples
from tlkeras.data.labels import read_labels
from tlkeras.data.loading import plain_graph
from tlkeras.data.splits import Splits, make_splits
from tlkeras.data.splitting import check_fractions
from tlkeras.data.texts import holds_texts, read_texts

# How many images are looked at together while pixels are checked.
_CHUNK = 1024


def from_arrays(
    x: Any,
    y: Any,
    *,
    class_names: Sequence[str] | None = None,
    task: str | None = None,
    batch_size: int = 32,
    validation_split: float = 0.15,
    test_split: float = 0.15,
    seed: int = 0,
) -> Splits:
    """Makes `Splits` from images or texts in memory.

    Args:
        x: Pixels 0 to 255, uint8 or float, `(n, height, width)` or
            `(n, height, width, channels)` with 1 or 3 channels. Not rescaled:
            models of tlkeras take raw pixels. Or texts: strings `(n,)`, or pairs of
            them, `(n, 2)` or a tuple `(a, b)` of two columns.
        y: One label per example. Whole numbers or strings are classes; 2-D rows of 0
            and 1 are one-hot where each has exactly one 1, multi-label otherwise;
            other floats are regression targets, `(n,)` or `(n, k)`.
        class_names: The classes, in the order of their ids. By default the sorted
            strings in `y`, or `"0"`, `"1"`, and so on.
        task: `"classification"`, `"multi_label"` or `"regression"`. By default what
            `y` looks like.
        batch_size: Examples per batch.
        validation_split: Fraction of the examples for validation; 0 for none.
        test_split: Fraction of the examples for testing; 0 for none.
        seed: Seed of the split and of the order of training.

    Returns:
        The `Splits`. Classification is split stratified by class.

    Raises:
        ValueError: If `x` or `y` is not as described; the message says how to mend
            it.

    Example:
    >>> x = np.random.default_rng(0).integers(0, 256, (60, 32, 32, 3), "uint8")
    >>> y = ["cat", "dog", "owl"] * 20
    >>> tl.from_arrays(x, y).class_names
    ('cat', 'dog', 'owl')
    >>> texts = ["a fine film", "a dull film"] * 10
    >>> tl.from_arrays(texts, ["good", "bad"] * 10).class_names
    ('bad', 'good')
    """
    check_int("batch_size", batch_size, 1)
    check_int("seed", seed, 0)
    check_fractions(validation_split, test_split)
    is_text = holds_texts(x)
    inputs = read_texts(x) if is_text else _read_pixels(x)
    labels = read_labels(y, class_names, task)
    if len(inputs) != len(labels.values):
        raise ValueError(
            "`x` and `y` must have the same length. Received: "
            f"len(x)={len(inputs)}, len(y)={len(labels.values)}."
        )
    return make_splits(
        ArrayExamples(inputs, labels.values),
        validation_split=validation_split,
        test_split=test_split,
        batch_size=batch_size,
        seed=seed,
        task=labels.task,
        class_names=labels.class_names,
        image_size=None if is_text else inputs.shape[1:3],
    )


class ArrayExamples(RandomAccessExamples):
    """Rows of an array, which every part of a split shares.

    Args:
        inputs: Pixels `(n, height, width, channels)`, which batches hold as float32,
            or strings, `(n,)` or pairs `(n, 2)`, which pass through.
        labels: As in `Examples`, of the chosen rows.
        rows: int64, the chosen rows in increasing order; all by default.
    """

    def __init__(
        self,
        inputs: np.ndarray | tf.Tensor,
        labels: np.ndarray,
        rows: np.ndarray | None = None,
    ):
        super().__init__(labels)
        self.rows = np.arange(len(labels)) if rows is None else rows
        with tf.init_scope(), tf.device("CPU:0"):
            columns = inputs, self.rows, labels
            self._columns = tuple(tf.constant(column) for column in columns)

    @property
    def inputs(self) -> tf.Tensor:
        return self._columns[0]

    @property
    def inputs_kind(self) -> str:
        if self.inputs.dtype != tf.string:
            return "images"
        return "texts" if self.inputs.shape.rank == 1 else "text pairs"

    def select(self, positions: np.ndarray) -> "ArrayExamples":
        return ArrayExamples(self.inputs, self.labels[positions], self.rows[positions])

    def in_order(self, positions: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
        inputs, rows, labels = self._columns

        @plain_graph
        def gather(batch):
            x = tf.gather(inputs, tf.gather(rows, batch))
            y = tf.gather(labels, batch)
            return (x if x.dtype == tf.string else tf.cast(x, tf.float32)), y

        return positions.batch(batch_size).map(gather, tf.data.AUTOTUNE)

    def _inputs_identity(self) -> Iterable[bytes]:
        yield f"{self.inputs.dtype.name} {self.inputs.shape[1:]}".encode()
        for start in range(0, len(self), _CHUNK):
            chunk = tf.gather(self.inputs, self.rows[start : start + _CHUNK]).numpy()
            if chunk.dtype == object:
                digests = (hashlib.sha256(text).digest() for text in chunk.flat)
                chunk = b"".join(digests)
            yield memoryview(chunk).cast("B")


def _read_pixels(x: Any) -> np.ndarray:
    """Returns images as uint8 or float32 `(n, height, width, channels)`."""
    try:
        pixels = np.asarray(x)
    except ValueError as error:
        raise ValueError(
            f"`x` must be one array, all images of the same size: {error}."
        ) from error
    _check_dtype(pixels)
    if pixels.ndim == 3:
        pixels = pixels[..., np.newaxis]
    _check_shape(pixels)
    _check_range(pixels)
    return pixels.astype(
        np.float32 if pixels.dtype.kind == "f" else np.uint8, copy=False
    )


def _check_dtype(pixels: np.ndarray) -> None:
    kind = pixels.dtype.kind
    if kind == "O":
        raise ValueError(
            "`x` has dtype object, as when images differ in size. Resize them to one "
            "size and stack them with `np.stack`."
        )
    if kind not in "iuf":
        raise ValueError(
            "`x` must hold pixels 0 to 255, uint8 or float. "
            f"Received: dtype {pixels.dtype}."
        )


def _check_shape(pixels: np.ndarray) -> None:
    if pixels.ndim != 4 or 0 in pixels.shape:
        raise ValueError(
            "`x` must have shape (n, height, width) or (n, height, width, channels). "
            f"Received: shape {pixels.shape}."
        )
    channels = pixels.shape[3]
    if channels in (1, 3):
        return
    if pixels.shape[1] in (1, 3):
        mend = "Channels come last: pass `np.moveaxis(x, 1, -1)`."
    elif channels == 4:
        mend = "Drop the alpha channel: pass `x[..., :3]`."
    else:
        mend = "Pass 1 channel (grey) or 3 (RGB)."
    raise ValueError(
        f"Images in `x` have {channels} channels, shape {pixels.shape}. {mend}"
    )


def _check_range(pixels: np.ndarray) -> None:
    """Checks chunk by chunk, so that no second array of the size of `x` arises."""
    chunks = [pixels[i : i + _CHUNK] for i in range(0, len(pixels), _CHUNK)]
    if pixels.dtype.kind == "f":
        _check_finite(chunks)
    low = min(chunk.min() for chunk in chunks)
    high = max(chunk.max() for chunk in chunks)
    if pixels.dtype.kind == "f" and low >= -1 and high <= 1:
        mend = "`x * 255`" if low >= 0 else "`(x + 1) * 127.5`"
        raise ValueError(
            f"`x` looks rescaled: its values go from {low:.4g} to {high:.4g}. Models "
            "of tlkeras take raw pixels 0 to 255 and rescale them themselves. Pass "
            f"{mend}."
        )
    if low < 0 or high > 255:
        raise ValueError(
            f"Pixels in `x` must lie between 0 and 255. Received: values from "
            f"{low:.4g} to {high:.4g}. Undo any normalisation, or clip with "
            "`np.clip(x, 0, 255)`; divide 16-bit images by 257."
        )


def _check_finite(chunks: list[np.ndarray]) -> None:
    bad = np.concatenate([~np.isfinite(c).all(axis=(1, 2, 3)) for c in chunks])
    if bad.any():
        raise ValueError(
            f"`x` has NaN or infinite pixels in {bad.sum()} of {len(bad)} images, "
            f"first at index {int(np.argmax(bad))}. Remove or repair these images."
        )
