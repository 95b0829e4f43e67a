"""Heads: from a backbone's features to a vector, and Dense layers on that."""

from collections.abc import Sequence

import keras
from keras import ops

from tlkeras._validation import check_choice, check_int, check_number

HEADS = ("pool", "flatten")


def to_vector(features: keras.KerasTensor, head: str = "pool") -> keras.KerasTensor:
    """Makes one vector of a backbone's features.

    Args:
        features: Symbolic tensor of shape `(batch, height, width, channels)`,
            `(batch, tokens, channels)` or `(batch, channels)`.
        head: `"pool"` averages over places or tokens, `"flatten"` keeps them all.

    Returns:
        Symbolic tensor of shape `(batch, width)`.

    Raises:
        ValueError: If `head` is neither, or `"flatten"` meets features of unknown
            size.

    Example:

    >>> to_vector(keras.Input((7, 7, 512)), "flatten").shape
    (None, 25088)
    """
    check_choice("head", head, HEADS)
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


def stack_hidden(
    x: keras.KerasTensor,
    hidden: Sequence[int] = (),
    dropout: float = 0.0,
    weight_decay: float = 0.0,
) -> keras.KerasTensor:
    """Stacks relu layers on a vector of features, ready for the last Dense layer.

    Args:
        x: Symbolic tensor of shape `(batch, width)`.
        hidden: Units of the relu layers.
        dropout: Share of the values dropped before each Dense layer, the last one
            included, in [0, 1).
        weight_decay: L2 penalty on the Dense kernels (`keras.regularizers.L2`).

    Raises:
        ValueError: If an argument is not one of the above.

    Example:

    >>> stack_hidden(keras.Input((512,)), (256,), dropout=0.5).shape
    (None, 256)
    """
    dropout = check_number("dropout", dropout, minimum=0, below=1)
    penalty = check_number("weight_decay", weight_decay, minimum=0)
    for width in check_hidden(hidden):
        x = keras.layers.Dropout(dropout)(x) if dropout else x
        x = keras.layers.Dense(
            width, activation="relu", kernel_regularizer=_l2(penalty)
        )(x)
    return keras.layers.Dropout(dropout)(x) if dropout else x


def last_layer(
    x: keras.KerasTensor,
    units: int,
    activation: str | None,
    name: str,
    weight_decay: float = 0.0,
) -> keras.KerasTensor:
    """Puts the Dense layer that gives outputs on a vector, in float32.

    Args:
        x: Symbolic tensor of shape `(batch, width)`.
        units: Width of the layer.
        activation: Its activation, in float32 whatever the dtype policy.
        name: Its name.
        weight_decay: L2 penalty on its kernel.

    Returns:
        Symbolic float32 tensor of shape `(batch, units)`.

    Example:

    >>> last_layer(keras.Input((256,)), 3, "softmax", "predictions").shape
    (None, 3)
    """
    return keras.layers.Dense(
        units,
        activation=activation,
        kernel_regularizer=_l2(weight_decay),
        dtype="float32",
        name=name,
    )(x)


def check_hidden(hidden: Sequence[int]) -> tuple[int, ...]:
    """Returns the hidden layers' widths as a tuple, or raises `ValueError`."""
    if not isinstance(hidden, (tuple, list)):
        raise ValueError(
            "`hidden` must be a tuple of layer widths, such as (256,). "
            f"Received: hidden={hidden!r}."
        )
    return tuple(check_int("hidden", width, 1) for width in hidden)


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
