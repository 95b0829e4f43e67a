"""Builders: backbone, preprocessing and head as one compiled model that saves whole."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras._validation import check_int, check_number
from tlkeras.backbones import resolve_backbone
from tlkeras.data import load_images, resize_image
from tlkeras.features.precision import dtype_policy, faster_precision
from tlkeras.freezing import find_backbone, freeze
from tlkeras.heads import ClassCrossentropy, add_head
from tlkeras.runtime import current_runtime, jit_compile
from tlkeras.saving import save_whole


@dataclass(frozen=True)
class Prediction:
    """What `TransferModel.classify` says of one input.

    Attributes:
        label: The most probable class; for multi-label models a tuple of all classes of
            probability 0.5 or more.
        probability: The probability of `label`; for multi-label models a tuple.
        probabilities: From each class name to its probability, in the model's order.
    """

    label: str | tuple[str, ...]
    probability: float | tuple[float, ...]
    probabilities: dict[str, float]


@keras.saving.register_keras_serializable("tlkeras")
class TransferModel(keras.Model):
    """A functional `keras.Model` of preprocessing, a nested backbone and a head.

    `tl.image_classifier` and its siblings make it; it fits, predicts, saves and loads
    as any Keras model does, and knows its classes.

    Attributes:
        task: `"classification"`, `"multi_label"` or `"regression"`.
        class_names: Tuple of `str`, or `None` for regression.
    """

    def __init__(self, inputs, outputs, name=None, **kwargs):
        super().__init__(inputs, outputs, name=name, **kwargs)
        self.task = None
        self.class_names = None

    @property
    def backbone(self) -> keras.Model:
        """The pretrained part, nested in this model."""
        return find_backbone(self)

    @property
    def head(self) -> keras.Model:
        """The part after the backbone, as a model over the same layers."""
        nodes = _keras.graph_nodes(self)
        call = next(node for node in nodes if node.operation is self.backbone)
        return keras.Model(call.outputs, self.outputs, name="head")

    def classify(self, inputs: Any, *, batch_size: int = 32) -> list[Prediction]:
        """Classifies pictures.

        Args:
            inputs: A path, a list of paths, or an array of raw pixels (0 to 255) of
                shape `(height, width, channels)` or `(n, height, width, channels)`.
                Any size: pictures are resized as in training.
            batch_size: Pictures per step.

        Returns:
            A list with one `Prediction` for each input, in order.

        Raises:
            ValueError: If the model is a regressor, a file cannot be read, or an
                array has another shape, is not numeric or not finite.

        Example:

        >>> model = tl.image_classifier("glyphnet", ["a", "b"])
        >>> model.classify(np.zeros((32, 32, 1)))[0].label in ("a", "b")
        True
        """
        if self.task not in ("classification", "multi_label"):
            raise ValueError(
                f"classify() is for classifiers; this model's task is {self.task!r}. "
                "Use predict() on an array of pixels; tl.load_images reads files."
            )
        check_int("batch_size", batch_size, 1)
        pixels = _to_pixels(inputs, self.input_shape)
        if not len(pixels):
            return []
        outputs = self.predict(pixels, batch_size=batch_size, verbose=0)
        return [self._prediction(row) for row in np.asarray(outputs, "float32")]

    def _prediction(self, row: np.ndarray) -> Prediction:
        named = dict(zip(self.class_names, map(float, row), strict=True))
        if self.task == "multi_label":
            found = {name: p for name, p in named.items() if p >= 0.5}
            return Prediction(tuple(found), tuple(found.values()), named)
        label = self.class_names[int(row.argmax())]
        return Prediction(label, named[label], named)

    def save(self, filepath, overwrite=True, zipped=None, **kwargs):
        """Saves the model as `keras.Model.save` does: one file, whole or not at all.

        The file appears under its name only when it is complete. Where saving fails,
        an earlier file of that name stays as it was.

        Args:
            filepath: Ends in `.keras`, in a folder that exists.
            overwrite: As in `keras.Model.save`: `False` asks before it overwrites.
            zipped: As in `keras.Model.save`: `False` writes a folder.
            **kwargs: As in `keras.Model.save`.

        Raises:
            ValueError: If `filepath` is not as described or cannot be written to.
        """
        plain_save = super().save
        if zipped is False or "://" in str(filepath):
            plain_save(filepath, overwrite=overwrite, zipped=zipped, **kwargs)
            return
        # Without its extension Keras writes a format that loses the model's class.
        if not str(filepath).endswith(".keras"):
            raise ValueError(
                "`filepath` must end in '.keras'. Received: "
                f"filepath={str(filepath)!r}."
            )
        if not overwrite and os.path.exists(filepath):
            # Keras asks, which it only does about the final name.
            plain_save(filepath, overwrite=False, zipped=zipped, **kwargs)
            return
        save_whole(lambda path: plain_save(path, zipped=zipped, **kwargs), filepath)

    def get_config(self):
        """Returns Keras' functional config with what tlkeras adds to it."""
        layers = _keras.sublayers(self.backbone)
        frozen = [i for i, layer in enumerate(layers) if not layer.trainable]
        settings = {
            "task": self.task,
            "class_names": self.class_names,
            "frozen_sublayers": frozen,
            "dtype": self.dtype_policy.name,
        }
        return {**super().get_config(), "tlkeras": settings}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Rebuilds the model, its classes and its freeze point."""
        config = dict(config)
        settings = config.pop("tlkeras")
        model = super().from_config(config, custom_objects=custom_objects)
        model.task = settings["task"]
        names = settings["class_names"]
        model.class_names = None if names is None else tuple(names)
        # `compile`, which comes next, scales the loss by this policy.
        model.dtype_policy = keras.dtype_policies.get(settings["dtype"])
        # KerasHub backbones rebuild themselves without their layers' flags.
        layers = _keras.sublayers(model.backbone)
        for number in settings["frozen_sublayers"]:
            layers[number].trainable = False
        return model


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
        https://keras.io/guides/transfer_learning/.
    """
    names = _class_names(classes, multi_label)
    if multi_label:
        smoothing = check_number("label_smoothing", label_smoothing, minimum=0, below=1)
        loss = keras.losses.BinaryCrossentropy(label_smoothing=smoothing)
        metrics = [keras.metrics.BinaryAccuracy(name="accuracy")]
    else:
        loss, metrics = ClassCrossentropy(label_smoothing), ["accuracy"]
    return _build(
        resolving={
            "backbone": backbone,
            "weights": weights,
            "input_shape": input_shape,
            "preprocessing": preprocessing,
        },
        heading={
            "units": len(names),
            "activation": "sigmoid" if multi_label else "softmax",
            "head": head,
            "hidden": hidden,
            "dropout": dropout,
            "weight_decay": weight_decay,
        },
        compiling={"loss": loss, "metrics": metrics},
        task="multi_label" if multi_label else "classification",
        class_names=names,
    )


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
    return _build(
        resolving={
            "backbone": backbone,
            "weights": weights,
            "input_shape": input_shape,
            "preprocessing": preprocessing,
        },
        heading={
            "units": check_int("outputs", outputs, 1),
            "activation": None,
            "head": head,
            "hidden": hidden,
            "dropout": dropout,
            "weight_decay": weight_decay,
        },
        compiling={
            "loss": keras.losses.get(loss),
            "metrics": [keras.metrics.MeanAbsoluteError(name="mae")],
        },
        task="regression",
        class_names=None,
    )


def _build(
    resolving: dict,
    heading: dict,
    compiling: dict,
    task: str,
    class_names: tuple | None,
) -> TransferModel:
    """Puts preprocessing, backbone and head together, freezes and compiles."""
    with current_runtime().scope(), dtype_policy(_precision(resolving)):
        loaded = resolve_backbone(**resolving)
        inputs = keras.Input(loaded.input_shape, dtype="float32", name="image")
        x = loaded.preprocessing(inputs) if loaded.preprocessing else inputs
        outputs = add_head(loaded.model(x), **heading)
        model = TransferModel(inputs, outputs, name=f"{loaded.name}_{task}")
        model.task, model.class_names = task, class_names
        model.compile(optimizer="adam", jit_compile=jit_compile(), **compiling)
        freeze(model)
    return model


def _precision(resolving: dict) -> str:
    """Returns the dtype policy to build under: measured, where `configure` says so."""
    if current_runtime().precision != "auto":
        return keras.config.dtype_policy().name
    name, shape = resolving["backbone"], resolving["input_shape"]
    if not isinstance(name, (str, os.PathLike)):
        return "float32"
    return faster_precision(
        f"{os.fspath(name)}{f' at {shape}' if shape else ''}",
        lambda: resolve_backbone(**{**resolving, "weights": None}).model,
    )


def _class_names(classes: int | Sequence[str], multi_label: bool) -> tuple[str, ...]:
    """Returns the classes' names; numbers from 0 where only their count was given."""
    fewest = 1 if multi_label else 2
    if isinstance(classes, str) or not (
        hasattr(classes, "__index__") or hasattr(classes, "__iter__")
    ):
        raise ValueError(
            "`classes` must be the number of classes or a list of their names. "
            f"Received: classes={classes!r}."
        )
    if hasattr(classes, "__index__"):
        return tuple(map(str, range(check_int("classes", classes, fewest))))
    names = tuple(map(str, classes))
    repeated = sorted({name for name in names if names.count(name) > 1})
    if len(names) < fewest or repeated:
        raise ValueError(
            f"`classes` must name at least {fewest} different classes. Received: "
            f"{len(names)} name(s){f', {repeated} repeated' if repeated else ''}: "
            f"{names}."
        )
    return names


def _to_pixels(inputs: Any, input_shape: tuple) -> np.ndarray:
    """Turns paths or arrays into a batch of the size that the model takes."""
    height, width, channels = input_shape[1:]
    if isinstance(inputs, (str, Path)):
        inputs = [inputs]
    if isinstance(inputs, (list, tuple)) and all(
        isinstance(item, (str, Path)) for item in inputs
    ):
        mode = "grayscale" if channels == 1 else "rgb"
        return load_images(inputs, image_size=(height, width), color_mode=mode)
    takes = (
        f"classify() takes paths, or raw pixels of shape (height, width, {channels}) "
        f"or (n, height, width, {channels})."
    )
    try:
        pixels = np.asarray(inputs)
    except ValueError as error:
        raise ValueError(
            f"{takes} Received a list of unlike things: classify them one by one."
        ) from error
    if pixels.ndim == 3:
        pixels = pixels[None]
    if pixels.ndim != 4 or pixels.dtype == object or pixels.shape[-1] != channels:
        raise ValueError(
            f"{takes} Received an array of shape {pixels.shape} and dtype "
            f"{pixels.dtype}."
        )
    pixels = pixels.astype("float32")
    if not np.isfinite(pixels).all():
        raise ValueError("The pixels to classify hold NaN or infinity.")
    if height is None or pixels.shape[1:3] == (height, width):
        return pixels
    return np.stack([resize_image(image, (height, width)) for image in pixels])
