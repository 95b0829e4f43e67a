"""What `plan` measures: how much data, of what kind, how near to the backbone's own."""

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras.features.extraction import extract_features
from tlkeras.freezing import find_backbone
from tlkeras.inputs.examples import Reading, reading_of
from tlkeras.inputs.planning import LARGE, SMALL
from tlkeras.lora import adapted_layers
from tlkeras.metrics.two_samples import TwoSamples, compare
from tlkeras.problem import Problem
from tlkeras.runtime import current_runtime
from tlkeras.training.unchanged import set_freeze_point, unchanged

# From the first separability on (`PlanFacts.separability`) the data are near to what
# the backbone was pretrained on, below the second far. The notes that the rules follow
# name no numbers. Photographs of ants and bees with MobileNetV2 have 0.96, sentences
# of film reviews with MiniLM 0.46.
NEAR, FAR = 0.8, 0.4
# Training examples whose features are looked at: enough for 5 folds to agree to a few
# hundredths, few enough to take seconds. More where there are many classes.
_SAMPLE, _SAMPLE_PER_CLASS, _MOST_SAMPLED = 500, 10, 2_000
# Validation examples that are compared with these.
_LEAST_COMPARED, _MOST_COMPARED = 20, 200
_NUMBERED_BLOCK = re.compile(r".*?(\D)(\d+)$")


@dataclass(frozen=True)
class PlanFacts:
    """What is known of data, backbone and machine.

    Attributes:
        examples: Training examples.
        has_validation: Whether there is validation data.
        problem: What is to be learnt, for one head without a name.
        class_sizes: Training examples of each class, `()` where there are none.
        details: What the rules for the kind of input have to know of a sample besides;
            of pictures `"is_colour"`.
        backbone: The backbone's name.
        parameters: The backbone's parameters.
        has_adapters: Whether LoRA adapters are what trains of it.
        blocks: Names of its numbered transformer layers, the lowest first.
        devices: What it runs on, as in `tl.Runtime`.
        sampled: Training examples whose features were looked at.
        separability: How well the frozen backbone's features tell the labels, from 0
            (by chance) to 1 (perfectly); `None` where there are too few examples.
        shift: How different the validation examples are by these features from the
            training ones; `None` where there are too few of them to tell.
    """

    examples: int
    has_validation: bool
    problem: Problem
    class_sizes: tuple[int, ...]
    details: Mapping[str, Any]
    backbone: str
    parameters: int
    has_adapters: bool
    blocks: tuple[str, ...]
    devices: str
    sampled: int
    separability: float | None
    shift: TwoSamples | None = None

    @property
    def size(self) -> str:
        """`"small"`, `"medium"` or `"large"`."""
        if self.examples < SMALL:
            return "small"
        return "medium" if self.examples < LARGE else "large"

    @property
    def distance(self) -> str:
        """`"near"`, `"middling"` or `"far"`; middling where it is not known."""
        if self.separability is None:
            return "middling"
        if self.separability >= NEAR:
            return "near"
        return "middling" if self.separability >= FAR else "far"

    @property
    def is_accelerated(self) -> bool:
        """Whether there is a GPU or a TPU."""
        return "CPU" not in self.devices


def measure_facts(
    model: keras.Model,
    problem: Problem,
    train: Any,
    val: Any,
    *,
    cache: str | Path | bool = "auto",
    seed: int = 0,
    verbose: Any = "auto",
) -> PlanFacts:
    """Looks at data and backbone; the model stays as it was.

    Args:
        model: A functional `keras.Model` with a nested backbone.
        problem: What it is to learn.
        train: Training data as `open_job` has resolved them.
        val: Validation data, or `None`.
        cache: As in `tl.extract_features`.
        seed: Seed of the examples that are looked at and of the folds.
        verbose: As in `tl.extract_features`.

    Raises:
        ValueError: If the heads have names, or the training examples are not known
            beforehand.
    """
    reading = _reading_to_plan_for(problem, train)
    examples, output = reading.examples, problem.output
    labels = np.asarray(examples.labels)
    rows = sample_rows(output.strata(labels), len(labels), seed)
    sample = Reading(examples.select(rows), reading.batch_size, False, seed).dataset()
    asked = {"cache": cache, "verbose": verbose}
    with unchanged(model):
        set_freeze_point(model, None)
        features = _pooled(extract_features(model, sample, **asked).arrays)
        shift = _shift(model, features, val, seed, asked)
    counts, backbone = output.counts(labels), find_backbone(model)
    return PlanFacts(
        examples=len(labels),
        has_validation=val is not None,
        problem=problem,
        class_sizes=() if counts is None else tuple(counts.tolist()),
        details=problem.input.plan_rules.details(sample),
        backbone=backbone.name,
        parameters=backbone.count_params(),
        has_adapters=bool(adapted_layers(backbone)),
        blocks=numbered_blocks(backbone),
        devices=current_runtime().devices,
        sampled=len(rows),
        separability=output.separability(features, labels[rows], seed),
        shift=shift,
    )


def _shift(
    model: keras.Model,
    features: np.ndarray,
    val: Any,
    seed: int,
    asked: Mapping[str, Any],
) -> TwoSamples | None:
    """Compares some validation examples with the training ones."""
    reading = reading_of(val)
    count = 0 if reading is None else len(reading.examples)
    if min(count, len(features)) < _LEAST_COMPARED:
        return None
    rows = sample_rows(None, count, seed, _MOST_COMPARED)
    some = Reading(reading.examples.select(rows), reading.batch_size, False, seed)
    found = extract_features(model, some.dataset(), **asked)
    return compare(features, _pooled(found.arrays), seed)


def _reading_to_plan_for(problem: Problem, train: Any) -> Reading:
    """Returns what is behind the training data; raises `ValueError` for no plan."""
    if problem.named:
        raise ValueError(
            "A plan is made for one head without a name; those of this model are "
            f"{list(problem.outputs)}. Make it for a model with the most important of "
            "them alone, and pass it as `recipe=`."
        )
    reading = reading_of(train)
    if reading is None:
        raise ValueError(
            "A plan needs to know the training examples: pass a dataset of `Splits` "
            f"(`data.train`) or a tuple of arrays (x, y). Received: "
            f"{type(train).__name__}."
        )
    return reading


def sample_rows(
    strata: np.ndarray | None, examples: int, seed: int, wanted: int | None = None
) -> np.ndarray:
    """Draws the examples to look at.

    Args:
        strata: Each example's stratum, of which its share is drawn, and two at least;
            `None`: all are alike.
        examples: How many there are.
        seed: Seed of the draw.
        wanted: How many to draw; `None`: 500, of many classes up to 2,000.

    Returns:
        Their positions, increasing.
    """
    random = np.random.RandomState(seed % 2**32)
    order = random.permutation(examples)
    if strata is None:
        return np.sort(order[: wanted or _SAMPLE])
    numbers, sizes = np.unique(strata, return_counts=True)
    usual = min(_MOST_SAMPLED, max(_SAMPLE, _SAMPLE_PER_CLASS * len(numbers)))
    share = min(1.0, (wanted or usual) / examples)
    rows = [
        order[strata[order] == number][: max(2, round(share * size))]
        for number, size in zip(numbers, sizes, strict=True)
    ]
    return np.sort(np.concatenate(rows))


def _pooled(arrays: tuple[np.ndarray, ...]) -> np.ndarray:
    """Returns one vector for each example: of maps and sequences their mean."""
    pooled = [
        np.asarray(array, "float32").reshape(len(array), -1, array.shape[-1]).mean(1)
        for array in arrays
        if array.ndim > 1
    ]
    return np.concatenate(pooled, axis=1)


def numbered_blocks(backbone: keras.Model) -> tuple[str, ...]:
    """Returns the names of a backbone's numbered layers of the commonest kind.

    Those of a transformer: `transformer_layer_0`, `transformer_layer_1` and so on; ()
    where no layer of several others is inside the backbone.
    """
    kinds = defaultdict(list)
    for layer in backbone.layers:
        match = _NUMBERED_BLOCK.match(layer.name)
        if match and layer.weights and _is_composite(layer):
            kinds[layer.name[: match.start(2)]].append(layer.name)
    return tuple(max(kinds.values(), key=len, default=()))


def _is_composite(layer: keras.layers.Layer) -> bool:
    return len(_keras.sublayers(layer)) > 2
