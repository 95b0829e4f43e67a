"""LoRA adapters: put on layers, trained alone, kept in files, merged on request."""

import tempfile
import types
from collections.abc import MutableMapping
from typing import Any

import keras

from tlkeras import _keras

_NAMES = (
    "lora_kernel_a",
    "lora_kernel_b",
    "lora_embeddings_a",
    "lora_embeddings_b",
)


def merged_copy(model: keras.Model) -> keras.Model:
    """Returns a copy of a functional model whose adapters are folded into the kernels.

    Raises:
        ValueError: If `model` has no adapters.
    """
    if not (_keras.is_functional(model) and adapted_layers(model)):
        raise ValueError(
            f"Model {getattr(model, 'name', model)!r} has no LoRA adapters to merge. "
            "`tl.text_classifier(..., lora_rank=8)` builds a model that has."
        )
    merged = type(model).from_config(_without_adapters(model.get_config()))
    pairs = zip(_keras.sublayers(model), _keras.sublayers(merged), strict=True)
    for old, new in pairs:
        new.trainable = old.trainable
        _copy_merged(old, new)
    if model.compiled:
        arguments = dict(_keras.compile_arguments(model))
        optimizer = arguments.pop("optimizer")
        unused = _keras.unused_optimizer(optimizer)
        merged.compile(optimizer=unused, **arguments)
        # As Keras will find it when it loads the model's file.
        unused.build(merged.trainable_variables)
    return merged


def add_adapters(backbone: keras.Model, rank: int) -> None:
    """Puts adapters on the layers that a KerasHub backbone names for them.

    Args:
        backbone: A KerasHub backbone without adapters. It is changed.
        rank: Rank of the adapters, at least 1.

    Raises:
        ValueError: If the backbone has adapters already, or no layer that takes them.
    """
    if adapted_layers(backbone):
        raise ValueError(
            f"Backbone {backbone.name!r} has LoRA adapters already. Leave `lora_rank` "
            f"out to train those. Received: lora_rank={rank}."
        )
    targets = backbone.default_lora_layer_names()
    backbone.enable_lora(rank)
    if not adapted_layers(backbone):
        raise ValueError(
            f"Backbone {backbone.name!r} ({type(backbone).__name__}) has no layer that "
            f"takes LoRA adapters: none is named {' or '.join(map(repr, targets))}. "
            f"Leave `lora_rank` out. Received: lora_rank={rank}."
        )
    keep_in_files(backbone)


def keep_in_files(model: keras.Model) -> None:
    """Makes adapters survive `save`, `save_weights` and their counterparts.

    Keras merges them when it saves. When it loads into a layer with adapters, it sets
    both factors to zero: the outputs are right, but the adapters' gradients are zero
    for good.
    """
    for layer in adapted_layers(model):
        layer.save_own_variables = types.MethodType(_save_own_variables, layer)
        layer.load_own_variables = types.MethodType(_load_own_variables, layer)


def hold_base(backbone: keras.Model) -> None:
    """Lets nothing but adapters train in a backbone that has adapters.

    Of its layers with weights, those that hold adapters keep their `trainable` flags,
    as the freeze point has set them; the others are frozen. Setting a layer's
    `trainable` frees its kernel, too: this comes after each such change.
    """
    adapted = adapted_layers(backbone)
    if not adapted:
        return
    for layer in _keras.sublayers(backbone):
        if layer.weights and not adapted_layers(layer):
            layer.trainable = False
    for variable in backbone.weights:
        variable.trainable = False
    for layer in adapted:
        for variable in adapters(layer).values():
            variable.trainable = layer.trainable


def held_weights(layer: keras.layers.Layer) -> list[keras.Variable]:
    """Returns the weights that stay as they are in a layer that holds adapters."""
    if _keras.is_functional(layer) or not adapted_layers(layer):
        return []
    return list(layer.non_trainable_weights)


def adapted_layers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns the layers with adapters: of `layer` and those inside it."""
    inside = _keras.sublayers(layer)
    return [part for part in inside if getattr(part, "lora_enabled", False)]


def adapters(layer: keras.layers.Layer) -> dict[str, keras.Variable]:
    """Returns the adapters of one layer that has them, by their attributes' names."""
    return {name: getattr(layer, name) for name in _NAMES if hasattr(layer, name)}


def adapters_config(model: keras.Model) -> list[list[float]]:
    """Returns where adapters are, in the form that `restore_adapters` takes."""
    return [
        [number, layer.lora_rank, layer.lora_alpha]
        for number, layer in enumerate(_keras.sublayers(model))
        if getattr(layer, "lora_enabled", False)
    ]


def restore_adapters(model: keras.Model, config: list[list[float]]) -> None:
    """Puts adapters back on a model that was rebuilt from its config.

    The config of a composite layer, such as a transformer block, does not tell of them.
    """
    layers = _keras.sublayers(model)
    for number, rank, alpha in config:
        if not layers[number].lora_enabled:
            layers[number].enable_lora(rank, lora_alpha=alpha)
    keep_in_files(model)
    hold_base(model)


def _save_own_variables(layer: keras.layers.Layer, store: MutableMapping) -> None:
    """Stores the kernel as it was before any training, and the adapters beside it."""
    layer.lora_enabled = False
    try:
        type(layer).save_own_variables(layer, store)
    finally:
        layer.lora_enabled = True
    for name, variable in adapters(layer).items():
        store[name] = variable


def _load_own_variables(layer: keras.layers.Layer, store: MutableMapping) -> None:
    """Loads what `_save_own_variables` or a layer without adapters has stored."""
    before = {
        name: keras.ops.convert_to_numpy(variable)
        for name, variable in adapters(layer).items()
    }
    type(layer).load_own_variables(layer, store)
    stored = set(store.keys())
    for name, variable in adapters(layer).items():
        if name in stored:
            variable.assign(store[name])
        elif name.endswith("_a"):
            # One factor of zeros changes no output and can learn; two cannot.
            variable.assign(before[name])


def _copy_merged(old: keras.layers.Layer, new: keras.layers.Layer) -> None:
    """Copies what one layer holds of its own to one like it without adapters."""
    store: dict[str, Any] = {}
    # Not the layer's own method, which keeps adapters apart.
    type(old).save_own_variables(old, store)
    new.load_own_variables(store)
    if hasattr(old, "save_assets"):
        # A tokenizer's vocabulary is not in its config.
        with tempfile.TemporaryDirectory() as folder:
            old.save_assets(folder)
            new.load_assets(folder)


def _without_adapters(config: Any) -> Any:
    """Drops what a config says of adapters, on every level of it."""
    if isinstance(config, dict):
        dropped = ("lora_rank", "lora_alpha", "adapters")
        return {k: _without_adapters(v) for k, v in config.items() if k not in dropped}
    if isinstance(config, (list, tuple)):
        return type(config)(map(_without_adapters, config))
    return config
