"""The verb `learn_class`: a class more, beside those that a model knows."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tlkeras import _keras
from tlkeras._validation import check_choice, few, in_order, shown
from tlkeras.builders import TransferModel, recording
from tlkeras.features.head_inputs import LastLayer, fingerprint_below, last_layers
from tlkeras.features.precision import dtype_policy
from tlkeras.features.reading import (
    as_examples,
    choose_head,
    last_layer_of,
    read_by,
)
from tlkeras.inputs.examples import reading_of
from tlkeras.linear import FeatureStatistics, Solution, solve
from tlkeras.outputs import Output
from tlkeras.records import LearntClasses
from tlkeras.records.surroundings import surroundings
from tlkeras.runtime import current_runtime
from tlkeras.training import PhaseError
from tlkeras.training.job import resolve_data

# How many features are drawn of each group of examples that are gone.
_DRAWN = 100
# What rounding may change in probabilities.
_ROUNDING = 1e-5
# Examples that the new model is verified on.
_VERIFIED = 32


def learn_class(
    model: TransferModel,
    name: str | Sequence[str],
    examples: Any,
    *,
    head: str | None = None,
    old: Any = None,
    cache: str | Path | bool = "auto",
    verbose: Any = "auto",
) -> TransferModel:
    """Adds a class to a trained classifier, without losing those that it knows.

    The head gets one row more, and all else stays bit for bit as it was: what the model
    says of the classes that it knew, among themselves, stays exactly the same, and an
    example of theirs is answered otherwise only where the new class is likelier. The
    row is solved like a head that `tl.fit_head` solves, its penalty and scale chosen by
    cross-validation, so that the probabilities stay calibrated.

    It takes to tell the new class from the old ones, too, whose data may be gone. The
    model keeps the means and the covariance of what its head reads
    (`model.feature_statistics`), which the fit verbs leave in it and its file has;
    features are drawn from these. Pass the data themselves as `old=` where they are
    there, and where the backbone was changed by something else since. The new class
    counts as much as the old ones do on average, however many examples it has.

    Args:
        model: A trained `TransferModel` with classes or labels. It stays as it is.
        name: The new class's name; or a list of several names.
        examples: Examples of it, as `model.classify` takes them: paths, arrays or
            texts; or a dataset of `Splits`, whose labels do not count. Of several
            classes a list with one of these for each. From 2 on; 5 are better.
        head: Which head learns, of a model with several.
        old: Labelled data of the classes that the model knows: `Splits`, whose train
            part serves, a dataset of `Splits`, or a tuple of arrays `(x, y)`. `None`:
            the statistics that the model keeps.
        cache: Where to keep what the backbone computes of the data: `"auto"` or
            `"disk"` in the cache folder; `"memory"` or `False` nowhere; or a folder.
        verbose: `"auto"` or 1 (a progress bar, and a line on what came of it), 2 (the
            line) or 0 (silent).

    Returns:
        A new `TransferModel`, compiled as `model` is, whose `class_names` end in the
        new ones. Its record says what was learnt; `tl.learn_class` of it adds more.

    Raises:
        UnsupportedError: If the head gives numbers.
        ValueError: If a name is known already, there are fewer than two examples or
            something else than the model takes, or the model keeps no statistics of the
            weights that it has and `old` is `None`.
        PhaseError: If the new model does not answer as the old one among its classes.

    Example:

    >>> x = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 1), "uint8")
    >>> model = tl.image_classifier("glyphnet", ["a", "b"])
    >>> history = tl.fit_head(model, (x[:8], np.arange(8) % 2), verbose=0)
    >>> more = tl.learn_class(model, "c", x[8:], verbose=0)
    >>> more.class_names
    ('a', 'b', 'c')

    Reference:
        Rebuffi et al., iCaRL: Incremental Classifier and Representation Learning
        (2017); Hayes and Kanan, Lifelong Machine Learning with Deep Streaming Linear
        Discriminant Analysis (2020): means and one covariance instead of data.
    """
    began = time.perf_counter()
    head, names = _checked(model, name, head)
    output = model.problem.outputs[head]
    extended = output.with_more(names)
    last = last_layer_of(model, model.problem, head)
    given = _each(model, names, examples)
    check_choice("verbose", verbose, ("auto", 0, 1, 2))
    bar = 0 if verbose == 2 else verbose
    known = _old_features(model, head, last, old, cache, bar)
    new = [read_by(model, last, each, cache, bar) for each in given]
    lesson = _Lesson.of(output, last, known, new)
    found = solve(lesson.features, lesson.targets, seed=0)
    learnt = _with_rows(model, head, extended, last, found)
    sizes = dict(zip(names, map(len, new), strict=True))
    _verify(model, learnt, head, given)
    statistics = known.statistics.joined(new)
    learnt.feature_statistics = {**_still_true(model), head: statistics}
    _record(model, learnt, head, sizes, found, known, given)
    if verbose != 0:
        seconds = time.perf_counter() - began
        print(_said(lesson, extended, learnt, head, sizes, known, seconds))
    return learnt


@dataclass(frozen=True)
class _Known:
    """What is known of the classes that a model knows.

    Attributes:
        features: Of their examples, or drawn: float32 `(n, width)`.
        weights: How many examples each stands for, `(n,)`.
        usual: How many examples a class has, on average.
        statistics: To keep.
        source: What it is from, in a word or two.
    """

    features: np.ndarray
    weights: np.ndarray
    usual: float
    statistics: FeatureStatistics
    source: str


def _checked(model: Any, name: Any, head: Any) -> tuple[str, list[str]]:
    """Returns the head and the new names, or raises."""
    if not isinstance(model, TransferModel):
        raise ValueError(
            "`model` must be a `TransferModel`, as `tl.image_classifier` builds it and "
            f"`tl.load` loads it. Received: {type(model).__name__}."
        )
    head = choose_head(model.problem, head, "tl.learn_class")
    output = model.problem.outputs[head]
    if not output.extends:
        raise output.unsupported("tl.learn_class", "with_more")
    names = [name] if isinstance(name, str) else in_order("name", name)
    listed = list(names) if isinstance(names, list | tuple) else []
    if not listed or not all(isinstance(each, str) and each.strip() for each in listed):
        raise ValueError(
            f"`name` must be the name of the new {output.noun}, a string, or a list of "
            f"several. Received: name={shown(name)}."
        )
    known = [each for each in listed if each in output.class_names]
    if known:
        raise ValueError(
            f"The model knows {known[0]!r} already; its {output.nouns} are "
            f"{few(output.class_names)}. More examples of it are learnt by "
            "`tl.fit_head`, on all data."
        )
    if len(set(listed)) < len(listed):
        raise ValueError(f"The new names must be distinct. Received: name={listed}.")
    return head, listed


def _each(model: TransferModel, names: list[str], given: Any) -> list[Any]:
    """Returns the `Examples` of each name, or raises `ValueError`."""
    several = [given]
    if len(names) > 1:
        given = in_order("examples", given)
        several = list(given) if isinstance(given, list | tuple) else []
        if len(several) != len(names):
            raise ValueError(
                f"`examples` must be a list with the examples of each of {len(names)} "
                f"names, {few(names)}. Received: {type(given).__name__}"
                f"{f' of {len(several)}' if several else ''}."
            )
    found = [as_examples(model, each, "examples") for each in several]
    for name, examples in zip(names, found, strict=True):
        if len(examples) < 2:
            raise ValueError(
                f"{name!r} needs at least 2 examples, better 5: with fewer nothing can "
                f"be held out to see what they are worth. Received: {len(examples)}."
            )
    return found


def _old_features(
    model: TransferModel, head: str, last: LastLayer, old: Any, cache: Any, bar: Any
) -> _Known:
    origin = _origin(model)
    if old is None:
        return _drawn(model, head, origin)
    output = model.problem.outputs[head]
    problem, train, _ = resolve_data(model, old, None)
    reading = reading_of(train)
    if reading is None:
        raise ValueError(
            "`old` must be `Splits`, a dataset of theirs, or a tuple of arrays (x, y). "
            f"Received: {type(old).__name__}."
        )
    labels = problem.unpack(np.asarray(reading.examples.labels))[head]
    groups = output.groups(labels)
    features = read_by(model, last, reading.examples, cache, bar)
    there = groups >= 0
    if reading.weights is not None:
        there &= reading.weights > 0
    if not there.any():
        raise ValueError("`old` has no labelled example.")
    features, groups = features[there], groups[there]
    usual = output.usual_size(labels[there])
    statistics = FeatureStatistics.of(features, groups, usual, origin)
    return _Known(features, np.ones(len(features)), usual, statistics, "their data")


def _drawn(model: TransferModel, head: str, origin: bytes) -> _Known:
    """Returns features drawn from the statistics that a model keeps."""
    kept = model.feature_statistics.get(head)
    if kept is None or kept.origin.tobytes() != origin:
        why = (
            "no statistics of the data that it was trained on: `tl.fit_head` and "
            "`tl.fine_tune` keep them where features are cached"
            if kept is None
            else "statistics of other weights: something else than a fit verb of "
            "tlkeras changed the backbone since"
        )
        raise ValueError(
            f"The model has {why}. Pass labelled data of the classes that it knows: "
            "`tl.learn_class(model, name, examples, old=data)`."
        )
    features, groups = kept.draw(_DRAWN)
    weights = kept.sizes[groups] / _DRAWN
    return _Known(features, weights, float(kept.usual), kept, "their statistics")


@dataclass(frozen=True)
class _Lesson:
    """What the new rows are learnt from.

    Attributes:
        features: Of old and new examples, float32 `(n, width)`.
        targets: What is to be learnt of them.
        new: The new class of each, -1 for none.
    """

    features: np.ndarray
    targets: Any
    new: np.ndarray

    @classmethod
    def of(
        cls, output: Output, last: LastLayer, known: _Known, new: list[np.ndarray]
    ) -> "_Lesson":
        """Puts what is known and what is new together."""
        features = np.concatenate([known.features, *new])
        sizes = [len(known.features), *map(len, new)]
        numbers = np.repeat(np.arange(len(sizes)) - 1, sizes)
        weights = np.concatenate(
            [
                known.weights,
                *(np.full(len(each), known.usual / len(each)) for each in new),
            ]
        )
        weights = weights / weights.mean()
        logits = last.logits(features).astype("float64")
        return cls(features, output.more_targets(logits, numbers, weights), numbers)


def _origin(model: TransferModel) -> bytes:
    """Returns a fingerprint of what computes the features that heads read."""
    heads = last_layers(model, model.problem.outputs_by_head(model.output))
    return fingerprint_below(model, heads)


def _with_rows(
    model: TransferModel,
    head: str,
    output: Output,
    last: LastLayer,
    found: Solution,
) -> TransferModel:
    """Returns a copy of a model with a wider last layer."""
    config = model.get_config()
    entry = next(x for x in config["layers"] if x["name"] == last.layer.name)
    entry["config"].update(
        units=output.units,
        activation=keras.activations.serialize(
            keras.activations.get(output.activation)
        ),
    )
    # The shapes that it was built with.
    entry.pop("build_config", None)
    rows = (keras.ops.convert_to_numpy(v) for v in (last.layer.kernel, last.layer.bias))
    kernel, bias = model.problem.outputs[head].with_rows(
        *rows, (found.kernel, found.bias)
    )
    values = {id(last.layer.kernel): kernel, id(last.layer.bias): bias}
    with current_runtime().scope(), dtype_policy(model.dtype_policy.name):
        copy = type(model).from_config(config)
        copy.set_weights([values.get(id(v), np.asarray(v)) for v in model.weights])
        # A config holds a tokenizer without its vocabulary.
        copy.problem = model.problem.but(outputs={head: output})
        copy.temperature = model.temperature
        if not model.compiled:
            return copy
        arguments = dict(_keras.compile_arguments(model))
        arguments["optimizer"] = _keras.unused_optimizer(model.optimizer)
        if output.activation != model.problem.outputs[head].activation:
            arguments |= copy.problem.compile_arguments()
        copy.compile(**arguments)
        # A file has the state of one that is built.
        copy.optimizer.build(copy.trainable_variables)
    return copy


def _verify(
    model: TransferModel, learnt: TransferModel, head: str, given: list[Any]
) -> None:
    """Raises `PhaseError` unless both models say the same of what both know."""
    if _origin(model) != _origin(learnt):
        raise PhaseError("Weights below the head changed.")
    before, after = model.problem.outputs[head], learnt.problem.outputs[head]
    count = len(before.class_names)
    for examples in given:
        batch, _ = next(iter(examples.dataset(_VERIFIED)))
        said = [
            output.among(_outputs(one, head, batch), count)
            for one, output in ((model, before), (learnt, after))
        ]
        apart = float(np.nan_to_num(np.abs(said[0] - said[1])).max())
        if apart > _ROUNDING:
            raise PhaseError(
                "The new model answers otherwise than the old one among the "
                f"{after.nouns} that both know: probabilities differ by {apart:.2g}."
            )


def _outputs(model: TransferModel, head: str, batch: Any) -> np.ndarray:
    outputs = model.problem.outputs_by_head(model.predict_on_batch(batch))
    return np.asarray(outputs[head], "float64")


def _still_true(model: TransferModel) -> Mapping[str, FeatureStatistics]:
    """Returns the statistics of a model that are of the weights that it has."""
    origin = _origin(model)
    kept = model.feature_statistics.items()
    return {head: each for head, each in kept if each.origin.tobytes() == origin}


def _record(
    model: TransferModel,
    learnt: TransferModel,
    head: str,
    sizes: Mapping[str, int],
    found: Solution,
    known: _Known,
    given: list[Any],
) -> None:
    record = model.record
    if record is None:
        return
    classes = LearntClasses(
        after_run=len(record.runs),
        head=head if model.problem.named else None,
        examples=dict(sizes),
        fingerprints=tuple(each.fingerprint() for each in given),
        beside=known.source,
        strength=found.strength,
        loss=found.cross_validated,
        surroundings=surroundings(),
        weights=recording.fingerprint(learnt),
    )
    learnt.keep_record(replace(record, learnt=(*record.learnt, classes)))


def _said(
    lesson: _Lesson,
    output: Output,
    learnt: TransferModel,
    head: str,
    sizes: Mapping[str, int],
    known: _Known,
    seconds: float,
) -> str:
    """Returns in a sentence or two what was learnt, and of how many examples."""
    last, first = last_layer_of(learnt, learnt.problem, head), len(output.class_names)
    first -= len(sizes)
    new = lesson.new[lesson.new >= 0]
    taken = output.taken_for(last.logits(lesson.features[lesson.new >= 0]), first + new)
    listed = ", ".join(
        f"{name!r}, for which {int(taken[new == number].sum())} of its {count} "
        "examples are taken"
        for number, (name, count) in enumerate(sizes.items())
    )
    return f"Learnt in {seconds:.1f} s beside {known.source}: {listed}."
