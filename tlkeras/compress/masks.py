"""Magnitude pruning: which kernels, which of their weights, and from when on."""

import keras
import numpy as np

from tlkeras import _keras

# Share of the steps after which the target is reached, and how often masks are renewed
# until then. The rest is for recovering.
_RAMP = 0.5
_UPDATES = 30

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


class GradualPruning(keras.callbacks.Callback):
    """Raises the sparsity of masks as training goes on, fast at first, then slowly.

    Args:
        masks: The masks.
        sparsity: The share that is zero in the end.

    Reference:
        Zhu and Gupta, To prune, or not to prune (2017), equation 1.
    """

    def __init__(self, masks: Masks, sparsity: float):
        super().__init__()
        self.masks, self.sparsity = masks, sparsity
        self.step, self.updates = 0, {}

    def on_train_begin(self, logs=None):
        steps = self.params["steps"] or 1
        self.updates = ramp(self.sparsity, self.params["epochs"] * steps)
        self.step = 0

    def on_epoch_begin(self, epoch, logs=None):
        if not self.params["steps"]:
            self._next()

    def on_train_batch_begin(self, batch, logs=None):
        if self.params["steps"]:
            self._next()

    def _next(self):
        if self.step in self.updates:
            self.masks.update(self.updates[self.step])
        self.step += 1


def ramp(sparsity: float, steps: int) -> dict[int, float]:
    """Returns the sparsity to prune to before some of the steps.

    Example:

    >>> {step: round(share, 2) for step, share in ramp(0.8, 10).items()}
    {0: 0.39, 1: 0.63, 2: 0.75, 3: 0.79, 4: 0.8}
    """
    last = max(1, round(_RAMP * steps))
    count = min(last, _UPDATES)
    return {
        (number - 1) * last // count: sparsity * (1 - (1 - number / count) ** 3)
        for number in range(1, count + 1)
    }


def _largest(values: np.ndarray, sparsity: float) -> np.ndarray:
    """Returns where the values are that remain without the smallest."""
    flat, zeros = values.ravel(), round(sparsity * values.size)
    kept = np.ones(flat.size, bool)
    kept[np.argpartition(flat, zeros - 1)[:zeros] if zeros else []] = False
    return kept.reshape(values.shape)


def _array(variable: keras.Variable) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable), "float32")
