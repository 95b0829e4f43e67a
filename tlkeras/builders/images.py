"""Builders of image models: preprocessing, backbone and head as one Keras model."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from tlkeras.builders.assembly import (
    Goal,
    building,
    classification,
    finish,
    regression,
)
from tlkeras.builders.recording import note_backbone, recorded
from tlkeras.builders.transfer_model import TransferModel
from tlkeras.inputs.pictures.backbones import load_backbone


@recorded
def image_classifier(
    backbone: str | keras.Model,
    classes: int | Sequence[str],
    *,
    head: str = "pool",
    hidden: Sequence[int] = (),
    dropout: float = 0.0,
    weight_decay: float = 0.0,
    label_smoothing: float = 0.0,
    multi_label: bool = False,
    loss: Any = None,
    weights: str | Path | None = "pretrained",
    input_shape: int | tuple[int, ...] | None = None,
    preprocessing: Any = "auto",
) -> TransferModel:
    """Builds an image classifier on a frozen backbone, compiled, ready for `fine_tune`.

    Raw pixels (0 to 255) go in; the preprocessing that belongs to the backbone is a
    layer of the model. Probabilities come out, in float32.

    Args:
        backbone: A name from `tl.list_backbones()`, a KerasHub preset name or local
            preset folder, or a functional `keras.Model` of your own.
        classes: The number of classes, or their names in the order of the labels.
        head: `"pool"` averages the feature map, `"flatten"` keeps every place, as the
            classic VGG16 recipe does.
        hidden: Units of relu layers between features and outputs: `(256,)`.
        dropout: Dropout before each Dense layer of the head, in [0, 1).
        weight_decay: L2 penalty on the head's kernels.
        label_smoothing: Share of each label spread over all classes, in [0, 1).
        multi_label: Whether an image may have several labels or none: sigmoid outputs,
            binary cross-entropy, labels of shape `(n, classes)`.
        loss: `None`: cross-entropy. `"focal"`: focal loss (gamma 2), which turns from
            examples that are already right to those that are not, such as those of
            rare classes. Or a Keras loss, its name, or a function of labels and
            probabilities. Losses of Keras take class numbers here too.
        weights: `"pretrained"` (or `"imagenet"`), `None` for random ones, a weights
            file, or a folder that holds it.
        input_shape: `(height, width, channels)`, or one number for a square picture;
            the backbone's own size by default.
        preprocessing: `"auto"`, `None`, another family's name, or a layer, for
            backbones of your own.

    Returns:
        A `TransferModel`.

    Raises:
        ValueError: If an argument is not one of the above.
        FileNotFoundError: If the weights are neither here nor to be downloaded.

    Example:

    >>> model = tl.image_classifier("vgg16", ["cat", "dog"], weights=None,
    ...                             head="flatten", hidden=(256,))
    >>> model.output_shape
    (None, 2)

    Reference:
        The Keras guide to transfer learning and fine-tuning,
        https://keras.io/guides/transfer_learning/; focal loss: Lin et al., Focal Loss
        for Dense Object Detection (2017).
    """
    goal = classification(classes, multi_label, label_smoothing, loss)
    resolving = {
        "backbone": backbone,
        "weights": weights,
        "input_shape": input_shape,
        "preprocessing": preprocessing,
    }
    return _image_model(
        resolving,
        goal,
        head=head,
        hidden=hidden,
        dropout=dropout,
        weight_decay=weight_decay,
    )


@recorded
def image_regressor(
    backbone: str | keras.Model,
    outputs: int = 1,
    *,
    head: str = "pool",
    hidden: Sequence[int] = (),
    dropout: float = 0.0,
    weight_decay: float = 0.0,
    loss: str | keras.losses.Loss = "mean_squared_error",
    weights: str | Path | None = "pretrained",
    input_shape: int | tuple[int, ...] | None = None,
    preprocessing: Any = "auto",
) -> TransferModel:
    """Builds an image regressor on a frozen backbone, compiled, ready for `fine_tune`.

    Args:
        backbone: As in `tl.image_classifier`.
        outputs: Numbers to predict for each image.
        head: As in `tl.image_classifier`.
        hidden: As in `tl.image_classifier`.
        dropout: As in `tl.image_classifier`.
        weight_decay: As in `tl.image_classifier`.
        loss: A Keras loss or its name. Targets of very different sizes should be
            scaled before.
        weights: As in `tl.image_classifier`.
        input_shape: As in `tl.image_classifier`.
        preprocessing: As in `tl.image_classifier`.

    Returns:
        A `TransferModel` whose `task` is `"regression"`, with linear float32 outputs of
        shape `(batch, outputs)`.

    Raises:
        ValueError: If an argument is not one of the above.
        FileNotFoundError: If the weights are neither here nor to be downloaded.

    Example:

    >>> tl.image_regressor("glyphnet").output_shape
    (None, 1)
    """
    resolving = {
        "backbone": backbone,
        "weights": weights,
        "input_shape": input_shape,
        "preprocessing": preprocessing,
    }
    return _image_model(
        resolving,
        regression(outputs, loss),
        head=head,
        hidden=hidden,
        dropout=dropout,
        weight_decay=weight_decay,
    )


def _image_model(resolving: dict, goal: Goal, **heading: Any) -> TransferModel:
    """Puts preprocessing, backbone and head together."""
    shape = resolving["input_shape"]

    def build() -> keras.Model:
        return load_backbone(**{**resolving, "weights": None}).model

    with building(resolving["backbone"], f" at {shape}" if shape else "", build):
        loaded = load_backbone(**resolving)
        note_backbone(loaded.name, loaded.licence)
        inputs = keras.Input(loaded.input_shape, dtype="float32", name="image")
        x = loaded.preprocessing(inputs) if loaded.preprocessing else inputs
        return finish(inputs, loaded.model(x), loaded.name, goal, heading)
