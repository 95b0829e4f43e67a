"""`Problem`: what data and models are for, one input and a dictionary of outputs."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import keras
import numpy as np

from tlkeras._validation import unknown_name
from tlkeras.inputs import Input
from tlkeras.outputs import Anything, Numbers, Output, output_from_config
from tlkeras.outputs.missing import are_labelled
from tlkeras.outputs.naming import check_same_classes

# What TensorFlow takes as the name of a scope.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")

# What the one output of a model is called whose user named none.
PREDICTIONS = "predictions"


class Problem:
    """What data and models are for: an input, and outputs by name.

    It is the one place that knows; nothing else compares kinds. A model with one head
    is a dictionary of one here, too; `face` unpacks what its user gets.

    Labels of a problem whose heads have names are packed into one row of numbers per
    example: caching, shuffling and splitting handle one array of labels. `pack` makes
    it of a dictionary of labels, `unpack` makes a dictionary of its batches; NaN stands
    for what is missing. Labels of the one head without a name stay as they are.

    Args:
        input: What goes in.
        outputs: What comes out: an `Output`, or a dictionary of them by name.

    Attributes:
        input: As above.
        outputs: A dictionary of outputs.
        named: Whether the user named the heads.

    Raises:
        ValueError: If there is no output or something else, a name cannot be that of a
            layer, or nothing would be learnt.

    Example:

    >>> problem = Problem(Input(), {"species": tl.Classes(["ant", "bee"]),
    ...                             "size": tl.Numbers()})
    >>> rows = problem.pack({"species": [1, -1], "size": [0.5, 2.0]}, 2, "train")
    >>> rows.tolist()
    [[1.0, 0.5], [nan, 2.0]]
    """

    def __init__(self, input: Input, outputs: Output | Mapping[str, Output]):
        self.input = input
        self.named = isinstance(outputs, Mapping)
        self.outputs = dict(outputs) if self.named else {PREDICTIONS: outputs}
        _check_outputs(self.outputs, outputs)

    def __repr__(self) -> str:
        shown = self.face({name: one.task for name, one in self.outputs.items()})
        return f"Problem({self.input.nouns} -> {shown})"

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Problem)
            and (self.input, self.named) == (other.input, other.named)
            and self._configs() == other._configs()
        )

    def __hash__(self) -> int:
        return hash((self.input, self.named, tuple(self.outputs)))

    def _configs(self) -> list[list[Any]]:
        """Returns the outputs in their order, which is that of packed labels."""
        return [[name, output.get_config()] for name, output in self.outputs.items()]

    # What it is.

    def face(self, by_head: Mapping[str, Any]) -> Any:
        """Returns what belongs to heads as the user gets it: of one, it alone.

        Args:
            by_head: From heads' names to anything.

        Returns:
            The dictionary where the user named the heads, else its one value.
        """
        return dict(by_head) if self.named else by_head[PREDICTIONS]

    def by_head(self, value: Any) -> dict[str, Any]:
        """Returns what a user gave, as `face` would return it, by head.

        Args:
            value: A dictionary by head where heads have names, else anything.
        """
        return dict(value) if self.named else {PREDICTIONS: value}

    @property
    def output(self) -> Output:
        """The one output.

        Raises:
            ValueError: If there are several.
        """
        if len(self.outputs) > 1:
            raise ValueError(
                f"There are several heads, {list(self.outputs)}; one was asked for."
            )
        return next(iter(self.outputs.values()))

    @property
    def task(self) -> str:
        """The one output's task; `"multi_task"` where heads have names."""
        return "multi_task" if self.named else self.output.task

    @property
    def class_names(self) -> Any:
        """Names of classes; where heads have names, by those that have classes."""
        names = {n: one.class_names for n, one in self.outputs.items()}
        if self.named:
            return {n: each for n, each in names.items() if each is not None}
        return self.face(names)

    def get_config(self) -> dict[str, Any]:
        """Returns what a model's file keeps."""
        return {
            "input": keras.saving.serialize_keras_object(self.input),
            "outputs": self._configs(),
            "named": self.named,
        }

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Problem":
        """Makes a problem of what `get_config` returned.

        Args:
            config: That dictionary, also when it was JSON in between.
        """
        input = keras.saving.deserialize_keras_object(config["input"])
        outputs = {name: output_from_config(one) for name, one in config["outputs"]}
        return cls(input, outputs if config["named"] else outputs[PREDICTIONS])

    def but(
        self,
        input: Input | None = None,
        outputs: Mapping[str, Output] | None = None,
    ) -> "Problem":
        """Returns the problem with another input, or some other outputs.

        Args:
            input: The other input; `None` for the same.
            outputs: From names of heads to the outputs that change; `None` for none.
        """
        changed = {**self.outputs, **(outputs or {})}
        return Problem(input or self.input, self.face(changed))

    def check_fits(
        self, other: "Problem | None", part: str, inferred: bool = False
    ) -> None:
        """Raises `ValueError` where data cannot be those of this, a model's, problem.

        Args:
            other: The data's problem; `None` where it is not known.
            part: What the data are called.
            inferred: Whether this problem is but inferred. Numbers may then be shares,
                and two classes numbers.
        """
        if other is None:
            return
        if inferred and (other.named or len(other.class_names or ()) < 3):
            return
        self.input.check_reading(other.input, part)
        if other.named != self.named:
            # Labels tell whether they fit.
            return
        for name, output in other.outputs.items():
            if name in self.outputs:
                self._check_takes(name, output, part)
                known = self.outputs[name].class_names
                check_same_classes(part, output.class_names, known)

    def _check_takes(self, name: str, output: Output, part: str) -> None:
        ours = self.outputs[name]
        if not ours.takes(output):
            head = f" of head {name!r}" if self.named else ""
            if ours.task == output.task:
                raise ValueError(
                    f"Labels{head} in `{part}` are of another form than the model's, "
                    f"though both are for {ours.task!r}. Read the data as those were "
                    "that it was trained on."
                )
            raise ValueError(
                f"Labels{head} in `{part}` were read for {output.task!r}; the model "
                f"is for {ours.task!r}. Read the data with task={ours.task!r}, or "
                "build the model for what they are."
            )

    # Thresholds, which labels that are not exclusive have.

    @property
    def thresholds(self) -> Any:
        """From which probability labels are given; `None`: 0.5."""
        kept = {n: one.thresholds for n, one in self._several().items()}
        if not self.named:
            return kept.get(PREDICTIONS)
        return {n: each for n, each in kept.items() if each is not None} or None

    def with_thresholds(self, value: Any) -> "Problem":
        """Returns the problem with other thresholds.

        Args:
            value: `None`; a number or one per label; where heads have names, from heads
                to such.

        Raises:
            ValueError: If there are no such labels, or the value does not fit them.
        """
        several = self._several()
        if self.named:
            given = {} if value is None else value
            if not isinstance(given, Mapping) or not set(given) <= set(several):
                raise ValueError(
                    "`thresholds` of a model with several heads are given by head, for "
                    "those with labels that are not exclusive: "
                    f"{list(several)}. Received: {value!r}."
                )
        elif value is None or several:
            given = {PREDICTIONS: value}
        else:
            raise ValueError(
                "`thresholds` are for labels that are not exclusive (multi_label=True);"
                f" the task of the model is {self.task!r}. Received: {value!r}."
            )
        changed = {n: one.but(thresholds=given.get(n)) for n, one in several.items()}
        return self.but(outputs=changed)

    def _several(self) -> dict[str, Output]:
        return {n: one for n, one in self.outputs.items() if one.has_thresholds}

    # Labels.

    @property
    def columns(self) -> int:
        """Numbers that the packed labels of one example take."""
        return sum(output.columns for output in self.outputs.values())

    def places(self) -> Iterator[tuple[str, Output, slice]]:
        """Yields each head's name, its output and its place in a row of labels."""
        start = 0
        for name, output in self.outputs.items():
            yield name, output, slice(start, start + output.columns)
            start += output.columns

    def pack(self, labels: Mapping[str, Any], count: int, part: str) -> np.ndarray:
        """Packs labels by head into rows.

        Args:
            labels: From heads' names to labels. Class numbers `(n,)`, -1 or NaN where
                missing; rows or targets `(n, units)` (`(n,)` for one unit), NaN where
                missing. All labels of a head that is left out are missing.
            count: Number of examples.
            part: What the data are called, for messages.

        Returns:
            float32 `(count, columns)`.

        Raises:
            ValueError: If a head does not exist or its labels are not as described.
        """
        for name in labels:
            if name not in self.outputs:
                raise unknown_name("head", name, self.outputs)
        rows = np.full((count, self.columns), np.nan, "float32")
        for name, output, columns in self.places():
            if name in labels:
                about = f"Labels of head {name!r} in `{part}`"
                rows[:, columns] = output.pack(labels[name], count, about)
        return rows

    def unpack(self, labels: Any) -> dict[str, Any]:
        """Returns the labels of each head: class numbers `(n,)`, other rows 2-D.

        Args:
            labels: As data hold them, all or a batch, an array or a tensor.
        """
        if not self.named:
            return {PREDICTIONS: labels}
        return {
            name: output.unpack(labels[:, columns])
            for name, output, columns in self.places()
        }

    def known(self, labels: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Returns each head's labels, and for which examples all of them are known.

        Args:
            labels: As data hold them.
        """
        found = {}
        for name, values in self.unpack(labels).items():
            values = np.asarray(values)
            where = np.ones(len(values), bool)
            if self.named:
                where = ~np.isnan(values.reshape(len(values), -1)).any(axis=1)
            found[name] = values, where
        return found

    def by_part(
        self, labels: Mapping[str, np.ndarray]
    ) -> dict[str, dict[str, np.ndarray]]:
        """Returns labels by head and then by part, of those by part as data hold them.

        Args:
            labels: The labels of each part.
        """
        found: dict[str, dict[str, np.ndarray]] = {name: {} for name in self.outputs}
        for part, rows in labels.items():
            for name, values in self.unpack(rows).items():
                found[name][part] = values
        return found

    def label_text(self, label: Any) -> str:
        """Returns one example's label in words, of several heads in their order.

        Args:
            label: A number or a row, as data hold it.
        """
        if not self.named:
            return self.output.label_text(label)
        by_head = self.unpack(np.asarray(label)[None])
        return "; ".join(
            self.outputs[name].label_text(values[0]) if are_labelled(values)[0] else "?"
            for name, values in by_head.items()
        )

    def mark(self, ax: Any, size: tuple[int, int], labels: np.ndarray) -> None:
        """Draws what labels say of places on the pictures that they are of.

        Args:
            ax: Matplotlib axes with one of their own for each picture, as `Input.show`
                returned them, or whatever that returned.
            size: Height and width of the pictures.
            labels: As data hold them, one for each picture.
        """
        for name, values in self.unpack(labels).items():
            for cell, label in zip(getattr(ax, "child_axes", ()), values, strict=False):
                self.outputs[name].mark(cell, size, label)

    def strata(self, labels: np.ndarray) -> tuple[np.ndarray, Any]:
        """Returns each example's stratum for splitting, and the names of the strata.

        They are the classes of the first head that has some, -1 where that is missing;
        without any, all examples are one stratum without a name.

        Args:
            labels: As data hold them.
        """
        for name, values in self.unpack(labels).items():
            strata = self.outputs[name].strata(values)
            if strata is not None:
                return strata, self.outputs[name].class_names
        return np.zeros(len(labels), int), None

    def check_train(self, labels: np.ndarray) -> None:
        """Raises `ValueError` where nothing can be learnt from training labels.

        Args:
            labels: As data hold them.
        """
        for name, values in self.unpack(labels).items():
            try:
                self.outputs[name].check_train(values)
            except ValueError as error:
                raise ValueError(self._about(name, error)) from error

    def lost(self, labels: np.ndarray, others: np.ndarray) -> dict[str, list[str]]:
        """Returns the classes of heads that `labels` have, and `others` have not.

        Args:
            labels: As data hold them.
            others: The same.
        """
        both = self.by_part({"these": labels, "others": others})
        found = {n: self.outputs[n].lost(*each.values()) for n, each in both.items()}
        return {name: classes for name, classes in found.items() if classes}

    def _about(self, name: str, error: ValueError) -> str:
        return f"Head {name!r}: {error}" if self.named else str(error)

    def unpacked(
        self, batches: Any, weighings: Mapping[str, Callable] | None = None
    ) -> Any:
        """Returns batches as `keras.Model.fit` takes them.

        Args:
            batches: `tf.data.Dataset` of `(inputs, labels)` or
                `(inputs, labels, weights)`, labels as data hold them.
            weighings: What `weighings` returned, for training.

        Returns:
            `tf.data.Dataset` of `(inputs, labels)` or `(inputs, labels, weights)`; with
            labels by head where these have names, and weights by head where they differ
            in them.
        """
        if not self.named:
            weighing = (weighings or {}).get(PREDICTIONS)
            return weighing.over(batches) if weighing else batches
        import tensorflow as tf

        @tf.autograph.experimental.do_not_convert
        def unpack(inputs, rows, *weights):
            labels = self.unpack(rows)
            if not weighings:
                return inputs, labels, *weights
            plain = weights[0] if weights else tf.ones(tf.shape(rows)[:1])
            by_head = {
                name: weighings[name](_filled(labels[name]), *weights)
                if name in weighings
                else plain
                for name in labels
            }
            return inputs, labels, by_head

        return batches.map(
            unpack, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
        )

    def weighings(
        self, class_weight: Any, labels: np.ndarray | None, loss: Any = None
    ) -> dict[str, Callable]:
        """Makes what weighs the examples of each head in training.

        Args:
            class_weight: What the fit verb was given; where heads have names each has
                a `class_weight` of its own, and this is `None`.
            labels: All labels of the training examples as data hold them; `None` where
                they are not known beforehand.
            loss: What the model was compiled with.

        Returns:
            From heads' names to functions of a batch of labels and, where there are
            some, sample weights.

        Raises:
            ValueError: If class weights do not fit their head, or need labels that are
                not known.
        """
        if not self.named:
            own = self.output.class_weight
            weighing = self.output.weighing(
                own if class_weight is None else class_weight, labels, loss
            )
            return {} if weighing is None else {PREDICTIONS: weighing}
        found = {}
        for name, output, columns in self.places():
            if output.class_weight is None:
                continue
            rows = None if labels is None else labels[:, columns]
            try:
                found[name] = output.weighing_of_known(output.class_weight, rows)
            except ValueError as error:
                raise ValueError(self._about(name, error)) from error
        return found

    def counts(self, labels: np.ndarray) -> dict[str, dict[str, int] | None]:
        """Returns for each head how many examples have each class, by its name.

        Args:
            labels: As data hold them; those that are missing do not count.
        """
        found = {}
        for name, values in self.unpack(np.asarray(labels)).items():
            output = self.outputs[name]
            counts = output.counts(values)
            if counts is not None:
                pairs = zip(output.class_names, counts.tolist(), strict=True)
                found[name] = dict(pairs)
        return found if self.named else {PREDICTIONS: found.get(PREDICTIONS)}

    def mixed_output(self) -> Output | None:
        """Returns the output whose labels augmentation may mix; `None` if not known.

        Rows of several heads' labels cannot be mixed, as numbers cannot.
        """
        if self.named:
            return Numbers(self.columns)
        return None if isinstance(self.output, Anything) else self.output

    # Training and answers.

    def compile_arguments(self) -> dict[str, Any]:
        """Returns losses, their weights and metrics, as `keras.Model.compile` does."""
        if not self.named:
            output = self.output
            return {
                "loss": output.make_loss(),
                "loss_weights": None if output.weight == 1 else float(output.weight),
                "metrics": output.make_metrics(),
            }
        each = self.outputs.items()
        return {
            "loss": {name: output.known_loss() for name, output in each},
            "loss_weights": {name: float(output.weight) for name, output in each},
            "metrics": {name: output.known_metrics() for name, output in each},
        }

    def outputs_by_head(self, outputs: Any) -> dict[str, Any]:
        """Returns a model's outputs by head.

        Args:
            outputs: What the model gave: one tensor, or a dictionary of them by head.
        """
        given = self.by_head(outputs)
        return {name: given[name] for name in self.outputs}

    def answers(
        self, outputs: Any, frames: Callable[[], Any] | None = None
    ) -> list[Any]:
        """Returns what `classify` says of each input.

        Args:
            outputs: What the model gave: one array, or a dictionary of them by head.
            frames: Returns where the inputs lie in what the model sees, as
                `Input.frames` does; `None`: answers are about that.
        """
        by_head = {}
        for name, rows in self.outputs_by_head(outputs).items():
            output = self.outputs[name]
            said = output.answers(np.asarray(rows))
            by_head[name] = said if frames is None else output.placed(said, frames)
        each = zip(*by_head.values(), strict=True)
        return [self.face(dict(zip(by_head, said, strict=True))) for said in each]


def _check_outputs(outputs: Mapping[str, Any], received: Any) -> None:
    if not outputs or not all(isinstance(one, Output) for one in outputs.values()):
        raise ValueError(
            "Outputs must be one, such as tl.Classes(3), or a dictionary from the "
            "heads' names to theirs: {'species': tl.Classes(3), 'length': "
            f"tl.Numbers()}}. Received: {received!r}."
        )
    wrong = [x for x in outputs if not isinstance(x, str) or not _NAME.fullmatch(x)]
    if wrong:
        raise ValueError(
            "Heads' names become names of layers: letters from a to z, digits, '_', "
            "'-' and '.', the first a letter or digit, without '/'. Received: "
            f"{wrong[0]!r}."
        )
    if not any(output.weight for output in outputs.values()):
        raise ValueError("The `weight` of every head is 0: nothing would be learnt.")


def _filled(labels: Any) -> Any:
    import tensorflow as tf

    return tf.where(tf.math.is_nan(labels), tf.zeros_like(labels), labels)
