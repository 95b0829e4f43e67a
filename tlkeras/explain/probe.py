"""What is asked of a model: the logits of one head, and their gradients."""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras._validation import unknown_name
from tlkeras.explain.graph import Graph, in_inference
from tlkeras.export.copies import in_float32
from tlkeras.outputs import Numbers, Output, output_of_keras
from tlkeras.problem import input_of, problem_of

# Activations whose outputs saturate: what comes before them is explained.
_SQUASHING = ("softmax", "sigmoid")


class Probe:
    """A model in float32 as a function from any of its tensors to one head's logits.

    Args:
        model: A functional `keras.Model`.
        head: The name of an output, where there are several.

    Attributes:
        model: `model`, or a copy of it in float32 where it computes in less: small
            gradients would become zero in half precision.
        graph: Its calls.
        output: The slot of the head's output.
        units: How many scores there are to explain: the width of the output, or of
            boxes the number of cells times that of classes.
        input: What the model takes, an `Input`.
        answer: What the head answers, an `Output`.

    Raises:
        ValueError: If the model is no functional one, the head is unknown, or its
            output is no row of numbers.
    """

    def __init__(self, model: keras.Model, head: str | None = None):
        if not _keras.is_functional(model):
            raise ValueError(
                "`model` must be a functional `keras.Model` (or a built Sequential "
                f"one): its layers must be known. Received: {type(model).__name__}."
            )
        self.model = in_float32(model)
        self.graph = Graph(self.model)
        number, name = _find_head(self.model, head)
        self.output = self.graph.outputs[number]
        shape = tuple(self.graph.tensors[self.output].shape)
        if len(shape) not in (2, 3) or None in shape[1:]:
            raise _unexplained(shape)
        self._logits, self._activation, self._squashing = self._find_logits()
        self.input = input_of(model)
        self.answer = _answer(model, name, self._squashing, shape[-1])
        scores = self.answer.explained_scores(self.graph.tensors[self._logits])
        if len(scores.shape) != 2:
            raise _unexplained(shape)
        self.units = scores.shape[1]
        # Traced, it forgets each feature map when it is read, and does not warn of a
        # softmax over the single token of a short text.
        self.forward = self._traced(self._forward, self._specs)
        # Kept: a sanity check traces them once, not anew in each of its stages.
        self.gradient_function = functools.cache(self.gradient_function)
        self.features_function = functools.cache(self.features_function)

    @property
    def input_names(self) -> list[str]:
        """Names of the model's inputs, in the order of its graph."""
        return [self.graph.tensors[slot].name for slot in self.graph.inputs]

    @property
    def names(self) -> tuple[str, ...] | None:
        """Names of what can be explained; `None` where there are none."""
        return self.answer.unit_names

    @property
    def gives_probabilities(self) -> bool:
        """Whether the outputs are probabilities."""
        return self._squashing is not None and self.answer.gives_probabilities

    def gradient_function(self, slot: int) -> Any:
        """Returns a function of tensors at a slot and of fixed ones.

        Args:
            slot: Where the gradient is wanted.

        Returns:
            A function of `[value, choice, *inputs]`: a tensor at the slot, one-hot rows
            that choose a logit each, and the model's inputs. It returns the chosen
            logits, and their gradient with respect to `value`.
        """
        import tensorflow as tf

        def gradient(value, choice, *inputs):
            values = dict(zip(self.graph.inputs, inputs, strict=True))
            values[slot] = value
            with tf.GradientTape() as tape:
                tape.watch(value)
                scores = self._run_to_scores(values)
                chosen = tf.reduce_sum(scores * choice, axis=1)
            return chosen, _connected(tape.gradient(chosen, value))

        choice = tf.TensorSpec((None, self.units), "float32")
        specs = [self._spec(slot), choice, *self._specs]
        if slot in self.graph.inputs:
            # Whole numbers have no gradient.
            specs[0] = tf.TensorSpec(specs[0].shape, "float32")
        return self._traced(gradient, specs)

    def features_function(self, slot: int) -> Any:
        """Returns a function of `[choice, *inputs]`.

        Returns:
            Its results are the tensor at the slot, and the gradient of the chosen
            logits with respect to it.
        """
        import tensorflow as tf

        def gradient(choice, *inputs):
            values = dict(zip(self.graph.inputs, inputs, strict=True))
            features = self.graph.run(values, slot)
            with tf.GradientTape() as tape:
                tape.watch(features)
                scores = self._run_to_scores({slot: features, **values})
                chosen = tf.reduce_sum(scores * choice, axis=1)
            return features, _connected(tape.gradient(chosen, features))

        choice = tf.TensorSpec((None, self.units), "float32")
        return self._traced(gradient, [choice, *self._specs])

    def at(self, slot: int, inputs: Sequence[Any]) -> Any:
        """Returns the tensor at a slot for inputs of the model."""

        def run(*tensors):
            values = dict(zip(self.graph.inputs, tensors, strict=True))
            return self.graph.run(values, slot)

        return in_inference(run)(list(inputs))

    @property
    def _specs(self) -> list[Any]:
        return [self._spec(slot) for slot in self.graph.inputs]

    def _spec(self, slot: int) -> Any:
        import tensorflow as tf

        tensor = self.graph.tensors[slot]
        return tf.TensorSpec(tensor.shape, tensor.dtype)

    def _traced(self, function: Any, specs: list[Any]) -> Any:
        """Returns a function of a list of arrays that is traced only once."""
        import tensorflow as tf

        traced = tf.function(
            in_inference(function), input_signature=[specs], autograph=False
        )

        def call(arrays):
            pairs = zip(arrays, specs, strict=True)
            return traced([tf.cast(array, spec.dtype) for array, spec in pairs])

        return call

    def _forward(self, *inputs: Any) -> tuple[Any, Any]:
        """Returns logits and outputs."""
        values = dict(zip(self.graph.inputs, inputs, strict=True))
        scores = self._run_to_scores(values)
        logits = values[self._logits]
        activated = logits if self._activation is None else self._activation(logits)
        return scores, self.graph.run({self._logits: activated}, self.output)

    def _run_to_scores(self, values: dict[int, Any]) -> Any:
        with self._linear():
            logits = self.graph.run(values, self._logits)
        return self.answer.explained_scores(logits)

    @contextlib.contextmanager
    def _linear(self) -> Iterator[None]:
        """Takes the activation off the last layer for as long as it is called."""
        if self._activation is None:
            yield
            return
        layer = self.graph.maker(self._logits).operation
        layer.activation = keras.activations.linear
        try:
            yield
        finally:
            layer.activation = self._activation

    def _find_logits(self) -> tuple[int, Any, str | None]:
        """Returns the logits' slot, the activation that its layer has, and its kind."""
        slot = self.output
        while (call := self.graph.maker(slot)) is not None:
            layer = call.operation
            weighted = bool(getattr(layer, "weights", ()))
            activation = getattr(layer, "activation", None)
            # A layer with an activation, or one that is an activation.
            name = getattr(activation, "__name__", type(layer).__name__).lower()
            if name in _SQUASHING and weighted:
                return slot, activation, name
            if name in _SQUASHING:
                return call.inputs[0], None, name
            if weighted or name != "linear":
                break
            slot = call.inputs[0]
        return self.output, None, None


def choose(probe: Probe, target: Any, outputs: np.ndarray) -> np.ndarray:
    """Returns the number of the output to explain of each input.

    Args:
        probe: The model.
        target: As in `explain`.
        outputs: The model's outputs, of each input one.

    Raises:
        ValueError: If there is no such output, or which one is not to be told.
    """
    count = len(outputs)
    if target is None:
        return probe.answer.explained(outputs)
    several = isinstance(target, (list, tuple, np.ndarray)) and np.ndim(target) == 1
    if several and len(target) != count:
        raise ValueError(
            "`target` must be one class, or one for each input. Received: "
            f"{len(target)} targets for {count} inputs."
        )
    targets = list(target) if several else [target] * count
    pairs = zip(targets, outputs, strict=True)
    return np.array([_number_of(probe, *pair) for pair in pairs], "int64")


def _number_of(probe: Probe, target: Any, output: np.ndarray) -> int:
    names = probe.names
    if isinstance(target, str):
        if names is None:
            raise ValueError(
                f"The outputs of a {probe.answer.title} have no names. `target` must "
                f"be a number from 0 to {probe.units - 1}. Received: "
                f"target={target!r}."
            )
        if target not in names:
            raise unknown_name("class", target, names)
        return probe.answer.explained_of(output, names.index(target))
    whole = hasattr(target, "__index__") and not isinstance(target, bool)
    if whole and 0 <= int(target) < probe.units:
        return int(target)
    raise ValueError(
        f"`target` must be a class of the model or a number from 0 to "
        f"{probe.units - 1}. Received: target={target!r}."
    )


def _unexplained(shape: tuple) -> ValueError:
    return ValueError(
        "Outputs to explain must have the shape (batch, units). Received: a model "
        f"with outputs of shape {shape}."
    )


def _connected(gradient: Any) -> Any:
    if gradient is None:
        raise ValueError(
            "The output does not depend on this layer through anything that has a "
            "gradient. Choose another `layer`."
        )
    return gradient


def _find_head(model: keras.Model, head: str | None) -> tuple[int, str]:
    """Returns the number and the name of the output to explain."""
    names = output_names(model)
    if head is None and len(names) > 1:
        raise ValueError(
            f"The model has several heads. Say which one to explain with `head=`: "
            f"{', '.join(map(repr, names))}."
        )
    if head is not None and head not in names:
        raise unknown_name("head", head, names)
    number = 0 if head is None else names.index(head)
    return number, names[number]


def output_names(model: keras.Model) -> list[str]:
    """Returns a name for each output, in the order of `model.outputs`."""
    if isinstance(model.output, dict):
        order = {id(tensor): name for name, tensor in model.output.items()}
        return [order[id(tensor)] for tensor in model.outputs]
    return list(model.output_names)


def _answer(model: keras.Model, head: str, squashing: str | None, units: int) -> Output:
    """Returns what a head answers; where nothing tells, numbers."""
    problem = problem_of(model)
    if problem is not None:
        return problem.outputs[head] if problem.named else problem.output
    return output_of_keras(None, squashing, units) or Numbers(units)
