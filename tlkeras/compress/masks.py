"""Magnitude pruning: which kernels, which of their weights, and how many at a time."""

import keras
import numpy as np

from tlkeras import _keras

# In how many rounds of pruning and training the target is reached.
_ROUNDS = 4

_DENSE_KERNELS = (
    keras.layers.Dense,
    keras.layers.EinsumDense,
    keras.layers.Conv1D,
    keras.layers.Conv2D,
    keras.layers.Conv3D,
    keras.layers.Conv1DTranspose,
    keras.layers.Conv2DTranspose,
    keras.layers.Conv3DTranspose,
)
_SEPARABLE = keras.layers.SeparableConv1D, keras.layers.SeparableConv2D


def prunable_kernels(model: keras.Model) -> list[tuple[str, keras.Variable]]:
    """Returns the kernels that train and hold much, each with its layer's path.

    Those of dense layers and convolutions. Kernels of depthwise convolutions are small
    and each of their weights matters; rows of embeddings are looked up one by one;
    neither are biases and norms. The last layer, which gives the outputs, is small.
    """
    outputs, found = {id(layer) for layer in _output_layers(model)}, {}
    for layer in _keras.sublayers(model):
        if id(layer) in outputs:
            continue
        if isinstance(layer, _SEPARABLE):
            kernel = layer.pointwise_kernel
        elif isinstance(layer, _DENSE_KERNELS):
            kernel = layer.kernel
        else:
            continue
        if kernel.trainable:
            found[id(kernel)] = layer.path, kernel
    return list(found.values())


def _output_layers(model: keras.Model) -> list:
    ends = {id(tensor) for tensor in keras.tree.flatten(model.outputs)}
    return [
        node.operation
        for node in _keras.graph_nodes(model)
        if any(id(tensor) in ends for tensor in node.outputs)
    ]


class Masks:
    """Holds kernels sparse: zeros them by magnitude, and keeps zeros through training.

    Keras applies a variable's constraint after each update of an optimizer, within the
    compiled step. Masks are there, so that no step sees a weight grow again.

    Args:
        kernels: The kernels.
    """

    def __init__(self, kernels: list[keras.Variable]):
        self.kernels = kernels
        self.masks = [
            keras.Variable(np.ones(kernel.shape, "bool"), trainable=False, dtype="bool")
            for kernel in kernels
        ]
        self.before = [kernel.constraint for kernel in kernels]

    def __enter__(self) -> "Masks":
        for kernel, mask, own in zip(
            self.kernels, self.masks, self.before, strict=True
        ):
            kernel.constraint = _Masked(mask, own)
        return self

    def __exit__(self, *error: object) -> None:
        for kernel, own in zip(self.kernels, self.before, strict=True):
            kernel.constraint = own

    def update(self, sparsity: float) -> None:
        """Zeros the smallest weights, such that this share of each kernel is zero.

        Each kernel gives the same share: the norms after convolutions make the scale
        of a kernel arbitrary, so that weights of different kernels do not compare.
        (MobileNetV2 on ants/bees, 30 % at once, no training: 0.82, against 0.69 of one
        threshold for all and 0.57 of one in units of each kernel's own scale.)
        """
        for kernel, mask in zip(self.kernels, self.masks, strict=True):
            # What was pruned stays: its magnitude is 0.
            mask.assign(_largest(np.abs(_array(kernel)), sparsity))
        self.apply()

    def apply(self) -> None:
        """Zeros what is masked."""
        for kernel, mask in zip(self.kernels, self.masks, strict=True):
            # Not a product: it would leave zeros with a sign, which compress badly.
            kernel.assign(np.where(_array(mask), _array(kernel), 0.0))


class _Masked(keras.constraints.Constraint):
    """Multiplies with a mask, after a constraint that the kernel has of its own."""

    def __init__(self, mask: keras.Variable, own: object):
        self.mask, self.own = mask, own

    def __call__(self, weights):
        weights = weights if self.own is None else self.own(weights)
        return keras.ops.where(self.mask, weights, keras.ops.zeros_like(weights))


def rounds(sparsity: float, epochs: int) -> list[tuple[float, int]]:
    """Returns shares to prune to one after the other, each with its epochs.

    Reference:
        Zhu and Gupta, To prune, or not to prune (2017), equation 1.

    Example:

    >>> [(round(share, 2), epochs) for share, epochs in rounds(0.8, 10)]
    [(0.46, 2), (0.7, 2), (0.79, 2), (0.8, 4)]
    """
    count = min(_ROUNDS, epochs)
    shares = [sparsity * (1 - (1 - i / count) ** 3) for i in range(1, count + 1)]
    lengths = [epochs // count] * count
    lengths[-1] += epochs % count
    return list(zip(shares, lengths, strict=True))


def _largest(values: np.ndarray, sparsity: float) -> np.ndarray:
    """Returns where the values are that remain without the smallest."""
    flat, zeros = values.ravel(), round(sparsity * values.size)
    kept = np.ones(flat.size, bool)
    kept[np.argpartition(flat, zeros - 1)[:zeros] if zeros else []] = False
    return kept.reshape(values.shape)


def _array(variable: keras.Variable) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable), "float32")
