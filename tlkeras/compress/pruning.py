"""The verb `prune`: weights or channels removed, the rest fine-tuned."""

import inspect
import math
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from tlkeras._validation import check_choice, check_int, check_number, unknown_name
from tlkeras.compress.activity import importance, measure_activity
from tlkeras.compress.channels import find_groups
from tlkeras.compress.masks import Masks, prunable_kernels, rounds
from tlkeras.compress.measuring import (
    compile_like,
    count_zeros,
    measure,
    working_copy,
)
from tlkeras.compress.norms import match_norms, norm_moments
from tlkeras.compress.reports import PruningReport
from tlkeras.compress.shrinking import without_channels
from tlkeras.freezing import FreezePoint, find_backbone, freeze
from tlkeras.lora import adapted_layers
from tlkeras.runtime import current_runtime
from tlkeras.training import FineTuneHistory, Recipe, fine_tune
from tlkeras.training.job import Fitting, open_job, parts_of

METHODS = ("magnitude", "channels")

_OWN = (
    "model",
    "train",
    "validation_data",
    "epochs",
    "unfreeze_from",
    "fine_tune_learning_rate",
    "head_epochs",
    "verbose",
)
# One folder is for one run; masks are several.
_NOT_WITH_MASKS = ("checkpoint_dir",)

_DENSE_NOTE = (
    "a zero takes a dense kernel as much time as any number: the file is smaller once "
    "compressed, nothing is faster; method='channels' makes models that are"
)
_ADAPTERS_NOTE = "LoRA adapters were merged into their kernels first"


def prune(
    model: keras.Model,
    train: Any,
    validation_data: Any = None,
    *,
    sparsity: float = 0.5,
    method: str = "magnitude",
    epochs: int = 10,
    unfreeze_from: FreezePoint = 1.0,
    learning_rate: float = 1e-4,
    test: Any = None,
    verbose: Any = "auto",
    **fine_tuning: Any,
) -> PruningReport:
    """Removes what counts least of a trained model, and fine-tunes the rest.

    `"magnitude"` sets the smallest weights of convolutions and dense layers to zero,
    in up to four rounds of pruning and fine-tuning, larger ones first, and keeps them
    at zero. The file compresses well; a dense kernel with zeros is not faster. Kernels
    of depthwise convolutions, embeddings, the last layer, biases and norms stay whole.

    `"channels"` removes whole channels, and rebuilds the model smaller and faster:
    those of layers whose output no other layer sees than one that mixes them anew, as
    in VGG16, within the blocks of ResNet and MobileNetV2, and in hidden layers of the
    head. Of each such layer the same share goes: the channels whose variation on the
    training data moves the next layer least. Their means go into its biases.

    Batch norms stay in inference mode; before each round their
    statistics are moved as far as the pruned network's activations have moved on 32
    training examples. What lies below `unfreeze_from` cannot recover, and is left as it
    is. What `tl.fine_tune` verifies is verified here, too.

    Args:
        model: A trained, compiled model with a nested backbone, such as a
            `TransferModel`. It stays as it is.
        train: Batched `tf.data.Dataset` of `(inputs, labels)`, such as `data.train`;
            a tuple of arrays; or `Splits`, whose `val` then serves as well.
        validation_data: The same for validation after each epoch, or `None`.
        sparsity: The share to remove, in (0, 1): of the weights of each kernel, or of
            the channels of each layer.
        method: `"magnitude"` or `"channels"`.
        epochs: Epochs of fine-tuning; 0 with `"channels"`: none.
        unfreeze_from: Where training begins: a layer's name or the start of it
            (`"block5"`), a number of layers, or the share of the layers with weights
            that trains; by default 1.0, the whole backbone.
        learning_rate: That of the fine-tuning, a float above 0.
        test: Labelled data to score both models on, as `tl.evaluate` takes it.
        verbose: `"auto"` or 1 (a progress bar), 2 (one line per epoch) or 0 (silent).
        **fine_tuning: Other arguments of `tl.fine_tune`, such as `recipe=`, which
            cannot be `"auto"`.

    Returns:
        A `PruningReport`; `.model` is the pruned model. Latency is the median of 30
        runs on one input, both models in turn.

    Raises:
        ValueError: If an argument is out of range, nothing can be pruned, a freeze
            point does not exist, or the data do not fit the model.
        PhaseError: If the loss is not finite or explodes, a frozen weight changed, or
            no other did.

    Example:

    >>> x = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 1), "uint8")
    >>> y = np.arange(8) % 2
    >>> model = tl.image_classifier("glyphnet", 2)
    >>> report = tl.prune(model, (x, y), sparsity=0.8, epochs=1, verbose=0)
    >>> round(report.sparsity, 3)
    0.8

    Reference:
        Zhu and Gupta, To prune, or not to prune (2017); Li et al., Pruning Filters for
        Efficient ConvNets (2017).
    """
    check_choice("method", method, METHODS)
    check_number("sparsity", sparsity, above=0, below=1)
    check_int("epochs", epochs, 1 if method == "magnitude" else 0)
    _check_fine_tuning(fine_tuning, method)
    own = {
        "epochs": epochs,
        "unfreeze_from": unfreeze_from,
        "fine_tune_learning_rate": learning_rate,
        "head_epochs": 0,
    }
    asked = {n: fine_tuning[n] for n in ("cache", "callbacks") if n in fine_tuning}
    fitting, recipe = Fitting(verbose=verbose, **asked), fine_tuning.get("recipe")
    door = open_job(model, train, validation_data, recipe, fitting, arguments=own)
    lessons = door.train, door.val
    train, _ = parts_of(train, None)
    training = {**own, "verbose": verbose, **fine_tuning}
    small = freeze(working_copy(model), unfreeze_from)
    job = _Job(model, small, train, lessons, training)
    run = _without_weights if method == "magnitude" else _without_channels
    small, layers, share, history = run(job, sparsity)
    pair = {"before": model, "after": small}
    figures = measure(
        pair,
        dict.fromkeys(pair, train),
        None if test is None else dict.fromkeys(pair, test),
    )
    notes = (_DENSE_NOTE,) if method == "magnitude" else ()
    if adapted_layers(model):
        notes += (_ADAPTERS_NOTE,)
    return PruningReport(
        model=small,
        method=method,
        sparsity=share,
        layers=layers,
        history=history,
        notes=notes,
        **figures,
    )


@dataclass(frozen=True)
class _Job:
    """A model, a copy frozen at the freeze point, and what to train that on.

    Attributes:
        original: The model.
        model: The copy.
        train: Training data as they came: what norms and channels are measured on.
        lessons: Training and validation data for `fine_tune`.
        training: Its other arguments.
    """

    original: keras.Model
    model: keras.Model
    train: Any
    lessons: tuple[Any, Any]
    training: dict[str, Any]


_Layers = tuple[tuple[str, float], ...]
_Pruned = tuple[keras.Model, _Layers, float, FineTuneHistory | None]


def _without_weights(job: _Job, sparsity: float) -> _Pruned:
    kernels = prunable_kernels(job.model)
    if not kernels:
        raise _nothing(job, "dense layer and no convolution")
    moments, history = norm_moments(job.original, job.train), FineTuneHistory()
    with Masks([kernel for _, kernel in kernels]) as masks:
        for share, epochs in rounds(sparsity, job.training["epochs"]):
            masks.update(share)
            match_norms(job.model, job.original, moments, job.train)
            training = {**job.training, "epochs": epochs}
            one = fine_tune(job.model, *job.lessons, **training)
            _join(history, one, f"{share:.0%} zeros")
            # Averages of weights, which a callback or an optimizer may put in last,
            # need not be zero in the same places.
            masks.apply()
    zeros = [count_zeros([kernel]) for _, kernel in kernels]
    layers = tuple(
        (path, count / math.prod(kernel.shape))
        for (path, kernel), count in zip(kernels, zeros, strict=True)
    )
    total = sum(math.prod(kernel.shape) for _, kernel in kernels)
    return job.model, layers, sum(zeros) / total, history


def _join(history: FineTuneHistory, one: FineTuneHistory, name: str) -> None:
    """Adds the history of one round."""
    for phase in one.phases:
        phase = replace(phase, name=name, first_epoch=len(history.epoch))
        history.append(one, phase)
    history.notes += one.notes


def _without_channels(job: _Job, sparsity: float) -> _Pruned:
    groups = [
        group
        for group in find_groups(job.model, find_backbone(job.model))
        if all(_may_change(layer) for layer in group.layers)
    ]
    if not groups:
        raise _nothing(job, "layer whose channels can be removed alone")
    backbone = find_backbone(job.model)
    activity = measure_activity(job.model, backbone, groups, job.train)
    kept = [
        (group, _remaining(importance(group, seen), sparsity))
        for group, seen in zip(groups, activity, strict=True)
    ]
    with current_runtime().scope():
        small = without_channels(job.model, kept, activity)
    compile_like(small, job.model)
    norms = {
        layer.name: rows
        for group, rows in kept
        for layer in group.between
        if isinstance(layer, keras.layers.BatchNormalization)
    }
    moments = norm_moments(job.original, job.train)
    match_norms(small, job.original, moments, job.train, norms)
    history = None
    if job.training["epochs"]:
        history = fine_tune(small, *job.lessons, **job.training)
    layers = tuple((g.producer.path, 1 - len(rows) / g.width) for g, rows in kept)
    gone = sum(group.width - len(rows) for group, rows in kept)
    return small, layers, gone / sum(group.width for group in groups), history


def _may_change(layer: keras.layers.Layer) -> bool:
    """Whether a layer trains, or is a norm, which stays frozen within what trains."""
    norm = isinstance(layer, keras.layers.BatchNormalization)
    return norm or layer.trainable or not layer.weights


def _remaining(counts: np.ndarray, sparsity: float) -> np.ndarray:
    """Returns the channels that count most, in their order."""
    number = max(1, len(counts) - round(sparsity * len(counts)))
    return np.sort(np.argsort(-counts, kind="stable")[:number])


def _nothing(job: _Job, what: str) -> ValueError:
    point = job.training["unfreeze_from"]
    return ValueError(
        f"Nothing to prune: above the freeze point, model {job.model.name!r} has no "
        f"{what}. Received: unfreeze_from={point!r}. unfreeze_from=1.0 takes the whole "
        "backbone; method='magnitude' needs no channels that can be removed alone."
    )


def _check_fine_tuning(given: dict[str, Any], method: str) -> None:
    """Raises for arguments that `fine_tune` does not have, or that do not go here."""
    names = set(inspect.signature(fine_tune).parameters) - set(_OWN)
    recipe = given.get("recipe")
    if recipe is not None and not isinstance(recipe, Recipe):
        raise ValueError(
            "`recipe` must be a `tl.Recipe` or a plan of `tl.plan` here. Received: "
            f"recipe={recipe!r}."
        )
    for name in given:
        if name not in names:
            raise unknown_name("argument", name, sorted(names))
        if method == "magnitude" and name in _NOT_WITH_MASKS:
            raise ValueError(
                f"`{name}` is for one run, and method='magnitude' trains in several "
                f"rounds; leave it out. Received: {name}={given[name]!r}."
            )
