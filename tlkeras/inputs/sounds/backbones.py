"""Backbones of sounds: those of pictures, which see spectrograms."""

import os
import warnings
from typing import Any

import keras

from tlkeras.inputs.pictures import backbones as of_pictures
from tlkeras.inputs.pictures.backbones import LoadedImageBackbone
from tlkeras.inputs.pictures.preprocessing import (
    SCALINGS,
    scales_its_input,
    scaling_layer,
)
from tlkeras.inputs.sounds.spectrogram import LogMelSpectrogram


def load_backbone(
    backbone: str | os.PathLike | keras.Model, **arguments: Any
) -> LoadedImageBackbone:
    """Loads a backbone that takes spectrograms as it takes pictures.

    Args:
        backbone: As in `tlkeras.inputs.pictures.backbones.load_backbone`.
        **arguments: As there. `preprocessing="auto"` of a model of the user's own that
            does not scale its input is values from -1 to 1.
    """
    with warnings.catch_warnings():
        # What pictures of one's own need is not known; of spectrograms it is chosen.
        warnings.filterwarnings("ignore", "The preprocessing of .* is not known")
        loaded = of_pictures.load_backbone(backbone, **arguments)
    automatic = arguments.get("preprocessing", "auto") == "auto"
    own = isinstance(backbone, keras.Model) and loaded.preprocessing is None
    if not (automatic and own) or scales_its_input(loaded.model):
        return loaded
    return LoadedImageBackbone(
        loaded.model,
        loaded.name,
        loaded.licence,
        scaling_layer(SCALINGS["tf"], 1),
        loaded.input_shape,
    )


def as_pictures(
    waves: keras.KerasTensor,
    shape: tuple[int | None, ...],
    sample_rate: int,
    mels: int,
    relative: bool,
) -> keras.KerasTensor:
    """Returns spectrograms of waves as a backbone takes pictures.

    Args:
        waves: Symbolic tensor `(batch, samples)`.
        shape: `(height, width, channels)` that the backbone takes; `None` for a side of
            any length.
        sample_rate: Samples per second.
        mels: As in `LogMelSpectrogram`.
        relative: As in `LogMelSpectrogram`.

    Raises:
        ValueError: If the backbone takes neither grey nor RGB pictures.
    """
    height, width, channels = shape
    if channels not in (1, 3):
        raise ValueError(
            "A backbone of sounds must take spectrograms as pictures of 1 or 3 "
            f"channels. Received one of input shape {shape}."
        )
    layer = LogMelSpectrogram(sample_rate, mels, relative, name="spectrogram")
    if width is not None:
        # Averaged, not skipped, where there are more columns than places for them.
        layer.pooling = max(1, layer.columns(waves.shape[1]) // width)
    x = layer(waves)
    size = height or x.shape[1], width or x.shape[2]
    if size != tuple(x.shape[1:3]):
        x = keras.layers.Resizing(*size, dtype="float32", name="resizing")(x)
    if channels == 3:
        x = keras.layers.Concatenate(dtype="float32", name="channels")([x, x, x])
    return x
