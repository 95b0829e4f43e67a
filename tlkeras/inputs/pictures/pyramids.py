"""From a backbone to its feature maps at several strides, on which boxes are found."""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import keras

from tlkeras._keras import call_again, graph_nodes, is_functional


def pyramid(
    model: keras.Model, strides: Sequence[int], size: Sequence[int]
) -> keras.Model:
    """Returns a model of the same layers that gives its feature maps at some strides.

    Of each size it is the last one before the next smaller; of KerasHub's RetinaNet the
    one that its feature pyramid gives. Models inside the model, such as RetinaNet's
    image encoder, are opened, and so is that pyramid: each of their layers may be a
    freeze point, and their maps are found.

    Args:
        model: A functional model with one image input.
        strides: Pixels between the cells of each map, each twice the one before.
        size: Height and width of the pictures in pixels.

    Raises:
        ValueError: If `strides` are not as described, or there is no such feature map.

    Example:

    >>> base = keras.applications.MobileNetV2(weights=None, include_top=False,
    ...                                       input_shape=(96, 96, 3))
    >>> [x.shape[1:3] for x in pyramid(base, (16, 32), (96, 96)).outputs]
    [(6, 6), (3, 3)]
    """
    steps = list(strides) if isinstance(strides, (list, tuple)) else []
    doubled = all(b == 2 * a for a, b in itertools.pairwise(steps))
    if not steps or not doubled or not all(isinstance(s, int) and s > 0 for s in steps):
        raise ValueError(
            "`strides` must be numbers of pixels, each twice the one before, such as "
            f"(8, 16, 32). Received: strides={strides!r}."
        )
    inputs, tensors = _opened(model, tuple(size))
    maps = {}
    for tensor in tensors:
        if len(tensor.shape) == 4:
            maps[tuple(tensor.shape[1:3])] = tensor
    wanted = [tuple(math.ceil(side / step) for side in size) for step in steps]
    missing = [s for s, w in zip(steps, wanted, strict=True) if w not in maps]
    if missing or len(set(wanted)) < len(wanted):
        known = sorted({round(size[0] / each[0]) for each in maps if each[0]})
        raise ValueError(
            f"The backbone {model.name!r} has no feature map at the strides "
            f"{missing or steps[-1:]} for pictures of {size[0]} x {size[1]} pixels. It "
            f"has maps at {known}: pass such `strides=`, each twice the one before, "
            "and an `input_shape=` that the largest divides."
        )
    return keras.Model(inputs, [maps[each] for each in wanted], name=model.name)


def _opened(
    model: keras.Model, size: tuple[int, ...]
) -> tuple[Any, Iterator[keras.KerasTensor]]:
    """Returns a model's inputs, at one size, and what its layers make of them."""
    own = model.inputs[0]
    nodes = graph_nodes(model)
    if tuple(own.shape[1:3]) == size and not any(
        _nests(n) or _merges(n) for n in nodes
    ):
        return model.inputs, (x for node in nodes for x in _maps(node, node.outputs))
    inputs = keras.Input((*size, own.shape[-1]), dtype=own.dtype, name=own.name)
    return inputs, _called(model, {id(own): inputs})


def _called(model: keras.Model, values: dict[int, Any]) -> Iterator[keras.KerasTensor]:
    """Calls a model's layers on new tensors, also those inside of others; yields maps.

    What a nested call says of `training` is dropped, as Keras does where the model
    around it is called in training.
    """
    for node in graph_nodes(model):
        if _nests(node):
            inner = node.operation
            given = zip(inner.inputs, node.input_tensors, strict=True)
            values.update((id(its), values[id(outer)]) for its, outer in given)
            yield from _called(inner, values)
            made = [values[id(tensor)] for tensor in inner.outputs]
        elif _merges(node):
            made = _merged(node, [values[id(tensor)] for tensor in node.input_tensors])
        else:
            call_again([node], values)
            made = [values[id(tensor)] for tensor in node.outputs]
        values.update((id(t), x) for t, x in zip(node.outputs, made, strict=True))
        yield from _maps(node, made)


def _maps(node: Any, made: Sequence[keras.KerasTensor]) -> Sequence[keras.KerasTensor]:
    """Returns what an operation made, what counts most last."""
    if isinstance(node.operation, keras.layers.ZeroPadding2D):
        return ()
    # Where pictures are so small that maps of a pyramid have one size: the finer one.
    return made[::-1]


def _nests(node: Any) -> bool:
    return is_functional(node.operation) and bool(node.operation.weights)


def _merges(node: Any) -> bool:
    """Whether a node is KerasHub's feature pyramid, one layer with many inside."""
    return type(node.operation).__name__ == "FeaturePyramid"


def _merged(node: Any, maps: Sequence[keras.KerasTensor]) -> list[keras.KerasTensor]:
    """Calls the layers inside of KerasHub's feature pyramid.

    Each then is a freeze point, and those whose maps nobody reads are left out: they
    would have no gradients.
    """
    pyramid, first = node.operation, node.operation.min_level
    levels = {f"P{first + i}": each for i, each in enumerate(maps)}
    try:
        return list(pyramid.call(levels).values())
    except ValueError as error:
        stride = 2 ** (first + len(maps) - 1)
        raise ValueError(
            "RetinaNet doubles its maps from level to level: height and width of "
            f"pictures must be multiples of {stride} pixels. Pass such an "
            "`input_shape=`, and read the pictures at it."
        ) from error
