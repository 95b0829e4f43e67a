"""The verb `rerun`: from the record of a model to the same model, trained anew."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras

from tlkeras import builders
from tlkeras._validation import unknown_name
from tlkeras.builders import TransferModel, recording
from tlkeras.builders.random_states import set_random_states
from tlkeras.optimizers import Constant, Cosine, OneCycle
from tlkeras.outputs import OUTPUTS
from tlkeras.records import RunRecord, TrainingRecord
from tlkeras.records.encoding import decode, missing, without_names
from tlkeras.saving import load
from tlkeras.training import Recipe, fine_tune
from tlkeras.training.job import parts_of
from tlkeras.training.recipe import SETTINGS
from tlkeras.training.run_records import compiled_as

_KEPT = (*OUTPUTS.values(), Constant, Cosine, OneCycle)
_CLASSES = {kind.__name__: kind for kind in _KEPT}


def rerun(
    record: TrainingRecord | TransferModel | str | os.PathLike,
    train: Any,
    validation_data: Any = None,
    *,
    callbacks: Sequence[keras.callbacks.Callback] | None = None,
    seed: int | None = None,
    cache: Any = None,
    verbose: Any = "auto",
    **replaced: Any,
) -> TransferModel:
    """Builds a model anew and trains it as its record says.

    On the same machine, with the same versions and data, in float32 on one device, the
    weights come out bit for bit the same, in another process, too. What differs from
    the record, such as other data or versions, is no error; it is printed.

    What was done to the model by hand in between, by `model.fit` or `set_weights`, and
    what came afterwards, such as `tl.calibrate`, is not repeated; the record knows
    where something changed weights, and `rerun` says so. Nor is the order of a dataset
    of your own known, or of a stream of TFDS.

    Args:
        record: `model.record`, a model that has one, or the path of a model's file or
            of what `model.record.save` wrote.
        train: The data: `Splits`, a batched dataset of `(inputs, labels)` or a tuple of
            arrays. Where the runs had different data, a list with one of these each.
        validation_data: The same for validation, where `train` is not of `Splits`.
        callbacks: Fresh callbacks like those that the record names; `[]` for none.
        seed: In place of the recorded one, to see how much hangs on the random start.
        cache: In place of the recorded one: `"auto"`, `"disk"`, `"memory"`, a folder,
            or `False`.
        verbose: `"auto"` or 1 (a progress bar), 2 (one line per epoch) or 0 (silent).
        **replaced: Arguments of the builder or settings of `tl.Recipe`, in place of
            the recorded ones. Those that could not be kept (`record.not_kept`) have to
            be given: a backbone of your own as it was before training, a tokenizer, a
            loss, a function in `augment`.

    Returns:
        A new `TransferModel` with a record of its own. Compare
        `model.record.runs[-1].weights` to see whether two have the same weights.

    Raises:
        ValueError: If there is no record, an argument is missing or unknown, or the
            data do not fit the model.

    Example:

    >>> x = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 1), "uint8")
    >>> y = np.arange(8) % 2
    >>> model = tl.image_classifier("glyphnet", 2, dropout=0.2)
    >>> history = tl.fit_head(model, (x, y), epochs=2, verbose=0)
    >>> again = tl.rerun(model.record, (x, y), verbose=0)
    >>> again.record.runs[0].weights == model.record.runs[0].weights
    True

    Reference:
        Pineau et al., Improving Reproducibility in Machine Learning Research (2021).
    """
    record = _record_of(record)
    _check_given(record, replaced, callbacks)
    trains = train if isinstance(train, list) else [train] * len(record.runs)
    if len(trains) != len(record.runs):
        raise ValueError(
            f"The record has {len(record.runs)} run(s). Pass their data as one, or as "
            f"a list of as many. Received: {len(trains)}."
        )
    model = _built(record, seed, replaced)
    # A name that the builder has, too, such as `backbone`, is meant for it.
    given = {n: v for n, v in replaced.items() if n not in record.arguments}
    for number, (run, data) in enumerate(zip(record.runs, trains, strict=True), 1):
        if verbose != 0:
            print(f"Run {number} of {len(record.runs)}:")
        _compile_as_recorded(model, run, number)
        part, validation = parts_of(data, validation_data)
        fine_tune(
            model,
            part,
            None if run.val is None else validation,
            recipe=_recipe(run, given),
            cache=run.cache if cache is None else cache,
            callbacks=(callbacks or ()) if run.callbacks else (),
            verbose=verbose,
        )
    if verbose != 0:
        print("\n".join(_outcome(record, model.record)))
    return model


def _record_of(given: Any) -> TrainingRecord:
    if isinstance(given, (str, os.PathLike)):
        is_record = Path(given).suffix == ".json"
        given = TrainingRecord.load(given) if is_record else load(given)
    record = getattr(given, "record", given)
    if not isinstance(record, TrainingRecord):
        raise ValueError(
            "`record` must be `model.record`, a model that has one, or the path of a "
            "'.keras' or '.json' file. Models that earlier versions of tlkeras saved, "
            "and those that other code built, have none. Received: "
            f"{type(given).__name__}{' without a record' if record is None else ''}."
        )
    if not record.runs:
        raise ValueError(
            "The record holds no run of a fit verb: there is nothing to repeat but "
            f"`tl.{record.builder}`."
        )
    if record.learnt:
        names = [name for each in record.learnt for name in each.examples]
        raise ValueError(
            f"The model learnt {', '.join(map(repr, names))} by `tl.learn_class`, "
            "which no rerun repeats. Rerun the record of the model before, then call "
            "that again."
        )
    if record.adapted:
        raise ValueError(
            f"The model was adapted by `tl.adapt` ({record.adapted[-1].method}), which "
            "no rerun repeats. Rerun the record of the model before, then call that "
            "again."
        )
    if record.pretrained:
        raise ValueError(
            "The model was pretrained by `tl.pretrain`, which no rerun repeats. Build "
            "and pretrain it again, then train it by `tl.fine_tune`."
        )
    taught = [n for n, run in enumerate(record.runs, 1) if run.taught_by]
    if taught:
        raise ValueError(
            f"Run {taught[0]} of the record learnt from a teacher, "
            f"{record.runs[taught[0] - 1].taught_by}, which no record holds: repeat it "
            "with `tl.distill`."
        )
    return record


def _check_given(
    record: TrainingRecord, replaced: Mapping[str, Any], callbacks: Any
) -> None:
    known = [*record.arguments, *SETTINGS]
    for name in replaced:
        if name not in known:
            raise unknown_name("argument", name, known)
    given = {*replaced, *(["callbacks"] if callbacks is not None else [])}
    wanted = {n: what for n, what in record.not_kept.items() if n not in given}
    if wanted:
        listed = ", ".join(f"{name}= ({what})" for name, what in wanted.items())
        raise ValueError(
            "The record could not keep everything. Pass, as they were before the "
            f"training: {listed}."
        )


def _built(
    record: TrainingRecord, seed: int | None, replaced: Mapping[str, Any]
) -> TransferModel:
    """Builds the model as recorded, with the recorded random start."""
    arguments = {
        name: replaced[name] if name in replaced else _decoded(name, value)
        for name, value in record.arguments.items()
    }
    with recording.building_with(
        record.seed if seed is None else seed, record.precision
    ):
        model = builders.BUILDERS[record.builder](**arguments)
    if seed is None and record.random_states:
        set_random_states(model, record.random_states)
        # The record of what was built has to say so, too.
        model.keep_record(replace(model.record, weights=recording.fingerprint(model)))
    return model


def _recipe(run: RunRecord, replaced: Mapping[str, Any]) -> Recipe:
    return Recipe(
        **{
            name: replaced[name] if name in replaced else _decoded(name, value)
            for name, value in run.settings.items()
            if name in SETTINGS
        }
    )


def _decoded(name: str, value: Any) -> Any:
    try:
        return decode(value, _CLASSES)
    except Exception as error:
        # Objects of the user's own fail in ways of their own.
        raise ValueError(
            f"`{name}` cannot be made from the record here: {error} Import what it is "
            f"made of first, or pass `{name}=`."
        ) from error


def _compile_as_recorded(model: TransferModel, run: RunRecord, number: int) -> None:
    """Compiles the model as it was for a run, where its user had changed that."""
    now = compiled_as(model)
    changed = {
        name: value
        for name, value in run.compiled.items()
        if without_names(value) != without_names(now.get(name))
    }
    if not changed:
        return
    lost = [what for n in ("loss", "optimizer") for what in missing(changed.get(n))]
    if lost:
        raise ValueError(
            f"Before run {number} the model was compiled anew with what could not be "
            f"kept: {', '.join(lost)}. `keras.saving.register_keras_serializable` "
            "lets a record keep it. Repeat this run by hand."
        )
    known = {n: v for n, v in run.compiled.items() if not any(missing(v))}
    arguments = {name: _plain_lists(_decoded(name, v)) for name, v in known.items()}
    model.compile(**arguments, jit_compile=model.jit_compile)


def _plain_lists(value: Any) -> Any:
    """Returns tuples as lists, which is what Keras takes for metrics."""
    if isinstance(value, tuple):
        return [_plain_lists(part) for part in value]
    if isinstance(value, dict):
        return {key: _plain_lists(part) for key, part in value.items()}
    return value


def _outcome(record: TrainingRecord, again: TrainingRecord) -> list[str]:
    """Returns what came of a rerun, in sentences."""
    differences = record.differences(again)
    notes = [note for run in record.runs for note in run.notes]
    if record.runs[-1].weights == again.runs[-1].weights:
        return ["The weights are bit for bit those of the record.", *differences]
    if not differences and not notes:
        notes = [
            "No reason is known: operations of this device may round in another order."
        ]
    return ["The weights are not those of the record.", *differences, *notes]
