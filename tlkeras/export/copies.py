"""Copies of a model: of its own precision, or in float32."""

from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras.builders.merging import merge_lora
from tlkeras.features.precision import dtype_policy
from tlkeras.lora import adapted_layers
from tlkeras.problem import own_problem

# From least to most precise.
PRECISIONS = ("bfloat16", "float16", "float32")


def precision_of(model: keras.Model) -> str:
    """Returns the coarsest type that a layer of the model computes in."""
    # Those of the graph: a preprocessor belongs to the model, and computes nothing.
    # Models inside compute in what their layers compute in, whatever their policy is.
    parts = [part for layer in model.layers for part in _keras.sublayers(layer)]
    found = {part.compute_dtype for part in parts if not _keras.is_functional(part)}
    return next((name for name in PRECISIONS if name in found), "float32")


def in_float32(model: keras.Model) -> keras.Model:
    """Returns `model`, or a copy of it that computes in float32.

    Under mixed precision the weights are float32 already: nothing is lost.

    Args:
        model: A functional `keras.Model`. It stays as it is.
    """
    if precision_of(model) == "float32":
        return model
    with dtype_policy("float32"):
        return _rebuilt(model, _with_float32(model.get_config()))


def plain_copy(model: keras.Model) -> keras.Model:
    """Returns a copy of `model` that is not compiled and has no adapters."""
    if adapted_layers(model):
        model = merge_lora(model)
    return _rebuilt(model, model.get_config())


def _rebuilt(model: keras.Model, config: dict[str, Any]) -> keras.Model:
    copy = type(model).from_config(config)
    copy.set_weights([np.asarray(weight) for weight in model.get_weights()])
    problem = own_problem(model)
    if problem is not None:
        # A config holds a tokenizer without its vocabulary.
        copy.problem = problem
    return copy


def _with_float32(config: Any, key: str | None = None) -> Any:
    """Returns a config whose dtype policies are all float32."""
    if key in ("dtype", "default_policy") and isinstance(config, str):
        return "float32" if _is_coarse(config) else config
    if isinstance(config, list | tuple):
        return type(config)(_with_float32(item) for item in config)
    if not isinstance(config, dict):
        return config
    inner = config.get("config")
    if str(config.get("class_name", "")).endswith("DTypePolicy") and _is_coarse(
        inner["name"]
    ):
        return {**config, "config": {**inner, "name": "float32"}}
    return {name: _with_float32(value, name) for name, value in config.items()}


def _is_coarse(policy: str) -> bool:
    return policy in ("float16", "bfloat16", "mixed_float16", "mixed_bfloat16")
