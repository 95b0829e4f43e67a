"""From an image backbone's name, preset or model to that and its preprocessing."""

import math
import os
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakKeyDictionary

import keras

from tlkeras._keras import is_functional
from tlkeras._validation import unknown_name
from tlkeras.backbones import hub
from tlkeras.backbones.applications import full_input_shape, load_entry
from tlkeras.backbones.loaded import LoadedBackbone, refuse_whole_model
from tlkeras.backbones.table import (
    TABLE,
    InputShape,
    TableEntry,
    entries_by_family,
    entry_for,
    entry_for_model_name,
)
from tlkeras.backbones.weights import Weights, find_weights_file, load_weights_file
from tlkeras.inputs.pictures.preprocessing import entry_scaling_layer, scales_its_input
from tlkeras.inputs.pictures.presets import (
    converter_scaling,
    image_presets,
    load_preset,
)

# `"auto"`, `None`, the name of a backbone or of its family, or a layer.
Preprocessing = str | keras.layers.Layer | None


@dataclass(frozen=True, eq=False)
class LoadedImageBackbone(LoadedBackbone):
    """An image backbone that is ready for a head.

    Attributes:
        model: Functional `keras.Model` with one image input of shape `(batch, height,
            width, channels)` and one output: a feature map `(batch, height, width,
            channels)`, tokens `(batch, tokens, channels)` or a vector.
        name: As in `LoadedBackbone`.
        licence: As in `LoadedBackbone`.
        preprocessing: The layer from raw 0..255 pixels to what `model` expects, or
            `None` where raw pixels go in.
        input_shape: `(height, width, channels)`, `None` for a side of any length.
    """

    preprocessing: keras.layers.Layer | None
    input_shape: tuple


class _Origin(NamedTuple):
    """What was known of a model when it was loaded by name."""

    name: str
    licence: str | None
    preprocessing: keras.layers.Layer | None
    input_shape: tuple


_ORIGINS: WeakKeyDictionary[keras.Model, _Origin] = WeakKeyDictionary()


def backbone_names() -> list[str]:
    """Returns the names of image backbones: the table's, then KerasHub's presets."""
    return [*TABLE, *image_presets()]


def claims_backbone(backbone: str | os.PathLike | keras.Model) -> bool:
    """Whether `backbone` may take pictures.

    Args:
        backbone: As in `load_backbone`, or what belongs to another kind of input.

    Returns:
        `True` for every name in `backbone_names`, and for every model, preset, folder
        and handle, since many cannot be told from those of another kind of input
        unless they are loaded. So pictures take what no other kind claims.
    """
    if not isinstance(backbone, str | os.PathLike):
        return isinstance(backbone, keras.Model)
    return _table_entry(backbone) is not None or hub.is_preset(os.fspath(backbone))


def load_backbone(
    backbone: str | os.PathLike | keras.Model,
    *,
    weights: Weights = "pretrained",
    input_shape: InputShape = None,
    preprocessing: Preprocessing = "auto",
) -> LoadedImageBackbone:
    """Turns whatever names an image backbone into a model and its preprocessing.

    Args:
        backbone: A name in `backbone_names`, a local preset folder, a KerasHub handle
            (`"hf://..."`, `"kaggle://..."`), or an image model, such as a KerasHub
            backbone.
        weights: `"pretrained"` (the published weights, downloaded when first needed),
            `None` (random), a weights file (`.h5`, `.weights.h5`, `.keras`), or the
            folder that holds the published file. A model keeps its weights, unless
            this is a weights file. Defaults to `"pretrained"`.
        input_shape: `int`, `(height, width)` or `(height, width, channels)` in pixels.
            With a model: must be one that it takes. Defaults to `None`: the shape that
            the backbone was pretrained at.
        preprocessing: `"auto"`: the one that belongs to the backbone. `None`: raw
            0..255 pixels go in. A name (`"vgg16"`): what that backbone expects. A
            layer: that layer. Defaults to `"auto"`.

    Returns:
        A `LoadedImageBackbone`.

    Raises:
        FileNotFoundError: If the weights are neither here nor to be downloaded. The
            message names the file and the folder to put it into.
        ValueError: If there is no such backbone; `input_shape` or `weights` do not suit
            it; or a model is not functional, does not take one image, or ends in a
            classifier.

    Example:

    >>> from tlkeras.inputs.pictures.backbones import load_backbone
    >>> loaded = load_backbone("vgg16", weights=None, input_shape=64)
    >>> loaded.preprocessing.offset
    [-103.939, -116.779, -123.68]
    """
    _check_data_format()
    if isinstance(backbone, keras.Model):
        return _resolve_model(backbone, weights, input_shape, preprocessing)
    if not isinstance(backbone, str | os.PathLike):
        raise ValueError(
            "A backbone must be a name, a KerasHub preset or its folder, or a "
            f"functional `keras.Model`. Received: {backbone!r}."
        )
    name = os.fspath(backbone)
    entry = _table_entry(backbone)
    if entry is not None:
        return _resolve_entry(entry, weights, input_shape, preprocessing)
    if hub.is_preset(name):
        return _resolve_preset(name, weights, input_shape, preprocessing)
    raise hub.unknown_backbone("backbone", name, backbone_names())


def _table_entry(backbone: str | os.PathLike) -> TableEntry | None:
    return entry_for(backbone) if isinstance(backbone, str) else None


def _resolve_entry(
    entry: TableEntry,
    weights: Weights,
    input_shape: InputShape,
    preprocessing: Preprocessing,
) -> LoadedImageBackbone:
    model, licence = load_entry(entry, weights, input_shape)
    shape = tuple(model.inputs[0].shape[1:])
    automatic = entry_scaling_layer(entry, model, shape[-1])
    origin = _Origin(entry.name, licence, automatic, shape)
    return _finish(model, origin, preprocessing)


def _resolve_preset(
    preset: str, weights: Weights, input_shape: InputShape, preprocessing: Preprocessing
) -> LoadedImageBackbone:
    backbone, converter, shape = load_preset(preset, weights, input_shape)
    refuse_whole_model(backbone)
    model = _one_image_to_one_tensor(backbone)
    name = hub.preset_name(preset)
    if converter is None:
        chosen = _choose(preprocessing, model, lambda: _guess_preprocessing(model))
        return LoadedImageBackbone(model, name, None, chosen, shape)
    scaling = converter_scaling(converter, shape[-1])
    return _finish(model, _Origin(name, None, scaling, shape), preprocessing)


def _resolve_model(
    backbone: keras.Model,
    weights: Weights,
    input_shape: InputShape,
    preprocessing: Preprocessing,
) -> LoadedImageBackbone:
    refuse_whole_model(backbone)
    model = _one_image_to_one_tensor(backbone)
    _check_no_classifier(model)
    origin = _ORIGINS.get(backbone)
    shape = _model_shape(model, input_shape, origin)
    if weights not in ("pretrained", None):
        load_weights_file(model, find_weights_file(weights), model.name)
        origin = origin and origin._replace(licence=None)
    if origin is None:
        chosen = _choose(preprocessing, model, lambda: _guess_preprocessing(model))
        return LoadedImageBackbone(model, model.name, None, chosen, shape)
    return _finish(model, origin._replace(input_shape=shape), preprocessing)


def _finish(
    model: keras.Model, origin: _Origin, preprocessing: Preprocessing
) -> LoadedImageBackbone:
    _ORIGINS[model] = origin
    chosen = _choose(preprocessing, model, lambda: _copy(origin.preprocessing))
    return LoadedImageBackbone(
        model, origin.name, origin.licence, chosen, origin.input_shape
    )


def _copy(layer: keras.layers.Layer | None) -> keras.layers.Layer | None:
    # A layer that is used in a graph refers to the models after it: a layer handed out
    # would keep its own key in `_ORIGINS` alive.
    return layer and type(layer).from_config(layer.get_config())


def _choose(
    preprocessing: Preprocessing,
    model: keras.Model,
    automatic: Callable[[], keras.layers.Layer | None],
) -> keras.layers.Layer | None:
    if preprocessing is None or isinstance(preprocessing, keras.layers.Layer):
        return preprocessing
    if not isinstance(preprocessing, str):
        raise ValueError(
            "`preprocessing` must be 'auto', None, the name of a backbone, or a Keras "
            f"layer. Received: preprocessing={preprocessing!r}."
        )
    return automatic() if preprocessing == "auto" else _named(preprocessing, model)


def _named(preprocessing: str, model: keras.Model) -> keras.layers.Layer | None:
    families = entries_by_family()
    entry = entry_for(preprocessing) or families.get(preprocessing.lower())
    if entry is None:
        raise unknown_name("preprocessing", preprocessing, {"auto", *TABLE, *families})
    if not entry.scales_itself and scales_its_input(model):
        raise ValueError(
            f"{model.name!r} scales its pixels itself; preprocessing="
            f"{preprocessing!r} would scale them twice. Pass preprocessing=None."
        )
    return entry_scaling_layer(entry, model, model.inputs[0].shape[-1])


def _guess_preprocessing(model: keras.Model) -> keras.layers.Layer | None:
    """Returns what a model that was not loaded here needs, as far as can be seen."""
    if scales_its_input(model):
        return None
    entry = entry_for_model_name(model.name)
    if entry is not None:
        return entry_scaling_layer(entry, model, model.inputs[0].shape[-1])
    warnings.warn(
        f"The preprocessing of {model.name!r} is not known: raw pixel values, 0 to "
        "255, will go into it. Pass `preprocessing=` the name of a backbone that "
        "expects the same pixels ('mobilenet_v2': -1 to 1), a Keras layer such as "
        "keras.layers.Rescaling(1 / 255), or None if raw pixels are right.",
        UserWarning,
        stacklevel=2,
    )
    return None


def _one_image_to_one_tensor(model: keras.Model) -> keras.Model:
    """Returns `model`, or one over the same layers with one input and one output."""
    if not is_functional(model):
        raise ValueError(
            f"The backbone {model.name!r} ({type(model).__name__}) is not a functional "
            "model, so its layers cannot be told apart or split. Build it with "
            "`keras.Model(inputs, outputs)` or `keras.Sequential` with an `Input`."
        )
    shapes = [tuple(tensor.shape) for tensor in model.inputs]
    if len(shapes) != 1 or len(shapes[0]) != 4:
        raise ValueError(
            f"The backbone {model.name!r} must take one batch of images, (batch, "
            f"height, width, channels). Its inputs: {shapes}."
        )
    features = _deepest(model.outputs)
    if len(features.shape) not in (2, 3, 4):
        raise ValueError(
            f"The backbone {model.name!r} must give a feature map, tokens or a vector. "
            f"Its output: {tuple(features.shape)}."
        )
    if isinstance(model, keras.Sequential) or not (
        isinstance(model.input, keras.KerasTensor)
        and isinstance(model.output, keras.KerasTensor)
    ):
        return keras.Model(model.inputs[0], features, name=model.name)
    return model


def _deepest(outputs: list[keras.KerasTensor]) -> keras.KerasTensor:
    """Returns the smallest feature map, the last one among equals."""

    def depth(indexed: tuple[int, keras.KerasTensor]) -> tuple[int, int]:
        index, tensor = indexed
        sides = tensor.shape[1:-1]
        return (0 if None in sides else -math.prod(sides), index)

    return max(enumerate(outputs), key=depth)[1]


def _check_no_classifier(model: keras.Model) -> None:
    last = model.layers[-1]
    ends_in_softmax = (
        isinstance(last, keras.layers.Softmax)
        or getattr(last, "activation", None) is keras.activations.softmax
    )
    if ends_in_softmax and len(model.outputs[0].shape) == 2:
        raise ValueError(
            f"The backbone {model.name!r} ends in a classifier of its own, the softmax "
            f"layer {last.name!r}. Build it with include_top=False, or pass "
            "`keras.Model(model.input, features)` with the features to build on."
        )


def _model_shape(
    model: keras.Model, input_shape: InputShape, origin: _Origin | None
) -> tuple:
    own = tuple(model.inputs[0].shape[1:])
    if input_shape is None:
        return origin.input_shape if origin else own
    shape = full_input_shape(input_shape, own)
    if any(side not in (None, asked) for side, asked in zip(own, shape, strict=True)):
        raise ValueError(
            f"The backbone {model.name!r} takes images of shape {own}. "
            f"Received: input_shape={input_shape!r}; leave it out, and read the "
            f"pictures with image_size={own[:2]}; or build the model for that shape: "
            "where it is convolutional its weights fit, "
            "`new.set_weights(old.get_weights())`."
        )
    return shape


def _check_data_format() -> None:
    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            "Images must have their channels last. Received: "
            f"image_data_format={keras.config.image_data_format()!r}; call "
            "keras.config.set_image_data_format('channels_last')."
        )
