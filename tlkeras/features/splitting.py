"""The frozen prefix and the trainable suffix of a model, split at the freeze point."""

import contextlib
import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass

import keras

from tlkeras import _keras
from tlkeras._code import draws_numbers
from tlkeras.freezing import find_backbone

# Layers of Keras that take `training`, and do the same whatever it is.
_ALIKE = (keras.layers.Resizing, keras.layers.CenterCrop)
ITEM_SIZE = {"bool": 1, "uint8": 1, "int8": 1, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class SplitModel:
    """A model cut in two at its freeze point; both parts share the model's layers.

    Attributes:
        augmentation: `keras.Model` over everything before the backbone, where some of
            that is random, else `None`. Its outputs are the prefix's inputs.
        prefix: `keras.Model` from the model's inputs (or the augmentation's outputs) to
            the tensors at the cut. Nothing in it trains.
        suffix: `keras.Model` from the tensors at the cut to the model's outputs.
    """

    augmentation: keras.Model | None
    prefix: keras.Model
    suffix: keras.Model

    @property
    def random_layers(self) -> list[str]:
        """Names of the layers before the backbone that differ from call to call."""
        if self.augmentation is None:
            return []
        nodes = _keras.graph_nodes(self.augmentation)
        return [node.operation.name for node in nodes if _is_random(node)]

    def whole_prefix(self) -> keras.Model:
        """Returns everything below the cut, from the model's own inputs on.

        In inference, in which augmentation leaves examples as they are.
        """
        if self.augmentation is None:
            return self.prefix
        inputs = _inputs_like(self.augmentation)
        outputs = self.prefix(self.augmentation(inputs, training=False))
        return keras.Model(inputs, outputs, name="prefix")


def split_model(
    model: keras.Model, backbone: keras.Model | str | None = None
) -> SplitModel:
    """Splits `model` at its freeze point into a frozen prefix and the rest.

    The prefix takes in what neither trains nor differs between training and inference.
    Where all of the backbone is frozen it goes on into the head: the pooling is part of
    the prefix, and the tensors at the cut are small. Frozen batch norms and dropouts
    count as fixed. The freeze point is read from the layers' `trainable` flags, as
    `freeze` or the user has set them.

    Args:
        model: Functional `keras.Model` with a nested backbone.
        backbone: The nested backbone or its name, where there are several.

    Returns:
        A `SplitModel`. `suffix(prefix(x, training=False))` equals `model(x)`.

    Raises:
        ValueError: If `model` has no backbone, or layers before it train.

    Example:

    >>> model = tl.image_classifier("vgg16", 2, weights=None, input_shape=64)
    >>> parts = tl.split_model(tl.freeze(model, unfreeze_from="block5"))
    >>> parts.prefix.output_shape
    (None, 4, 4, 512)
    """
    backbone = find_backbone(model, backbone)
    model = _keras.as_graph(model)
    nodes = _keras.graph_nodes(model)
    call = next(node for node in nodes if node.operation is backbone)
    before, after = _around(nodes, call)
    _check_nothing_trains(before, backbone)
    side = _crossing(before, after, model)
    boundary = _unique([*call.input_tensors, *side])
    augmentation, start = None, model.input
    if any(map(_is_random, before)):
        ends = _single(_apart(boundary, model.inputs))
        augmentation = keras.Model(model.input, ends, name="augmentation")
        start = _single(boundary)
    if is_fixed(backbone):
        cut = _cut(after, [*call.outputs, *side], model.outputs)
        ends = _single(_apart(cut, keras.tree.flatten(start)))
        prefix = keras.Model(start, ends, name="prefix")
        suffix = _above(nodes, cut, model.output, "suffix")
    else:
        cut = _cut(_keras.graph_nodes(backbone), backbone.inputs, backbone.outputs)
        ends = _apart(cut, backbone.inputs)
        lower = keras.Model(backbone.inputs, ends, name=f"{backbone.name}_frozen")
        inside = _keras.graph_nodes(backbone)
        upper = _above(inside, cut, backbone.outputs, f"{backbone.name}_trained")
        features = keras.tree.flatten(lower(call.input_tensors))
        ends = _single(_apart([*features, *side], keras.tree.flatten(start)))
        prefix = keras.Model(start, ends, name="prefix")
        suffix = _suffix(model, call, upper, [*features, *side], after)
    return SplitModel(augmentation, prefix, suffix)


def head_of(
    model: keras.Model, backbone: keras.Model | str | None = None
) -> keras.Model:
    """Returns the part of `model` after its backbone, as a model over the same layers.

    Its inputs are the backbone's output and whatever else of the model's inputs the
    head reads, such as the padding mask of texts.
    """
    backbone = find_backbone(model, backbone)
    model = _keras.as_graph(model)
    nodes = _keras.graph_nodes(model)
    call = next(node for node in nodes if node.operation is backbone)
    before, after = _around(nodes, call)
    cut = [*call.outputs, *_crossing(before, after, model)]
    return _above(nodes, cut, model.output, "head")


def is_fixed(operation: keras.Operation) -> bool:
    """Whether an operation computes the same in training as in inference, for good.

    That is so for operations without weights or a `training` argument, for layers
    with `trainable=False`, and for models all of whose layers are so.
    """
    if not isinstance(operation, keras.layers.Layer) or not operation.trainable:
        return True
    if _keras.is_functional(operation):
        return all(map(is_fixed, operation.layers))
    return not operation.trainable_weights and not _takes_training(operation)


@keras.saving.register_keras_serializable("tlkeras")
class Frozen(keras.layers.Layer):
    """Runs a model in inference mode and without gradients, whatever surrounds it.

    Keras hands `training=True` down to every layer of a functional model, also where
    the layer was called with `training=False`.

    Args:
        model: The `keras.Model` to run. It is frozen.
    """

    def __init__(self, model: keras.Model, **kwargs):
        super().__init__(trainable=False, **kwargs)
        self.model = model

    def call(self, inputs):
        return keras.tree.map_structure(
            keras.ops.stop_gradient, self.model(inputs, training=False)
        )

    def compute_output_spec(self, inputs):
        return self.model.compute_output_spec(inputs)

    def get_config(self):
        model = keras.saving.serialize_keras_object(self.model)
        return {**super().get_config(), "model": model}

    @classmethod
    def from_config(cls, config):
        model = keras.saving.deserialize_keras_object(config.pop("model"))
        return cls(model, **config)


def join(parts: SplitModel) -> keras.Model:
    """Returns one model that runs a split's parts as training wants them run.

    Augmentation and suffix follow the `training` argument; the prefix is `Frozen`.
    """
    inputs = _inputs_like(parts.augmentation or parts.prefix)
    x = parts.augmentation(inputs) if parts.augmentation else inputs
    outputs = parts.suffix(Frozen(parts.prefix, name="frozen_prefix")(x))
    return keras.Model(inputs, outputs, name="phase")


def _inputs_like(model: keras.Model) -> object:
    """Returns new inputs of the shapes and names of a model's own."""
    return keras.tree.map_structure(
        lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name),
        model.input,
    )


def _around(nodes: list, call: object) -> tuple[list, list]:
    """Splits a model's nodes into those that `call` needs, and all others."""
    needed = {id(tensor) for tensor in call.input_tensors}
    before, after = [], []
    for node in reversed(nodes):
        if any(id(tensor) in needed for tensor in node.outputs):
            needed.update(id(tensor) for tensor in node.input_tensors)
            before.append(node)
        elif node is not call:
            after.append(node)
    return before[::-1], after[::-1]


def _check_nothing_trains(before: list, backbone: keras.Model) -> None:
    trained = [
        node.operation.name
        for node in before
        if getattr(node.operation, "trainable_weights", ())
    ]
    if trained:
        raise ValueError(
            f"Layers before the backbone {backbone.name!r} train: {trained}. What lies "
            "below a frozen part must be frozen too: set their `trainable` to False."
        )


def _crossing(made_by: list, used_by: list, model: keras.Model) -> list:
    """Returns the tensors of `made_by` (or the model's inputs) that `used_by` reads."""
    made = {id(t) for node in made_by for t in node.outputs}
    made.update(id(t) for t in model.inputs)
    used = [t for node in used_by for t in node.input_tensors] + list(model.outputs)
    return _unique(t for t in used if id(t) in made)


def _cut(nodes: list, sources: Sequence, outputs: Sequence) -> list:
    """Returns the tensors that end the fixed part of a graph.

    All frozen layers with weights of their own belong to the fixed part, where nothing
    below them trains. Of the cheap operations that follow (activations, pooling, batch
    norms), it takes as many as make the tensors at the cut smallest.

    Args:
        nodes: The graph's nodes, each after its inputs.
        sources: The tensors that the graph starts from.
        outputs: The tensors that it ends in.
    """
    available = {id(tensor) for tensor in sources}
    fixed = []
    for node in nodes:
        known = all(id(tensor) in available for tensor in node.input_tensors)
        if known and is_fixed(node.operation):
            fixed.append(node)
            available.update(id(tensor) for tensor in node.outputs)
    costly = [i + 1 for i, node in enumerate(fixed) if _is_costly(node.operation)]
    ends = range(max(costly, default=0), len(fixed) + 1)
    cuts = [_frontier(nodes, fixed[:end], sources, outputs) for end in ends]
    return min(reversed(cuts), key=_bytes_per_example)


def _frontier(nodes: list, inside: list, sources: Sequence, outputs: Sequence) -> list:
    """Returns what the nodes outside read of `sources` and of the nodes `inside`."""
    made = {id(t) for t in sources} | {id(t) for node in inside for t in node.outputs}
    skip = {id(node) for node in inside}
    read = [t for node in nodes if id(node) not in skip for t in node.input_tensors]
    return _unique(t for t in [*read, *outputs] if id(t) in made)


def _above(nodes: list, cut: Sequence, outputs: object, name: str) -> keras.Model:
    """Returns the model from the tensors at the cut to the outputs of a graph.

    `keras.Model(cut, outputs)` would do, were none of the tensors at the cut an input
    of the graph: then Keras loses track of the graph that it was an input of.
    """
    known, needed = {id(t) for t in cut}, []
    read = {id(t) for t in keras.tree.flatten(outputs)} - known
    for node in reversed(nodes):
        if any(id(t) in read for t in node.outputs):
            needed.append(node)
            read.update(id(t) for t in node.input_tensors if id(t) not in known)
    inputs = [keras.Input(batch_shape=t.shape, dtype=t.dtype) for t in cut]
    values = {id(t): x for t, x in zip(cut, inputs, strict=True)}
    _keras.call_again(reversed(needed), values)
    ends = keras.tree.map_structure(lambda t: values[id(t)], outputs)
    return keras.Model(_single(inputs), ends, name=name)


def _suffix(
    model: keras.Model, call: object, upper: keras.Model, cut: Sequence, after: list
) -> keras.Model:
    """Builds the suffix: the backbone's upper part, then the model's own head."""
    inputs = [keras.Input(batch_shape=t.shape, dtype=t.dtype) for t in cut]
    count = len(upper.inputs)
    side = cut[count:]
    values = {id(t): x for t, x in zip(side, inputs[count:], strict=True)}
    features = keras.tree.flatten(upper(_single(inputs[:count])))
    values.update((id(t), x) for t, x in zip(call.outputs, features, strict=True))
    _keras.call_again(after, values)
    outputs = keras.tree.map_structure(lambda t: values[id(t)], model.output)
    return keras.Model(_single(inputs), outputs, name="suffix")


def _apart(tensors: Sequence, inputs: Sequence) -> list:
    """Returns the tensors, those that are inputs behind an identity.

    Keras takes a model's output that is its input for the output of each call of the
    model, and forgets where it came from in the first place.
    """
    own = {id(tensor) for tensor in inputs}
    return [
        keras.layers.Identity(autocast=False)(t) if id(t) in own else t for t in tensors
    ]


def _is_costly(operation: keras.Operation) -> bool:
    if not isinstance(operation, keras.layers.Layer):
        return False
    is_batch_norm = isinstance(operation, keras.layers.BatchNormalization)
    is_dropout = not operation.weights and _takes_training(operation)
    return is_dropout or (bool(operation.weights) and not is_batch_norm)


def _is_random(node: object) -> bool:
    """Whether a call before the backbone differs from one time to the next."""
    operation = node.operation
    return (
        isinstance(operation, keras.layers.Layer)
        and not operation.weights
        and _takes_training(operation)
    )


def _takes_training(layer: keras.layers.Layer) -> bool:
    if type(layer) in _ALIKE:
        return False
    if isinstance(layer, keras.layers.Lambda):
        # Its `call` has the argument whatever the function is.
        function = layer.function
        with contextlib.suppress(TypeError, ValueError):
            if "training" in inspect.signature(function).parameters:
                return True
        return draws_numbers(function)
    if "training" in inspect.signature(layer.call).parameters:
        return True
    return draws_numbers(layer.call)


def _bytes_per_example(tensors: Sequence) -> int:
    return sum(
        math.prod(dim or 1 for dim in t.shape[1:]) * ITEM_SIZE.get(t.dtype, 4)
        for t in tensors
    )


def _unique(tensors: object) -> list:
    return list({id(tensor): tensor for tensor in tensors}.values())


def _single(tensors: Sequence) -> object:
    """Unwraps a single tensor, so that a dataset's elements are plain tensors."""
    return tensors[0] if len(tensors) == 1 else list(tensors)
