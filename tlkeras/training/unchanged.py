"""What looks at a model by training it leaves it as it was."""

import contextlib
import random
from collections.abc import Iterator

import keras
import numpy as np

from tlkeras import _keras
from tlkeras.freezing import FreezePoint, freeze


@contextlib.contextmanager
def unchanged(model: keras.Model) -> Iterator[None]:
    """Puts back weights, seeds, metrics and `trainable` flags of `model`, always.

    So also after an error or an interrupt. How the model is compiled is for those to
    leave alone who use this. The states of Python's and NumPy's random numbers, which
    Keras draws seeds from, are put back, too.

    Args:
        model: A built model.
    """
    layers = [(layer, layer.trainable) for layer in _keras.sublayers(model)]
    variables = [*model.variables, *model.metrics_variables]
    flags = [(variable, variable.trainable) for variable in variables]
    values = [(variable, np.array(variable)) for variable in variables]
    python, numpy = random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        _put_back_flags(layers)
        for variable, flag in flags:
            variable.trainable = flag
        for variable, value in values:
            variable.assign(value)
        random.setstate(python)
        np.random.set_state(numpy)


def set_freeze_point(
    model: keras.Model,
    point: FreezePoint,
    backbone: keras.Model | str | None = None,
    train_batch_norm: bool = False,
) -> None:
    """Sets the flags as `freeze` does, and leaves `model` compiled as it is.

    Args:
        model: As in `tl.freeze`.
        point: `unfreeze_from` of `tl.freeze`.
        backbone: As in `tl.freeze`.
        train_batch_norm: As in `tl.freeze`.
    """
    # `freeze` compiles a compiled model again. This one, over the same layers, is not.
    flags_only = keras.Model(model.inputs, model.outputs, name="flags_only")
    freeze(flags_only, point, train_batch_norm=train_batch_norm, backbone=backbone)


def _put_back_flags(layers: list[tuple[keras.layers.Layer, bool]]) -> None:
    """Sets each layer's own flag, which Keras hands down to the layers inside it."""
    for _ in layers:
        wrong = [(layer, flag) for layer, flag in layers if layer.trainable != flag]
        if not wrong:
            return
        for layer, flag in wrong:
            layer.trainable = flag
