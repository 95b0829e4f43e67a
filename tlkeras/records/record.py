"""`TrainingRecord`: how a model was built and trained, readable and as JSON."""

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tlkeras._files import write_whole
from tlkeras.description import aligned
from tlkeras.records.encoding import missing, readable, without_names
from tlkeras.records.surroundings import Surroundings

_LAYOUT = 1

# Callbacks that watch and write; all others may change how weights come out. That of
# `tl.tune` stops trials, whose models nobody gets.
_WATCHING = {
    "CSVLogger",
    "History",
    "ModelCheckpoint",
    "ProgbarLogger",
    "RemoteMonitor",
    "TensorBoard",
    "TrialWatch",
}


@dataclass(frozen=True)
class RunRecord:
    """One call of a fit verb.

    Attributes:
        settings: The `Recipe` that it followed, `"auto"` resolved, field by field.
        train: Facts of the training data: `"kind"`, `"examples"`, `"fingerprint"`,
            `"batch_size"`, `"seed"` of split and order, and, where they are known,
            what `Input.facts` says, `"size"` in words, `"split"`, the shares drawn for
            `"val"` and `"test"`, and `"counts"` by class.
        val: The same of the validation data; `None` without.
        compiled: Optimizer, loss, loss weights and metrics that the model had.
        callbacks: Names of the callbacks' classes.
        cache: Where the frozen part's features were kept.
        phases: One dictionary for each phase: its `"name"`, `"unfreeze_from"`,
            `"learning_rate"`, `"epochs"` that ran, `"trainable"` parameters,
            `"seconds"`.
        metrics: From each metric to its value after the last epoch.
        seconds: How long all phases took.
        surroundings: Versions, hardware, date.
        weights_before: Fingerprint of all weights and random states before.
        weights: The same afterwards.
        notes: What a rerun cannot know, in sentences.
        taught_by: Of a student of `tl.distill` its teacher, in words.
    """

    settings: dict[str, Any]
    train: dict[str, Any]
    val: dict[str, Any] | None
    compiled: dict[str, Any]
    callbacks: tuple[str, ...]
    cache: Any
    phases: tuple[dict[str, Any], ...]
    metrics: dict[str, float]
    seconds: float
    surroundings: Surroundings
    weights_before: str
    weights: str
    notes: tuple[str, ...] = ()
    taught_by: str | None = None

    @property
    def epochs(self) -> int:
        """Epochs that ran, of all phases."""
        return sum(phase["epochs"] for phase in self.phases)

    def lines(self) -> Iterator[str]:
        """Yields what happened, line by line."""
        yield f"  data: {_of_data(self.train)}"
        yield f"  validation: {_of_data(self.val) if self.val else 'none'}"
        if self.train.get("split"):
            drawn = self.train["split"].items()
            yield f"  split: {', '.join(f'{part} {x:g}' for part, x in drawn)}"
        if self.taught_by:
            yield f"  taught by: {self.taught_by}"
        unused = ("unfreeze_from", "fine_tune_learning_rate", "train_batch_norm")
        left_out = unused if self.settings["epochs"] == 0 else ()
        changed = {
            name: value
            for name, value in self.settings.items()
            if value not in (None, 0.0, False) and name not in left_out
        }
        settings = ", ".join(f"{k}={readable(v)}" for k, v in changed.items())
        yield f"  settings: {settings}"
        for phase in self.phases:
            yield (
                f"  phase {phase['name']}: freeze point {phase['unfreeze_from']!r}, "
                f"learning rate {phase['learning_rate']:.3g}, {phase['epochs']} "
                f"epoch(s), {phase['trainable']:,} parameters, "
                f"{phase['seconds']:.1f} s"
            )
        figures = ", ".join(f"{name} {x:.4g}" for name, x in self.metrics.items())
        yield f"  after the last epoch: {figures}"
        if self.callbacks:
            yield f"  callbacks: {', '.join(self.callbacks)}"
        yield from (f"  note: {note}" for note in self.notes)


@dataclass(frozen=True)
class LearntClasses:
    """One call of `tl.learn_class`.

    Attributes:
        after_run: How many runs there were before.
        head: The head that learnt; `None` where heads have no names.
        examples: From each new name to the number of its examples.
        fingerprints: Of the examples of each.
        beside: What stood for the old classes, in words.
        strength: The L2 penalty, as in `Phase.solved`.
        loss: What cross-validation led to expect; `None` without.
        surroundings: Versions, hardware, date.
        weights: Fingerprint of all weights and random states afterwards.
    """

    after_run: int
    head: str | None
    examples: dict[str, int]
    fingerprints: tuple[str, ...]
    beside: str
    strength: float
    loss: float | None
    surroundings: Surroundings
    weights: str

    def __str__(self) -> str:
        of = ", ".join(f"{name!r} of {n} examples" for name, n in self.examples.items())
        where = "" if self.head is None else f" by head {self.head!r}"
        return f"{of}{where}, beside the old ones of which {self.beside} were at hand"


@dataclass(frozen=True)
class Adaptation:
    """One call of `tl.adapt`; prints itself.

    Attributes:
        after_run: How many runs there were before.
        after_learnt: How many calls of `tl.learn_class` there were before.
        head: The head that was adapted; `None` where heads have no names.
        method: What was done, as in `tl.adapt`; `"source only"` for nothing.
        done: The same in words.
        examples: How many there were of `"source"`, `"validation"` and `"target"`.
        fingerprints: Theirs.
        scores: Of `method="auto"`, from each candidate to its scores without target
            labels, by their names; `{}` otherwise.
        surroundings: Versions, hardware, date.
        weights: Fingerprint of all weights and random states afterwards.
    """

    after_run: int
    after_learnt: int
    head: str | None
    method: str
    done: str
    examples: dict[str, int]
    fingerprints: dict[str, str]
    scores: dict[str, dict[str, float]]
    surroundings: Surroundings
    weights: str

    @property
    def table(self) -> Any:
        """A `pandas.DataFrame` of the scores, with a row for each candidate."""
        import pandas as pd

        return pd.DataFrame.from_dict(self.scores, orient="index")

    @property
    def summary(self) -> str:
        """What was done and to what, in a line."""
        where = "" if self.head is None else f" of head {self.head!r}"
        chosen = ", chosen without target labels" if self.scores else ""
        return (
            f"{self.method}{where}{chosen}, for {self.examples['target']} target "
            f"examples beside {self.examples['source']} of the source"
            f"{f': {self.done}' if self.done else ''}"
        )

    def __str__(self) -> str:
        if not self.scores:
            return self.summary
        header = ("candidate", *next(iter(self.scores.values())))
        rows = [
            (name, *(f"{value:.3f}" for value in found.values()))
            for name, found in self.scores.items()
        ]
        return "\n".join([self.summary, *aligned([header, *rows])])


@dataclass(frozen=True)
class Pretraining:
    """One call of `tl.pretrain`; prints itself.

    Attributes:
        after_run: How many runs there were before.
        after_learnt: How many calls of `tl.learn_class` there were before.
        after_adapted: How many calls of `tl.adapt` there were before.
        examples: How many there were of `"train"` and `"val"`.
        fingerprints: Theirs.
        epochs: How many ran.
        before: The validation loss before.
        after: The lowest afterwards, of the weights that were kept.
        surroundings: Versions, hardware, date.
        weights: Fingerprint of all weights and random states afterwards.
    """

    after_run: int
    after_learnt: int
    after_adapted: int
    examples: dict[str, int]
    fingerprints: dict[str, str]
    epochs: int
    before: float
    after: float
    surroundings: Surroundings
    weights: str

    def __str__(self) -> str:
        return (
            f"{self.epochs} epochs on {self.examples['train']:,} examples without "
            f"labels, validation loss {self.before:.4g} to {self.after:.4g}"
        )


@dataclass(frozen=True)
class TrainingRecord:
    """How a model was built and trained: all that `tl.rerun` needs.

    A model of tlkeras keeps it as `model.record`, and so does its file. `print` shows
    it; `save` writes it as JSON, for a repository or a paper.

    Attributes:
        builder: Name of the function that built the model.
        arguments: Its arguments. What JSON cannot hold, a model or a function of the
            user's own, is but described; `not_kept` lists it.
        seed: Of the head's random start and of dropout.
        precision: Dtype policy of the model.
        backbone: `"name"`, `"licence"` of its weights where known, `"parameters"`.
        weights: Fingerprint of all weights as built.
        surroundings: Versions, hardware, date of the building.
        runs: One `RunRecord` for each call of a fit verb.
        random_states: Of a backbone of the user's own, states of its dropout.
        learnt: One `LearntClasses` for each call of `tl.learn_class`.
        adapted: One `Adaptation` for each call of `tl.adapt`.
        pretrained: One `Pretraining` for each call of `tl.pretrain`.

    Example:

    >>> model = tl.image_classifier("glyphnet", ["a", "b"], dropout=0.2)
    >>> model.record.builder, model.record.arguments["dropout"], model.record.runs
    ('image_classifier', 0.2, ())

    Reference:
        Pineau et al., Improving Reproducibility in Machine Learning Research (2021).
    """

    builder: str
    arguments: dict[str, Any]
    seed: int
    precision: str
    backbone: dict[str, Any]
    weights: str
    surroundings: Surroundings
    runs: tuple[RunRecord, ...] = ()
    random_states: tuple[Any, ...] = field(default=(), repr=False)
    learnt: tuple[LearntClasses, ...] = ()
    adapted: tuple[Adaptation, ...] = ()
    pretrained: tuple[Pretraining, ...] = ()

    @property
    def last_weights(self) -> str:
        """Fingerprint of all weights after the last thing that the record knows of."""
        done = (len(self.runs), len(self.learnt))
        if self.pretrained:
            last = self.pretrained[-1]
            places = last.after_run, last.after_learnt, last.after_adapted
            if places == (*done, len(self.adapted)):
                return last.weights
        if self.adapted:
            last = self.adapted[-1]
            if (last.after_run, last.after_learnt) == done:
                return last.weights
        if self.learnt and self.learnt[-1].after_run == len(self.runs):
            return self.learnt[-1].weights
        return self.runs[-1].weights if self.runs else self.weights

    @property
    def not_kept(self) -> dict[str, str]:
        """From the names of arguments that a rerun has to be given to what they were.

        `"callbacks"` are among them where there were some that may change weights.
        """
        found = {n: next(missing(v), None) for n, v in self.arguments.items()}
        for run in self.runs:
            for name, value in run.settings.items():
                found.setdefault(name, next(missing(value), None))
        named = [name for run in self.runs for name in run.callbacks]
        callbacks = [name for name in named if name not in _WATCHING]
        if callbacks:
            found["callbacks"] = ", ".join(dict.fromkeys(callbacks))
        return {name: what for name, what in found.items() if what}

    def to_dict(self) -> dict[str, Any]:
        """Returns the record as plain values that `json.dumps` takes."""
        return {"layout": _LAYOUT, **_as_lists(dataclasses.asdict(self))}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "TrainingRecord":
        """Makes a record of what `to_dict` returned.

        Args:
            values: That dictionary, also when it was JSON in between.

        Raises:
            ValueError: If the values are no record, or of a later version.
        """
        try:
            values = dict(values)
            layout = values.pop("layout")
            if layout > _LAYOUT:
                raise ValueError(
                    f"The record is of layout {layout}, which a later version of "
                    f"tlkeras wrote; this one reads up to {_LAYOUT}."
                )
            runs = tuple(map(_run_of, values.pop("runs")))
            made = Surroundings(**values.pop("surroundings"))
            states = tuple(map(tuple, values.pop("random_states")))
            learnt = tuple(map(_learnt_of, values.pop("learnt", ())))
            adapted = tuple(map(_adapted_of, values.pop("adapted", ())))
            pretrained = tuple(map(_pretrained_of, values.pop("pretrained", ())))
            parts = {"runs": runs, "random_states": states}
            parts |= {"learnt": learnt, "adapted": adapted, "pretrained": pretrained}
            return cls(**values, surroundings=made, **parts)
        except (KeyError, TypeError) as error:
            raise ValueError(f"This is no training record: {error!r}.") from error

    def save(self, path: str | os.PathLike) -> None:
        """Writes the record as a JSON file.

        Args:
            path: File ending in `.json`, in a folder that exists.

        Raises:
            ValueError: If `path` ends otherwise or cannot be written to.

        Example:

        >>> tl.image_classifier("glyphnet", 2).record.save("record.json")
        >>> tl.TrainingRecord.load("record.json").builder
        'image_classifier'
        """
        if Path(path).suffix != ".json":
            raise ValueError(f"`path` must end in '.json'. Received: {str(path)!r}.")
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n"
        try:
            write_whole(path, text)
        except OSError as error:
            raise ValueError(
                f"The record cannot be written to {str(path)!r}: {error}."
            ) from error

    @classmethod
    def load(cls, path: str | os.PathLike) -> "TrainingRecord":
        """Reads the JSON file that `save` wrote.

        Args:
            path: The file.

        Raises:
            ValueError: If there is none, or it holds something else.
        """
        try:
            values = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{str(path)!r} cannot be read: {error}.") from error
        return cls.from_dict(values)

    def differences(self, other: "TrainingRecord") -> list[str]:
        """Returns in sentences in what another record differs that changes weights.

        Args:
            other: The record of a rerun.
        """
        found = []
        if self.weights != other.weights:
            found.append("The model started from other weights.")
        pairs = list(zip(self.runs, other.runs, strict=False))
        if len(self.runs) != len(other.runs):
            found.append(f"{len(other.runs)} runs instead of {len(self.runs)}.")
        for mine, its in pairs:
            for part in ("train", "val"):
                found += _data_differences(
                    part, getattr(mine, part), getattr(its, part)
                )
            for name, value in mine.settings.items():
                now = its.settings.get(name)
                if without_names(value) != without_names(now):
                    was, is_now = readable(value), readable(now)
                    found.append(f"{name} was {was} and is {is_now}.")
            found += _surrounding_differences(mine.surroundings, its.surroundings)
        if self.precision != other.precision:
            found.append(f"Precision was {self.precision} and is {other.precision}.")
        return list(dict.fromkeys(found))

    def __str__(self) -> str:
        unset = (None, False, 0.0, "auto", [], ())
        chosen = {n: v for n, v in self.arguments.items() if v not in unset}
        arguments = ", ".join(f"{n}={readable(v)}" for n, v in chosen.items())
        lines = [
            f"{self.builder}({arguments})",
            f"  seed {self.seed}, precision {self.precision}",
            f"  built {self.surroundings.date} on {self.surroundings}",
        ]
        for number, run in enumerate(self.runs, 1):
            lines.append(f"run {number} of {len(self.runs)}: {run.surroundings.date}")
            lines.extend(run.lines())
            if str(run.surroundings) != str(self.surroundings):
                lines.append(f"  on {run.surroundings}")
        if not self.runs:
            lines.append("  not trained by a fit verb of tlkeras")
        for each in self.learnt:
            date = each.surroundings.date
            lines.append(f"learnt after run {each.after_run}: {each}, {date}")
        for each in self.adapted:
            date = each.surroundings.date
            lines.append(f"adapted after run {each.after_run}, {date}: {each}")
        for each in self.pretrained:
            date = each.surroundings.date
            lines.append(f"pretrained after run {each.after_run}, {date}: {each}")
        if self.not_kept:
            wanted = ", ".join(f"{n}= ({what})" for n, what in self.not_kept.items())
            lines.append(f"not kept, to be given to a rerun: {wanted}")
        return "\n".join(lines)


def _run_of(values: Mapping[str, Any]) -> RunRecord:
    values = dict(values)
    made = Surroundings(**values.pop("surroundings"))
    for name in ("callbacks", "phases", "notes"):
        values[name] = tuple(values[name])
    return RunRecord(**values, surroundings=made)


def _learnt_of(values: Mapping[str, Any]) -> LearntClasses:
    values = dict(values)
    made = Surroundings(**values.pop("surroundings"))
    prints = tuple(values.pop("fingerprints"))
    return LearntClasses(**values, surroundings=made, fingerprints=prints)


def _adapted_of(values: Mapping[str, Any]) -> Adaptation:
    values = dict(values)
    made = Surroundings(**values.pop("surroundings"))
    return Adaptation(**values, surroundings=made)


def _pretrained_of(values: Mapping[str, Any]) -> Pretraining:
    values = dict(values)
    made = Surroundings(**values.pop("surroundings"))
    return Pretraining(**values, surroundings=made)


def _as_lists(value: Any) -> Any:
    """Returns tuples as the lists that JSON makes of them."""
    if isinstance(value, dict):
        return {key: _as_lists(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_lists(part) for part in value]
    return value


def _of_data(facts: Mapping[str, Any]) -> str:
    size = f" of {facts['size']}" if facts.get("size") else ""
    if facts.get("examples") is None:
        return facts["kind"]
    return (
        f"{facts['examples']:,} {facts['kind']}{size}, batches of "
        f"{facts['batch_size']}, seed {facts['seed']}, fingerprint "
        f"{facts['fingerprint'][:16]}"
    )


def _data_differences(part: str, mine: Any, its: Any) -> list[str]:
    name = {"train": "training", "val": "validation"}[part]
    if mine is None or its is None:
        given = "some" if mine is None else "none"
        return [] if mine is its else [f"There is {given} {name} data now."]
    if mine.get("fingerprint") != its.get("fingerprint"):
        counts = f"{its.get('examples')} examples, recorded {mine.get('examples')}"
        return [f"The {name} data are not those of the record ({counts})."]
    if mine.get("fingerprint") is None:
        return [f"Whether the {name} data are those of the record is not known."]
    return [
        f"{key} of the {name} data was {mine.get(key)} and is {its.get(key)}."
        for key in ("batch_size", "seed", "shuffled")
        if mine.get(key) != its.get(key)
    ]


def _surrounding_differences(mine: Surroundings, its: Surroundings) -> list[str]:
    found = [
        f"{name} was {version} and is {its.versions.get(name)}."
        for name, version in mine.versions.items()
        if its.versions.get(name) != version
    ]
    for name in ("devices", "processor", "replicas"):
        was, is_now = getattr(mine, name), getattr(its, name)
        if was != is_now:
            found.append(f"{name.capitalize()}: was {was} and is {is_now}.")
    return found
