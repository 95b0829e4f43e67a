"""From a backbone's name, preset or model to a feature model and its preprocessing."""

import fnmatch
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
from tlkeras.backbones.preprocessing import entry_scaling_layer, scales_its_input
from tlkeras.backbones.table import (
    TABLE,
    InputShape,
    TableEntry,
    entries_by_family,
    entry_for,
    entry_for_model_name,
    folded,
)
from tlkeras.backbones.text import (
    load_text_backbone,
    names_text_backbone,
    text_backbones,
)
from tlkeras.backbones.weights import Weights, find_weights_file, load_weights_file

# `"auto"`, `None`, the name of a backbone or of its family, or a layer.
Preprocessing = str | keras.layers.Layer | None


@dataclass(frozen=True, eq=False)
class LoadedBackbone:
    """A backbone that is ready for a head.

    Attributes:
        model: Functional `keras.Model` with one image input of shape `(batch, height,
            width, channels)` and one output: a feature map `(batch, height, width,
            channels)`, tokens `(batch, tokens, channels)` or a vector.
        preprocessing: The layer from raw 0..255 pixels to what `model` expects, or
            `None` where raw pixels go in.
        name: Its name: canonical, the preset's, or the model's own.
        licence: Licence of its weights, where it is known.
        input_shape: `(height, width, channels)`, `None` for a side of any length.
    """

    model: keras.Model
    preprocessing: keras.layers.Layer | None
    name: str
    licence: str | None
    input_shape: tuple


class _Origin(NamedTuple):
    """What was known of a model when it was loaded by name."""

    preprocessing: keras.layers.Layer | None
    name: str
    licence: str | None
    input_shape: tuple


_ORIGINS: WeakKeyDictionary[keras.Model, _Origin] = WeakKeyDictionary()


def list_backbones(pattern: str | None = None) -> list[str]:
    """Lists the names that `load_backbone` and the builders know.

    The embedded default comes first, then `keras.applications`, then the presets of
    KerasHub: those for images, then those for text.

    Args:
        pattern: `str`. Part of a name, whatever its case, `_` and `-`, or a pattern
            with `*`, `?` or `[...]` for the whole name. Defaults to `None`: all.

    Returns:
        A list of names.

    Example:

    >>> tl.list_backbones("mobilenetv3")[:2]
    ['mobilenet_v3_small', 'mobilenet_v3_large']
    """
    names = [*TABLE, *hub.image_presets(), *text_backbones()]
    if pattern is None:
        return names
    if any(wildcard in pattern for wildcard in "*?["):
        return fnmatch.filter(names, pattern.lower())
    return [name for name in names if folded(pattern) in folded(name)]


def load_backbone(
    name: str | os.PathLike | keras.Model,
    *,
    weights: Weights = "pretrained",
    input_shape: InputShape = None,
) -> keras.Model:
    """Loads a backbone: a network without its classifier.

    Use it to look at the layers of a backbone, or to change it, before it goes into a
    builder, which then still knows the preprocessing that belongs to it: raw images
    must be scaled, and texts tokenized, before they go into the model.

    Args:
        name: A name from `list_backbones`, a local preset folder, a KerasHub handle of
            an image backbone (`"hf://..."`, `"kaggle://..."`), or an image model.
        weights: `"pretrained"` (the published weights, downloaded when first needed),
            `None` (random), a weights file (`.h5`, `.weights.h5`, `.keras`), or the
            folder that holds the published file. Defaults to `"pretrained"`.
        input_shape: `int`, `(height, width)` or `(height, width, channels)` in pixels.
            Defaults to `None`: the shape that the backbone was pretrained at. Text
            backbones take none.

    Returns:
        A functional `keras.Model` from one batch of images to one feature tensor, or
        a KerasHub text backbone from a dictionary of tokens to what it gives. Its
        layers have the current dtype policy of Keras.

    Raises:
        FileNotFoundError: If the weights are neither here nor to be downloaded. The
            message names the file and the folder to put it into.
        ValueError: If there is no such backbone, or `input_shape` or `weights` do not
            suit it.

    Example:

    >>> backbone = tl.load_backbone("mobilenet_v2", weights=None, input_shape=96)
    >>> backbone.output_shape
    (None, 3, 3, 1280)
    """
    if _is_text(name):
        if input_shape is not None:
            raise ValueError(
                f"The backbone {os.fspath(name)!r} takes text, which has no shape in "
                f"pixels. Received: input_shape={input_shape!r}; leave it out."
            )
        return load_text_backbone(os.fspath(name), weights)
    return resolve_backbone(name, weights=weights, input_shape=input_shape).model


def _is_text(name: str | os.PathLike | keras.Model) -> bool:
    # The table is asked first: it needs no KerasHub.
    if not isinstance(name, str | os.PathLike) or entry_for(os.fspath(name)):
        return False
    return names_text_backbone(os.fspath(name))


def resolve_backbone(
    backbone: str | os.PathLike | keras.Model,
    *,
    weights: Weights = "pretrained",
    input_shape: InputShape = None,
    preprocessing: Preprocessing = "auto",
) -> LoadedBackbone:
    """Turns whatever names a backbone into a model and its preprocessing.

    Args:
        backbone: As `name` in `load_backbone`, a constructed KerasHub backbone
            included.
        weights: As in `load_backbone`. A model keeps its weights, unless this is a
            weights file.
        input_shape: As in `load_backbone`. With a model: must be one that it takes.
        preprocessing: `"auto"`: the one that belongs to the backbone. `None`: raw
            0..255 pixels go in. A name (`"vgg16"`): what that backbone expects. A
            layer: that layer. Defaults to `"auto"`.

    Returns:
        A `LoadedBackbone`.

    Raises:
        FileNotFoundError: As `load_backbone`.
        ValueError: As `load_backbone`, and if a model is not functional, does not take
            one image, or ends in a classifier.

    Example:

    >>> from tlkeras.backbones import resolve_backbone
    >>> loaded = resolve_backbone("vgg16", weights=None, input_shape=64)
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
    entry = entry_for(name) if isinstance(backbone, str) else None
    if entry is not None:
        return _resolve_entry(entry, weights, input_shape, preprocessing)
    if hub.is_preset(name):
        return _resolve_preset(name, weights, input_shape, preprocessing)
    raise unknown_name("backbone", name, list_backbones())


def _resolve_entry(
    entry: TableEntry,
    weights: Weights,
    input_shape: InputShape,
    preprocessing: Preprocessing,
) -> LoadedBackbone:
    model, licence = load_entry(entry, weights, input_shape)
    shape = tuple(model.inputs[0].shape[1:])
    automatic = entry_scaling_layer(entry, model, shape[-1])
    origin = _Origin(automatic, entry.name, licence, shape)
    return _finish(model, origin, preprocessing)


def _resolve_preset(
    preset: str, weights: Weights, input_shape: InputShape, preprocessing: Preprocessing
) -> LoadedBackbone:
    backbone, converter, shape = hub.load_preset(preset, weights, input_shape)
    model = _one_image_to_one_tensor(backbone)
    name = hub.preset_name(preset)
    if converter is None:
        chosen = _choose(preprocessing, model, lambda: _guess_preprocessing(model))
        return LoadedBackbone(model, chosen, name, None, shape)
    scaling = hub.converter_scaling(converter, shape[-1])
    return _finish(model, _Origin(scaling, name, None, shape), preprocessing)


def _resolve_model(
    backbone: keras.Model,
    weights: Weights,
    input_shape: InputShape,
    preprocessing: Preprocessing,
) -> LoadedBackbone:
    model = _one_image_to_one_tensor(backbone)
    _check_no_classifier(model)
    origin = _ORIGINS.get(backbone)
    shape = _model_shape(model, input_shape, origin)
    if weights not in ("pretrained", None):
        load_weights_file(model, find_weights_file(weights), model.name)
        origin = origin and origin._replace(licence=None)
    if origin is None:
        chosen = _choose(preprocessing, model, lambda: _guess_preprocessing(model))
        return LoadedBackbone(model, chosen, model.name, None, shape)
    return _finish(model, origin._replace(input_shape=shape), preprocessing)


def _finish(
    model: keras.Model, origin: _Origin, preprocessing: Preprocessing
) -> LoadedBackbone:
    _ORIGINS[model] = origin
    chosen = _choose(preprocessing, model, lambda: _copy(origin.preprocessing))
    return LoadedBackbone(
        model, chosen, origin.name, origin.licence, origin.input_shape
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
    if isinstance(getattr(model, "backbone", None), keras.Model):
        raise ValueError(
            f"{model.name!r} ({type(model).__name__}) is a whole model around a "
            "backbone. Pass its `.backbone`."
        )
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
            f"Received: input_shape={input_shape!r}; leave it out, or build the model "
            "for that shape."
        )
    return shape


def _check_data_format() -> None:
    if keras.config.image_data_format() != "channels_last":
        raise ValueError(
            "Images must have their channels last. Received: "
            f"image_data_format={keras.config.image_data_format()!r}; call "
            "keras.config.set_image_data_format('channels_last')."
        )
