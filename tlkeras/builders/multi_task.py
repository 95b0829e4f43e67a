"""Builders of models with several heads over one backbone."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from tlkeras._validation import check_int, check_number
from tlkeras.builders.assembly import name_classes
from tlkeras.builders.images import image_regressor
from tlkeras.builders.known import KnownLoss, KnownMetric
from tlkeras.builders.recording import recorded
from tlkeras.builders.targets import Target, Targets
from tlkeras.builders.texts import text_regressor
from tlkeras.builders.transfer_model import TransferModel
from tlkeras.features.precision import dtype_policy
from tlkeras.freezing import freeze
from tlkeras.heads import LabelLoss, check_hidden, classifier_loss, find_loss
from tlkeras.runtime import current_runtime, jit_compile

# Losses and metrics of Keras that are means over an example's outputs.
_MEAN_LOSSES = (
    keras.losses.mean_squared_error,
    keras.losses.mean_absolute_error,
    keras.losses.mean_absolute_percentage_error,
    keras.losses.mean_squared_logarithmic_error,
    keras.losses.huber,
    keras.losses.log_cosh,
    keras.losses.poisson,
    keras.losses.MeanSquaredError,
    keras.losses.MeanAbsoluteError,
    keras.losses.MeanAbsolutePercentageError,
    keras.losses.MeanSquaredLogarithmicError,
    keras.losses.Huber,
    keras.losses.LogCosh,
    keras.losses.Poisson,
)
_MEAN_METRICS = (
    keras.metrics.BinaryAccuracy,
    keras.metrics.BinaryCrossentropy,
    keras.metrics.MeanSquaredError,
    keras.metrics.RootMeanSquaredError,
    keras.metrics.MeanAbsoluteError,
    keras.metrics.MeanAbsolutePercentageError,
    keras.metrics.MeanSquaredLogarithmicError,
    keras.metrics.LogCoshError,
    keras.metrics.Poisson,
)


@dataclass(frozen=True)
class Head:
    """One of the heads of `tl.image_multi_task` or `tl.text_multi_task`.

    Either `classes` or `outputs` is given.

    Attributes:
        classes: The number of classes, or their names in the order of the labels.
        outputs: Numbers to predict for each input.
        multi_label: Whether an input may have several of the classes, or none.
        hidden: Units of relu layers of this head alone: `(64,)`.
        dropout: Dropout before each Dense layer of this head, in [0, 1).
        loss: `None`: cross-entropy, or the mean squared error of `outputs`. Otherwise
            as in `tl.image_classifier` or `tl.image_regressor`.
        weight: How much the loss counts in the sum over all heads.
        class_weight: For training: from each class, its number or name, to its weight;
            or `"balanced"`; or `None`.
        metrics: Keras metrics or their names; by default `"accuracy"` or `"mae"`.

    Raises:
        ValueError: If an attribute is not one of the above.

    Example:

    >>> tl.Head(classes=["red", "flying"], multi_label=True, weight=0.5).task
    'multi_label'
    """

    classes: int | Sequence[str] | None = None
    outputs: int | None = None
    multi_label: bool = False
    hidden: Sequence[int] = ()
    dropout: float = 0.0
    loss: Any = None
    weight: float = 1.0
    class_weight: Mapping[Any, float] | str | None = None
    metrics: Sequence[Any] | None = None

    def __post_init__(self):
        if (self.classes is None) == (self.outputs is None):
            raise ValueError(
                "A head takes either `classes` or `outputs`. Received: "
                f"classes={self.classes!r}, outputs={self.outputs!r}."
            )
        if self.multi_label and self.classes is None:
            raise ValueError("`multi_label` goes with `classes`, not with `outputs`.")
        check_hidden(self.hidden)
        check_number("dropout", self.dropout, minimum=0, below=1)
        check_number("weight", self.weight, minimum=0)
        self.target()
        self.make_metrics()
        self._check_class_weight()

    @property
    def task(self) -> str:
        """`"classification"`, `"multi_label"` or `"regression"`."""
        if self.classes is None:
            return "regression"
        return "multi_label" if self.multi_label else "classification"

    def target(self) -> Target:
        """Returns what the head is to learn."""
        weight = self.class_weight
        if self.classes is None:
            return Target(
                self.task, check_int("outputs", self.outputs, 1), None, weight
            )
        names = name_classes(self.classes, self.multi_label)
        return Target(self.task, len(names), names, weight)

    def make_loss(self) -> KnownLoss:
        """Returns the loss of the labels that are known."""
        if self.classes is not None:
            loss = classifier_loss(self.loss, multi_label=self.multi_label)
        else:
            loss = find_loss("mean_squared_error" if self.loss is None else self.loss)
            is_mean = any(loss is x or type(loss) is x for x in _MEAN_LOSSES)
            loss = LabelLoss(loss) if is_mean else loss
        return KnownLoss(loss, classes=self.task == "classification")

    def make_metrics(self) -> list[KnownMetric]:
        """Returns the metrics of the labels that are known."""
        default = "mae" if self.classes is None else "accuracy"
        metrics = [default] if self.metrics is None else self.metrics
        if isinstance(metrics, (str, keras.metrics.Metric)) or callable(metrics):
            metrics = [metrics]
        return [self._known(_find_metric(metric, self.task)) for metric in metrics]

    def _known(self, metric: keras.metrics.Metric) -> KnownMetric:
        classes = self.task == "classification"
        return KnownMetric(metric, classes, type(metric) in _MEAN_METRICS)

    def _check_class_weight(self) -> None:
        weight, loss = self.class_weight, self.make_loss()
        valid = isinstance(weight, Mapping) or weight in (None, "balanced")
        if not valid or (self.classes is None and isinstance(weight, Mapping)):
            raise ValueError(
                "`class_weight` of a head must be 'balanced' or None or, where it has "
                "classes, map each of them to its weight. Received: "
                f"class_weight={weight!r}."
            )
        if self.multi_label and weight is not None and not loss.by_output:
            raise ValueError(
                "`class_weight` gives each label a weight of its own; the loss takes "
                "the mean over the labels before. Use "
                f"`loss=tlkeras.heads.LabelLoss(...)`. Received: loss={self.loss!r}."
            )


@recorded
def image_multi_task(
    backbone: str | keras.Model,
    heads: Mapping[str, Head],
    *,
    head: str = "pool",
    hidden: Sequence[int] = (),
    dropout: float = 0.0,
    weight_decay: float = 0.0,
    weights: str | Path | None = "pretrained",
    input_shape: int | tuple[int, ...] | None = None,
    preprocessing: Any = "auto",
) -> TransferModel:
    """Builds a model of images with several heads on a frozen backbone.

    One pass of the backbone serves all heads, in training as in use, and what they have
    in common is learnt from the labels of all. Labels may be missing: they count
    neither in losses nor in metrics. A head's loss is the mean over the labels of a
    batch that are known; the sum over the heads, each times its `weight`, is minimised.

    Labels come as a dictionary by head: `tl.fine_tune(model, (x, {"species": ids,
    "length": cm}))`, or as a `tf.data.Dataset` of such. Class numbers are -1 (or NaN)
    where missing, other labels NaN.

    Args:
        backbone: As in `tl.image_classifier`.
        heads: From names to `tl.Head`s.
        head: As in `tl.image_classifier`, for all heads together.
        hidden: Units of relu layers that all heads share.
        dropout: Dropout before each of the shared layers, and between them and the
            heads, in [0, 1).
        weight_decay: L2 penalty on the kernels of shared layers and heads.
        weights: As in `tl.image_classifier`.
        input_shape: As in `tl.image_classifier`.
        preprocessing: As in `tl.image_classifier`.

    Returns:
        A `TransferModel` of task `"multi_task"`. Its outputs are a dictionary by head.

    Raises:
        ValueError: If an argument is not one of the above.
        FileNotFoundError: If the weights are neither here nor to be downloaded.

    Example:

    >>> model = tl.image_multi_task("glyphnet", {
    ...     "letter": tl.Head(classes=["a", "b"]),
    ...     "slant": tl.Head(outputs=1, loss="huber", weight=0.1),
    ... })
    >>> outputs = model.predict(np.zeros((5, 32, 32, 1)), verbose=0)
    >>> {name: values.shape for name, values in outputs.items()}
    {'letter': (5, 2), 'slant': (5, 1)}

    Reference:
        Caruana, Multitask Learning (1997).
    """
    targets = _targets(heads)
    base = image_regressor(
        backbone,
        head=head,
        hidden=hidden,
        dropout=dropout,
        weight_decay=weight_decay,
        weights=weights,
        input_shape=input_shape,
        preprocessing=preprocessing,
    )
    return _with_heads(base, heads, targets, weight_decay)


@recorded
def text_multi_task(
    backbone: str | os.PathLike | keras.Model,
    heads: Mapping[str, Head],
    *,
    sequence_length: int = 128,
    pool: str = "auto",
    hidden: Sequence[int] = (),
    dropout: float = 0.1,
    weight_decay: float = 0.0,
    weights: str | Path | None = "pretrained",
    tokenizer: Any = None,
    lora_rank: int | None = None,
) -> TransferModel:
    """Builds a model of texts with several heads on a frozen backbone.

    See `tl.image_multi_task` on heads, labels and what is minimised.

    Args:
        backbone: As in `tl.text_classifier`.
        heads: As in `tl.image_multi_task`.
        sequence_length: As in `tl.text_classifier`.
        pool: As in `tl.text_classifier`.
        hidden: As in `tl.image_multi_task`.
        dropout: As in `tl.image_multi_task`.
        weight_decay: As in `tl.image_multi_task`.
        weights: As in `tl.text_classifier`.
        tokenizer: As in `tl.text_classifier`.
        lora_rank: As in `tl.text_classifier`.

    Returns:
        A `TransferModel` of task `"multi_task"`. Its outputs are a dictionary by head.

    Raises:
        ValueError: If an argument is not one of the above.
        FileNotFoundError: If the preset is neither here nor to be downloaded.

    Example:

    >>> import keras_hub
    >>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "bad", "film"]
    >>> tokenizer = keras_hub.models.BertTokenizer(words)
    >>> bert = keras_hub.models.BertBackbone(
    ...     vocabulary_size=8, num_layers=1, num_heads=1, hidden_dim=4,
    ...     intermediate_dim=4,
    ... )
    >>> heads = {"good": tl.Head(classes=["no", "yes"]), "stars": tl.Head(outputs=1)}
    >>> model = tl.text_multi_task(bert, heads, tokenizer=tokenizer)
    >>> sorted(model.classify(["good film"])[0])
    ['good', 'stars']

    Reference:
        Liu et al., Multi-Task Deep Neural Networks for Natural Language Understanding
        (2019).
    """
    targets = _targets(heads)
    base = text_regressor(
        backbone,
        sequence_length=sequence_length,
        pool=pool,
        hidden=hidden,
        dropout=dropout,
        weight_decay=weight_decay,
        weights=weights,
        tokenizer=tokenizer,
        lora_rank=lora_rank,
    )
    return _with_heads(base, heads, targets, weight_decay)


def _targets(heads: Any) -> Targets:
    """Returns what the heads are to learn, or raises `ValueError`."""
    is_map = isinstance(heads, Mapping) and len(heads)
    if not is_map or not all(isinstance(head, Head) for head in heads.values()):
        raise ValueError(
            "`heads` must map names to `tl.Head`s: {'species': tl.Head(classes=3)}. "
            f"Received: heads={heads!r}."
        )
    wrong = [x for x in heads if not isinstance(x, str) or not x or "/" in x]
    if wrong:
        raise ValueError(
            "Heads' names become names of layers: strings, not empty, without '/'. "
            f"Received: {wrong[0]!r}."
        )
    if not any(head.weight for head in heads.values()):
        raise ValueError("The `weight` of every head is 0: nothing would be learnt.")
    return Targets({name: head.target() for name, head in heads.items()})


def _with_heads(
    base: TransferModel, heads: Mapping[str, Head], targets: Targets, penalty: float
) -> TransferModel:
    """Returns the model `base` with heads in place of its last layer."""
    taken = {layer.name for layer in base.layers} & set(heads)
    if taken:
        raise ValueError(
            f"No head may have the name of a layer. Received: {sorted(taken)}; taken "
            f"are {sorted(layer.name for layer in base.layers)}."
        )
    features = base.get_layer("predictions").input
    with current_runtime().scope(), dtype_policy(base.dtype_policy.name):
        outputs = {
            name: _outputs(features, name, head, penalty)
            for name, head in heads.items()
        }
        name = f"{base.backbone.name}_multi_task"
        model = TransferModel(base.input, outputs, name=name)
        model.preprocessor = base.preprocessor
        model.set_targets(targets)
        model.compile(
            optimizer="adam",
            loss={name: head.make_loss() for name, head in heads.items()},
            loss_weights={name: float(head.weight) for name, head in heads.items()},
            metrics={name: head.make_metrics() for name, head in heads.items()},
            jit_compile=jit_compile(),
        )
        freeze(model)
    return model


def _outputs(
    features: keras.KerasTensor, name: str, head: Head, penalty: float
) -> keras.KerasTensor:
    """Stacks one head's Dense layers on a vector of features."""
    activation = {"classification": "softmax", "multi_label": "sigmoid"}.get(head.task)
    regularizer = keras.regularizers.L2(penalty) if penalty else None
    x = features
    for width in head.hidden:
        x = keras.layers.Dropout(head.dropout)(x) if head.dropout else x
        x = keras.layers.Dense(
            width, activation="relu", kernel_regularizer=regularizer
        )(x)
    x = keras.layers.Dropout(head.dropout)(x) if head.dropout else x
    return keras.layers.Dense(
        head.target().units,
        activation=activation,
        kernel_regularizer=regularizer,
        dtype="float32",
        name=name,
    )(x)


def _plain_key(key: Any) -> Any:
    """Returns a class number as a number that a model's file can hold."""
    return int(key) if hasattr(key, "__index__") else key


def _find_metric(metric: Any, task: str) -> keras.metrics.Metric:
    """Returns a metric by its name, or what came, as an object.

    Raises:
        ValueError: If Keras has no such metric, or it is none.
    """
    if metric in ("accuracy", "acc") and task != "regression":
        kind = keras.metrics.SparseCategoricalAccuracy
        return (keras.metrics.BinaryAccuracy if task == "multi_label" else kind)(metric)
    try:
        found = keras.metrics.get(metric)
    except ValueError:
        found = None
    if found is None:
        raise ValueError(
            "`metrics` of a head must be Keras metrics, their names, or functions of "
            f"labels and outputs. Received: {metric!r}."
        )
    if not isinstance(found, keras.metrics.Metric):
        found = keras.metrics.MeanMetricWrapper(found, name=found.__name__)
    if isinstance(metric, str):
        found.name = metric
    return found
