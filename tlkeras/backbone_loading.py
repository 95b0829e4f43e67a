"""`tl.list_backbones` and `tl.load_backbone`: they ask each kind of input in turn."""

import fnmatch
import inspect
import os

import keras

from tlkeras._validation import unknown_name
from tlkeras.backbones.table import InputShape, folded
from tlkeras.backbones.weights import Weights
from tlkeras.inputs import Input, input_kinds


def list_backbones(pattern: str | None = None) -> list[str]:
    """Lists the names that `load_backbone` and the builders know.

    The embedded default comes first, then `keras.applications`, then the presets of
    KerasHub: those for images, for text and for speech.

    Args:
        pattern: `str`. Part of a name, whatever its case, `_` and `-`, or a pattern
            with `*`, `?` or `[...]` for the whole name. Defaults to `None`: all.

    Returns:
        A list of names.

    Example:

    >>> tl.list_backbones("mobilenetv3")[:2]
    ['mobilenet_v3_small', 'mobilenet_v3_large']
    """
    names = [name for each in input_kinds() for name in each.backbone_names()]
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

    >>> backbone = tl.load_backbone("vgg16", weights=None, input_shape=96)
    >>> backbone.output_shape
    (None, 3, 3, 512)
    """
    kind = kind_of_backbone(name)
    arguments = {"weights": weights}
    if input_shape is not None:
        if "input_shape" not in inspect.signature(kind.assemble).parameters:
            raise ValueError(
                f"The backbone {str(name)!r} takes no images, and so no shape in "
                f"pixels. Received: input_shape={input_shape!r}; leave it out."
            )
        arguments["input_shape"] = input_shape
    return kind.load_backbone(name, **arguments).model


def kind_of_backbone(name: str | os.PathLike | keras.Model) -> type[Input]:
    """Returns the kind of input that a backbone takes, or raises `ValueError`."""
    # The table begins with pictures, which take what no other kind claims.
    for each in reversed(input_kinds()):
        if each.claims_backbone(name):
            return each
    raise unknown_name("backbone", name, list_backbones())
