"""Phase one where heads are linear in cached features: solved, not approached."""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras import cache as disk
from tlkeras.distribution import Workers
from tlkeras.linear import Solution, Targets, solve
from tlkeras.outputs.linear import linear_targets
from tlkeras.training.feeding import Feed, Feeder
from tlkeras.training.job import Job

# Bytes of features that several workers exchange at most.
_MOST_EXCHANGED = 2**31


class NotSolved(Exception):  # noqa: N818 - it is no error, but a reason
    """Why a head is trained by gradient."""


@dataclass(frozen=True)
class LinearHead:
    """A head that is one Dense layer on a tensor at the cut.

    Attributes:
        name: The head's.
        layer: Its layer.
        place: Which of the tensors at the cut it reads.
        activation: Of its outputs.
        penalty: The L2 penalty of its kernel; `None` where it has none.
    """

    name: str
    layer: keras.layers.Dense
    place: int
    activation: str | None
    penalty: float | None

    def strength_beside(self, link: str, weight: float) -> float | None:
        """Returns the penalty as a strength, beside errors whose squares are halved.

        Args:
            link: As in `Targets`.
            weight: What the loss is multiplied by, and the penalty is not.
        """
        if self.penalty is None:
            return None
        return (self.penalty if link == "identity" else 2 * self.penalty) / weight

    def assign(self, solution: Solution) -> None:
        """Sets the layer's weights."""
        self.layer.kernel.assign(solution.kernel)
        self.layer.bias.assign(solution.bias)


def solve_heads(job: Job, feeder: Feeder, feed: Feed) -> dict[str, Solution]:
    """Solves each head on the features of a phase, and sets its weights.

    All heads are solved before the first is set.

    Args:
        job: The job.
        feeder: Its feeder.
        feed: What the phase would be fitted on.

    Raises:
        NotSolved: If that cannot be done, with the reason.
    """
    if feed.features is None:
        raise NotSolved("the features are not cached")
    heads = linear_heads(job, feed.suffix)
    data = _Data(job, feeder, feed, heads)
    found = {}
    for head in heads:
        targets = data.targets(head)
        began = time.perf_counter()
        features = data.features[head.place]
        try:
            found[head.name] = solve(
                features.reshape(len(features), -1),
                targets,
                penalty=head.strength_beside(targets.link, data.weight(head.name)),
                groups=data.groups,
                seed=data.seed,
                progress=_progress(job),
                release=disk.release,
            )
        except ValueError as error:
            raise NotSolved(str(error).rstrip(".")) from error
        if job.fitting.verbose != 0:
            print(_said(head, found[head.name], time.perf_counter() - began))
    for head in heads:
        head.assign(found[head.name])
    return found


def linear_heads(job: Job, suffix: keras.Model) -> list[LinearHead]:
    """Returns the heads of a suffix, each one Dense layer on what the suffix reads.

    Raises:
        NotSolved: If one of them is anything else.
    """
    made_by = {id(t): n for n in _keras.graph_nodes(suffix) for t in n.outputs}
    places = {id(tensor): place for place, tensor in enumerate(suffix.inputs)}
    heads = []
    for name, tensor in job.problem.outputs_by_head(suffix.output).items():
        node = made_by.get(id(tensor))
        layer = None if node is None else node.operation
        if type(layer) is not keras.layers.Dense:
            raise NotSolved("the head does not end in a Dense layer")
        below = node.input_tensors[0]
        while id(below) in made_by and _is_dropout(made_by[id(below)].operation):
            below = made_by[id(below)].input_tensors[0]
        if id(below) not in places:
            raise NotSolved("the head has other layers below its last one")
        activation = _keras.last_activation(tensor)
        place = places[id(below)]
        heads.append(LinearHead(name, layer, place, activation, _penalty(layer)))
    known = {id(v) for head in heads for v in (head.layer.kernel, head.layer.bias)}
    if known != {id(v) for v in suffix.trainable_variables}:
        raise NotSolved("something else than Dense layers on the features trains")
    return heads


def _is_dropout(operation: Any) -> bool:
    return type(operation) is keras.layers.Dropout


def _penalty(layer: keras.layers.Dense) -> float | None:
    """Returns the L2 factor of a layer's kernel."""
    if layer.bias is None or layer.kernel_constraint or layer.bias_constraint:
        raise NotSolved("its Dense layer has a constraint, or no bias")
    if layer.bias_regularizer or layer.activity_regularizer:
        raise NotSolved("its Dense layer has a penalty on more than its kernel")
    penalty = layer.kernel_regularizer
    if penalty is None:
        return None
    if type(penalty) is not keras.regularizers.L2:
        raise NotSolved(f"its penalty is {type(penalty).__name__}, not L2")
    return float(penalty.l2)


class _Data:
    """Features and labels of all training examples, of several workers those of all."""

    def __init__(self, job: Job, feeder: Feeder, feed: Feed, heads: list[LinearHead]):
        self.job, self.feeder = job, feeder
        self.seed = feeder.whole[0].seed
        workers = feeder.replicas.workers
        features, groups = feed.features, feeder.row_groups()
        counts = feeder.row_weights()
        arrays = {head.place: features.arrays[head.place] for head in heads}
        labels = np.asarray(features.labels)
        if workers.count > 1:
            size = sum(array.nbytes for array in arrays.values()) * workers.count
            if size > _MOST_EXCHANGED:
                raise NotSolved(
                    f"{disk.readable(size)} of features are too many to exchange"
                )
            apart = job.recipe.cached_views is None
            whole = functools.partial(_joined, workers, interleaved=apart)
            arrays = {place: whole(array) for place, array in arrays.items()}
            labels = whole(labels)
            groups = None if groups is None else whole(groups)
            counts = None if counts is None else whole(counts)
        self.features, self.labels = arrays, labels
        self.groups, self.counts = groups, counts

    def targets(self, head: LinearHead) -> Targets:
        """Returns what a head is to learn.

        Raises:
            NotSolved: If its loss is none that is solved.
        """
        problem, name = self.job.problem, head.name
        labels, output = problem.unpack(self.labels)[name], problem.outputs[name]
        targets = linear_targets(
            output.solved(labels),
            head.layer.units,
            _keras.compiled_loss(self.job.model, name),
            head.activation,
            self._weights(name, labels),
            output.strata(labels),
        )
        if targets is None:
            raise NotSolved("its loss is none of which the minimum is known")
        return targets

    def weight(self, name: str) -> float:
        """Returns by what Keras multiplies a head's mean loss, on average."""
        problem = self.job.problem
        weights = self._weights(name, problem.unpack(self.labels)[name])
        mean = 1.0 if weights is None else float(np.mean(weights))
        # A head that does not count in the sum is solved as if it stood alone.
        return problem.outputs[name].weight * mean or 1.0

    def _weights(self, name: str, labels: np.ndarray) -> np.ndarray | None:
        if self.job.recipe.sampling is not None:
            shares, _ = self.job.problem.output.shares(labels)
            drawn = shares / np.mean(shares)
            return drawn if self.counts is None else drawn * self.counts
        weighing = self.feeder.weighings.get(name)
        if weighing is None:
            return self.counts
        labels = np.nan_to_num(labels).astype("float32")
        return np.asarray(weighing(labels, self.counts))


def unchosen(name: str, solution: Solution) -> str | None:
    """Returns what a history notes of a penalty that nothing chose; else `None`.

    Args:
        name: The head's.
        solution: Of it.
    """
    if solution.given or solution.folds:
        return None
    return (
        f"Head {name!r}: its L2 penalty of {solution.strength:.3g} is a fixed one. No "
        "example could be held out to choose it by cross-validation: that takes two "
        "classes, two examples of one of them, and two groups where there are groups. "
        "What loss to expect on other data is not known."
    )


def _joined(workers: Workers, rows: np.ndarray, interleaved: bool) -> np.ndarray:
    """Joins what each worker has, in the order in which one process has it."""
    parts = workers.gather_rows(rows)
    if not interleaved:
        return np.concatenate(parts)
    whole = np.empty((sum(map(len, parts)), *rows.shape[1:]), rows.dtype)
    for index, part in enumerate(parts):
        whole[index :: len(parts)] = part
    return whole


def _progress(job: Job) -> Callable[[int, int], Any]:
    """Returns what shows a bar over the fits of the cross-validation."""
    if job.fitting.verbose not in ("auto", 1):
        return lambda done, total: None
    bars: list[_keras.ProgressBar] = []

    def show(done: int, total: int) -> None:
        if not bars:
            bars.append(_keras.ProgressBar(total, unit_name="fit"))
        bars[0].update(done)

    return show


def _said(head: LinearHead, solution: Solution, seconds: float) -> str:
    found = f"Head {head.name!r} is solved in {seconds:.1f} s: "
    if solution.given:
        return f"{found}with the L2 penalty of its layer."
    if not solution.folds:
        return f"{found}L2 penalty {solution.strength:.3g}."
    return (
        f"{found}L2 penalty {solution.strength:.3g}, the best of {solution.folds} "
        f"folds, loss {solution.cross_validated:.3g} on what they held out."
    )
