"""From a name or a model to a backbone of series."""

import os
from pathlib import Path
from typing import Any

import keras

from tlkeras._keras import is_functional
from tlkeras._validation import unknown_name
from tlkeras.backbones.loaded import LoadedBackbone, refuse_whole_model
from tlkeras.backbones.weights import find_weights_file, load_weights_file
from tlkeras.inputs.series.networks import LONGEST, NETWORKS


def load_backbone(
    backbone: str | keras.Model,
    weights: str | Path | None = "pretrained",
    window: int = LONGEST,
    channels: int = 1,
) -> LoadedBackbone:
    """Turns what names a backbone of series into a model.

    Args:
        backbone: A name in `NETWORKS`, or a functional `keras.Model` from `(batch,
            steps, 2 * channels)`, or `(batch, steps, channels)`, to `(batch, places,
            width)` or `(batch, width)`.
        weights: `"pretrained"` (or `"synthetic"`), `None` for random ones, or a weights
            file. A model keeps its weights, unless this is a file.
        window: Steps of a window.
        channels: Of a window.

    Raises:
        FileNotFoundError: If a weights file is not there.
        ValueError: If there is no such backbone, or the arguments do not suit it.

    Example:

    >>> load_backbone("gru", weights=None, window=48).model.output_shape
    (None, 48, 64)
    """
    if isinstance(backbone, keras.Model):
        return _own(backbone, weights, window, channels)
    if not isinstance(backbone, str) or backbone not in NETWORKS:
        raise unknown_name("backbone", backbone, NETWORKS)
    network = NETWORKS[backbone]
    ships = weights in ("pretrained", "synthetic")
    if ships and network.weights is None:
        raise ValueError(
            f"{backbone!r} has no weights that ship with tlkeras; 'patch_transformer' "
            f"has. Received: weights={weights!r}. Pass weights=None for random ones "
            "and train it whole, `tl.fine_tune(..., unfreeze_from=1.0)`; or a file."
        )
    model = network.build(window, channels)
    if weights is None:
        return LoadedBackbone(model, backbone, None)
    if ships:
        file = Path(__file__).with_name(network.weights)
    else:
        file = find_weights_file(weights)
    load_weights_file(model, file, backbone)
    return LoadedBackbone(model, backbone, network.licence if ships else None)


def _own(
    backbone: keras.Model, weights: Any, window: int, channels: int
) -> LoadedBackbone:
    refuse_whole_model(backbone)
    shapes = [tuple(tensor.shape) for tensor in getattr(backbone, "inputs", ())]
    fits = (
        is_functional(backbone)
        and len(shapes) == len(backbone.outputs) == 1
        and len(shapes[0]) == 3
        and shapes[0][1] in (None, window)
        and shapes[0][2] in (channels, 2 * channels)
        and len(backbone.outputs[0].shape) in (2, 3)
    )
    if not fits:
        raise ValueError(
            f"The backbone {backbone.name!r} must be a functional model from (batch, "
            f"{window}, {2 * channels}), scaled values and marks of gaps, or (batch, "
            f"{window}, {channels}), values alone, to one tensor (batch, places, "
            f"width) or (batch, width). Its inputs: {shapes}."
        )
    if isinstance(weights, (str, os.PathLike)) and weights not in (
        "pretrained",
        "synthetic",
    ):
        load_weights_file(backbone, find_weights_file(weights), backbone.name)
    return LoadedBackbone(backbone, backbone.name, None)
