"""A functional model opened up, so that it can be run from and to any layer."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import keras

from tlkeras import _keras


@dataclass(frozen=True)
class Call:
    """One call of a layer or operation.

    Attributes:
        node: The Keras node.
        inputs: The slots of the tensors that it reads.
        outputs: The slots of the tensors that it makes.
    """

    node: Any
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]

    @property
    def operation(self) -> keras.Operation:
        """The layer or operation that is called."""
        return self.node.operation


class Graph:
    """The calls of a functional model, those inside of nested models among them.

    A gradient with respect to a layer of a nested model cannot be had of the model
    itself: its tensors are not those of the model that it is nested in. Here each
    tensor has a number, its slot, whatever model it belongs to. Calls run on values, in
    inference mode: the model's own graph does not grow by it.

    Args:
        model: A functional `keras.Model`.
    """

    def __init__(self, model: keras.Model):
        self.calls: list[Call] = []
        self.tensors: list[keras.KerasTensor] = []
        self.inputs = [self._new(tensor) for tensor in _keras.as_graph(model).inputs]
        self._maker: dict[int, Call] = {}
        self.outputs = self._open(model, self.inputs)

    def run(self, values: dict[int, Any], wanted: int) -> Any:
        """Returns the value of a slot, and adds all that it took to `values`.

        Args:
            values: From slots to tensors. What is here is not computed anew, so that
                a run can start anywhere.
            wanted: A slot.
        """
        for call in self.between(values, wanted):
            pairs = zip(call.node.input_tensors, call.inputs, strict=True)
            given = {id(tensor): values[slot] for tensor, slot in pairs}
            _keras.call_again([call.node], given, training=False)
            made = (given[id(tensor)] for tensor in call.node.outputs)
            for slot, tensor in zip(call.outputs, made, strict=True):
                values.setdefault(slot, tensor)
        return values[wanted]

    def between(self, known: Iterable[int], wanted: int) -> list[Call]:
        """Returns the calls that lead from known slots to another, in order."""
        known, needed, missing = set(known), [], {wanted}
        missing -= known
        for call in reversed(self.calls):
            if missing.intersection(call.outputs):
                needed.append(call)
                missing.update(slot for slot in call.inputs if slot not in known)
        return needed[::-1]

    def maker(self, slot: int) -> Call | None:
        """Returns the call that makes a slot; `None` of a model's input."""
        return self._maker.get(slot)

    def _new(self, tensor: keras.KerasTensor) -> int:
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def _open(self, model: keras.Model, inputs: Sequence[int]) -> list[int]:
        """Adds a model's calls; returns the slots of its outputs."""
        model = _keras.as_graph(model)
        slots = {id(t): slot for t, slot in zip(model.inputs, inputs, strict=True)}
        for node in _keras.graph_nodes(model):
            reads = tuple(slots[id(tensor)] for tensor in node.input_tensors)
            if _keras.is_functional(node.operation):
                makes = self._open(node.operation, reads)
            else:
                makes = [self._new(tensor) for tensor in node.outputs]
                call = Call(node, reads, tuple(makes))
                self.calls.append(call)
                self._maker.update(dict.fromkeys(makes, call))
            slots.update(
                (id(t), slot) for t, slot in zip(node.outputs, makes, strict=True)
            )
        return [slots[id(tensor)] for tensor in model.outputs]


def in_inference(function: Callable[..., Any]) -> Callable[[list], Any]:
    """Returns a function of a list in which layers run with `training=False`.

    Some layers, such as those that augment, are in training by default: inside of
    another layer they have to be told otherwise by what they are called in.
    """
    scope = Scope(function)
    return lambda tensors: scope(tensors, training=False)


class Scope(keras.layers.Layer):
    """Hands its `training` argument down to the layers that a function calls."""

    def __init__(self, function: Callable[..., Any]):
        super().__init__(autocast=False)
        self._function = function
        self.built = True

    def call(self, tensors, training=None):
        return self._function(*tensors)
