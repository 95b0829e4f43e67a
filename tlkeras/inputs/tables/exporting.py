"""Rows in an export: the signature of named columns, rows to check it on."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from tlkeras.inputs.tables.cells import date_parts
from tlkeras.inputs.tables.columns import FIRST, MISSING, Column, Columns
from tlkeras.inputs.tables.texts import PADDING

_YEAR = 365.2425 * 86_400
# A name that no table has.
_UNSEEN = "\x00"
_TEXTS = ("A short text.", "It was good, and we loved every minute of it!")


def of_columns(
    exported: Any, columns: Columns
) -> tuple[Callable[..., dict[str, Any]], list[Any], list[Any]]:
    """Returns the function of a SavedModel that takes columns, and what it takes.

    Args:
        exported: The model's `Interface`.
        columns: Those of the table.

    Returns:
        The function, its `tf.TensorSpec`s, and the layers that it needs.
    """
    import tensorflow as tf

    # Its codes are those of `Columns`: 0 for no name, 1 for one that is not known.
    lookups = {
        column.name: keras.layers.StringLookup(
            vocabulary=list(column.names) or [_UNSEEN], mask_token=""
        )
        for column in columns.categories
    }

    for lookup in lookups.values():
        lookup(tf.constant([""]))

    def run(*cells: Any) -> dict[str, Any]:
        given = dict(zip(columns.names, cells, strict=True))
        parts = [_numbers(column, given[column.name]) for column in columns.numbers]
        parts += [
            tf.cast(lookups[column.name](given[column.name]), "float32")[:, None]
            for column in columns.categories
        ]
        parts += [_tokens(columns.reader, given[c.name]) for c in columns.texts]
        return exported.labelled(tf.concat(parts, axis=1))

    dtypes = {"number": "float32", "date": "float64"}
    specs = [
        tf.TensorSpec((None,), dtypes.get(column.kind, "string"), name=name)
        for column, name in zip(columns, tensor_names(columns), strict=True)
    ]
    return run, specs, list(lookups.values())


def tensor_names(columns: Columns) -> list[str]:
    """Returns the columns' names as TensorFlow takes names of tensors."""
    plain = [
        "".join(c if c.isalnum() and c.isascii() else "_" for c in name)
        for name in columns.names
    ]
    plain = [name if name[:1].isalpha() else f"column_{name}" for name in plain]
    return [
        f"{name}_{place}" if plain.count(name) > 1 else name
        for place, name in enumerate(plain)
    ]


def _numbers(column: Column, cells: Any) -> Any:
    import tensorflow as tf

    if column.kind == "number":
        return cells[:, None]
    parts = date_parts(cells, tf.sin, tf.floor)
    return tf.cast(tf.stack([parts[part] for part in column.parts], 1), "float32")


def _tokens(reader: Any, texts: Any) -> Any:
    """Returns texts as `TextReader.encode` does, in a graph."""
    import tensorflow as tf

    texts = tf.strings.strip(texts)
    ids, lengths = reader.preprocessor.ids_and_lengths(texts)
    own = tf.sequence_mask(lengths, reader.length) & (texts != "")[:, None]
    return tf.where(own, tf.cast(ids, "float32"), float(PADDING))


def as_columns(rows: np.ndarray, columns: Columns) -> dict[str, np.ndarray]:
    """Returns encoded rows as the signature of named columns takes them.

    Args:
        rows: float32 `(n, numbers)`.
        columns: Those of the table.
    """
    found, place = {}, 0
    for column in columns.numbers:
        cells = rows[:, place]
        place += len(column.numbers)
        # Of dates any will do that are missing where these are.
        is_date = column.kind == "date"
        found[column.name] = cells.astype("float64") * _YEAR if is_date else cells
    for column in columns.categories:
        names = np.array(["", _UNSEEN, *column.names], object)
        found[column.name] = names[rows[:, place].astype(int)]
        place += 1
    for column in columns.texts:
        tokens = rows[:, place : place + column.length]
        found[column.name] = np.array(columns.reader.decode(tokens), object)
        place += column.length
    names = tensor_names(columns)
    return {
        tensor: found[name] for tensor, name in zip(names, columns.names, strict=True)
    }


def as_cells(given: Mapping[str, np.ndarray], columns: Columns) -> dict[str, list]:
    """Returns what the signature takes as cells of a table.

    Args:
        given: What `as_columns` returned.
        columns: Those of the table.
    """
    cells = {}
    for column, tensor in zip(columns, tensor_names(columns), strict=True):
        values = given[tensor]
        if column.kind == "date":
            values = [
                None if np.isnan(x) else np.datetime64(round(x * 1e6), "us")
                for x in values
            ]
        cells[column.name] = list(values)
    return cells


def some_rows(columns: Columns, count: int) -> np.ndarray:
    """Makes up encoded rows, the same ones each time."""
    rng = np.random.default_rng(0)
    parts = []
    for column in columns.numbers:
        for scale in column.scales:
            cells = rng.uniform(scale.edges[0], scale.edges[-1], count)
            missing = scale.fill and column.kind == "number"
            parts.append(np.where(rng.random(count) < 0.1 * missing, np.nan, cells))
    for column in columns.categories:
        parts.append(rng.integers(MISSING, FIRST + len(column.names), count))
    texts = [["", *_TEXTS] for _ in columns.texts]
    parts += [
        columns.reader.encode([each[i % len(each)] for i in range(count)]).T
        for each in texts
    ]
    return np.vstack(parts).T.astype("float32")


def example_of(column: Column) -> Any:
    """Returns a cell that a column may hold, for people."""
    if column.kind == "text":
        return _TEXTS[0]
    if column.kind == "number":
        return float(f"{column.scales[0].centre:.3g}")
    if column.kind == "date":
        seconds = column.scales[0].centre * _YEAR
        return str(np.datetime64(round(seconds), "s"))
    return column.names[0] if column.names else ""
