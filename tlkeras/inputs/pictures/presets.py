"""KerasHub's presets of image backbones: their names, loading, their pixel scaling."""

import inspect
import json
from pathlib import Path
from typing import Any

import keras

from tlkeras.backbones.applications import full_input_shape
from tlkeras.backbones.hub import fetch, keras_hub
from tlkeras.backbones.table import InputShape
from tlkeras.backbones.weights import (
    Weights,
    brief,
    find_weights_file,
    load_weights_file,
)
from tlkeras.inputs.pictures.preprocessing import Scaling, scaling_layer

# The KerasHub backbones that turn one image into features: a vector, tokens or feature
# maps. Those for segmentation or several inputs at once are built around one of these.
IMAGE_BACKBONES = (
    "CSPNetBackbone",
    "DINOV2Backbone",
    "DINOV3Backbone",
    "DeiTBackbone",
    "DenseNetBackbone",
    "EfficientNetBackbone",
    "HGNetV2Backbone",
    "MiTBackbone",
    "MobileNetBackbone",
    "MobileNetV5Backbone",
    "ResNetBackbone",
    "RetinaNetBackbone",
    "SwinTransformerBackbone",
    "VGGBackbone",
    "ViTBackbone",
    "ViTDetBackbone",
    "XceptionBackbone",
)


def image_presets() -> list[str]:
    """Returns the names of KerasHub's presets of image backbones, sorted."""
    models = keras_hub().models
    # KerasHub 0.26 lacks some of them.
    classes = [getattr(models, x) for x in IMAGE_BACKBONES if hasattr(models, x)]
    return sorted({preset for each in classes for preset in each.presets})


def load_preset(
    preset: str,
    weights: Weights,
    input_shape: InputShape,
) -> tuple[keras.Model, Any, tuple]:
    """Loads an image backbone of KerasHub.

    Args:
        preset: A preset name, a handle or a local preset folder.
        weights: `"pretrained"`, `None` (random), or a weights file.
        input_shape: As in `full_input_shape`. `None`: that of the preset, or else the
            size that its image converter resizes to.

    Returns:
        The backbone, its image converter (`None` where it has none), and its input
        shape.

    Raises:
        FileNotFoundError: If the preset cannot be downloaded.
        ValueError: If it is no image backbone, or `input_shape` does not suit it.
    """
    _check_is_image_preset(preset)
    file = None if weights in ("pretrained", None) else find_weights_file(weights)
    backbone, converter = _from_preset(preset, load_weights=weights == "pretrained")
    shape = _preset_shape(backbone, converter, input_shape)
    backbone = _with_image_shape(backbone, shape, preset)
    if file is not None:
        load_weights_file(backbone, file, preset)
    return backbone, converter, shape


def converter_scaling(converter: Any, channels: int) -> keras.layers.Layer | None:
    """Makes the layer that scales as a KerasHub image converter does.

    Args:
        converter: `keras_hub.layers.ImageConverter`. What it says of resizing is left
            to the data.
        channels: `int`. Channels of the images.

    Returns:
        A layer, or `None` where the converter only resizes.
    """
    scale, offset = converter.scale, converter.offset
    if scale is None and offset is None:
        return None
    scaling = Scaling(
        1.0 if scale is None else scale, 0.0 if offset is None else offset
    )
    return scaling_layer(scaling, channels)


def _check_is_image_preset(preset: str) -> None:
    known = keras_hub().models.Backbone.presets
    if preset in known and preset not in image_presets():
        raise ValueError(
            f"The KerasHub preset {preset!r} is not an image backbone. "
            "`tlkeras.list_backbones()` lists those that are."
        )


def _from_preset(preset: str, load_weights: bool) -> tuple[keras.Model, Any]:
    def load(source: str) -> tuple[keras.Model, Any]:
        backbone = keras_hub().models.Backbone.from_preset(
            source, load_weights=load_weights
        )
        return backbone, _image_converter(source)

    return fetch(
        preset,
        load,
        "keras_hub.layers.ImageConverter",
        "`config.json` and `model.weights.h5`, as "
        "`backbone.save_to_preset(folder)` writes them",
    )


def _image_converter(preset: str) -> Any:
    """Returns the preset's image converter, `None` where it has none."""
    layers = keras_hub().layers
    try:
        return layers.ImageConverter.from_preset(preset)
    except (FileNotFoundError, ValueError):
        return _converter_in_preprocessor(Path(preset))


def _converter_in_preprocessor(folder: Path) -> Any:
    file = folder / "preprocessor.json"
    if not file.is_file():
        return None
    config = json.loads(file.read_text(encoding="utf-8"))["config"]
    converter = config.get("image_converter")
    return converter and keras.saving.deserialize_keras_object(converter)


def _preset_shape(
    backbone: keras.Model, converter: Any, input_shape: InputShape
) -> tuple:
    own = tuple(backbone.inputs[0].shape[1:])
    if input_shape is None and None in own and getattr(converter, "image_size", None):
        input_shape = tuple(converter.image_size)
    if input_shape is None:
        return own
    return full_input_shape(input_shape, own)


def _with_image_shape(backbone: keras.Model, shape: tuple, preset: str) -> keras.Model:
    """Returns `backbone`, or a copy of it that takes images of another shape."""
    own = tuple(backbone.inputs[0].shape[1:])
    if shape == own:
        return backbone
    takes = inspect.signature(type(backbone).__init__).parameters
    argument = "image_shape" if "image_shape" in takes else "input_shape"
    config = {**backbone.get_config(), argument: shape, "name": backbone.name}
    try:
        resized = type(backbone).from_config(config)
        resized.set_weights(backbone.get_weights())
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{preset!r} cannot take images of shape {shape}; its own is {own} "
            f"({brief(error)}). Leave `input_shape` out, or pass "
            "one that suits it."
        ) from error
    return resized
