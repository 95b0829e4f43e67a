"""The verb `calibrate`: a temperature that becomes part of the model."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np

from tlkeras import _keras
from tlkeras.evaluation.collecting import batches_of
from tlkeras.evaluation.evaluating import evaluate_heads
from tlkeras.evaluation.report import Report
from tlkeras.inputs.given import with_one_input
from tlkeras.metrics import calibration
from tlkeras.metrics.table import number
from tlkeras.problem import Problem, own_problem

# What rounding may change in an output where a head computes in half precision.
_TOLERANCE = 2e-2
# What rounding may change in a mean over examples.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Temperature:
    """The temperature that a model's logits were divided by, and what it did.

    Attributes:
        value: Above 1: the model was too confident; below 1: not confident enough; 1:
            nothing was changed.
        loss: Log loss in nats before and after, on the data it was fitted on.
        ece: Expected calibration error before and after, on the same data.
    """

    value: float
    loss: tuple[float, float]
    ece: tuple[float, float]

    def __str__(self) -> str:
        changes = (
            f"{name} {number(before)} -> {number(after)}"
            for name, (before, after) in (("loss", self.loss), ("ece", self.ece))
        )
        note = ""
        if calibration.is_extreme(self.value):
            note = " (as far as it goes: the outputs say next to nothing of the labels)"
        return f"temperature {self.value:.4g}{note}, {', '.join(changes)}"


class Logits(NamedTuple):
    """A Dense layer that makes logits, and `"softmax"`, `"sigmoid"` or `None`."""

    layer: keras.layers.Dense
    activation: str | None


# As in `evaluate`, a dictionary of several heads is `Any` to a type checker.
def calibrate(
    model: keras.Model, data: Any, *, verbose: str | int = "auto"
) -> Temperature | Any:
    """Calibrates a classifier, so that its probabilities mean what they say.

    A fine-tuned network is mostly too confident. Dividing its logits by one number,
    the temperature, mends that and changes no prediction. The number is that of the
    least log loss on `data`, and is folded into the last Dense layer, whose kernel and
    bias are divided by it: the model stays as fast as it was, and the calibration is
    saved and exported with it. `model.thresholds` move with the probabilities, so that
    they decide as before.

    Use data that the model was not trained on, such as `data.val`, and look at the
    effect on other data, such as `data.test`. Calibrating again on the same data
    changes nothing.

    Args:
        model: `keras.Model` whose output is a Dense layer with softmax, sigmoid or no
            activation (logits), also with the activation as a layer of its own.
        data: Labelled data: a batched `tf.data.Dataset` or `keras.utils.PyDataset` of
            `(x, y)`, or a tuple of such arrays; labels by head where heads have names.
        verbose: `"auto"` or 1 (progress bar), 2 (one line) or 0 (silent).

    Returns:
        A `Temperature`; of a model with several heads, a dictionary with one for each
        head that gives probabilities. Its value is 1, and the model is as it was, where
        no temperature makes the log loss smaller without making the calibration error
        larger, and where no prediction in `data` is wrong.

    Raises:
        UnsupportedError: If the model is no classifier.
        ValueError: If its logits do not come from a Dense layer that is used once.

    Example:
    >>> temperature = tl.calibrate(model, data.val, verbose=0)
    >>> temperature.loss[1] <= temperature.loss[0]
    True

    Reference:
        Guo et al., On Calibration of Modern Neural Networks (2017), section 4.2.
    """
    data = with_one_input(model, data, "data")
    problem, before = _reports(model, data, verbose)
    if not any(report.output.calibratable for report in before.values()):
        return _own_calibration(model, problem, before)
    # All layers are found before any is changed.
    tensors = _outputs(model, problem)
    logits = {name: find_logits(model, tensors[name]) for name in before}
    kept = {name: place.layer.get_weights() for name, place in logits.items()}
    values = {name: report.temperature() for name, report in before.items()}
    batch, *_ = keras.utils.unpack_x_y_sample_weight(next(iter(batches_of(data)[0])))

    def predicted(name: str) -> np.ndarray:
        outputs = problem.outputs_by_head(model.predict_on_batch(batch))[name]
        outputs = np.asarray(outputs, "float32")
        return outputs.reshape(len(outputs), -1)

    try:
        for name, place in logits.items():
            _fold(functools.partial(predicted, name), place, values[name])
    except ValueError:
        for name, place in logits.items():
            place.layer.set_weights(kept[name])
        raise
    changed = any(value != 1.0 for value in values.values())
    after = _reports(model, data, verbose)[1] if changed else before
    found = {
        name: _temperature(values[name], before[name], after[name]) for name in before
    }
    for name, temperature in found.items():
        if temperature.value == 1.0:
            logits[name].layer.set_weights(kept[name])
    _note(model, {name: temperature.value for name, temperature in found.items()})
    return problem.face(found)


def _reports(
    model: keras.Model, data: Any, verbose: str | int
) -> tuple[Problem, dict[str, Report]]:
    """Returns what a model is for, and the reports of heads that are calibrated."""
    problem, found = evaluate_heads(model, data, verbose=verbose)
    reports = {n: r for n, r in found.items() if r.output.calibratable}
    if not reports and own_problem(model) is not None:
        reports = {n: r for n, r in found.items() if r.output.calibrates_itself}
    if not reports:
        output = next(iter(found.values())).output
        raise output.unsupported("tl.calibrate", "temperature")
    return problem, reports


def _own_calibration(
    model: keras.Model, problem: Problem, reports: dict[str, Report]
) -> Any:
    """Has a model of ours keep how sure it is; returns what was found."""
    found = {
        name: report.output.calibrated(report.y_true, report.outputs)
        for name, report in reports.items()
    }
    model.problem = problem.but(outputs={n: output for n, (output, _) in found.items()})
    return problem.face({name: result for name, (_, result) in found.items()})


def _temperature(value: float, before: Report, after: Report) -> Temperature:
    """Returns what was gained; a temperature of 1 where that is nothing.

    Outputs that have run into 0 or 1 do not tell their logits, so that what was
    expected of a temperature and what it does can differ.
    """
    loss = tuple(float(report.losses.mean()) for report in (before, after))
    ece = tuple(report.reliability().ece for report in (before, after))
    if loss[1] > loss[0] or ece[1] > ece[0] + _ROUNDING:
        return Temperature(1.0, (loss[0], loss[0]), (ece[0], ece[0]))
    return Temperature(value, loss, ece)


def _note(model: keras.Model, values: dict[str, float]) -> None:
    """Has a model of ours keep temperatures, and decide as it did before."""
    problem = own_problem(model)
    if problem is None:
        return
    changed = {n: problem.outputs[n].after_scaling(t) for n, t in values.items()}
    model.problem = problem.but(outputs=changed)
    before = getattr(model, "temperature", None)
    before = {} if before is None else problem.by_head(before)
    model.temperature = problem.face(
        {name: value * before.get(name, 1.0) for name, value in values.items()}
    )


def _outputs(model: keras.Model, problem: Problem) -> dict[str, Any]:
    """Returns the output tensor of each head."""
    if not _keras.is_functional(model):
        raise ValueError(
            "`model` must be a functional `keras.Model` (or a built Sequential one), "
            f"in which the last layer can be found. Received: {type(model).__name__}."
        )
    return problem.outputs_by_head(model.output if problem.named else model.outputs[0])


def find_logits(model: keras.Model, output: Any) -> Logits:
    """Returns the Dense layer whose outputs are the logits behind an output.

    Args:
        model: A functional `keras.Model`.
        output: One of its output tensors.

    Raises:
        ValueError: If there is none, or scaling it would not scale the logits alone.
    """
    activation = None
    while True:
        nodes = _keras.graph_nodes(model)
        node = next((n for n in nodes if any(t is output for t in n.outputs)), None)
        layer = node and node.operation
        if _keras.is_functional(layer):
            place = [t is output for t in node.outputs].index(True)
            model, output = layer, keras.tree.flatten(layer.outputs)[place]
        elif isinstance(layer, keras.layers.Dense):
            return _check_dense(layer, nodes, activation)
        elif activation is None and _activation_of(layer):
            activation, output = _activation_of(layer), node.input_tensors[0]
        else:
            raise _no_logits(layer)


def _check_dense(
    layer: keras.layers.Dense, nodes: Sequence[Any], activation: str | None
) -> Logits:
    own = _activation_of(layer)
    linear = layer.activation is keras.activations.linear
    if not linear and (own is None or activation is not None):
        raise _no_logits(layer)
    if sum(node.operation is layer for node in nodes) > 1:
        raise _no_logits(layer, "is used more than once")
    if getattr(layer, "lora_enabled", False) or layer.quantization_mode is not None:
        raise _no_logits(layer, "has LoRA adapters or is quantized")
    return Logits(layer, own or activation)


def _activation_of(layer: Any) -> str | None:
    if isinstance(layer, keras.layers.Softmax):
        return "softmax" if layer.axis == -1 else None
    if isinstance(layer, (keras.layers.Dense, keras.layers.Activation)):
        if layer.activation is keras.activations.softmax:
            return "softmax"
        if layer.activation is keras.activations.sigmoid:
            return "sigmoid"
    return None


def _no_logits(layer: Any, problem: str = "") -> ValueError:
    received = (
        "its input" if layer is None else f"{type(layer).__name__} {layer.name!r}"
    )
    return ValueError(
        "The model's logits must come from a Dense layer with softmax, sigmoid or no "
        f"activation that is used once. Received: {received}"
        f"{f', which {problem}' if problem else ''}. `tl.evaluate(...).temperature()` "
        "gives the number to divide the logits by."
    )


def _fold(
    predict: Callable[[], np.ndarray], logits: Logits, temperature: float
) -> None:
    """Divides the layer's weights; raises where that does not scale the logits.

    Args:
        predict: Returns the outputs for the same inputs every time.
        logits: What is divided.
        temperature: By what.
    """
    if temperature == 1.0:
        return
    layer, before = logits.layer, predict()
    layer.set_weights([weight / temperature for weight in layer.get_weights()])
    if not _is_scaled(before, predict(), temperature, logits.activation):
        raise _no_logits(layer, "changes the outputs in another way when it is scaled")


def _is_scaled(
    before: np.ndarray, after: np.ndarray, temperature: float, activation: str | None
) -> bool:
    if activation is None:
        scale = max(1.0, float(np.abs(before).max()))
        return np.allclose(after, before / temperature, atol=_TOLERANCE * scale)
    exclusive = activation == "softmax"
    # What has run into 0 or 1 no longer tells its logit.
    floor = 1e-30 if exclusive and before.shape[1] > 2 else 1e-6
    kept = ((before > floor) & (before < 1 - 1e-6)).all(axis=1)
    expected = calibration.scaled(before, temperature, exclusive)
    return np.allclose(after[kept], expected[kept], atol=_TOLERANCE)
