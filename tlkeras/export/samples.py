"""Inputs to check, calibrate and time a model with: the user's own, or made up."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tlkeras.export.interface import Interface


@dataclass(frozen=True)
class Samples:
    """Inputs of a model.

    Attributes:
        arrays: What the model's graph takes, by name, each `(n, ...)`.
        given: The inputs as the user has them, `(n, ...)`, where that is something
            else, such as texts; otherwise `None`.
    """

    arrays: dict[str, np.ndarray]
    given: np.ndarray | None = None

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def one_by_one(self) -> Iterator[dict[str, np.ndarray]]:
        """Yields each example as a batch of one."""
        for i in range(len(self)):
            yield {name: rows[i : i + 1] for name, rows in self.arrays.items()}


def samples(interface: Interface, data: Any, count: int) -> Samples:
    """Returns up to `count` inputs of `data`, or made-up ones.

    Args:
        interface: Of the model.
        data: As in `tl.export`.
        count: How many at most.

    Raises:
        ValueError: If `data` is of no known kind, empty, or does not fit the model.
    """
    if data is None:
        shapes = [tuple(tensor.shape[1:]) for tensor in interface.tensors.values()]
        return as_samples(interface, interface.input.made_up(shapes, count))
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
    return as_samples(interface, joined)


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
        x = np.asarray(x)
        # As objects, strings of batches may have different lengths.
        x = x.astype(object) if x.dtype.kind in "US" else x
    if not hasattr(x, "shape") and not isinstance(x, dict):
        raise ValueError(
            "`data` must be a batched dataset, an array, a list of texts, or a tuple "
            f"(inputs, labels). Received: {type(data).__name__}."
        )
    count, step = len(keras.tree.flatten(x)[0]), 32
    if y is not None and len(y) != count:
        raise ValueError(
            f"Each input needs a label. Received: {count} inputs, {len(y)} labels."
        )
    for start in range(0, count, step):
        cut = slice(start, start + step)
        rows = keras.tree.map_structure(lambda array, cut=cut: array[cut], x)
        yield rows, None if y is None else np.asarray(y)[cut]


def as_samples(interface: Interface, x: Any) -> Samples:
    """Returns inputs as the model's graph takes them, checked against its shapes."""
    interface.input.check_values(interface.model, x, "data")
    x, given = interface.input.as_tensors(x)
    tensors, leaves = interface.tensors, keras.tree.flatten(x)
    if len(leaves) != len(tensors):
        raise ValueError(
            f"`data` does not fit the model: it takes {len(tensors)} inputs, "
            f"{list(tensors)}. Received {len(leaves)}."
        )
    arrays = {}
    for (name, tensor), leaf in zip(tensors.items(), leaves, strict=True):
        rows = np.asarray(leaf)
        fits = rows.ndim == len(tensor.shape) and all(
            wanted in (None, came)
            for wanted, came in zip(tensor.shape[1:], rows.shape[1:], strict=True)
        )
        if not fits or rows.dtype.kind not in "biuf":
            raise ValueError(
                f"`data` does not fit the model: input {name!r} takes {tensor.shape}, "
                f"shapes {rows.shape} of type {rows.dtype} came. Read the data as "
                "those that the model is for."
            )
        arrays[name] = rows.astype(tensor.dtype)
    return Samples(arrays, given)


def reference(interface: Interface, inputs: Samples) -> dict[str, np.ndarray]:
    """Returns the model's outputs by name, in float32, computed on the CPU.

    There float32 is float32: some GPUs round products of it.
    """
    with keras.device("cpu"):
        outputs = interface.raw(
            *map(keras.ops.convert_to_tensor, inputs.arrays.values())
        )
    return {
        name: np.asarray(keras.ops.convert_to_numpy(value), "float32")
        for name, value in outputs.items()
    }
