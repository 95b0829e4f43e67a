"""KerasHub's text backbones: their classes, how they read, their presets' names."""

from typing import NamedTuple

from tlkeras.backbones.hub import keras_hub

# The end of the name of the preprocessor that KerasHub has for a text backbone, and
# how such a backbone reads.
_TEXT_PREPROCESSORS = {
    "TextClassifierPreprocessor": "encoder",
    "CausalLMPreprocessor": "decoder",
}

# It pads on the left, to multiples of 16; everything here pads on the right.
_PADDED_ON_THE_LEFT = "RWKV7Backbone"


class TextFamily(NamedTuple):
    """What KerasHub's registry says of one class of text backbones."""

    kind: str
    only_text: bool


def text_families() -> dict[type, TextFamily]:
    """Returns the classes of KerasHub's backbones that read text, and how they do."""
    models = keras_hub().models
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
