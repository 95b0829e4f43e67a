"""Which pixels a model takes, as its layers before the first weights tell."""

from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras.backbones.applications import is_scaling

# What black and white differ by at most, and at least, once raw pixels are scaled.
_SCALED, _CONSTANT = 20.0, 0.01
# Where only means are subtracted, as for VGG16, black becomes less than this.
_BLACK = -50.0
# A side of the picture that is tried, where the model takes any.
_SIDE = 32


def takes_raw_pixels(model: keras.Model) -> bool:
    """Whether a model's own layers scale raw pixels, 0 to 255.

    A black and a white picture go through whatever comes before the first layer with
    weights: a layer of Keras, an operation or a function.

    Args:
        model: A functional model with one input, pictures.

    Returns:
        `False` also where that is not to be told.
    """
    try:
        black, white = (_scaled(model, value) for value in (0.0, 255.0))
    except Exception:
        # What somebody's layers make of a made-up picture is no reason to fail.
        return False
    span = float(np.abs(white - black).max())
    return _CONSTANT < span <= _SCALED or float(black.min()) <= _BLACK


def _scaled(model: keras.Model, value: float) -> np.ndarray:
    """Returns the middle pixel of a picture of one value, as weights first see it."""
    graph = _keras.as_graph(model)
    (tensor,) = graph.inputs
    shape = (1, *(_SIDE if side is None else side for side in tensor.shape[1:]))
    x, _ = _run(graph, keras.ops.full(shape, value, dtype=tensor.dtype))
    pixels = keras.ops.convert_to_numpy(keras.ops.cast(x, "float32"))
    return pixels[0, pixels.shape[1] // 2, pixels.shape[2] // 2]


def _run(graph: keras.Model, x: Any) -> tuple[Any, bool]:
    """Runs a graph up to its first weights; returns `True` where it has none."""
    (tensor,) = graph.inputs
    # Pictures may be taken apart and joined again, as to swap their colours.
    values, pixels = {id(tensor): x}, x
    for node in _keras.graph_nodes(graph):
        operation, first = node.operation, node.input_tensors[0]
        if _keras.is_functional(operation):
            x, whole = _run(_keras.as_graph(operation), values[id(first)])
            if not whole:
                return x, False
            values[id(node.outputs[0])] = x
        elif getattr(operation, "weights", ()) and not is_scaling(operation):
            x = values[id(first)]
            return x if len(x.shape) == 4 else pixels, False
        else:
            _keras.call_again([node], values, training=False)
            x = values[id(node.outputs[0])]
        if len(x.shape) == 4:
            pixels = x
    return pixels, len(x.shape) == 4
