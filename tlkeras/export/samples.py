"""Inputs to check, calibrate and time a model with: the user's own, or generated."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tlkeras.export.interface import input_names, named_outputs
from tlkeras.inputs.texts.tokens import are_texts as holds_texts

_TEXTS = (
    "A short text.",
    "The film was good, and we loved every minute of it!",
    "",
    "Was it worth $12.50? No -- not at all...",
    "naïve café, 東京 and 🙂",
    "one two three four five six seven eight nine ten " * 20,
    "ALL CAPITALS AND 12345 67,890",
    'He said: "I\'d rather not."',
)


@dataclass(frozen=True)
class Samples:
    """Inputs of a model.

    Attributes:
        arrays: What the model's graph takes, by name, each `(n, ...)`.
        texts: The texts, or pairs of texts, that these are the tokens of, or `None`.
    """

    arrays: dict[str, np.ndarray]
    texts: np.ndarray | None = None

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def one_by_one(self) -> Iterator[dict[str, np.ndarray]]:
        """Yields each example as a batch of one."""
        for i in range(len(self)):
            yield {name: rows[i : i + 1] for name, rows in self.arrays.items()}


def samples(model: keras.Model, data: Any, count: int) -> Samples:
    """Returns up to `count` inputs of `data`, or generated ones.

    Args:
        model: A functional `keras.Model`.
        data: As in `tl.export`.
        count: How many at most.

    Raises:
        ValueError: If `data` is of no known kind, empty, or does not fit the model.
    """
    if data is None:
        return _generated(model, count)
    parts, found = [], 0
    for x, _ in batches(data):
        parts.append(keras.tree.map_structure(np.asarray, x))
        found += len(keras.tree.flatten(parts[-1])[0])
        if found >= count:
            break
    if not found:
        raise ValueError("`data` is empty: it gave no examples to check the model on.")
    joined = keras.tree.map_structure(
        lambda *rows: np.concatenate(rows)[:count], *parts
    )
    return as_samples(model, joined)


def batches(data: Any) -> Iterator[tuple[Any, Any]]:
    """Yields batches of inputs and labels, `None` where there are no labels.

    Args:
        data: A batched dataset of inputs or of `(inputs, labels, ...)`, a tuple of
            arrays `(inputs, labels)`, or inputs: an array, a list of texts, or a
            dictionary of arrays.
    """
    if hasattr(data, "train") and hasattr(data, "test"):
        raise ValueError(
            "`data` must be one part of `Splits`, such as `data.train`. Received all "
            "of them."
        )
    if hasattr(data, "element_spec") or isinstance(data, keras.utils.PyDataset):
        whole = isinstance(data, keras.utils.PyDataset)
        each = (data[i] for i in range(len(data))) if whole else data
        for batch in each:
            x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
            yield x, y
        return
    x, y = (data[0], data[1]) if isinstance(data, tuple) else (data, None)
    if isinstance(x, list):
        x = np.asarray(x, dtype=object if holds_texts(x) else None)
    if not hasattr(x, "shape") and not isinstance(x, dict):
        raise ValueError(
            "`data` must be a batched dataset, an array, a list of texts, or a tuple "
            f"(inputs, labels). Received: {type(data).__name__}."
        )
    count, step = len(keras.tree.flatten(x)[0]), 32
    for start in range(0, count, step):
        cut = slice(start, start + step)
        rows = keras.tree.map_structure(lambda array, cut=cut: array[cut], x)
        yield rows, None if y is None else np.asarray(y)[cut]


def as_samples(model: keras.Model, x: Any) -> Samples:
    """Returns inputs as the model's graph takes them, checked against its shapes."""
    texts, preprocessor = None, getattr(model, "preprocessor", None)
    if preprocessor is not None and holds_texts(_as_texts(x)):
        texts = _as_texts(x)
        x = preprocessor(texts)
    names, tensors = input_names(model), keras.tree.flatten(model.input)
    leaves = keras.tree.flatten(x)
    if len(leaves) != len(tensors):
        raise ValueError(
            f"`data` does not fit the model: it takes {len(tensors)} inputs, {names}. "
            f"Received {len(leaves)}."
        )
    arrays = {}
    for name, tensor, leaf in zip(names, tensors, leaves, strict=True):
        rows = np.asarray(leaf)
        fits = rows.ndim == len(tensor.shape) and all(
            wanted in (None, came)
            for wanted, came in zip(tensor.shape[1:], rows.shape[1:], strict=True)
        )
        if not fits or rows.dtype.kind not in "biuf":
            raise ValueError(
                f"`data` does not fit the model: input {name!r} takes {tensor.shape}, "
                f"shapes {rows.shape} of type {rows.dtype} came. Read the data with "
                "the model's image size and colours."
            )
        arrays[name] = rows.astype(tensor.dtype)
    return Samples(arrays, texts)


def reference(model: keras.Model, inputs: Samples) -> dict[str, np.ndarray]:
    """Returns the model's outputs by name, in float32, computed on the CPU.

    There float32 is float32: some GPUs round products of it.
    """
    packed = keras.tree.pack_sequence_as(model.input, list(inputs.arrays.values()))
    with keras.device("cpu"):
        outputs = model(
            keras.tree.map_structure(keras.ops.convert_to_tensor, packed),
            training=False,
        )
    return {
        name: np.asarray(keras.ops.convert_to_numpy(value), "float32")
        for name, value in named_outputs(model, outputs).items()
    }


def _as_texts(x: Any) -> Any:
    """Returns texts as strings: a `tf.data` pipeline gives bytes."""
    array = x if isinstance(x, dict) else np.asarray(x)
    if isinstance(array, dict) or array.dtype != object or not array.size:
        return array
    flat = [
        t.decode("utf-8", "replace") if isinstance(t, bytes) else t for t in array.flat
    ]
    return np.asarray(flat, dtype=object).reshape(array.shape)


def _generated(model: keras.Model, count: int) -> Samples:
    """Makes pictures, texts or numbers, the same ones each time."""
    if getattr(model, "preprocessor", None) is not None:
        texts = list(itertools.islice(itertools.cycle(_TEXTS), min(count, len(_TEXTS))))
        return as_samples(model, texts)
    rng, arrays = np.random.default_rng(0), {}
    tensors = keras.tree.flatten(model.input)
    for name, tensor in zip(input_names(model), tensors, strict=True):
        shape = (count, *(64 if dim is None else dim for dim in tensor.shape[1:]))
        arrays[name] = _numbers(rng, shape).astype(tensor.dtype)
    return Samples(arrays)


def _numbers(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Makes smooth pictures with some noise, 0 to 255; of another rank, 0 and 1."""
    if len(shape) != 4:
        return rng.integers(0, 2, shape)
    count, height, width, channels = shape
    y = np.linspace(0, 3, height)[:, None, None]
    x = np.linspace(0, 3, width)[:, None]
    phase = rng.uniform(0, 6, (count, 3, 1, 1, channels))
    waves = np.sin(phase[:, 0] * x + phase[:, 1] * y + phase[:, 2])
    pixels = 127 + 100 * waves + rng.normal(0, 12, shape)
    return np.clip(np.round(pixels), 0, 255)
