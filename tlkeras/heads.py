"""Heads: from a backbone's features to outputs, with the losses that go with them."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from tlkeras._validation import check_choice, check_int, check_number, unknown_name

HEADS = ("pool", "flatten")

# Losses of Keras that take class numbers, or no classes at all.
_NO_ROWS = (
    keras.losses.SparseCategoricalCrossentropy,
    keras.losses.sparse_categorical_crossentropy,
    keras.losses.Circle,
    keras.losses.circle,
    keras.losses.CTC,
    keras.losses.ctc,
)
_BINARY = (
    keras.losses.BinaryCrossentropy,
    keras.losses.binary_crossentropy,
    keras.losses.BinaryFocalCrossentropy,
    keras.losses.binary_focal_crossentropy,
)


def add_head(
    features: keras.KerasTensor,
    units: int,
    activation: str | None,
    *,
    head: str = "pool",
    hidden: Sequence[int] = (),
    dropout: float = 0.0,
    weight_decay: float = 0.0,
) -> keras.KerasTensor:
    """Stacks Dense layers on a backbone's features.

    Args:
        features: Symbolic tensor of shape `(batch, height, width, channels)`,
            `(batch, tokens, channels)` or `(batch, channels)`.
        units: Width of the last layer.
        activation: Activation of the last layer, in float32 whatever the dtype policy.
        head: `"pool"` averages over places or tokens, `"flatten"` keeps them all.
        hidden: Units of the relu layers in between.
        dropout: Share of the values dropped before each Dense layer, in [0, 1).
        weight_decay: L2 penalty on the Dense kernels (`keras.regularizers.L2`).

    Returns:
        Symbolic float32 tensor of shape `(batch, units)`.

    Raises:
        ValueError: If an argument is not one of the above, or `"flatten"` meets
            features of unknown size.

    Example:

    >>> features = keras.Input((7, 7, 512))
    >>> add_head(features, 3, "softmax", head="flatten", hidden=(256,)).shape
    (None, 3)
    """
    check_choice("head", head, HEADS)
    dropout = check_number("dropout", dropout, minimum=0, below=1)
    penalty = check_number("weight_decay", weight_decay, minimum=0)
    hidden = check_hidden(hidden)
    x = _to_vector(features, head)
    for width in hidden:
        x = keras.layers.Dropout(dropout)(x) if dropout else x
        x = keras.layers.Dense(
            width, activation="relu", kernel_regularizer=_l2(penalty)
        )(x)
    x = keras.layers.Dropout(dropout)(x) if dropout else x
    return keras.layers.Dense(
        units,
        activation=activation,
        kernel_regularizer=_l2(penalty),
        dtype="float32",
        name="predictions",
    )(x)


def check_hidden(hidden: Sequence[int]) -> tuple[int, ...]:
    """Returns the hidden layers' widths as a tuple, or raises `ValueError`."""
    if not isinstance(hidden, (tuple, list)):
        raise ValueError(
            "`hidden` must be a tuple of layer widths, such as (256,). "
            f"Received: hidden={hidden!r}."
        )
    return tuple(check_int("hidden", width, 1) for width in hidden)


def _to_vector(features: keras.KerasTensor, head: str) -> keras.KerasTensor:
    rank = len(features.shape)
    if rank == 2:
        return features
    if head == "flatten":
        if None in features.shape[1:]:
            raise ValueError(
                "head='flatten' needs a backbone with a fixed input size. Received "
                f"features of shape {features.shape}. Pass `input_shape=`, or use "
                "head='pool'."
            )
        return keras.layers.Flatten()(features)
    if rank == 4:
        return keras.layers.GlobalAveragePooling2D()(features)
    if rank == 3:
        return keras.layers.GlobalAveragePooling1D()(features)
    raise ValueError(
        "A head needs features of rank 2, 3 or 4. Received features of shape "
        f"{features.shape}."
    )


def _l2(penalty: float) -> keras.regularizers.Regularizer | None:
    return keras.regularizers.L2(penalty) if penalty else None


@keras.saving.register_keras_serializable("tlkeras")
class TokenPooling(keras.layers.Layer):
    """Makes one vector of a sequence of token states; padding does not count.

    Args:
        pool: `"cls"`: the first token's state; `"mean"`: the mean over all tokens;
            `"last"`: the last token's state, the only one of a decoder that has seen
            the whole text.

    Call arguments: a list of the states, `(batch, length, width)`, and, where there is
    one, the mask `(batch, length)`, 0 for padding.

    Example:

    >>> states = np.array([[[1.0], [3.0], [8.0]]])
    >>> TokenPooling("mean")([states, np.array([[1, 1, 0]])]).numpy().tolist()
    [[2.0]]

    Reference:
        Reimers and Gurevych, Sentence-BERT (2019), section 3.
    """

    def __init__(self, pool="mean", **kwargs):
        super().__init__(**kwargs)
        self.pool = check_choice("pool", pool, ("cls", "mean", "last"))

    def call(self, inputs):
        states, *masks = inputs
        # In float32: a mean over many tokens in half precision loses digits.
        states = ops.cast(states, "float32")
        mask = ops.cast(masks[0], "float32") if masks else ops.ones_like(states[..., 0])
        return ops.cast(self._pooled(states, mask), self.compute_dtype)

    def _pooled(self, states, mask):
        if self.pool == "cls":
            return states[:, 0]
        count = ops.sum(mask, axis=1, keepdims=True)
        if self.pool == "mean":
            total = ops.sum(states * mask[..., None], axis=1)
            return total / ops.maximum(count, 1.0)
        last = ops.cast(ops.maximum(count - 1, 0.0), "int32")
        return ops.take_along_axis(states, last[..., None], axis=1)[:, 0]

    def compute_output_shape(self, input_shape):
        return (input_shape[0][0], input_shape[0][-1])

    def get_config(self):
        return {**super().get_config(), "pool": self.pool}


@keras.saving.register_keras_serializable("tlkeras")
class ClassCrossentropy(keras.losses.Loss):
    """Cross-entropy of softmax outputs, for class numbers and for soft targets alike.

    Keras has one loss for class numbers and another, which alone smooths labels, for
    targets that are distributions. Mixed examples need the second, plain ones the
    first; this is both.

    Args:
        label_smoothing: Share of the probability that is spread evenly over all
            classes, in [0, 1).

    Call arguments: `y_true` of shape `(batch,)` or `(batch, 1)` holds class numbers, of
    shape `(batch, classes)` it holds distributions; `y_pred` of shape
    `(batch, classes)` holds probabilities.

    Example:

    >>> loss = ClassCrossentropy(label_smoothing=0.1)
    >>> float(loss([1], [[0.0, 1.0]])) > 0.5
    True

    Reference:
        Szegedy et al., Rethinking the Inception Architecture (2016), section 7.
    """

    def __init__(self, label_smoothing=0.0, name="class_crossentropy", **kwargs):
        super().__init__(name=name, **kwargs)
        self.label_smoothing = check_number(
            "label_smoothing", label_smoothing, minimum=0, below=1
        )

    def call(self, y_true, y_pred):
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        if _are_rows(y_true, y_pred):
            return keras.losses.categorical_crossentropy(
                y_true, y_pred, label_smoothing=self.label_smoothing
            )
        loss = keras.losses.sparse_categorical_crossentropy(
            ops.cast(y_true, "int32"), y_pred
        )
        if not self.label_smoothing:
            return loss
        smallest = keras.config.epsilon()
        uniform = -ops.mean(ops.log(ops.clip(y_pred, smallest, 1.0)), axis=-1)
        return (1 - self.label_smoothing) * loss + self.label_smoothing * uniform

    def get_config(self):
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


class _Around(keras.losses.Loss):
    """A loss made of another one, with its name and its reduction.

    Args:
        loss: A `keras.losses.Loss`, a function like those of `keras.losses`, or the
            name of either.
    """

    def __init__(self, loss):
        self.loss = find_loss(loss)
        if isinstance(self.loss, keras.losses.Loss):
            inner = self.loss
            super().__init__(inner.name, inner.reduction, inner.dtype)
            self.values = inner.call
        else:
            super().__init__(self.loss.__name__)
            self.values = self.loss

    def get_config(self):
        return {"loss": keras.losses.serialize(self.loss)}

    @classmethod
    def from_config(cls, config):
        return cls(keras.losses.deserialize(config["loss"]))


@keras.saving.register_keras_serializable("tlkeras")
class ClassLoss(_Around):
    """Lets a loss that takes rows of probabilities take class numbers too.

    Args:
        loss: A `keras.losses.Loss`, a function like those of `keras.losses`, or the
            name of either, that takes `y_true` of shape `(batch, classes)`.

    Call arguments: as those of `ClassCrossentropy`.

    Example:

    >>> loss = ClassLoss(keras.losses.CategoricalFocalCrossentropy(alpha=1.0))
    >>> round(float(loss([1], [[0.5, 0.5]])), 4)
    0.1733
    """

    def call(self, y_true, y_pred):
        y_true, y_pred = ops.convert_to_tensor(y_true), ops.convert_to_tensor(y_pred)
        if not _are_rows(y_true, y_pred):
            numbers = ops.cast(ops.reshape(y_true, (-1,)), "int32")
            y_true = ops.one_hot(numbers, y_pred.shape[-1], dtype=y_pred.dtype)
        return self.values(y_true, y_pred)


@keras.saving.register_keras_serializable("tlkeras")
class LabelLoss(_Around):
    """A loss of labels that are not exclusive, with a value for each label.

    Keras' binary losses take the mean over an example's labels, so that weights can
    tell examples apart but not labels. This one takes sample weights of shape
    `(batch, labels)` as well as `(batch,)`; without weights its value is the same.

    Args:
        loss: A `keras.losses.Loss` that takes the mean over the last axis, a function
            that does, or the name of either.

    Call arguments: `y_true` holds numbers from 0 to 1, `y_pred` probabilities, both of
    shape `(batch, labels)`.

    Example:

    >>> loss = LabelLoss("binary_crossentropy")
    >>> values = loss.call(np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]]))
    >>> np.round(np.array(values), 4).tolist()
    [[0.6931, 0.6931]]
    """

    def __call__(self, y_true, y_pred, sample_weight=None):
        if sample_weight is not None:
            sample_weight = ops.convert_to_tensor(sample_weight)
            if len(sample_weight.shape) == 1:
                # Keras would take them for the weights of the labels.
                sample_weight = sample_weight[:, None]
            sample_weight = ops.broadcast_to(sample_weight, ops.shape(y_pred))
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true, y_pred):
        y_true = ops.reshape(y_true, ops.shape(y_pred))
        return self.values(y_true[..., None], y_pred[..., None])


def _are_rows(y_true: Any, y_pred: Any) -> bool:
    """Whether `y_true` holds a row for each example, not a class number."""
    return len(y_true.shape) == 2 and y_true.shape[-1] == y_pred.shape[-1] != 1


def classifier_loss(
    loss: Any = None, *, multi_label: bool, label_smoothing: float = 0.0
) -> Any:
    """Returns the loss that a classifier is compiled with.

    Args:
        loss: `None` for cross-entropy; `"focal"`; or a Keras loss, its name, or a
            function of labels and probabilities.
        multi_label: Whether labels are not exclusive.
        label_smoothing: Share of each label spread over all classes, in [0, 1).

    Returns:
        A loss. Keras' own take class numbers as well as rows, or weights of labels;
        a function or an object of the user's own stays what it is.

    Raises:
        ValueError: If there is no such loss, it takes logits, or labels are to be
            smoothed by a loss that is not of the first two kinds.

    Reference:
        Lin et al., Focal Loss for Dense Object Detection (2017).
    """
    smoothing = check_number("label_smoothing", label_smoothing, minimum=0, below=1)
    if loss is None:
        if not multi_label:
            return ClassCrossentropy(smoothing)
        return LabelLoss(keras.losses.BinaryCrossentropy(label_smoothing=smoothing))
    if isinstance(loss, str) and loss == "focal":
        if multi_label:
            focal = keras.losses.BinaryFocalCrossentropy(label_smoothing=smoothing)
            return LabelLoss(focal)
        # What Keras calls alpha is but a factor on the whole; `class_weight` balances.
        return ClassLoss(
            keras.losses.CategoricalFocalCrossentropy(
                alpha=1.0, label_smoothing=smoothing
            )
        )
    if smoothing:
        raise ValueError(
            "`label_smoothing` goes with loss=None and loss='focal'; set it in your "
            "own loss: keras.losses.CategoricalCrossentropy(label_smoothing=0.1). "
            f"Received: label_smoothing={label_smoothing!r}, loss={loss!r}."
        )
    found = find_loss(loss, ours=("focal",))
    if getattr(found, "from_logits", False):
        raise ValueError(
            "The model's outputs are probabilities; a loss with from_logits=True would "
            f"take them for logits. Received: loss={loss!r}."
        )
    if multi_label:
        return LabelLoss(found) if _is_one_of(found, _BINARY) else found
    takes_rows = _is_of_keras(found) and not _is_one_of(found, _NO_ROWS)
    return ClassLoss(found) if takes_rows else found


def find_loss(
    loss: Any, ours: Sequence[str] = ()
) -> keras.losses.Loss | Callable[[Any, Any], Any]:
    """Returns a loss by its name, or what came, if it is one.

    Args:
        loss: A Keras loss, its name, or a function.
        ours: Names that the caller knows besides, for the message.

    Raises:
        ValueError: If Keras has no such loss, or it is neither a loss nor a function.
    """
    try:
        found = keras.losses.get(loss)
    except ValueError:
        found = None
    if found is not None:
        return found
    if not isinstance(loss, str):
        raise ValueError(
            "`loss` must be a Keras loss, its name, or a function of labels and "
            f"outputs. Received: loss={loss!r}."
        )
    names = [
        name
        for name in dir(keras.losses)
        if name.islower() and name not in ("get", "serialize", "deserialize")
    ]
    raise unknown_name("loss", loss, [*ours, *names])


def _is_one_of(loss: Any, losses: Sequence[Any]) -> bool:
    return any(loss is known or type(loss) is known for known in losses)


def _is_of_keras(loss: Any) -> bool:
    public = vars(keras.losses).values()
    return _is_one_of(loss, [known for known in public if callable(known)])
