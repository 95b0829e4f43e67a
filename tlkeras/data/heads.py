"""Labels by head: what came for each of them, and the rows that hold all."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from tlkeras._validation import unknown_name
from tlkeras.data.splitting import parts_of
from tlkeras.outputs import Output, read_labels_with_gaps
from tlkeras.outputs.missing import are_labelled


def are_heads(value: Any) -> bool:
    """Whether an argument is a dictionary by head, and not by part of the data."""
    return isinstance(value, Mapping) and len(parts_of(value)) < len(value)


def of_heads(argument: str, value: Any, heads: Collection[str]) -> dict[str, Any]:
    """Returns what an argument says of each head; of some, nothing.

    Args:
        argument: Its name.
        value: A dictionary by head, or `None`.
        heads: The names of all heads.

    Raises:
        ValueError: If it is something else, or names another head.
    """
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(
            f"`{argument}` must be a dictionary by head, as the labels are, of those "
            f"that need it: one of {list(heads)}. Received: {argument}={value!r}."
        )
    for name in value:
        if name not in heads:
            raise unknown_name("head", name, heads)
    return dict(value)


@contextmanager
def about_head(name: str | None) -> Iterator[None]:
    """Says in a `ValueError` which head it is about, where that has a name."""
    try:
        yield
    except ValueError as error:
        if name is None:
            raise
        raise ValueError(f"Head {name!r}: {error}") from error


def read_heads(
    y: Mapping[str, Any], class_names: Any, task: Any
) -> tuple[dict[str, Output], np.ndarray]:
    """Works out what labels by head mean.

    Args:
        y: Of each head as in `read_labels_with_gaps`.
        class_names: `None`, or names of classes by head.
        task: `None`, or tasks by head.

    Returns:
        The outputs by head, and packed rows, NaN where a label is missing.

    Raises:
        ValueError: If labels do not fit together, or not with the other arguments.
    """
    if not y:
        raise ValueError("`y` is a dictionary without heads: name at least one.")
    names, tasks = of_heads("class_names", class_names, y), of_heads("task", task, y)
    outputs: dict[str, Output] = {}
    rows: list[np.ndarray] = []
    for head, labels in y.items():
        with about_head(head):
            outputs[head], read = read_labels_with_gaps(
                labels, names.get(head), tasks.get(head)
            )
        rows.append(read)
    lengths = dict(zip(y, map(len, rows), strict=True))
    if len(set(lengths.values())) > 1:
        raise ValueError(
            f"All heads in `y` must have as many labels. Received: {lengths}."
        )
    packed = np.concatenate(rows, axis=1)
    without = np.flatnonzero(~are_labelled(packed))
    if len(without):
        raise ValueError(
            f"{len(without)} of {len(packed)} examples have no label for any head, "
            f"first at index {without[0]}. Remove these examples."
        )
    return outputs, packed
