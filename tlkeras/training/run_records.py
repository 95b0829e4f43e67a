"""Fit verbs add to the record of a model what they did to it."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import keras

from tlkeras import _keras
from tlkeras._files import write_whole
from tlkeras.builders import recording
from tlkeras.features.splitting import head_of
from tlkeras.inputs.examples import reading_of
from tlkeras.problem import Problem
from tlkeras.records import RunRecord, TrainingRecord
from tlkeras.records.encoding import encode
from tlkeras.records.surroundings import surroundings
from tlkeras.training.phase import HEAD
from tlkeras.training.recipe import settings_of

_START = "start.json"


def record_from(model: keras.Model) -> Callable[[Any], None]:
    """Remembers the model as it is; returns what adds a `Run` to its record then.

    Of a model without a record, such as one that a builder of tlkeras did not make, it
    does nothing.
    """
    if getattr(model, "record", None) is None:
        return lambda run: None
    before, compiled = recording.fingerprint(model), compiled_as(model)

    def add(run: Any) -> None:
        record, began = _as_it_began(run, before)
        notes = _notes(record, run, began)
        run_record = _run_record(run, compiled, began, notes)
        model.keep_record(replace(record, runs=(*record.runs, run_record)))
        # What `calibrate` found does not hold for other weights.
        model.temperature = None
        model.problem = model.problem.but(
            outputs={n: one.as_trained() for n, one in model.problem.outputs.items()}
        )

    return add


def keep_start(run: Any) -> None:
    """Writes beside new checkpoints what the run began with.

    The process that goes on may have built its model with another seed.
    """
    record = getattr(run.job.model, "record", None)
    if record is None or run.resumer is None or run.resumer.state is not None:
        return
    if not run.resumer.workers.is_chief:
        return
    start = {**record.to_dict(), "weights_before": recording.fingerprint(run.job.model)}
    path = Path(run.job.fitting.checkpoint_dir).expanduser() / _START
    write_whole(path, json.dumps(start))


def _as_it_began(run: Any, before: str) -> tuple[TrainingRecord, str]:
    """Returns the record that the run began with, and the weights' fingerprint."""
    record, folder = run.job.model.record, run.job.fitting.checkpoint_dir
    if folder is None:
        return record, before
    try:
        text = (Path(folder).expanduser() / _START).read_text(encoding="utf-8")
        start = json.loads(text)
        began = start.pop("weights_before")
        return TrainingRecord.from_dict(start), began
    except (OSError, ValueError, KeyError):
        return record, before


def compiled_as(model: keras.Model) -> dict[str, Any]:
    """Returns what the model was compiled with, as far as it changes weights."""
    given = dict(_keras.compile_arguments(model))
    given["optimizer"] = _keras.unused_optimizer(model.optimizer)
    names = ("optimizer", "loss", "loss_weights", "metrics", "weighted_metrics")
    return {name: encode(given.get(name)) for name in names}


def _run_record(run: Any, compiled: dict, began: str, notes: list[str]) -> RunRecord:
    job, history = run.job, run.history
    cache = job.fitting.cache
    # Which folder does not matter, and is nobody else's business.
    known = isinstance(cache, bool) or cache in ("auto", "disk", "memory")
    settings = settings_of(job.recipe)
    if history.phases[0].name == HEAD:
        # What was done, not what was asked: a rerun is to do the same.
        solved = history.phases[0].solved
        settings["head"] = "solve" if solved else "gradient"
        if solved:
            settings |= {"head_epochs": "auto", "learning_rate": "auto"}
    return RunRecord(
        settings={n: encode(value) for n, value in settings.items()},
        train=facts_of(job.train, job.problem),
        val=None if job.val is None else facts_of(job.val, job.problem),
        compiled=compiled,
        callbacks=tuple(type(callback).__name__ for callback in job.fitting.callbacks),
        cache=cache if known else "disk",
        phases=tuple(json.loads(json.dumps(asdict(p))) for p in history.phases),
        metrics=_last(history.history),
        seconds=sum(phase.seconds for phase in history.phases),
        surroundings=surroundings(),
        weights_before=began,
        weights=recording.fingerprint(run.job.model),
        notes=tuple(notes),
    )


def _last(history: Mapping[str, list[float]]) -> dict[str, float]:
    """Returns each metric's last value; those of earlier phases alone are left out."""
    last = {name: float(values[-1]) for name, values in history.items()}
    return {name: value for name, value in last.items() if math.isfinite(value)}


def _notes(record: TrainingRecord, run: Any, began: str) -> list[str]:
    found = []
    if record.last_weights != began:
        found.append(
            "Before this run something other than a fit verb of tlkeras changed the "
            "weights: a rerun leaves that out."
        )
    reading = reading_of(run.job.train)
    if reading is None:
        found.append(
            "The training data came as a dataset that only reading it would identify: "
            "whether a rerun gets the same data in the same order is not known."
        )
    # Before the backbone nothing may train, such as what reads the texts of a table.
    head = head_of(run.job.model, run.job.backbone).layers
    frozen = [layer.name for layer in head if layer.weights and not layer.trainable]
    if frozen:
        found.append(f"Layers frozen by hand: {', '.join(frozen)}.")
    return found


def facts_of(data: Any, problem: Problem) -> dict[str, Any]:
    """Returns the facts of a part of the data, as in `RunRecord.train`.

    Args:
        data: Training or validation data.
        problem: The model's, which may have names where the data have numbers.
    """
    reading = reading_of(data)
    if reading is None:
        kind = str(getattr(data, "element_spec", type(data).__name__))
        return {"kind": f"dataset of {kind}", "examples": None, "fingerprint": None}
    examples = reading.examples
    its_input = problem.input if reading.problem is None else reading.problem.input
    facts = {
        "kind": its_input.kind,
        "source": type(examples).__name__.removesuffix("Examples").lower(),
        "examples": len(examples),
        "fingerprint": reading.fingerprint(),
        "batch_size": reading.batch_size,
        "shuffled": reading.shuffled,
        "seed": reading.seed,
        **its_input.facts(examples),
    }
    if reading.fractions is not None:
        facts["split"] = dict(zip(("val", "test"), reading.fractions, strict=True))
    counts = problem.counts(examples.labels)
    if problem.face(counts):
        facts["counts"] = problem.face(counts)
    return facts
