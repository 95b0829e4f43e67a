"""The one place that reads private attributes: of Keras 3.13 to 3.15, of `tf.data`.

Keras has no public way to walk the graph of a functional model, to reach the layers
inside a composite layer, or to hand back what a model was compiled with; a dataset of
`tf.data` does not say what it was made of.
`tests/test_keras_internals.py` fails when one of these changes.
"""

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

# Layers and operations in front of which an output's activation may lie.
_CHANGE_NO_VALUE = ("linear", "identity", "reshape", "flatten", "cast", "squeeze")


def is_functional(model: Any) -> bool:
    """Whether `model` is a graph of layers (functional, or a built `Sequential`)."""
    return isinstance(model, keras.Model) and getattr(model, "inputs", None) is not None


def as_graph(model: keras.Model) -> keras.Model:
    """Returns the functional model inside a `Sequential`, or `model` itself."""
    return model._functional if isinstance(model, keras.Sequential) else model


def graph_nodes(model: keras.Model) -> list:
    """Returns the calls that make up a functional model, each after its inputs.

    Args:
        model: A functional `keras.Model`.

    Returns:
        A list of Keras nodes without the inputs' own. Each has `.operation` (a layer or
        a `keras.ops` operation), `.input_tensors` and `.outputs` (flat lists of
        `KerasTensor`s).
    """
    by_depth = as_graph(model)._nodes_by_depth
    return [
        node
        for depth in sorted(by_depth, reverse=True)
        for node in by_depth[depth]
        if not node.is_input
    ]


def last_activation(tensor: Any) -> str | None:
    """Returns the name of the activation that made a symbolic tensor, if it is one.

    Nested models and layers that change no value, such as the linear activation that
    casts to float32, are looked through.

    Args:
        tensor: An output of a functional model: of a layer with an activation, or of a
            layer that is one.
    """
    while (history := getattr(tensor, "_keras_history", None)) is not None:
        layer = history.operation
        if is_functional(layer):
            tensor = keras.tree.flatten(as_graph(layer).outputs)[history.tensor_index]
            continue
        activation = getattr(layer, "activation", None)
        name = getattr(activation, "__name__", type(layer).__name__).lower()
        if name not in _CHANGE_NO_VALUE or getattr(layer, "weights", ()):
            return name
        tensor = layer._inbound_nodes[history.node_index].input_tensors[0]
    return None


def call_again(
    nodes: Iterable, values: dict[int, Any], training: bool | None = None
) -> None:
    """Calls the nodes' operations on new tensors, symbolic or not.

    Args:
        nodes: Nodes from `graph_nodes`, each after its inputs.
        values: From the `id` of each original tensor to its replacement. The outputs
            of the new calls are added to it.
        training: Takes the place of what a node has recorded as `training`, which it
            does whether or not the user has said it. By default that is kept.
    """
    for node in nodes:
        args, kwargs = node.arguments.fill_in(values)
        if training is not None and "training" in kwargs:
            kwargs["training"] = training
        outputs = keras.tree.flatten(node.operation(*args, **kwargs))
        values.update(
            (id(old), new) for old, new in zip(node.outputs, outputs, strict=True)
        )


def made_of(dataset: Any) -> Iterator[tuple[Any, bool]]:
    """Yields a dataset of `tf.data`, and those that it was made of, one of the other.

    Args:
        dataset: A `tf.data.Dataset`, or anything, which is then the only one.

    Yields:
        Each, and whether a function has changed its elements on the way.
    """
    mapped, kind = False, ""
    while dataset is not None:
        yield dataset, mapped
        after, kind = kind, type(dataset).__name__
        # `unbatch` and `rebatch` have a map of their own below this.
        if "Restructured" not in after:
            mapped |= any(word in kind for word in ("Map", "Interleave", "Scan"))
        inputs = getattr(dataset, "_inputs", None)
        sources = inputs() if hasattr(dataset, "element_spec") and inputs else ()
        dataset = sources[0] if len(sources) == 1 else None


def is_nested(model: keras.Model) -> bool:
    """Whether a model was called as a layer of another one."""
    return bool(model._inbound_nodes)


def sublayers(layer: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Returns `layer` and every layer inside it, however deep."""
    return list(layer._flatten_layers())


def compile_arguments(model: keras.Model) -> Mapping[str, Any]:
    """Returns the arguments of the model's last `compile`, as they were given.

    `get_compile_config` would serialise them, and lose a user's own functions.
    """
    if not model.compiled:
        return {}
    arguments = dict(model._compile_config.config)
    arguments["optimizer"] = model.optimizer
    return arguments


def compiled_loss(model: keras.Model, name: str) -> Any:
    """Returns the loss of one head that a model was compiled with.

    Args:
        model: The model.
        name: The head's name, where there are several losses.
    """
    losses = compile_arguments(model).get("loss")
    return losses.get(name) if isinstance(losses, Mapping) else losses


def loss_settings(loss: keras.losses.Loss) -> dict[str, Any]:
    """Returns what a loss of Keras that wraps a function was set up with.

    Not all of it is in every config.
    """
    return dict(loss._fn_kwargs)


def loss_tracker(model: keras.Model) -> keras.metrics.Metric:
    """Returns the metric of a compiled model that is its mean loss."""
    return model._loss_tracker


def keep_direction(wrapper: keras.metrics.Metric, metric: keras.metrics.Metric) -> None:
    """Gives a metric around another one what says whether it is to rise or to fall.

    Callbacks with `mode="auto"` read it.
    """
    if hasattr(metric, "_direction"):
        wrapper._direction = metric._direction


def direction(metric: Any) -> str | None:
    """Returns whether a metric is to fall, "min", or to rise, "max".

    `None` where Keras does not know.
    """
    return {"down": "min", "up": "max"}.get(getattr(metric, "_direction", None))


def unused_optimizer(
    optimizer: keras.optimizers.Optimizer, learning_rate: Any = None
) -> keras.optimizers.Optimizer:
    """Returns an optimizer of these settings that has not seen a step.

    It scales no loss, and knows no rates of single variables: both depend on what is
    to train.

    Args:
        optimizer: A Keras optimizer, or one of `tlkeras.optimizers`.
        learning_rate: A number or a schedule in place of the optimizer's own.
    """
    while isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    if hasattr(optimizer, "plain"):
        optimizer = optimizer.plain()
    config = optimizer.get_config()
    if learning_rate is not None:
        config["learning_rate"] = learning_rate
    unused = type(optimizer).from_config(config)
    copy_decay_exclusions(optimizer, unused)
    return unused


def copy_decay_exclusions(
    source: keras.optimizers.Optimizer, target: keras.optimizers.Optimizer
) -> None:
    """Repeats on `target` what `exclude_from_weight_decay` was told on `source`.

    An optimizer's config does not hold it.
    """
    for name in ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern"):
        if hasattr(source, name):
            setattr(target, name, getattr(source, name))


def uses_weight_decay(
    optimizer: keras.optimizers.Optimizer, variable: keras.Variable
) -> bool:
    """Whether `exclude_from_weight_decay` has left the variable to the decay."""
    return optimizer._use_weight_decay(variable)


def build_for(model: keras.Model, batch: Any) -> None:
    """Makes the variables of a compiled model's metrics, without a step.

    Args:
        model: A built and compiled model.
        batch: `(x, y)` or `(x, y, sample_weight)`.
    """
    model._symbolic_build(data_batch=batch)


def build_metrics_with(model: keras.Model, built: keras.Model) -> None:
    """Has a model's metrics be built when those of another model are.

    A model that is not fitted itself has none otherwise, and callbacks with
    `mode="auto"` look among its metrics for the one that they watch.

    Args:
        model: A compiled model.
        built: One of the same outputs and metrics, compiled, that is to be fitted.
    """
    own, other = model._compile_metrics, built._compile_metrics
    if own is None or other is None:
        return
    build = other.build

    def build_both(y_true: Any, y_pred: Any) -> None:
        build(y_true, y_pred)
        if not own.built:
            own.build(y_true, y_pred)

    other.build = build_both


@contextlib.contextmanager
def gradients_are_summed(optimizer: keras.optimizers.Optimizer) -> Iterator[None]:
    """Keeps an optimizer from summing over replicas what has been summed before.

    Keras sums after it has clipped, each replica by itself.
    """
    while isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        optimizer = optimizer.inner_optimizer
    optimizer._all_reduce_sum_gradients = lambda grads_and_vars: grads_and_vars
    try:
        yield
    finally:
        del optimizer._all_reduce_sum_gradients


class ProgressBar(keras.utils.Progbar):
    """Keras' bar, with a guess of the time left only once there is something to go by.

    Before the first step is done graphs are traced and files opened. Keras takes that
    for what every step costs, and announces half an hour for a minute's work. This one
    is drawn from the second update on, and goes by what came after the first.
    """

    def __init__(self, target: int | None, **settings: Any):
        super().__init__(target, **settings)
        self._first: tuple[int, float] | None = None

    def update(
        self, current: int, values: Any = None, finalize: bool | None = None
    ) -> None:
        """Draws the bar; see `keras.utils.Progbar.update`."""
        ends = self.target is not None and current >= self.target
        if self._first is None and not (ends if finalize is None else finalize):
            self._first = current, time.time()
            return
        super().update(current, values, finalize)

    def _estimate_step_duration(self, current: int, now: float) -> float:
        since, began = self._first or (0, self._start)
        return (now - began) / max(1, current - since)


def trace_prediction(model: keras.Model, x: Any) -> None:
    """Traces `predict_on_batch` for batches of any length; Keras would for each one.

    Args:
        model: A model on TensorFlow.
        x: A batch of inputs, as the model's graph takes them.
    """
    import tensorflow as tf

    parts = keras.tree.flatten(x)
    model.make_predict_function()
    trace = getattr(model.predict_function, "get_concrete_function", None)
    if trace is None or not all(isinstance(p, np.ndarray | tf.Tensor) for p in parts):
        return

    def spec(part):
        part = tf.convert_to_tensor(part)
        return tf.TensorSpec((None, *part.shape[1:]), part.dtype)

    trace([(keras.tree.map_structure(spec, x),)])
