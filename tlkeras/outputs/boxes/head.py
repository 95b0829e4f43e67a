"""What a detector has behind its backbone: a feature pyramid and its predictors."""

import math

import keras
from keras import ops

from tlkeras.outputs.boxes.layout import OUTPUT_COLUMNS

# A box is this many cells wide and high before anything is learnt.
_SIDE = 4.0
# How probable each class is in each cell before anything is learnt.
_PRIOR = 0.01


@keras.saving.register_keras_serializable("tlkeras")
class BoxHead(keras.layers.Layer):
    """Finds boxes in a backbone's feature maps, from the finest to the coarsest.

    Each map is brought to `width` channels, and the next coarser one added to it; on
    all of them, the same convolutions tell classes and boxes for each cell.

    Args:
        classes: Number of classes.
        width: Channels of the convolutions.
        depth: How many 3x3 convolutions stand before the predictors.
        weight_decay: L2 penalty on the kernels.

    Call arguments: a list of feature maps `(batch, height, width, channels)`, each at
    most as large as the one before it.

    Returns:
        float32 `(batch, cells, 8 + classes)`: boxes, the cells that answer, both x1,
        y1, x2, y2 as shares of the picture's sides, and the classes' probabilities.

    Example:

    >>> maps = [np.zeros((1, 8, 8, 5)), np.zeros((1, 4, 4, 7))]
    >>> BoxHead(3, width=4)(maps).shape
    TensorShape([1, 80, 11])

    Reference:
        Lin et al., Feature Pyramid Networks for Object Detection (2017); Tian et al.,
        FCOS: Fully Convolutional One-Stage Object Detection (2019).
    """

    def __init__(self, classes, width=64, depth=2, weight_decay=0.0, **kwargs):
        super().__init__(**kwargs)
        self.classes, self.width, self.depth = classes, width, depth
        self.weight_decay = weight_decay

    def build(self, input_shape):
        def convolution(name, filters, size, **arguments):
            penalty = self.weight_decay
            return keras.layers.Conv2D(
                filters,
                size,
                padding="same",
                kernel_regularizer=keras.regularizers.L2(penalty) if penalty else None,
                dtype=arguments.pop("dtype", self.dtype_policy),
                name=name,
                **arguments,
            )

        self.laterals = [
            convolution(f"lateral{i}", self.width, 1) for i in range(len(input_shape))
        ]
        self.tower = [
            convolution(f"tower{i}", self.width, 3, activation="relu")
            for i in range(self.depth)
        ]
        rare = keras.initializers.Constant(-math.log((1 - _PRIOR) / _PRIOR))
        self.to_classes = convolution(
            "classes", self.classes, 3, bias_initializer=rare, dtype="float32"
        )
        small = keras.initializers.RandomNormal(stddev=0.01)
        self.to_boxes = convolution(
            "boxes", 4, 3, kernel_initializer=small, dtype="float32"
        )
        for layer, shape in zip(self.laterals, input_shape, strict=True):
            layer.build(shape)
        for layer in (*self.tower, self.to_classes, self.to_boxes):
            layer.build((None, None, None, self.width))
        self.built = True

    def call(self, maps):
        rows, coarser = [], None
        pairs = list(zip(self.laterals, maps, strict=True))
        for lateral, features in reversed(pairs):
            x = lateral(features)
            if coarser is not None:
                x = x + _enlarged(coarser, x)
            coarser = x
            x = ops.relu(x)
            for layer in self.tower:
                x = layer(x)
            rows.append(_rows(self.to_boxes(x), self.to_classes(x)))
        return ops.concatenate(rows[::-1], axis=1)

    def compute_output_shape(self, input_shape):
        sides = [shape[1:3] for shape in input_shape]
        known = all(None not in each for each in sides)
        cells = sum(map(math.prod, sides)) if known else None
        return (input_shape[0][0], cells, OUTPUT_COLUMNS + self.classes)

    def compute_output_spec(self, inputs):
        shape = self.compute_output_shape([x.shape for x in inputs])
        return keras.KerasTensor(shape, dtype="float32")

    def get_config(self):
        return {
            **super().get_config(),
            "classes": self.classes,
            "width": self.width,
            "depth": self.depth,
            "weight_decay": self.weight_decay,
        }


def _enlarged(coarse, fine):
    """Returns a map as large as a finer one, each cell repeated."""
    for axis in (1, 2):
        known = None not in (fine.shape[axis], coarse.shape[axis])
        if known and fine.shape[axis] == coarse.shape[axis]:
            continue
        coarse = ops.repeat(coarse, 2, axis=axis)
    return coarse[:, : ops.shape(fine)[1], : ops.shape(fine)[2]]


def _rows(moves, logits):
    """Returns a row for each cell of a map: box, cell and probabilities.

    Args:
        moves: `(batch, height, width, 4)`: how far the box's middle is from that of its
            cell, in cells, and the logarithm of its sides by the expected ones.
        logits: `(batch, height, width, classes)`.
    """
    moves, logits = ops.cast(moves, "float32"), ops.cast(logits, "float32")
    _, height, width, classes = ops.shape(logits)
    rows, columns = ops.cast(height, "float32"), ops.cast(width, "float32")
    y = (ops.arange(height, dtype="float32") + 0.5) / rows
    x = (ops.arange(width, dtype="float32") + 0.5) / columns
    middle = ops.stack(ops.meshgrid(x, y), axis=-1)
    cell = ops.stack([1.0 / columns, 1.0 / rows])
    at = middle + moves[..., :2] * cell
    # Far beyond any picture, where gradients would overflow.
    half = ops.exp(ops.clip(moves[..., 2:], -4.0, 4.0)) * cell * (_SIDE / 2)
    cells = ops.concatenate([middle - cell / 2, middle + cell / 2], axis=-1)
    cells = ops.broadcast_to(cells, ops.shape(moves))
    whole = ops.concatenate([at - half, at + half, cells, ops.sigmoid(logits)], axis=-1)
    return ops.reshape(whole, (-1, height * width, OUTPUT_COLUMNS + classes))
