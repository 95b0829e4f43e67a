"""`Splits`: training, validation and test data of one task."""

import functools
import warnings
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tlkeras._validation import check_choice, check_int
from tlkeras.data.checks import Checks, check_splits
from tlkeras.data.groups import check_apart, split_groups
from tlkeras.data.skipped import skipped_notes
from tlkeras.data.splitting import PARTS, split_by_time, split_positions
from tlkeras.description import Description, Descriptions
from tlkeras.inputs.examples import Examples, Reading
from tlkeras.problem import Problem, input_of


class Splits:
    """Training, validation and test data, and what they are about.

    Made by `image_folder`, `audio_folder`, `from_arrays`, `from_csv`, `from_dataframe`
    and `from_tfds`. `train`, `val` and `test` are plain batched `tf.data.Dataset`s of
    `(x, y)`: images, float32 raw pixels 0 to 255, `(batch, height, width,
    channels)`, texts, strings `(batch,)`, pairs `(batch, 2)`, sounds, float32 waves
    -1 to 1, `(batch, samples)`, or rows of a table, float32 `(batch, numbers)`; and
    labels, or a dictionary of them by head. They go wherever Keras takes a dataset. A
    part without examples is `None`.

    Args:
        parts: From `"train"`, `"val"` and `"test"` to `Examples`; one may be left out.
        problem: What the data are for: an input, and outputs by name.
        batch_size: Examples per batch.
        seed: Seed of the order of training.
        skipped: What was left out, as below.
        groups: Of each training example, where some belong together.
        fractions: Shares that were drawn for `"val"` and `"test"`, as in `Reading`.

    Attributes:
        problem: What the data are for: an input, and outputs by name.
        batch_size: Examples per batch.
        skipped: `(path, reason)` of every file that was left out, or `(path:line,
            reason)` of every row of a table.

    Example:
    >>> data = tl.image_folder("flowers/")
    >>> history = model.fit(data.train, validation_data=data.val, verbose=0)
    """

    def __init__(
        self,
        parts: Mapping[str, Examples],
        *,
        problem: Problem,
        batch_size: int,
        seed: int,
        skipped: Sequence[tuple[str, str]] = (),
        groups: Sequence[Hashable] | None = None,
        fractions: tuple[float, float] | None = None,
    ):
        self._parts = {part: parts[part] for part in PARTS if len(parts.get(part, ()))}
        self._seed, self._fractions = seed, fractions
        self._groups = None
        if groups is not None:
            numbers = {group: number for number, group in enumerate(groups)}
            self._groups = np.array([numbers[group] for group in groups])
        self.problem = problem
        self.batch_size = batch_size
        self.skipped = list(skipped)

    @functools.cached_property
    def train(self) -> tf.data.Dataset | None:
        """Training batches, in a new order in every epoch."""
        return self._dataset("train", shuffle=True)

    @functools.cached_property
    def val(self) -> tf.data.Dataset | None:
        """Validation batches, always in the same order."""
        return self._dataset("val", shuffle=False)

    @functools.cached_property
    def test(self) -> tf.data.Dataset | None:
        """Test batches, always in the same order."""
        return self._dataset("test", shuffle=False)

    @property
    def task(self) -> str:
        """`"classification"` (y: int32 ids), `"multi_label"` (y: float32 rows of 0 and
        1), `"regression"` (y: float32), or `"multi_task"` where labels are by head.

        By head, labels are float32, class numbers too, and NaN where they are missing.
        """
        return self.problem.task

    @property
    def class_names(self) -> Any:
        """The classes' names in the order of their ids, `None` for regression.

        Where labels are by head, a dictionary of those that have classes.
        """
        return self.problem.class_names

    @property
    def columns(self) -> Any:
        """What the columns of a table are, for `tl.table_classifier`; prints itself.

        `None` of other data.
        """
        return self.problem.input.columns

    @property
    def num_classes(self) -> Any:
        """The number of classes, as `class_names`."""
        counts = {
            name: None if output.class_names is None else len(output.class_names)
            for name, output in self.problem.outputs.items()
        }
        return self.problem.face(counts)

    def _dataset(self, part: str, shuffle: bool) -> tf.data.Dataset | None:
        examples = self._parts.get(part)
        if examples is None:
            return None
        settings = self.batch_size, shuffle, self._seed, self.problem
        groups = self._groups if part == "train" else None
        known = {"groups": groups, "fractions": self._fractions}
        return Reading(examples, *settings, **known).dataset()

    def __repr__(self) -> str:
        sizes = ", ".join(f"{part}={self._size(part)}" for part in PARTS)
        return (
            f"Splits({sizes}, task={self.task!r}, num_classes={self.num_classes}, "
            f"input={self.problem.input}, batch_size={self.batch_size}, "
            f"skipped={len(self.skipped)})"
        )

    def _size(self, part: str) -> int:
        return len(self._parts.get(part, ()))

    def class_weights(self) -> dict[Any, Any]:
        """Weighs classes so that each counts the same in total.

        For `class_weight` in `fit`, or of an output, where classes differ much in size.
        Weights are those of scikit-learn's `"balanced"`: examples / (classes * examples
        of the class), over the training part; a class without examples there gets 1.

        Returns:
            A weight for each class id; where labels are by head, a dictionary of such
            of the heads with classes.

        Raises:
            ValueError: If the task is not classification or nothing is left to
                train on.

        Example:
        >>> weights = data.class_weights()
        >>> history = model.fit(data.train, class_weight=weights, verbose=0)
        """
        found = {}
        if "train" in self._parts:
            for name, labels in self.problem.unpack(
                self._parts["train"].labels
            ).items():
                weights = self.problem.outputs[name].balanced_weights(labels)
                if weights is not None:
                    found[name] = weights
        if not found:
            raise ValueError(
                "Class weights need a classification task and training examples. "
                f"Received: {self!r}."
            )
        return self.problem.face(found)

    def describe(self) -> Description | Descriptions:
        """Counts the examples of each class in each part.

        Returns:
            A table that prints itself, in a notebook as HTML. For regression it
            holds the targets' mean, deviation and range instead. Where labels are by
            head, a table for each head.

        Example:
        >>> print(data.describe())
        classification: 20 examples of 32 x 32 pixels
        <BLANKLINE>
        class       train  val  test  total
        daisy           7    2     1     10
        rose            7    1     2     10
        (examples)     14    3     3     20
        """
        notes = skipped_notes(self.skipped, self.problem.input.source_noun)
        none = next(iter(self._parts.values())).labels[:0]
        labels = {
            part: self._parts[part].labels if part in self._parts else none
            for part in PARTS
        }
        tables = {
            name: self.problem.outputs[name].label_table(by_part)
            for name, by_part in self.problem.by_part(labels).items()
        }
        if not self.problem.named:
            return Description(self._title(), *self.problem.face(tables), notes)
        each = [
            Description(f"{name}: {self.problem.outputs[name].task}", *table)
            for name, table in tables.items()
        ]
        return Descriptions(self._title(), tuple(each), notes)

    def _title(self) -> str:
        return f"{self.task}: {self.problem.input.describe(self._parts)}"

    def check(self, model: Any = None, *, verbose: Any = "auto") -> Checks:
        """Looks for what spoils training or the figures measured after it.

        Finds files that cannot be read; duplicates, bit for bit, and near ones
        (pictures that were resized or saved again, texts that differ in a few
        characters), within a part, across parts and with different labels; blank and
        small pictures and extreme aspect ratios; impossible labels, constant targets,
        absent, small and unequal classes. Every example is read once, JPEGs at a
        fraction of their size, and none is compared with all others.

        Cropped or mirrored copies, and labels that are likely wrong, need a model's
        features: `tl.find_suspects`.

        Args:
            model: A model that is to learn them; what its tokenizer does not know of
                texts is then said, too.
            verbose: 0 for no progress bar.

        Returns:
            `Checks`, a table that prints itself, in a notebook as HTML. Iterating
            gives its findings, the severest first, each with `kind`, `severity`,
            `what`, `count`, `examples`, `places` and `advice`.

        Example:
        >>> checks = data.check()
        >>> [finding.kind for finding in checks]
        ['small classes']
        """
        return check_splits(
            self._parts,
            self.problem,
            title=self._title(),
            skipped=self.skipped,
            reader=None if model is None else input_of(model),
            verbose=verbose,
        )

    def show(self, n: int = 9, split: str = "train") -> Any:
        """Draws some images with their labels, lists texts, or draws and plays sounds.

        Args:
            n: How many; drawn at random, the same ones each time, of all classes
                alike and in no order.
            split: `"train"`, `"val"` or `"test"`.

        Returns:
            The `matplotlib.axes.Axes` of the grid of images; for texts a table that
            prints itself, in a notebook as HTML; for sounds what a notebook draws and
            plays, and `.plot()` draws.

        Raises:
            ValueError: If `split` has no examples.

        Example:
        >>> ax = data.show(4, split="test")
        """
        check_int("n", n, 1)
        check_choice("split", split, PARTS)
        if split not in self._parts:
            raise ValueError(f"There are no examples in {split!r}: {self!r}.")
        examples = self._parts[split]
        chosen = self._drawn(examples, n)
        # They are read in their order, and shown in that in which they were drawn.
        increasing, order = np.unique(chosen, return_inverse=True)
        few = examples.select(increasing)
        inputs, _ = next(iter(few.dataset(batch_size=n)))
        titles = [self.problem.label_text(few.labels[i]) for i in order]
        its_input = self.problem.input
        about = f"{len(titles)} of {len(examples)} {its_input.kind} in {split}"
        shown = its_input.show(inputs.numpy()[order], titles, about)
        self.problem.mark(shown, inputs.shape[1:3], few.labels[order])
        return shown

    def _drawn(self, examples: Examples, n: int) -> np.ndarray:
        """Returns positions of `n` examples, no class twice before all have been."""
        random = np.random.RandomState(self._seed % 2**32)
        positions = random.permutation(len(examples))
        strata = self.problem.strata(examples.labels)[0][positions]
        turn = np.zeros(len(examples), int)
        for stratum in np.unique(strata):
            of_it = strata == stratum
            turn[of_it] = np.arange(of_it.sum())
        chosen = positions[np.argsort(turn, kind="stable")[:n]]
        return random.permutation(chosen)


def make_splits(
    train: Examples,
    val: Examples | None = None,
    test: Examples | None = None,
    *,
    problem: Problem,
    validation_split: float,
    test_split: float,
    batch_size: int,
    seed: int,
    skipped: Sequence[tuple[str, str]] = (),
    groups: Mapping[str, Sequence[Hashable]] | None = None,
    times: np.ndarray | None = None,
) -> Splits:
    """Splits the parts that are missing from `train`, and makes the `Splits`.

    Args:
        train: The training examples, or all examples.
        val: Validation examples that came with the data, if any.
        test: Test examples that came with the data, if any.
        problem: As in `Splits`.
        validation_split: Fraction of `train` for validation where `val` is `None`.
        test_split: Fraction of `train` for testing where `test` is `None`.
        batch_size: As in `Splits`.
        seed: Seed of the split and of the order of training.
        skipped: As in `Splits`.
        groups: For each part that came with the data the group of each example, where
            groups stay together.
        times: The time of each example of `train`, where parts follow time.

    Returns:
        The `Splits`.

    Raises:
        ValueError: If there is only one class, a class is too small to split, there
            are too few groups or times, or a group is in two parts.
    """
    problem.check_train(train.labels)
    fractions = (
        0 if val is not None else validation_split,
        0 if test is not None else test_split,
    )
    strata, names = problem.strata(train.labels)
    if times is not None:
        drawn = split_by_time(times, *fractions)
        _warn_of_uneven(drawn, fractions, times)
    elif groups is None:
        drawn = split_positions(strata, *fractions, seed, names)
    else:
        check_apart(groups)
        drawn = split_groups(groups["train"], strata, *fractions, seed)
    given = {"train": None, "val": val, "test": test}
    parts = {
        part: train.select(drawn[part]) if given[part] is None else given[part]
        for part in PARTS
    }
    its_input, parts = problem.input.fitted(parts)
    problem = problem.but(input=its_input)
    measured = {
        part: parts[part].labels
        for part in ("val", "test")
        if given[part] is not None or len(parts[part])
    }
    if times is not None:
        # A class may be so new that training has none of it.
        measured["training"] = parts["train"].labels
    _warn_of_absent_classes(train.labels, measured, problem)
    return Splits(
        parts,
        problem=problem,
        batch_size=batch_size,
        seed=seed,
        skipped=skipped,
        groups=groups and [groups["train"][row] for row in drawn["train"]],
        fractions=tuple(map(float, fractions)),
    )


def _warn_of_uneven(
    drawn: Mapping[str, np.ndarray], fractions: Sequence[float], times: np.ndarray
) -> None:
    """Warns where times are so few that a part is far from what was asked for."""
    wanted = dict(zip(PARTS, (1 - sum(fractions), *fractions), strict=True))
    shares = {part: len(drawn[part]) / len(times) for part in PARTS}
    uneven = [
        f"{part} has {shares[part]:.0%} of the examples, not {wanted[part]:.0%}"
        for part in PARTS
        if abs(shares[part] - wanted[part]) > max(wanted[part] / 2, 1 / len(times))
    ]
    if uneven:
        warnings.warn(
            f"Examples of one time stay in one part, and there are "
            f"{len(np.unique(times))} different times: {', '.join(uneven)}.",
            UserWarning,
            stacklevel=4,
        )


def _warn_of_absent_classes(
    train: np.ndarray, parts: Mapping[str, np.ndarray], problem: Problem
) -> None:
    """Warns where a part lacks a class of the data that training is drawn from."""
    for part, labels in parts.items():
        for head, absent in problem.lost(train, labels).items():
            named = ", ".join(map(repr, absent[:10]))
            more = f" and {len(absent) - 10} more" * (len(absent) > 10)
            of_head = f" of head {head!r}" if problem.named else ""
            unknown = "nothing will be known there about how well the model does on it"
            if part == "training":
                unknown = "a model will not learn to tell it"
            warnings.warn(
                f"The {part} part has no example of {named}{more}{of_head}: {unknown}.",
                UserWarning,
                stacklevel=4,
            )
