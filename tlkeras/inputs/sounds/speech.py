"""Encoders of speech as backbones of sounds: by preset, folder or KerasHub model."""

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import keras

from tlkeras.backbones.hub import fetch, keras_hub, preset_name
from tlkeras.backbones.loaded import LoadedBackbone, refuse_whole_model
from tlkeras.inputs.sounds import moonshine, whisper

# Both were trained on it.
RATE = 16_000


class SpeechFamily(NamedTuple):
    """Encoders of one architecture.

    Attributes:
        name: What KerasHub's names of its class and presets begin with.
        encoder: Makes, of KerasHub's model and a name, the Keras model of its encoder.
        heard: Makes, of symbolic waves `(batch, samples)` and the encoder, its input.
        seconds: Returns, of KerasHub's model, the shortest and the longest sound that
            it takes.
        policy: The one dtype policy that KerasHub's layers of it can have; `None`: any.
    """

    name: str
    encoder: Callable[[keras.Model, str], keras.Model]
    heard: Callable[[keras.KerasTensor, keras.Model], keras.KerasTensor]
    seconds: Callable[[keras.Model], tuple[float, float]]
    policy: str | None = None


_FAMILIES = (
    SpeechFamily("Whisper", whisper.encoder, whisper.heard, whisper.seconds),
    # Its blocks add what a layer of float32 gives to what comes in, unconverted.
    SpeechFamily(
        "Moonshine", moonshine.encoder, moonshine.heard, moonshine.seconds, "float32"
    ),
)


@dataclass(frozen=True, eq=False)
class LoadedSpeechBackbone(LoadedBackbone):
    """An encoder of speech that is ready for a head.

    Attributes:
        model: As in `LoadedBackbone`; to features `(batch, places, width)`.
        name: As in `LoadedBackbone`.
        licence: As in `LoadedBackbone`.
        family: What it is one of.
        seconds: The shortest and the longest sound that it takes.
    """

    family: SpeechFamily
    seconds: tuple[float, float]

    def features(self, waves: keras.KerasTensor, sample_rate: int) -> keras.KerasTensor:
        """Returns its features of symbolic waves `(batch, samples)`.

        Args:
            waves: Of one length.
            sample_rate: Their samples per second.

        Raises:
            ValueError: If it does not hear such waves.
        """
        name, (shortest, longest) = self.family.name, self.seconds
        if sample_rate != RATE:
            raise ValueError(
                f"{name} takes sounds of {RATE} samples per second. Received: "
                f"sample_rate={sample_rate}; read the data with that of {name}."
            )
        seconds = waves.shape[1] / sample_rate
        if not shortest <= seconds <= longest:
            raise ValueError(
                f"{self.name!r} hears {shortest:g} to {longest:g} seconds. Received: "
                f"seconds={seconds:g}; read the data, and build the model, with "
                "another length. `classify` averages windows of longer sounds."
            )
        return self.model(self.family.heard(waves, self.model))


def claims_backbone(backbone: Any) -> bool:
    """Whether `backbone` is an encoder of speech, a preset's name or a folder of one.

    Args:
        backbone: As in `load_encoder`, or what belongs to other kinds of input.
    """
    return _family(backbone) is not None


def speech_presets() -> list[str]:
    """Returns the names of KerasHub's presets of encoders of speech, sorted."""
    return sorted(name for family in _FAMILIES for name in _class(family).presets)


def load_encoder(
    backbone: Any, weights: Any = "pretrained", input_shape: Any = None
) -> LoadedSpeechBackbone:
    """Loads the encoder of a model that hears speech.

    Args:
        backbone: `"whisper_tiny_en"`, `"moonshine_tiny_en"` or another preset, a folder
            of one, or a KerasHub `WhisperBackbone` or `MoonshineBackbone`, whose layers
            are shared.
        weights: `"pretrained"` or `None` (random); a model keeps its own.
        input_shape: `None`: it takes no pictures.

    Raises:
        FileNotFoundError: If the preset cannot be downloaded.
        ValueError: If a folder cannot be loaded, or an argument is something else.
    """
    family = _family(backbone)
    if input_shape is not None:
        raise ValueError(
            f"{family.name} hears waves, and takes no shape in pixels. Received: "
            f"input_shape={input_shape!r}; leave it out."
        )
    if weights not in ("pretrained", None):
        raise ValueError(
            f"`weights` of {family.name} must be 'pretrained' or None; give the folder "
            f"of a preset as `backbone` for others. Received: weights={weights!r}."
        )
    if isinstance(backbone, keras.Model):
        refuse_whole_model(backbone)
        whole, name = backbone, backbone.name
        _check_policy(family, whole)
    else:
        whole = _from_preset(family, os.fspath(backbone), weights is not None)
        name = preset_name(os.fspath(backbone))
    encoder = family.encoder(whole, f"{name}_encoder")
    return LoadedSpeechBackbone(encoder, name, None, family, family.seconds(whole))


def _family(backbone: Any) -> SpeechFamily | None:
    if isinstance(backbone, keras.Model):
        return _of_class(type(backbone).__name__)
    if not isinstance(backbone, (str, os.PathLike)):
        return None
    config = Path(backbone).expanduser() / "config.json"
    if config.is_file():
        known = json.loads(config.read_text(encoding="utf-8"))
        return _of_class(known.get("class_name"))
    parts = Path(backbone).parts
    for family in _FAMILIES:
        if any(part.startswith(f"{family.name.lower()}_") for part in parts):
            return family
    return None


def _of_class(name: str | None) -> SpeechFamily | None:
    found = (each for each in _FAMILIES if f"{each.name}Backbone" == name)
    return next(found, None)


def _class(family: SpeechFamily) -> Any:
    return getattr(keras_hub().models, f"{family.name}Backbone")


def _check_policy(family: SpeechFamily, whole: keras.Model) -> None:
    if family.policy not in (None, whole.dtype_policy.name):
        raise ValueError(
            f"KerasHub's {family.name} computes in {family.policy} alone. Received: "
            f"{whole.name!r} with {whole.dtype_policy.name}; make it again with "
            f"dtype={family.policy!r}."
        )


def _from_preset(family: SpeechFamily, preset: str, load_weights: bool) -> keras.Model:
    policy = family.policy or keras.config.dtype_policy()

    def load(source: str) -> keras.Model:
        whole = _class(family)
        return whole.from_preset(source, load_weights=load_weights, dtype=policy)

    files = "`config.json` and `model.weights.h5`, as `backbone.save_to_preset(folder)`"
    companion = f"keras_hub.layers.{family.name}AudioConverter"
    return fetch(preset, load, companion, f"{files} writes them")
