"""What `plan` measures: how much data, of what kind, how near to the backbone's own."""

import math
import re
import warnings
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras.data.labels import read_labels
from tlkeras.features.extraction import extract_features
from tlkeras.freezing import find_backbone
from tlkeras.inputs.examples import Reading, reading_of
from tlkeras.lora import adapted_layers
from tlkeras.runtime import current_runtime
from tlkeras.training.unchanged import set_freeze_point, unchanged

# Training examples whose features are looked at: enough for 5 folds to agree to a few
# hundredths, few enough to take seconds. More where there are many classes.
_SAMPLE, _SAMPLE_PER_CLASS, _MOST_SAMPLED = 500, 10, 2_000
_FOLDS = 5
# Of many labels, how many are looked at.
_MOST_LABELS = 20
# Features beyond this width are projected, or the classifier would take minutes.
_WIDEST, _PROJECTED = 4_096, 256
# Inverse strength of the classifier's penalty on standardised features: at 1 it learns
# few examples with many features by heart.
_INVERSE_PENALTY = 0.01
# Mean difference between colour channels, in pixel values, below which they are grey.
_GREY = 2.0
_NUMBERED_BLOCK = re.compile(r".*?(\D)(\d+)$")


@dataclass(frozen=True)
class PlanFacts:
    """What is known of data, backbone and machine.

    Attributes:
        examples: Training examples.
        has_validation: Whether there is validation data.
        inputs_kind: `"images"`, `"texts"` or `"text pairs"`.
        task: `"classification"`, `"multi_label"` or `"regression"`.
        classes: Number of classes or outputs.
        class_sizes: Training examples of each class, `()` for regression.
        is_colour: Whether pictures have colours.
        backbone: The backbone's name.
        parameters: The backbone's parameters.
        has_adapters: Whether LoRA adapters are what trains of it.
        blocks: Names of its numbered transformer layers, the lowest first.
        devices: What it runs on, as in `tl.Runtime`.
        sampled: Training examples whose features were looked at.
        separability: How well the frozen backbone's features tell the labels, from 0
            (by chance) to 1 (perfectly); `None` where there are too few examples.
    """

    examples: int
    has_validation: bool
    inputs_kind: str
    task: str
    classes: int
    class_sizes: tuple[int, ...]
    is_colour: bool
    backbone: str
    parameters: int
    has_adapters: bool
    blocks: tuple[str, ...]
    devices: str
    sampled: int
    separability: float | None

    @property
    def is_text(self) -> bool:
        """Whether inputs are texts or pairs of them."""
        return self.inputs_kind != "images"

    @property
    def is_accelerated(self) -> bool:
        """Whether there is a GPU or a TPU."""
        return "CPU" not in self.devices

    @property
    def imbalance(self) -> float:
        """How many times as many examples the largest class has as the smallest."""
        present = [size for size in self.class_sizes if size]
        return max(present) / min(present) if present else 1.0


def measure_facts(
    model: keras.Model,
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
        train: Training data as `open_job` has resolved them.
        val: Validation data, or `None`.
        cache: As in `tl.extract_features`.
        seed: Seed of the examples that are looked at and of the folds.
        verbose: As in `tl.extract_features`.

    Raises:
        ValueError: If the training examples are not known beforehand.
    """
    if getattr(model, "targets", None) is not None:
        raise ValueError(
            "A plan is made for one head; this model has several: "
            f"{list(model.targets.by_head)}. Make it for a model with the most "
            "important of them, and pass it as `recipe=`."
        )
    reading = reading_of(train)
    if reading is None:
        raise ValueError(
            "A plan needs to know the training examples: pass a dataset of `Splits` "
            f"(`data.train`) or a tuple of arrays (x, y). Received: "
            f"{type(train).__name__}."
        )
    backbone = find_backbone(model)
    labels, task = _labels_of(reading, model)
    rows = sample_rows(labels, task, seed)
    sample = Reading(reading.examples.select(rows), reading.batch_size, False, seed)
    dataset = sample.dataset()
    with unchanged(model):
        set_freeze_point(model, None)
        features = extract_features(model, dataset, cache=cache, verbose=verbose)
    return PlanFacts(
        examples=len(labels),
        has_validation=val is not None,
        inputs_kind=reading.examples.inputs_kind,
        task=task,
        classes=_count_classes(labels, task, model),
        class_sizes=_class_sizes(labels, task, model),
        is_colour=_is_colour(dataset),
        backbone=backbone.name,
        parameters=backbone.count_params(),
        has_adapters=bool(adapted_layers(backbone)),
        blocks=numbered_blocks(backbone),
        devices=current_runtime().devices,
        sampled=len(rows),
        separability=separability(_pooled(features.arrays), labels[rows], task, seed),
    )


def sample_rows(labels: np.ndarray, task: str, seed: int) -> np.ndarray:
    """Draws the examples to look at: of each class its share, and two at least."""
    random = np.random.RandomState(seed % 2**32)
    order = random.permutation(len(labels))
    if task != "classification":
        return np.sort(order[:_SAMPLE])
    sizes = np.bincount(labels)
    wanted = max(_SAMPLE, _SAMPLE_PER_CLASS * np.count_nonzero(sizes))
    share = min(1.0, min(wanted, _MOST_SAMPLED) / len(labels))
    rows = [
        order[labels[order] == number][: max(2, round(share * size))]
        for number, size in enumerate(sizes)
    ]
    return np.sort(np.concatenate(rows))


def separability(
    features: np.ndarray, labels: np.ndarray, task: str, seed: int = 0
) -> float | None:
    """Scores how well a linear model tells labels from features, cross-validated.

    Args:
        features: `(n, width)`.
        labels: Class numbers `(n,)`, rows of 0 and 1, or targets.
        task: `"classification"`, `"multi_label"` or `"regression"`.
        seed: Seed of the folds.

    Returns:
        For classes the balanced accuracy, between chance (0) and 1; of several labels
        the mean; for targets the share of their variance that is explained, or 0.
        `None` where there are too few examples.
    """
    if task == "multi_label":
        count = min(labels.shape[1], _MOST_LABELS)
        chosen = np.random.RandomState(seed % 2**32).permutation(labels.shape[1])
        columns = [labels[:, k].astype(int) for k in chosen[:count]]
        scores = [_class_score(features, column, seed) for column in columns]
        known = [score for score in scores if score is not None]
        return float(np.mean(known)) if known else None
    if task == "classification":
        return _class_score(features, labels, seed)
    if len(labels) < 2 * _FOLDS:
        return None
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import KFold

    folds = KFold(_FOLDS, shuffle=True, random_state=seed % 2**32)
    ridge = RidgeCV(np.logspace(0, 5, 11))
    return max(0.0, _score(ridge, features, labels, folds, "r2"))


def _class_score(features: np.ndarray, labels: np.ndarray, seed: int) -> float | None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold

    classes, sizes = np.unique(labels, return_counts=True)
    kept = np.isin(labels, classes[sizes >= 2])
    classes, sizes = classes[sizes >= 2], sizes[sizes >= 2]
    if len(classes) < 2:
        return None
    count = int(min(_FOLDS, sizes.min()))
    folds = StratifiedKFold(count, shuffle=True, random_state=seed % 2**32)
    classifier = LogisticRegression(
        C=_INVERSE_PENALTY, class_weight="balanced", max_iter=300
    )
    score = _score(classifier, features[kept], labels[kept], folds, "balanced_accuracy")
    chance = 1 / len(classes)
    return max(0.0, (score - chance) / (1 - chance))


def _score(
    estimator: Any, features: np.ndarray, labels: np.ndarray, folds: Any, scoring: str
) -> float:
    from sklearn.decomposition import PCA
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    steps = [StandardScaler(), estimator]
    if features.shape[1] > _WIDEST:
        width = min(_PROJECTED, len(features) // 2)
        steps.insert(1, PCA(width, svd_solver="randomized", random_state=0))
    with warnings.catch_warnings():
        # Three bands of distance do not need the last digit.
        warnings.simplefilter("ignore", ConvergenceWarning)
        scores = cross_val_score(
            make_pipeline(*steps), features, labels, cv=folds, scoring=scoring
        )
    return float(np.mean(scores))


def _labels_of(reading: Reading, model: keras.Model) -> tuple[np.ndarray, str]:
    """Returns class numbers, rows or targets, and the task."""
    labels = np.asarray(reading.examples.labels)
    task = getattr(model, "task", None) or read_labels(labels).task
    if task == "classification":
        is_row = labels.ndim == 2 and labels.shape[1] > 1
        labels = (labels.argmax(axis=1) if is_row else labels.ravel()).astype(int)
    return labels, task


def _count_classes(labels: np.ndarray, task: str, model: keras.Model) -> int:
    if task == "classification":
        return len(getattr(model, "class_names", None) or np.unique(labels))
    return math.prod(labels.shape[1:])


def _class_sizes(labels: np.ndarray, task: str, model: keras.Model) -> tuple[int, ...]:
    if task == "regression":
        return ()
    if task == "multi_label":
        return tuple(labels.sum(axis=0).astype(int).tolist())
    count = _count_classes(labels, task, model)
    return tuple(np.bincount(labels, minlength=count).tolist())


def _pooled(arrays: tuple[np.ndarray, ...]) -> np.ndarray:
    """Returns one vector for each example: of maps and sequences their mean."""
    pooled = [
        np.asarray(array, "float32").reshape(len(array), -1, array.shape[-1]).mean(1)
        for array in arrays
        if array.ndim > 1
    ]
    return np.concatenate(pooled, axis=1)


def _is_colour(dataset: Any) -> bool:
    pixels = next(iter(dataset))[0].numpy()
    if pixels.ndim != 4 or pixels.shape[-1] != 3:
        return False
    return float(np.abs(np.diff(pixels, axis=-1)).mean()) > _GREY


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
