"""Fingerprints: what a frozen prefix computes, as a short string."""

import hashlib
import json
from importlib import metadata
from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras._code import code_of

# Versions that may change the numbers a layer computes.
_PACKAGES = ("keras", "tensorflow", "keras-hub", "numpy")
_LAYOUT = 2


def fingerprint_model(model: keras.Model) -> str:
    """Returns a string that changes when what `model` computes may change.

    It covers the graph, each layer's configuration and dtype policy, every weight, the
    code of layers and functions of the user's own with what it refers to, and the
    versions of the packages that compute. It does not depend on names, which Keras
    numbers anew in each process.

    Args:
        model: A functional `keras.Model`, such as a split's prefix.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256(json.dumps([_LAYOUT, versions()]).encode())
    _add_model(digest, model)
    return digest.hexdigest()


def versions() -> dict[str, str]:
    """Returns the versions of the packages that compute."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = ""
    return found


def _add_model(digest: Any, model: keras.Model) -> None:
    numbers = {}
    for tensor in _keras.as_graph(model).inputs:
        numbers[id(tensor)] = len(numbers)
        digest.update(f"input {tensor.shape} {tensor.dtype}\n".encode())
    for node in _keras.graph_nodes(model):
        sources = [numbers[id(tensor)] for tensor in node.input_tensors]
        for tensor in node.outputs:
            numbers[id(tensor)] = len(numbers)
        operation = node.operation
        digest.update(f"{type(operation).__name__} {sources}\n".encode())
        if _keras.is_functional(operation):
            _add_model(digest, operation)
        else:
            _add_operation(digest, operation)
    outputs = [numbers[id(tensor)] for tensor in _keras.as_graph(model).outputs]
    digest.update(f"outputs {outputs}\n".encode())


def _add_operation(digest: Any, operation: keras.Operation) -> None:
    digest.update(code_of(operation).encode())
    config = _config_of(operation)
    digest.update(json.dumps(_without_names(config), default=repr).encode())
    for weight in getattr(operation, "weights", ()):
        value = np.asarray(keras.ops.convert_to_numpy(weight))
        digest.update(f"{value.dtype}{value.shape}".encode())
        digest.update(np.ascontiguousarray(value).tobytes())


def _config_of(operation: keras.Operation) -> Any:
    """Returns an operation's configuration, or its plain attributes in place of it.

    Some of KerasHub's layers have none of their own, or one that fails.
    """
    inherits = type(operation).get_config is keras.layers.Layer.get_config
    if not (inherits and type(operation).__module__.startswith("keras_hub.")):
        try:
            return keras.saving.serialize_keras_object(operation)
        except (AttributeError, NotImplementedError, OSError):
            # It cannot be saved, or the source of its lambda is not at hand.
            pass
    return [
        [type(part).__name__, part.dtype_policy.name, *_plain_attributes(part)]
        for part in _keras.sublayers(operation)
    ]


def _plain_attributes(layer: keras.layers.Layer) -> list[tuple[str, Any]]:
    plain = (bool, int, float, str, type(None))
    return [
        (name, value)
        for name, value in sorted(vars(layer).items())
        # What begins so is a state, such as that of Keras' quantization.
        if isinstance(value, plain) and not name.startswith(("_", "name", "is_"))
    ]


def _without_names(config: Any) -> Any:
    """Drops what differs between two processes, or does not change the numbers."""
    if isinstance(config, dict):
        if config.get("class_name", "").endswith("DTypePolicy"):
            return config  # Its name is what it is.
        dropped = {"name", "trainable", "build_config", "shared_object_id"}
        return {k: _without_names(v) for k, v in config.items() if k not in dropped}
    if isinstance(config, (list, tuple)):
        return [_without_names(item) for item in config]
    return config
