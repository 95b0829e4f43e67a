"""The verb `adapt`: from a domain with labels to one without."""

import contextlib
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tlkeras import _keras
from tlkeras._validation import check_choice, check_int, check_number
from tlkeras.adapting.deciding import SOURCE_ONLY, choose
from tlkeras.adapting.judging import Scores, judge
from tlkeras.adapting.streams import Streams
from tlkeras.adapting.training import TRAINED, Schedule, train
from tlkeras.adapting.untrained import UNTRAINED, norms_of
from tlkeras.builders import TransferModel, recording
from tlkeras.distribution import strategy_of
from tlkeras.evaluation.gap import labelled_examples
from tlkeras.features.precision import dtype_policy
from tlkeras.features.reading import choose_head, last_layer_of
from tlkeras.freezing import FreezePoint, freeze
from tlkeras.inputs.examples import Reading, reading_of
from tlkeras.outputs import Output
from tlkeras.problem import Problem
from tlkeras.records import Adaptation
from tlkeras.records.surroundings import surroundings
from tlkeras.runtime import current_runtime
from tlkeras.training.checkpoints import Checkpoints
from tlkeras.training.job import resolve_data
from tlkeras.training.own_loss import check_steps
from tlkeras.training.plan_facts import numbered_blocks
from tlkeras.training.resume import describe

METHODS = (*UNTRAINED, *TRAINED)
# Those that ask for shares of classes, whatever else they do.
_OF_CLASSES = ("bbse", "em")
# What "auto" tries, the cheap ones first.
CANDIDATES = ("norms", "coral", "em", "mmd", "mcc")
# Of a source without validation examples, each so many.
_HELD_OUT = 5
_BATCH, _LEAST_STEPS, _LEAST = 32, 300, 8


def adapt(
    model: TransferModel,
    source: Any,
    target: Any,
    *,
    method: str = "auto",
    validation_data: Any = None,
    head: str | None = None,
    unfreeze_from: FreezePoint = "auto",
    epochs: int | str = "auto",
    learning_rate: float = 1e-3,
    seed: int = 0,
    cache: str | Path | bool = "auto",
    checkpoint_dir: str | Path | None = None,
    verbose: Any = "auto",
) -> TransferModel:
    """Adapts a trained model to data of another domain, which have no labels.

    A model that learnt from photographs of a studio meets those of a telephone: the
    classes are the same, the pictures are not. `tl.domain_gap` says whether there is a
    difference at all. Where there are labels of the target, `tl.fine_tune` on some
    dozen of them is mostly worth more than any adaptation without.

    Without a step of training:

    - `"norms"`: batch norms take the statistics of the target.
    - `"coral"`: the head is solved on source features with the target's covariance.
    - `"bbse"`, `"em"`: the bias takes the target's shares of classes, found by what
      the model confuses, or by its probabilities. For classes.

    With training:

    - `"deep_coral"`, `"mmd"`: features of both domains are to have like covariances,
      or like means in a space of kernels.
    - `"dann"`, `"cdan"`: features are to deceive a discriminator of the domains, which
      for `"cdan"` sees the answers, too. `"cdan"` is for classes.
    - `"mcc"`: answers on the target are to mix up no classes. For classes.

    These train what is above the
    freeze point, in each step on one batch of each domain, on features that the frozen
    part computed once. Whatever helped in training is not in the model that comes out.

    Args:
        model: A `TransferModel` trained on the source. It stays as it is.
        source: Labelled data of the domain that it was trained on: `Splits`, whose val
            part then serves as well, a dataset of `Splits`, or arrays `(x, y)`.
        target: Examples of the other domain: as `model.classify` takes them, a dataset
            of `Splits`, or arrays `(x, y)`. Labels are not looked at.
        method: One of the above; or `"auto"`: norms, coral, em, mmd and mcc are tried,
            and one of them is taken where scores that need no target labels agree that
            it helps; otherwise the model stays as it was. For classes alone.
        validation_data: Labelled data of the source that were not trained on, where
            `source` is not `Splits`. `None`: a fifth of `source` is held out.
        head: Which head is adapted, of a model with several.
        unfreeze_from: Where training begins, as in `tl.fine_tune`. `"auto"`: what
            `tl.fine_tune` takes for as many examples.
        epochs: Passes over the larger domain, for methods that train. `"auto"`: 10, and
            as many as make 300 steps.
        learning_rate: The first, for Adam; it falls to 0 along a cosine.
        seed: Seed of orders, of what is held out, and of a discriminator's start.
        cache: Where to keep what the frozen part computes, as in `tl.fine_tune`.
        checkpoint_dir: A folder of this call's own. Where the process dies, the same
            call goes on to the same result: methods that were trained to their end are
            not trained again, and the one that was interrupted goes on from an epoch
            that ended at most half a minute before, or from its last one.
        verbose: `"auto"` or 1 (progress bars, and a line or a table on what came of
            it), 2 (one line per epoch) or 0 (silent).

    Returns:
        A new `TransferModel`. `model.record.adapted[-1]` says what was done, with the
        `.table` of all scores after `"auto"`.

    Raises:
        UnsupportedError: If a method needs classes and the head gives something else.
        ValueError: If the data do not fit the model, there are fewer than 8 target
            examples, the model has no batch norm for `"norms"`, `checkpoint_dir` holds
            another call's state, or an argument is none of the above.
        PhaseError: If the loss is not finite, a frozen weight changed, or no other did.
        CheckpointError: If a checkpoint cannot be read or written.

    Example:

    >>> x = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 1), "uint8")
    >>> y = np.arange(40) % 2
    >>> model = tl.image_classifier("glyphnet", ["a", "b"])
    >>> history = tl.fit_head(model, (x, y), verbose=0)
    >>> adapted = tl.adapt(model, (x, y), x // 2, method="coral", verbose=0)
    >>> adapted.record.adapted[-1].method
    'coral'

    Reference:
        Li et al., Revisiting Batch Normalization For Practical Domain Adaptation
        (2016): norms; Sun, Feng and Saenko, Return of Frustratingly Easy Domain
        Adaptation (2016): coral; Lipton et al., Detecting and Correcting for Label
        Shift with Black Box Predictors (2018): bbse; Saerens et al., Adjusting the
        Outputs of a Classifier to New a Priori Probabilities (2002): em; Sun and
        Saenko, Deep CORAL (2016); Long et al., Learning Transferable Features with
        Deep Adaptation Networks (2015): mmd; Ganin et al., Domain-Adversarial Training
        of Neural Networks (2016): dann; Long et al., Conditional Adversarial Domain
        Adaptation (2018): cdan; Jin et al., Minimum Class Confusion for Versatile
        Domain Adaptation (2020): mcc.
    """
    output, head = _checked(model, method, head)
    check_choice("verbose", verbose, ("auto", 0, 1, 2))
    check_int("seed", seed, 0)
    check_number("learning_rate", learning_rate, above=0)
    if epochs != "auto":
        check_int("epochs", epochs, 1)
    if checkpoint_dir is not None:
        if not isinstance(checkpoint_dir, str | os.PathLike):
            raise ValueError(
                "`checkpoint_dir` must be a folder, or None. Received: "
                f"checkpoint_dir={checkpoint_dir!r}."
            )
        checkpoint_dir = Path(checkpoint_dir)
    given = source, target, validation_data
    streams = _streams(model, *given, head, seed, cache, verbose)
    rate = float(learning_rate)
    job = _Job(
        model, streams, unfreeze_from, epochs, rate, seed, verbose, checkpoint_dir
    )
    # Raises for a freeze point that there is not, before anything is computed.
    job.copy()
    if method != "auto":
        adapted, done = job.adapted_by(method)
        return job.finished(adapted, method, done, {})
    return job.chosen(output)


@dataclass(frozen=True)
class _Job:
    """What one call of `adapt` is to do."""

    model: TransferModel
    streams: Streams
    unfreeze_from: FreezePoint
    epochs: int | str
    learning_rate: float
    seed: int
    verbose: Any
    checkpoint_dir: Path | None = None

    def copy(self) -> TransferModel:
        """Returns a copy of the model, frozen where training is to begin."""
        copy = copy_of(self.model)
        point = self.unfreeze_from
        if isinstance(point, str) and point == "auto":
            count = len(self.streams.parts["source"].examples)
            blocks = numbered_blocks(copy.backbone)
            point = copy.problem.input.usual(count, blocks)["unfreeze_from"]
        return freeze(copy, point)

    def adapted_by(self, method: str) -> tuple[TransferModel, str]:
        """Returns a copy adapted by a method, and what was done in words."""
        if method in UNTRAINED:
            copy = freeze(copy_of(self.model))
            return copy, UNTRAINED[method](copy, self.streams)
        copy, schedule = self.copy(), self.schedule()
        with self._checkpoints(method, copy, schedule) as kept:
            losses = train(
                copy, TRAINED[method], self.streams, schedule, self.verbose, kept
            )
        first, last = losses[0], losses[-1]
        return copy, (
            f"{schedule.epochs} epochs of {schedule.steps} steps, loss {first:.3g} to "
            f"{last:.3g}"
        )

    def _checkpoints(
        self, method: str, copy: TransferModel, schedule: Schedule
    ) -> contextlib.AbstractContextManager:
        """Returns what keeps the states of a method's training, `None` for nothing."""
        if self.checkpoint_dir is None:
            return contextlib.nullcontext()
        parts = self.streams.parts
        call = {
            "method": method,
            "head": self.streams.head,
            "unfreeze_from": describe(self.unfreeze_from),
            **asdict(schedule),
            "model": recording.fingerprint(copy),
            **{part: parts[part].fingerprint() for part in ("source", "target")},
        }
        return Checkpoints(self.checkpoint_dir / method, call).held()

    def schedule(self) -> Schedule:
        """Returns how long the methods that train do so."""
        parts = self.streams.parts
        sizes = [len(parts[name].examples) for name in ("source", "target")]
        batch = min(_BATCH, *sizes)
        steps = max(1, max(sizes) // batch)
        epochs = self.epochs
        if epochs == "auto":
            epochs = max(10, math.ceil(_LEAST_STEPS / steps))
        return Schedule(epochs, steps, batch, self.learning_rate, self.seed)

    def chosen(self, output: Output) -> TransferModel:
        """Returns the model that the scores prefer, of all candidates."""
        candidates, tried = {SOURCE_ONLY: (freeze(copy_of(self.model)), "")}, {}
        for method in CANDIDATES:
            if method == "norms" and not norms_of(self.model):
                continue
            if self.verbose != 0:
                print(f"{method}:")
            candidates[method] = self.adapted_by(method)
        for name, (candidate, _) in candidates.items():
            tried[name] = self.judged(candidate, output)
        method = choose(tried)
        adapted, done = candidates[method]
        return self.finished(adapted, method, done, tried)

    def judged(self, candidate: TransferModel, output: Output) -> Scores:
        """Returns the scores of a candidate."""
        streams = self.streams
        answers = [
            streams.answers(candidate, part) for part in ("validation", "target")
        ]
        said = tuple(
            np.asarray(output.class_probabilities(one.outputs), "float64")
            for one in answers
        )
        numbers = np.asarray(output.strata(streams.labels("validation")))
        return judge(*answers, said, numbers, self.seed)

    def finished(
        self,
        adapted: TransferModel,
        method: str,
        done: str,
        tried: Mapping[str, Scores],
    ) -> TransferModel:
        """Records what was done, and says it."""
        streams, record = self.streams, self.model.record
        if method != SOURCE_ONLY:
            # What `calibrate` found was of the model before.
            adapted.temperature = None
        if record is None:
            return adapted
        entry = Adaptation(
            after_run=len(record.runs),
            after_learnt=len(record.learnt),
            head=streams.head if streams.problem.named else None,
            method=method,
            done=done,
            examples={n: len(r.examples) for n, r in streams.parts.items()},
            fingerprints={n: r.fingerprint() for n, r in streams.parts.items()},
            scores={name: one._asdict() for name, one in tried.items()},
            surroundings=surroundings(),
            weights=recording.fingerprint(adapted),
        )
        adapted.keep_record(replace(record, adapted=(*record.adapted, entry)))
        if self.verbose != 0:
            print(entry)
        return adapted


def copy_of(model: TransferModel) -> TransferModel:
    """Returns a copy of a model with its weights, compiled as it is."""
    with current_runtime().scope(), dtype_policy(model.dtype_policy.name):
        copy = type(model).from_config(model.get_config())
        copy.set_weights([np.asarray(v) for v in model.weights])
        # A config holds a tokenizer without its vocabulary.
        copy.problem, copy.temperature = model.problem, model.temperature
        copy.feature_statistics = dict(model.feature_statistics)
        copy.keep_record(model.record)
        arguments = dict(_keras.compile_arguments(model))
        arguments["optimizer"] = _keras.unused_optimizer(model.optimizer)
        copy.compile(**arguments)
    return copy


def _checked(model: Any, method: Any, head: str | None) -> tuple[Output, str]:
    """Returns the output that is adapted and its head's name, or raises."""
    if not isinstance(model, TransferModel) or not model.compiled:
        raise ValueError(
            "`model` must be a compiled `TransferModel`, as `tl.image_classifier` "
            "builds it and `tl.load` loads it, trained on the source. Received: "
            f"{type(model).__name__}."
        )
    check_choice("method", method, ("auto", *METHODS))
    head = choose_head(model.problem, head, "tl.adapt")
    output = model.problem.outputs[head]
    last_layer_of(model, model.problem, head)
    trained = TRAINED.get(method)
    needs = method in ("auto", *_OF_CLASSES) or (trained and trained.of_classes)
    if needs and not output.is_exclusive:
        raise output.unsupported(f"tl.adapt({method=})", "class_probabilities")
    if method == "norms" and not norms_of(model):
        raise ValueError(
            "method='norms' renews the statistics of batch norms, and the model "
            f"{model.name!r} has none. Choose another method, such as 'coral'."
        )
    check_steps(model)
    strategy = strategy_of(model)
    if strategy is not None and strategy.num_replicas_in_sync > 1:
        raise ValueError(
            "`tl.adapt` runs on one device. Build or load the model without a "
            "strategy: `tl.configure(strategy=None)`, then `tl.load`. Received: "
            f"{strategy.num_replicas_in_sync} replicas."
        )
    return output, head


def _streams(
    model: TransferModel,
    source: Any,
    target: Any,
    validation_data: Any,
    head: str,
    seed: int,
    cache: Any,
    verbose: Any,
) -> Streams:
    problem, train, val = resolve_data(model, source, validation_data)
    parts = {"source": reading_of(train), "validation": reading_of(val)}
    for name, reading in parts.items():
        given = (train, val)[name == "validation"]
        if given is not None and (
            reading is None or not reading.examples.random_access
        ):
            raise ValueError(
                f"`{'source' if given is train else 'validation_data'}` must be "
                "`Splits`, a dataset of theirs, or a tuple of arrays (x, y): examples "
                "are read in any order. Received: "
                f"{type(given).__name__}."
            )
    if val is None:
        parts = _held_out(parts["source"], problem, head, seed)
    examples, _ = labelled_examples(model, target, "target", problem, head)
    if len(examples) < _LEAST:
        raise ValueError(
            f"`target` must have at least {_LEAST} examples, better some hundred. "
            f"Received: {len(examples)}."
        )
    parts["target"] = Reading(examples, _BATCH, True, seed)
    return Streams(problem, head, parts, cache, verbose)


def _held_out(
    reading: Reading, problem: Problem, head: str, seed: int
) -> dict[str, Reading]:
    """Returns training and validation examples, classes in like shares."""
    count = len(reading.examples)
    if count < 2 * _HELD_OUT:
        raise ValueError(
            f"`source` must have at least {2 * _HELD_OUT} examples. Received: {count}."
        )
    labels = problem.unpack(np.asarray(reading.examples.labels))[head]
    strata = problem.outputs[head].strata(np.asarray(labels))
    order = np.random.default_rng(seed).permutation(count)
    if strata is not None:
        order = order[np.argsort(np.asarray(strata)[order], kind="stable")]
    is_held = np.zeros(count, bool)
    is_held[order[::_HELD_OUT]] = True
    return {
        name: replace(
            reading,
            examples=reading.examples.select(np.flatnonzero(rows)),
            weights=None if reading.weights is None else reading.weights[rows],
            groups=None,
        )
        for name, rows in (("source", ~is_held), ("validation", is_held))
    }
