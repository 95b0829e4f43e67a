"""Which weights a run leaves: those that do best on validation data, calibrated."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras.evaluation.calibrating import find_logits
from tlkeras.linear import Targets
from tlkeras.outputs.linear import linear_targets
from tlkeras.training.feeding import Feed
from tlkeras.training.history import Phase
from tlkeras.training.job import Job
from tlkeras.training.monitoring import LossMonitor

# How sure it must be that a later phase gained something: one standard error, as in the
# rule of Breiman et al., Classification and Regression Trees (1984). Of a few examples
# the loss tells little, and what the earlier phase has found is the safer choice.
_CONFIDENCE = 0.841
# Batches up to which a function is not compiled for them.
_FEW_BATCHES = 8
# Logits are made smaller alone: that no answer in the validation part is wrong does not
# mean that none ever is.
_HOTTEST = 20.0
# A temperature nearer to 1 than this is none.
_ROUNDING = 0.02
_TINY = 1e-7


@dataclass(frozen=True)
class Score:
    """How weights do on validation data.

    Attributes:
        losses: Of each example, at the temperatures.
        temperatures: By head that can be scaled, what the logits are best divided by;
            1.0 for not at all.
    """

    losses: np.ndarray
    temperatures: dict[str, float]

    @property
    def loss(self) -> float:
        """The mean loss."""
        return float(self.losses.mean())

    def beats(self, other: "Score") -> bool:
        """Whether this is better by more than chance makes it."""
        from scipy.stats import t

        gains = other.losses - self.losses
        count = len(gains)
        if count < 2:
            return False
        error = gains.std(ddof=1) / math.sqrt(count)
        return bool(gains.mean() > t.ppf(_CONFIDENCE, count - 1) * error)


@dataclass(frozen=True)
class Candidate:
    """Weights that a run may leave.

    Attributes:
        values: Theirs.
        phase: The phase that they are from.
        epoch: The epoch, in the joined history.
        val_loss: Its validation loss.
        score: Their score, where the loss is one that has such.
    """

    values: list[np.ndarray]
    phase: str
    epoch: int
    val_loss: float
    score: Score | None

    def beats(self, other: "Candidate") -> bool:
        """Whether this is to be left instead of an earlier phase's."""
        if self.score is None or other.score is None:
            return self.val_loss < other.val_loss
        return self.score.beats(other.score)

    @property
    def facts(self) -> dict[str, Any]:
        """Where they are from, as JSON knows it."""
        found = {"phase": self.phase, "epoch": self.epoch, "val_loss": self.val_loss}
        if self.score is not None and self.score.temperatures:
            found["calibrated_loss"] = self.score.loss
            found["temperature"] = self.score.temperatures
        return found


def best_of_phase(
    weights: Sequence[keras.Variable],
    monitor: LossMonitor,
    phase: Phase,
    last: int,
    val_loss: float,
    score: Callable[[], Score | None],
) -> Candidate:
    """Returns the better of a phase's end and its epoch with the least loss.

    Args:
        weights: What the run may change.
        monitor: What watched the phase.
        phase: The phase.
        last: The epoch that the weights at its end are of, in the joined history.
        val_loss: Of that epoch.
        score: Scores the weights as they are.
    """
    end = Candidate(values_of(weights), phase.name, last, val_loss, score())
    if monitor.best_epoch in (None, last):
        return end
    monitor.restore()
    where = phase.name, monitor.best_epoch, monitor.best_loss
    best = Candidate(values_of(weights), *where, score())
    if end.score is None or best.score is None:
        return best
    return best if best.score.loss < end.score.loss else end


def score_of(job: Job, feed: Feed, scaled: bool) -> Score | None:
    """Scores the model's weights on the validation data of a phase.

    Args:
        job: The job.
        feed: Feeds the phase.
        scaled: Whether its logits may be divided by a temperature.

    Returns:
        `None` where a head's loss is neither cross-entropy nor the squared error, or
        outputs have no names.
    """
    several = len(keras.tree.flatten(_keras.as_graph(job.model).output)) > 1
    if several and not job.problem.named:
        # Outputs without names, of which nothing is known.
        return None
    labels, outputs, weights = _predicted(job, feed)
    total, temperatures = 0.0, {}
    for name, output in job.problem.outputs.items():
        targets = _targets(job, name, labels[name], outputs[name], weights.get(name))
        if targets is None or not len(targets):
            return None
        logits = _logits(outputs[name], targets.link, _activation(job, name))
        temperature = 1.0
        if scaled and targets.link != "identity" and _layer(job, name):
            temperature = temperatures[name] = _temperature(logits, targets)
        losses, _ = targets.losses(logits / temperature)
        if targets.link == "identity":
            # Halved for the solving, and not in what the model was compiled with.
            losses = 2 * losses
        weighed = (losses * targets.weights).mean(axis=1)
        total = total + output.weight * weighed * len(targets) / max(
            float(targets.weights.mean(axis=1).sum()), _TINY
        )
    return Score(np.asarray(total), temperatures)


def fold(job: Job, temperatures: Mapping[str, float]) -> dict[str, float]:
    """Divides logits by temperatures, in the last layers; returns those that count."""
    found = {n: t for n, t in temperatures.items() if t != 1.0}
    for name, temperature in found.items():
        layer = _layer(job, name)
        for weight in (layer.kernel, layer.bias):
            if weight is not None:
                weight.assign(weight / temperature)
    return found


def values_of(weights: Sequence[keras.Variable]) -> list[np.ndarray]:
    """Returns the values of weights, copied."""
    return [np.array(v) for v in weights]


def assign(weights: Sequence[keras.Variable], values: Sequence[np.ndarray]) -> None:
    """Sets the values of weights."""
    for variable, value in zip(weights, values, strict=True):
        variable.assign(value)


def _predicted(job: Job, feed: Feed) -> tuple[dict[str, np.ndarray], ...]:
    """Returns labels, outputs and any weights of the validation examples, by head."""
    problem, workers = job.problem, feed.replicas.workers
    found: tuple[dict[str, list], ...] = ({}, {}, {})
    run = _inference(feed.plain, feed.val)
    for x, y, *weights in feed.val:
        parts = [problem.by_head(y), problem.outputs_by_head(run(x))]
        for given in weights:
            by_head = isinstance(given, Mapping)
            parts.append(given if by_head else dict.fromkeys(problem.outputs, given))
        for lists, part in zip(found, parts, strict=False):
            for name in problem.outputs:
                rows = np.asarray(part[name], "float64")
                lists.setdefault(name, []).append(rows)
    labels, outputs, counts = (
        {
            name: np.concatenate(workers.gather_rows(np.concatenate(rows)))
            for name, rows in lists.items()
        }
        for lists in found
    )
    return labels, outputs, counts


def _inference(model: keras.Model, batches: Any) -> Any:
    def run(x):
        return model(x, training=False)

    count = int(batches.cardinality())
    if 0 <= count <= _FEW_BATCHES:
        return run
    import tensorflow as tf

    return tf.function(run, reduce_retracing=True, jit_compile=False)


def _targets(
    job: Job, name: str, labels: Any, outputs: np.ndarray, weights: Any
) -> Targets | None:
    loss, activation = _keras.compiled_loss(job.model, name), _activation(job, name)
    units = outputs.shape[-1]
    return linear_targets(labels, units, loss, activation, weights, smoothed=False)


def _tensor(job: Job, name: str) -> Any:
    return job.problem.outputs_by_head(_keras.as_graph(job.model).output)[name]


def _activation(job: Job, name: str) -> str | None:
    return _keras.last_activation(_tensor(job, name))


def _layer(job: Job, name: str) -> keras.layers.Dense | None:
    """Returns the layer that gives a head's logits, if it trains and can be scaled."""
    try:
        layer = find_logits(job.model, _tensor(job, name)).layer
    except ValueError:
        return None
    return layer if layer.trainable else None


def _logits(outputs: np.ndarray, link: str, activation: str | None) -> np.ndarray:
    """Returns logits behind outputs, up to what no softmax sees."""
    if link == "identity" or activation in (None, "linear"):
        return outputs
    if link == "softmax":
        return np.log(np.maximum(outputs, _TINY))
    outputs = np.clip(outputs, _TINY, 1 - _TINY)
    return np.log(outputs) - np.log1p(-outputs)


def _temperature(logits: np.ndarray, targets: Targets) -> float:
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda log: targets.mean_loss(logits / math.exp(log)),
        bounds=(0.0, math.log(_HOTTEST)),
        method="bounded",
    )
    temperature = math.exp(float(found.x))
    return temperature if temperature > 1 + _ROUNDING else 1.0
