"""Arguments as JSON holds them: plain values, Keras objects, what cannot be kept."""

import contextlib
import copy
import dataclasses
import json
import os
import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from tlkeras.outputs.losses import whole_loss

_MISSING, _OBJECT, _KERAS, _MAP = "missing", "object", "keras", "map"


def encode(value: Any) -> Any:
    """Returns an argument in a form that JSON holds and `decode` understands.

    What it cannot keep, such as a function or a `keras.Model` of the user's own,
    becomes a description of it, which `missing` finds.

    Args:
        value: `None`, a number, text, path, list, tuple, mapping, a dataclass of
            such, or an object that Keras can serialize.

    Example:

    >>> encode({0: 0.5, 1: (2, 3)})
    {'map': [[0, 0.5], [1, [2, 3]]]}
    >>> encode(abs)
    {'missing': 'function abs'}
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [encode(part) for part in value]
    if isinstance(value, Mapping):
        return {_MAP: [[encode(key), encode(part)] for key, part in value.items()]}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
        parts = {name: encode(part) for name, part in fields.items()}
        return {_OBJECT: type(value).__name__, **parts}
    value = whole_loss(value)
    config = None if _holds_more_than_config(value) else _config_of(value)
    return {_MISSING: _described(value)} if config is None else {_KERAS: config}


def decode(value: Any, classes: Mapping[str, type] | None = None) -> Any:
    """Returns what `encode` was given; lists come back as tuples.

    Args:
        value: What `encode` returned, or JSON made of it.
        classes: The dataclasses that may occur, by name.

    Raises:
        ValueError: If something in it was not kept, or cannot be made here.
    """
    if isinstance(value, (list, tuple)):
        return tuple(decode(part, classes) for part in value)
    if not isinstance(value, dict):
        return value
    if _MAP in value:
        pairs = (tuple(decode(part, classes) for part in pair) for pair in value[_MAP])
        return dict(pairs)
    if _MISSING in value:
        raise ValueError(f"{value[_MISSING]} was not kept.")
    if _KERAS in value:
        with random_state_kept():
            # Keras changes the configuration that it is given.
            return keras.saving.deserialize_keras_object(copy.deepcopy(value[_KERAS]))
    kind = (classes or {}).get(value[_OBJECT])
    if kind is None:
        raise ValueError(f"{value[_OBJECT]!r} is not known to this version of tlkeras.")
    parts = {k: decode(part, classes) for k, part in value.items() if k != _OBJECT}
    return kind(**parts)


def missing(value: Any) -> Iterator[str]:
    """Yields descriptions of what `encode` could not keep."""
    if isinstance(value, (list, tuple)):
        for part in value:
            yield from missing(part)
    elif isinstance(value, dict):
        if isinstance(value.get(_MISSING), str) and len(value) == 1:
            yield value[_MISSING]
        elif _KERAS not in value:
            for part in value.values():
                yield from missing(part)


def readable(value: Any) -> str:
    """Returns an encoded argument as a person would write it."""
    if isinstance(value, (list, tuple)):
        inside = ", ".join(map(readable, value))
        return f"({inside}{',' * (len(value) == 1)})"
    if not isinstance(value, dict):
        return repr(value)
    if _MAP in value:
        pairs = (f"{readable(key)}: {readable(part)}" for key, part in value[_MAP])
        return f"{{{', '.join(pairs)}}}"
    if _MISSING in value:
        return f"<{value[_MISSING]}>"
    if _KERAS in value:
        return _readable_config(value[_KERAS])
    parts = (f"{k}={readable(v)}" for k, v in value.items() if k != _OBJECT)
    return f"{value[_OBJECT]}({', '.join(parts)})"


def without_names(value: Any) -> Any:
    """Returns an encoded argument without names, which Keras numbers anew."""
    if isinstance(value, (list, tuple)):
        return [without_names(part) for part in value]
    if isinstance(value, dict):
        return {k: without_names(part) for k, part in value.items() if k != "name"}
    return value


def _readable_config(config: Any) -> str:
    if not isinstance(config, dict):
        return repr(config)
    name, inside = config.get("class_name", ""), config.get("config")
    if name == "function" or not isinstance(inside, dict):
        return str(inside)
    shown = (
        f"{key}={part!r}"
        for key, part in inside.items()
        if key not in ("name", "dtype") and isinstance(part, (bool, int, float, str))
    )
    return f"{name.rpartition('>')[2]}({', '.join(shown)})"


def _holds_more_than_config(value: Any) -> bool:
    """Whether an object has weights, or files such as a vocabulary."""
    return (
        isinstance(value, keras.Model)
        or hasattr(value, "save_assets")
        or bool(getattr(value, "weights", ()))
    )


def _config_of(value: Any) -> Any:
    """Returns what Keras makes of an object, if it can make the object of it again."""
    with random_state_kept(), warnings.catch_warnings():
        # What is written down here is no file that somebody will load.
        warnings.filterwarnings("ignore", "The object being serialized includes a `la")
        try:
            config = keras.saving.serialize_keras_object(value)
            config = json.loads(json.dumps(config))
            keras.saving.deserialize_keras_object(copy.deepcopy(config))
        except Exception:
            # Objects of the user's own fail in ways of their own.
            return None
    return config


@contextlib.contextmanager
def random_state_kept() -> Iterator[None]:
    """Leaves Python's random numbers as they were: Keras draws its seeds from them."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


def _described(value: Any) -> str:
    if isinstance(value, keras.Model):
        return f"keras.Model {value.name!r}"
    if isinstance(value, Callable) and hasattr(value, "__name__"):
        return f"function {value.__name__}"
    return f"object of class {type(value).__name__}"
