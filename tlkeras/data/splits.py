"""`Splits`: training, validation and test data of one task."""

import functools
import warnings
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tlkeras._validation import check_choice, check_int
from tlkeras.data.checks import Checks, check_splits
from tlkeras.data.description import Description, skipped_notes
from tlkeras.data.groups import check_apart, split_groups
from tlkeras.data.splitting import PARTS, split_positions
from tlkeras.inputs.arrays import on_one_line
from tlkeras.inputs.examples import Examples, Reading
from tlkeras.inputs.texts.words import word_counts

# How many characters of a text `show` gives.
_SHOWN_LENGTH = 100


class Splits:
    """Training, validation and test data, and what they are about.

    Made by `image_folder`, `from_arrays`, `from_csv`, `from_dataframe` and
    `from_tfds`. `train`, `val` and `test` are plain batched `tf.data.Dataset`s of
    `(x, y)`: images, float32 raw pixels 0 to 255, `(batch, height, width,
    channels)`, or texts, strings `(batch,)`, pairs `(batch, 2)`; and labels. They
    go wherever Keras takes a dataset. A part without examples is `None`.

    Attributes:
        class_names: The classes' names in the order of their ids, `None` for
            regression.
        task: `"classification"` (y: int32 ids), `"multi_label"` (y: float32 rows
            of 0 and 1) or `"regression"` (y: float32).
        batch_size: Examples per batch.
        image_size: `(height, width)` in pixels, `None` for texts.
        skipped: `(path, reason)` of every file that was left out, or `(path:line,
            reason)` of every row of a table.

    Example:
    >>> data = tl.image_folder("flowers/")
    >>> history = model.fit(data.train, validation_data=data.val, verbose=0)
    """

    def __init__(
        self,
        parts: dict[str, Examples],
        *,
        task: str,
        class_names: Sequence[str] | None,
        batch_size: int,
        image_size: tuple[int, int] | None,
        seed: int,
        skipped: Sequence[tuple[str, str]] = (),
    ):
        self._parts = {part: parts[part] for part in PARTS if len(parts.get(part, ()))}
        self._seed = seed
        self.task = task
        self.class_names = None if class_names is None else tuple(class_names)
        self.batch_size = batch_size
        self.image_size = None if image_size is None else tuple(image_size)
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
    def num_classes(self) -> int | None:
        """The number of classes, `None` for regression."""
        return None if self.class_names is None else len(self.class_names)

    @property
    def inputs_kind(self) -> str:
        """What `x` holds: `"images"`, `"texts"` or `"text pairs"`."""
        return next(iter(self._parts.values())).inputs_kind

    def _dataset(self, part: str, shuffle: bool) -> tf.data.Dataset | None:
        examples = self._parts.get(part)
        if examples is None:
            return None
        return Reading(examples, self.batch_size, shuffle, self._seed).dataset()

    def __repr__(self) -> str:
        sizes = ", ".join(f"{part}={self._size(part)}" for part in PARTS)
        inputs = (
            f"image_size={self.image_size}"
            if self.inputs_kind == "images"
            else f"inputs_kind={self.inputs_kind!r}"
        )
        return (
            f"Splits({sizes}, task={self.task!r}, num_classes={self.num_classes}, "
            f"{inputs}, batch_size={self.batch_size}, skipped={len(self.skipped)})"
        )

    def _size(self, part: str) -> int:
        return len(self._parts.get(part, ()))

    def class_weights(self) -> dict[int, float]:
        """Weighs classes so that each counts the same in total.

        For `class_weight` in `fit`, where classes differ much in size. Weights are
        those of scikit-learn's `"balanced"`: examples / (classes * examples of the
        class), over the training part; a class without examples there gets 1.

        Returns:
            A weight for each class id.

        Raises:
            ValueError: If the task is not classification or nothing is left to
                train on.

        Example:
        >>> weights = data.class_weights()
        >>> history = model.fit(data.train, class_weight=weights, verbose=0)
        """
        from sklearn.utils.class_weight import compute_class_weight

        if self.task != "classification" or "train" not in self._parts:
            raise ValueError(
                "Class weights need a classification task and training examples. "
                f"Received: {self!r}."
            )
        labels = self._parts["train"].labels
        present = np.unique(labels)
        balanced = compute_class_weight("balanced", classes=present, y=labels)
        weights = dict.fromkeys(range(self.num_classes), 1.0)
        weights.update(zip(present.tolist(), balanced.tolist(), strict=True))
        return weights

    def describe(self) -> Description:
        """Counts the examples of each class in each part.

        Returns:
            A table that prints itself, in a notebook as HTML. For regression it
            holds the targets' mean, deviation and range instead.

        Example:
        >>> print(data.describe())
        classification: 20 examples of 32 x 32 pixels
        <BLANKLINE>
        class       train  val  test  total
        daisy           7    2     1     10
        rose            7    1     2     10
        (examples)     14    3     3     20
        """
        total = sum(map(len, self._parts.values()))
        title = f"{self.task}: {total} {self._inputs_in_words()}"
        make = self._target_table if self.task == "regression" else self._class_table
        header, rows = make()
        return Description(title, header, rows, self._skipped_notes())

    def _skipped_notes(self) -> tuple[str, ...]:
        noun = "file" if self.inputs_kind == "images" else "row"
        return skipped_notes(self.skipped, noun)

    def _inputs_in_words(self) -> str:
        if self.inputs_kind == "images":
            return "examples of {} x {} pixels".format(*self.image_size)
        words = np.concatenate([word_counts(part) for part in self._parts.values()])
        most = np.percentile(words, 95, method="higher")
        return (
            f"{self.inputs_kind} of {np.median(words):g} words (median; 95% have "
            f"{most} or fewer)"
        )

    def _class_table(self) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
        counts = np.stack([self._class_counts(part) for part in PARTS], axis=1)
        sizes = np.array([self._size(part) for part in PARTS])
        named = [*zip(self.class_names, counts, strict=True), ("(examples)", sizes)]
        rows = tuple(
            (name, *(str(n) for n in row), str(row.sum())) for name, row in named
        )
        return ("class", *PARTS, "total"), rows

    def _class_counts(self, part: str) -> np.ndarray:
        """Returns how many examples of `part` have each class, int `(classes,)`."""
        if part not in self._parts:
            return np.zeros(self.num_classes, int)
        labels = self._parts[part].labels
        if self.task == "multi_label":
            return labels.sum(axis=0).astype(int)
        return np.bincount(labels, minlength=self.num_classes)

    def _target_table(self) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
        header = ("part", "examples", "mean", "deviation", "least", "greatest")
        rows = tuple(
            (
                part,
                str(len(examples)),
                *(f"{value:.4g}" for value in _moments(examples)),
            )
            for part, examples in self._parts.items()
        )
        return header, rows

    def check(self, *, verbose: Any = "auto") -> Checks:
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
        total = sum(map(len, self._parts.values()))
        return check_splits(
            self._parts,
            title=f"{self.task}: {total} {self._inputs_in_words()}",
            task=self.task,
            class_names=self.class_names,
            skipped=self.skipped,
            verbose=verbose,
        )

    def show(self, n: int = 9, split: str = "train") -> Any:
        """Draws some images with their labels, or lists some texts with theirs.

        Args:
            n: How many; drawn at random, the same ones each time.
            split: `"train"`, `"val"` or `"test"`.

        Returns:
            The `matplotlib.axes.Axes` of the grid of images; for texts a table that
            prints itself, in a notebook as HTML.

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
        random = np.random.RandomState(self._seed % 2**32)
        chosen = random.permutation(len(examples))[:n]
        few = examples.select(np.sort(chosen))
        inputs, labels = next(iter(few.dataset(batch_size=n)))
        titles = [self._title(label) for label in labels.numpy()]
        if self.inputs_kind == "images":
            from tlkeras.plots.images import image_grid

            return image_grid(inputs.numpy(), titles)
        shown = f"{len(titles)} of {len(examples)} {self.inputs_kind} in {split}"
        texts = [on_one_line(text, _SHOWN_LENGTH) for text in inputs.numpy()]
        rows = tuple(zip(texts, titles, strict=True))
        return Description(shown, (self.inputs_kind, "label"), rows)

    def _title(self, label: np.ndarray) -> str:
        if self.task == "classification":
            return self.class_names[label]
        if self.task == "multi_label":
            return ", ".join(self.class_names[i] for i in np.flatnonzero(label))
        return ", ".join(f"{value:.4g}" for value in np.atleast_1d(label))


def _moments(examples: Examples) -> tuple[float, float, float, float]:
    targets = examples.labels
    return targets.mean(), targets.std(), targets.min(), targets.max()


def make_splits(
    train: Examples,
    val: Examples | None = None,
    test: Examples | None = None,
    *,
    validation_split: float,
    test_split: float,
    batch_size: int,
    seed: int,
    task: str,
    class_names: Sequence[str] | None,
    image_size: tuple[int, int] | None,
    skipped: Sequence[tuple[str, str]] = (),
    groups: Mapping[str, Sequence[Hashable]] | None = None,
) -> Splits:
    """Splits the parts that are missing from `train`, and makes the `Splits`.

    Args:
        train: The training examples, or all examples.
        val: Validation examples that came with the data, if any.
        test: Test examples that came with the data, if any.
        validation_split: Fraction of `train` for validation where `val` is `None`.
        test_split: Fraction of `train` for testing where `test` is `None`.
        batch_size: As in `Splits`.
        seed: Seed of the split and of the order of training.
        task: As in `Splits`.
        class_names: As in `Splits`.
        image_size: As in `Splits`.
        skipped: As in `Splits`.
        groups: For each part that came with the data the group of each example, where
            groups stay together.

    Returns:
        The `Splits`.

    Raises:
        ValueError: If there is only one class, a class is too small to split, there
            are too few groups or one is in two parts.
    """
    is_classes = task == "classification"
    if is_classes:
        _check_several_classes(train, class_names)
    strata = train.labels if is_classes else np.zeros(len(train), int)
    fractions = (
        0 if val is not None else validation_split,
        0 if test is not None else test_split,
    )
    if groups is None:
        names = class_names if is_classes else None
        drawn = split_positions(strata, *fractions, seed, names)
    else:
        check_apart(groups)
        drawn = split_groups(groups["train"], strata, *fractions, seed)
    given = {"train": None, "val": val, "test": test}
    parts = {
        part: train.select(drawn[part]) if given[part] is None else given[part]
        for part in PARTS
    }
    if is_classes:
        measured = {
            part: parts[part]
            for part in ("val", "test")
            if given[part] is not None or len(parts[part])
        }
        _warn_of_absent_classes(train, measured, class_names)
    return Splits(
        parts,
        task=task,
        class_names=class_names,
        batch_size=batch_size,
        image_size=image_size,
        seed=seed,
        skipped=skipped,
    )


def _check_several_classes(train: Examples, class_names: Sequence[str]) -> None:
    present = np.unique(train.labels)
    if len(present) < 2:
        only = ", ".join(repr(class_names[i]) for i in present)
        raise ValueError(
            "A classifier needs examples of at least two classes. Received: "
            f"{len(train)} examples of {only or 'none'}."
        )


def _warn_of_absent_classes(
    train: Examples, parts: dict[str, Examples], class_names: Sequence[str]
) -> None:
    """Warns where a part to measure on lacks a class of training."""
    for part, examples in parts.items():
        absent = np.setdiff1d(train.labels, examples.labels)
        if len(absent):
            named = ", ".join(repr(class_names[i]) for i in absent[:10])
            more = f" and {len(absent) - 10} more" * (len(absent) > 10)
            warnings.warn(
                f"The {part} part has no example of {named}{more}: nothing will be "
                "known there about how well the model does on it.",
                UserWarning,
                stacklevel=4,
            )
