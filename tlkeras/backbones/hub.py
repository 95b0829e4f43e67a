"""KerasHub: preset names of images and text, loading presets, their pixel scaling."""

import inspect
import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple, TypeVar

import keras

from tlkeras._validation import optional_import
from tlkeras.backbones.applications import full_input_shape
from tlkeras.backbones.preprocessing import Scaling, scaling_layer
from tlkeras.backbones.table import InputShape
from tlkeras.backbones.weights import (
    Weights,
    brief,
    find_weights_file,
    load_weights_file,
)

# The KerasHub backbones that turn one image into features. Those for segmentation,
# detection or several inputs at once are built around one of these.
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
    "SwinTransformerBackbone",
    "VGGBackbone",
    "ViTBackbone",
    "ViTDetBackbone",
    "XceptionBackbone",
)

# The end of the name of the preprocessor that KerasHub has for a text backbone, and
# how such a backbone reads.
_TEXT_PREPROCESSORS = {
    "TextClassifierPreprocessor": "encoder",
    "CausalLMPreprocessor": "decoder",
}

# It pads on the left, to multiples of 16; everything here pads on the right.
_PADDED_ON_THE_LEFT = "RWKV7Backbone"

_HUB_PATIENCE = 5.0

_Loaded = TypeVar("_Loaded")


class TextFamily(NamedTuple):
    """What KerasHub's registry says of one class of text backbones."""

    kind: str
    only_text: bool


def image_presets() -> list[str]:
    """Returns the names of KerasHub's presets of image backbones, sorted."""
    models = _keras_hub().models
    classes = [getattr(models, name) for name in IMAGE_BACKBONES]
    return sorted({preset for each in classes for preset in each.presets})


def text_families() -> dict[type, TextFamily]:
    """Returns the classes of KerasHub's backbones that read text, and how they do."""
    models = _keras_hub().models
    # The one encoder without a preprocessor of its own.
    families = {models.ElectraBackbone: TextFamily("encoder", True)}
    for ending, kind in _TEXT_PREPROCESSORS.items():
        for name in (name for name in dir(models) if name.endswith(ending)):
            preprocessor = getattr(models, name)
            backbone = preprocessor.backbone_cls
            if backbone is not None and backbone.__name__ != _PADDED_ON_THE_LEFT:
                only_text = preprocessor.image_converter_cls is None
                families[backbone] = TextFamily(kind, only_text)
    return families


def text_presets() -> list[str]:
    """Returns the names of KerasHub's presets of text backbones, sorted."""
    return sorted(
        {
            preset
            for backbone, family in text_families().items()
            for preset, about in backbone.presets.items()
            if family.only_text or "text-only" in about["metadata"]["description"]
        }
    )


def is_preset(name: str) -> bool:
    """Whether `name` is a preset folder, a handle (`hf://...`) or a preset name."""
    if "://" in name or Path(name).expanduser().is_dir():
        return True
    return name in _keras_hub().models.Backbone.presets


def preset_name(preset: str) -> str:
    """Returns the last part of a path or handle that is no version number."""
    return next(part for part in reversed(Path(preset).parts) if not part.isdigit())


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


def fetch(
    preset: str, load: Callable[[str], _Loaded], companion: str, files: str
) -> _Loaded:
    """Loads from a preset, and says what to do where that fails.

    Args:
        preset: A preset name, a handle or a local preset folder.
        load: Loads from what KerasHub takes for a preset.
        companion: The class that the preset holds besides the backbone, for the
            message.
        files: What a folder must hold, for the message.

    Returns:
        What `load` returns.

    Raises:
        FileNotFoundError: If the preset cannot be downloaded.
        ValueError: If it is a folder that cannot be loaded.
    """
    is_folder = "://" not in preset and Path(preset).expanduser().is_dir()
    try:
        if is_folder:
            return load(str(Path(preset).expanduser()))
        if preset.startswith("hf://"):
            _check_hugging_face(preset)
        return load(preset)
    except Exception as error:
        cause = f"({brief(error)})"
        if is_folder:
            raise ValueError(
                f"The folder {preset!r} could not be loaded as a KerasHub preset "
                f"{cause}. It must hold {files}."
            ) from error
        raise FileNotFoundError(
            f"The KerasHub preset {preset!r} could not be downloaded {cause}. Without "
            "a network, pass a local preset folder: where there is one, run "
            f"`keras_hub.models.Backbone.from_preset({preset!r})"
            ".save_to_preset('folder')`, the same for "
            f"`{companion}`, and copy the folder."
        ) from error


def _keras_hub() -> ModuleType:
    return optional_import("keras_hub", "A KerasHub backbone", "keras-nlp")


def _check_is_image_preset(preset: str) -> None:
    known = _keras_hub().models.Backbone.presets
    if preset in known and preset not in image_presets():
        raise ValueError(
            f"The KerasHub preset {preset!r} is not an image backbone. "
            "`tlkeras.list_backbones()` lists those that are."
        )


def _from_preset(preset: str, load_weights: bool) -> tuple[keras.Model, Any]:
    def load(source: str) -> tuple[keras.Model, Any]:
        backbone = _keras_hub().models.Backbone.from_preset(
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


def _check_hugging_face(preset: str) -> None:
    """Fails at once where the Hugging Face client would retry for half a minute."""
    huggingface_hub = optional_import(
        "huggingface_hub", "A preset of Hugging Face", "huggingface_hub"
    )
    handle = preset.removeprefix("hf://")
    if huggingface_hub.try_to_load_from_cache(handle, "config.json"):
        return
    host = os.environ.get("HF_ENDPOINT", "https://huggingface.co")
    try:
        urllib.request.urlopen(host, timeout=_HUB_PATIENCE).close()
    except urllib.error.HTTPError:
        return


def _image_converter(preset: str) -> Any:
    """Returns the preset's image converter, `None` where it has none."""
    layers = _keras_hub().layers
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
