"""Freeze points: which part of a backbone trains, as a state and as a table."""

import math
from dataclasses import dataclass

import keras

from tlkeras import _keras
from tlkeras._validation import check_number, did_you_mean
from tlkeras.description import Described, Description
from tlkeras.distribution import scope_of
from tlkeras.lora import adapted_layers, hold_base

FreezePoint = None | int | float | str


def find_backbone(
    model: keras.Model, backbone: keras.Model | str | None = None
) -> keras.Model:
    """Returns the pretrained part of `model`: the functional model nested in it.

    Nested models without weights, such as a stack of augmentations, do not count.

    Args:
        model: A functional `keras.Model`.
        backbone: `None` where there is one nested model, otherwise that model or its
            name.

    Raises:
        ValueError: If `model` is not functional, nests no model, or nests several and
            `backbone` does not say which.

    Example:

    >>> base = keras.applications.VGG16(weights=None, include_top=False)
    >>> tl.find_backbone(keras.Sequential([keras.Input((96, 96, 3)), base])) is base
    True
    """
    if not _keras.is_functional(model):
        raise ValueError(
            "`model` must be a functional `keras.Model` (or a built Sequential one) "
            f"with a nested backbone. Received: {type(model).__name__}."
        )
    nested = [
        layer for layer in model.layers if _keras.is_functional(layer) and layer.weights
    ]
    if backbone is not None:
        for candidate in nested:
            if backbone is candidate or backbone == candidate.name:
                return candidate
        raise ValueError(
            f"`backbone` names no model nested in {model.name!r}. Received: "
            f"{getattr(backbone, 'name', backbone)!r}. Nested models: "
            f"{[layer.name for layer in nested]}."
        )
    if len(nested) == 1:
        return nested[0]
    if not nested:
        raise ValueError(
            f"Model {model.name!r} has no backbone: none of its {len(model.layers)} "
            "layers is itself a functional model. Call the pretrained model on an "
            "Input (`x = base(inputs)`) instead of extending `base.output`, or use "
            "`tl.image_classifier`."
        )
    raise ValueError(
        f"Model {model.name!r} nests several models: "
        f"{[layer.name for layer in nested]}. Name the backbone with `backbone=`, to "
        "the fit verbs with `recipe=tl.Recipe(backbone=...)`."
    )


def freeze(
    model: keras.Model,
    unfreeze_from: FreezePoint = None,
    *,
    train_batch_norm: bool = False,
    backbone: keras.Model | str | None = None,
) -> keras.Model:
    """Freezes the backbone of `model` below a freeze point, and unfreezes the rest.

    The freeze point describes the whole state: calling it twice, or after another
    freeze point, gives the same as calling it once. A compiled model is compiled
    again with a fresh optimizer, because Keras goes on training what was trainable
    when `compile` was called.

    Batch normalization layers stay frozen, in inference mode, also above the freeze
    point: batch statistics of a small new data set would destroy what the backbone
    has learnt. In a backbone with LoRA adapters only the adapters above the freeze
    point train; everything else in it stays as it is.

    Args:
        model: Functional `keras.Model` with a nested backbone.
        unfreeze_from: `None`: all of the backbone is frozen. An `int`:
            `backbone.layers[:unfreeze_from]` is frozen; a negative one counts from the
            end. A `str`: a layer's name or a prefix of names
            (`"block5"`), everything before the first such layer is frozen. A `float`
            in (0, 1]: that share of the layers that have weights, counted from the
            output, is trained.
        train_batch_norm: Whether batch norms above the freeze point train, on batch
            statistics; never beside LoRA adapters.
        backbone: The nested backbone or its name, where there are several.

    Returns:
        `model`, for chaining.

    Raises:
        ValueError: If `model` has no backbone, or `unfreeze_from` matches no layer of
            it.

    Example:

    >>> model = tl.image_classifier("vgg16", 2, weights=None, input_shape=64)
    >>> model = tl.freeze(model, unfreeze_from="block5")
    >>> [layer.name for layer in model.backbone.layers if layer.trainable]
    ['block5_conv1', 'block5_conv2', 'block5_conv3', 'block5_pool']

    Reference:
        The Keras guide to transfer learning and fine-tuning,
        https://keras.io/guides/transfer_learning/.
    """
    backbone = find_backbone(model, backbone)
    index = freeze_index(backbone, unfreeze_from)
    set_trainable(backbone, index < len(backbone.layers))
    for layer in backbone.layers[:index]:
        set_trainable(layer, False)
    if not train_batch_norm:
        for layer in _batch_norms(backbone):
            layer.trainable = False
    hold_base(backbone)
    recompile(model)
    return model


def set_trainable(layer: keras.layers.Layer, value: bool) -> None:
    """Sets `trainable` on a layer and on each layer inside it.

    Setting it on the outermost is not enough: on TensorFlow, Keras ignores an
    assignment that does not change the outermost layer's own flag, and leaves those
    inside as they were.
    """
    for sublayer in _keras.sublayers(layer):
        sublayer.trainable = value


def freeze_index(backbone: keras.Model, unfreeze_from: FreezePoint) -> int:
    """Returns how many of `backbone.layers` a freeze point freezes.

    Args:
        backbone: A functional `keras.Model`.
        unfreeze_from: As in `freeze`.

    Raises:
        ValueError: If `unfreeze_from` matches no layer or is out of range.
    """
    count = len(backbone.layers)
    if unfreeze_from is None:
        return count
    if isinstance(unfreeze_from, str):
        return _index_of_name([layer.name for layer in backbone.layers], unfreeze_from)
    if isinstance(unfreeze_from, float):
        share = check_number("unfreeze_from", unfreeze_from, above=0)
        if share > 1:
            raise ValueError(
                "A share of the backbone to train must be in (0, 1]. "
                f"Received: unfreeze_from={unfreeze_from}."
            )
        return _index_of_share(backbone, share)
    if isinstance(unfreeze_from, bool) or not hasattr(unfreeze_from, "__index__"):
        raise ValueError(
            "`unfreeze_from` must be None, an int, a layer's name or a float in "
            f"(0, 1]. Received: unfreeze_from={unfreeze_from!r}."
        )
    if not -count <= unfreeze_from <= count:
        raise ValueError(
            f"Backbone {backbone.name!r} has {count} layers. Received: "
            f"unfreeze_from={unfreeze_from}, which is beyond them."
        )
    return int(unfreeze_from) % count if unfreeze_from < 0 else int(unfreeze_from)


def check_adapters_train(backbone: keras.Model, index: int) -> None:
    """Raises `ValueError` where all of a backbone's adapters are below a freeze point.

    Args:
        backbone: A functional `keras.Model`.
        index: What `freeze_index` returned; that of all layers is right.
    """
    above = backbone.layers[index:]
    names = [layer.name for layer in backbone.layers if adapted_layers(layer)]
    if not above or not names or any(map(adapted_layers, above)):
        return
    raise ValueError(
        f"No layer of {backbone.name!r} above the freeze point has LoRA adapters: it "
        f"begins with {above[0].name!r}. Unfreeze from {names[-1]!r} or a lower layer, "
        "or train the head alone with `tl.fit_head`."
    )


def _batch_norms(model: keras.Model) -> list[keras.layers.Layer]:
    kind = keras.layers.BatchNormalization
    return [part for part in _keras.sublayers(model) if isinstance(part, kind)]


def _index_of_name(names: list[str], before: str) -> int:
    exact = [i for i, name in enumerate(names) if name == before]
    at_boundary = [
        i
        for i, name in enumerate(names)
        if name.startswith((f"{before}_", before + "/"))
    ]
    prefixed = [i for i, name in enumerate(names) if before and name.startswith(before)]
    found = exact or at_boundary or prefixed
    if found:
        return found[0]
    prefixes = dict.fromkeys(name.split("_")[0] for name in names)
    raise ValueError(
        f"No such freeze point: no backbone layer is named {before!r} or starts with "
        f"it.{did_you_mean(before, [*names, *prefixes])} Layers' names start with: "
        f"{', '.join(prefixes)}. Existing layers are: {names}."
    )


def _index_of_share(backbone: keras.Model, share: float) -> int:
    weighted = [i for i, layer in enumerate(backbone.layers) if layer.weights]
    others = [
        i
        for i in weighted
        if not isinstance(backbone.layers[i], keras.layers.BatchNormalization)
    ]
    # Of batch norms alone, they count; where nothing has weights, nothing can train.
    counted = others or weighted or [len(backbone.layers)]
    return counted[-math.ceil(share * len(counted))]


def recompile(
    model: keras.Model, optimizer: keras.optimizers.Optimizer | None = None
) -> None:
    """Compiles a compiled model again, as it was, with a fresh optimizer.

    Args:
        model: The model; one that is not compiled is left so.
        optimizer: The optimizer, which has not seen a step; by default one like the
            model's.
    """
    if not model.compiled:
        return
    arguments = dict(_keras.compile_arguments(model))
    with scope_of(model):
        arguments["optimizer"] = optimizer or fresh_optimizer(model)
        model.compile(**arguments)
        # Keras cannot load a model that was saved with an optimizer not yet built.
        model.optimizer.build(model.trainable_variables)


def fresh_optimizer(
    model: keras.Model, learning_rate: object = None
) -> keras.optimizers.Optimizer:
    """Returns an optimizer like the model's that has not seen a step.

    It scales the loss where a layer computes in float16. `compile` would decide that
    by the outermost policy alone, which a model loaded from a file has lost.

    Args:
        model: A compiled model.
        learning_rate: A float or a `LearningRateSchedule` in place of the old one's.
    """
    fresh = _keras.unused_optimizer(model.optimizer, learning_rate)
    if any(layer.compute_dtype == "float16" for layer in _keras.sublayers(model)):
        return keras.optimizers.LossScaleOptimizer(fresh)
    return fresh


@dataclass(frozen=True, repr=False)
class TrainableSummary(Described):
    """What of a model trains; prints as a table.

    Attributes:
        rows: One `(layer name, parameters, trainable parameters)` for each layer with
            weights, the backbone's layers first opened up, in order.
    """

    rows: tuple[tuple[str, int, int], ...]

    @property
    def total(self) -> int:
        """Parameters in all."""
        return sum(row[1] for row in self.rows)

    @property
    def trainable(self) -> int:
        """Parameters that training changes."""
        return sum(row[2] for row in self.rows)

    def _described(self) -> Description:
        rows = [
            (name, f"{total:,}", f"{trainable:,}" if trainable else "frozen")
            for name, total, trainable in self.rows
        ]
        rows.append(("total", f"{self.total:,}", f"{self.trainable:,}"))
        return Description("", ("layer", "parameters", "trainable"), tuple(rows))


def trainable_summary(
    model: keras.Model, backbone: keras.Model | str | None = None
) -> TrainableSummary:
    """Returns a table of what trains, with the backbone's layers one by one.

    Args:
        model: Functional `keras.Model` with a nested backbone.
        backbone: The nested backbone or its name, where there are several.

    Returns:
        A `TrainableSummary` with `.rows`, `.total` and `.trainable`; it prints as a
        table.

    Example:

    >>> model = tl.image_classifier("vgg16", 2, weights=None, input_shape=64)
    >>> tl.trainable_summary(model).trainable
    1026
    """
    backbone = find_backbone(model, backbone)
    layers = []
    for layer in model.layers:
        layers += backbone.layers if layer is backbone else [layer]
    return TrainableSummary(
        tuple(
            (layer.name, layer.count_params(), _count(layer.trainable_weights))
            for layer in layers
            if layer.weights
        )
    )


def _count(weights: list) -> int:
    return sum(math.prod(weight.shape) for weight in weights)
