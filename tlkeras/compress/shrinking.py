"""A model rebuilt without some of its channels, with the weights that remain."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras.builders import TransferModel
from tlkeras.compress.activity import Activity, lost
from tlkeras.compress.channels import Group
from tlkeras.freezing import find_backbone


@dataclass
class _Kept:
    """Which of a layer's inputs and outputs remain; `None`: all.

    Attributes:
        inputs: Those of its inputs.
        outputs: Those of its outputs.
        shift: What to add to each of its outputs, of all of them.
    """

    inputs: np.ndarray | None = None
    outputs: np.ndarray | None = None
    shift: np.ndarray | None = None


def without_channels(
    model: keras.Model,
    kept: Sequence[tuple[Group, np.ndarray]],
    activity: Sequence[Activity] | None = None,
) -> keras.Model:
    """Returns a smaller copy of `model`, not compiled.

    It computes what `model` would compute if the removed channels were zero where
    they are consumed; or, with their activity, their means, apart from padded edges.

    Args:
        model: A functional model with a nested backbone. It stays as it is.
        kept: Groups of its channels, with the channels of each that remain.
        activity: Of each group, where what is lost is to be made up for: biases take
            the removed channels' means.
    """
    backbone = find_backbone(model)
    by_layer = _by_layer(kept)
    for (group, channels), seen in zip(kept, activity or (), strict=False):
        for layer, means in zip(group.consumers, seen.means, strict=True):
            by_layer[id(layer)].shift = lost(layer, means, channels)
    config = copy.deepcopy(model.get_config())
    _open_up(config, backbone)
    names = {layer.name: by_layer.get(id(layer)) for layer in backbone.layers}
    inner = _entry_of(config, backbone.name)["config"]
    _resize(inner, names, _passed(kept))
    outer = {
        layer.name: by_layer.get(id(layer))
        for layer in model.layers
        if layer is not backbone
    }
    _resize(config, outer, _passed(kept))
    small = type(model).from_config(config)
    if isinstance(model, TransferModel):
        # A config holds a tokenizer without its vocabulary.
        small.problem = model.problem
    small_backbone = small.get_layer(backbone.name)
    for layer in backbone.layers:
        _fill(layer, small_backbone.get_layer(layer.name), by_layer.get(id(layer)))
    for layer in model.layers:
        if layer is not backbone:
            _fill(layer, small.get_layer(layer.name), by_layer.get(id(layer)))
    if getattr(small, "record", None) is not None:
        parameters = small_backbone.count_params()
        known = {**small.record.backbone, "parameters": parameters}
        small.keep_record(replace(small.record, backbone=known))
    return small


def _by_layer(kept: Sequence[tuple[Group, np.ndarray]]) -> dict[int, _Kept]:
    found: dict[int, _Kept] = {}
    for group, channels in kept:
        found.setdefault(id(group.producer), _Kept()).outputs = channels
        for layer in (*group.between, *group.consumers):
            found.setdefault(id(layer), _Kept()).inputs = channels
    return found


def _passed(kept: Sequence[tuple[Group, np.ndarray]]) -> set[str]:
    return {layer.name for group, _ in kept for layer in group.layers}


def _open_up(config: dict[str, Any], backbone: keras.Model) -> None:
    """Makes the nested backbone's config one of layers, where its class has another."""
    entry = _entry_of(config, backbone.name)
    if "layers" in entry["config"]:
        return
    plain = keras.Model(backbone.input, backbone.output, name=backbone.name)
    entry.update(keras.saving.serialize_keras_object(plain))
    if "tlkeras" in config:
        # The numbers of its layers are others now.
        config["tlkeras"]["frozen_sublayers"] = []


def _entry_of(config: dict[str, Any], name: str) -> dict[str, Any]:
    return next(entry for entry in config["layers"] if entry["name"] == name)


def _resize(
    config: dict[str, Any], names: Mapping[str, _Kept | None], passed: set[str]
) -> None:
    """Sets the widths of layers in a config of layers."""
    for entry in config["layers"]:
        if entry["name"] not in names or entry["name"] not in passed:
            continue
        # The shapes that a layer was built with; it is built anew when it is called.
        entry.pop("build_config", None)
        kept = names[entry["name"]]
        if kept is not None and kept.shift is not None:
            entry["config"]["use_bias"] = True
        if kept is None or kept.outputs is None:
            continue
        key = "units" if "units" in entry["config"] else "filters"
        entry["config"][key] = len(kept.outputs)


def _fill(old: keras.layers.Layer, new: keras.layers.Layer, kept: _Kept | None) -> None:
    """Copies a layer's weights, or what remains of them, and its flags."""
    pairs = zip(_keras.sublayers(old), _keras.sublayers(new), strict=True)
    for before, after in pairs:
        after.trainable = before.trainable
    if not old.weights:
        return
    values = [np.asarray(keras.ops.convert_to_numpy(v)) for v in old.weights]
    if kept is not None:
        values = _remaining(old, values, kept)
    new.set_weights(values)


def _remaining(
    layer: keras.layers.Layer, values: list[np.ndarray], kept: _Kept
) -> list[np.ndarray]:
    """Returns what remains of a layer's weights."""
    if isinstance(layer, keras.layers.BatchNormalization):
        return [value[kept.inputs] for value in values]
    if isinstance(layer, (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)):
        kernel, *bias = values
        return [kernel[..., kept.inputs, :], *(value[kept.inputs] for value in bias)]
    if kept.shift is not None:
        values = _shifted(layer, values, kept.shift)
    if hasattr(layer, "pointwise_kernel"):
        depthwise, pointwise, *bias = values
        if kept.inputs is not None:
            depthwise = depthwise[..., kept.inputs, :]
        return [depthwise, _cut(pointwise, kept), *(_cut_bias(b, kept) for b in bias)]
    kernel, *bias = values
    return [_cut(kernel, kept), *(_cut_bias(b, kept) for b in bias)]


def _shifted(
    layer: keras.layers.Layer, values: list[np.ndarray], shift: np.ndarray
) -> list[np.ndarray]:
    """Adds to a layer's bias, or gives it one."""
    if layer.use_bias:
        return [*values[:-1], values[-1] + shift]
    return [*values, shift.astype(values[-1].dtype)]


def _cut(kernel: np.ndarray, kept: _Kept) -> np.ndarray:
    if kept.inputs is not None:
        kernel = kernel[..., kept.inputs, :]
    return kernel if kept.outputs is None else kernel[..., kept.outputs]


def _cut_bias(bias: np.ndarray, kept: _Kept) -> np.ndarray:
    return bias if kept.outputs is None else bias[kept.outputs]
