"""`Labelling`: how labels are read, checked, packed, counted and described."""

import abc
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np

from tlkeras.findings import Finding
from tlkeras.outputs.base.kind import Kind
from tlkeras.outputs.label_findings import impossible_labels
from tlkeras.outputs.missing import are_labelled
from tlkeras.outputs.planning import Proposal, weighing_by_size


class Labelling(Kind):
    """What an output knows of labels, of plans for them and of data that hold them."""

    # Labels.

    @classmethod
    @abc.abstractmethod
    def of_labels(
        cls, values: np.ndarray, names: tuple[str, ...] | None
    ) -> tuple[Self, np.ndarray]:
        """Returns the output that labels are of, and the labels as data hold them.

        Args:
            values: Numbers or `str`, `(n,)` or `(n, k)`.
            names: The classes' names, where the user gave them.

        Raises:
            ValueError: If they cannot be labels of this kind.
        """

    @abc.abstractmethod
    def check(self, labels: np.ndarray, part: str) -> None:
        """Raises `ValueError` unless labels can be learnt by a model with this output.

        Args:
            labels: Numbers, as `keras.Model.fit` takes them.
            part: What the data are called.
        """

    def doubt(self, labels: np.ndarray, part: str, read: bool = True) -> str | None:
        """Returns a sentence where labels look like those of another output or class.

        Args:
            labels: Numbers that can be learnt, NaN where missing.
            part: What the data are called.
            read: Whether they were read with their names.
        """
        return None

    def pack(self, labels: Any, count: int, about: str) -> np.ndarray:
        """Returns labels as float32 `(count, columns)`, NaN where missing.

        Args:
            labels: Numbers, `(n,)` or `(n, columns)`.
            count: Number of examples.
            about: What they are, for messages.

        Raises:
            ValueError: If they are not as described.
        """
        values = np.asarray(labels)
        if values.dtype.kind not in "biuf":
            raise ValueError(
                f"{about} must be numbers. Received dtype {values.dtype}. Turn names "
                "into numbers: `[names.index(name) for name in labels]`."
            )
        values = values.astype("float32")
        if values.ndim == 1 and self.columns == 1:
            values = values[:, None]
        if values.shape != (count, self.columns):
            shape = "(n,)" if self._are_packed_numbers else f"(n, {self.columns})"
            raise ValueError(
                f"{about} must have shape {shape} for n = {count} examples. Received "
                f"shape {np.shape(labels)}."
            )
        known = values[~np.isnan(values)]
        fits, valid = self._valid(known)
        if not fits.all():
            raise ValueError(f"{about} must be {valid}. Received: {known[~fits][0]:g}.")
        if self._are_packed_numbers:
            return np.where(values < 0, np.nan, values)
        return values

    def unpack(self, rows: Any) -> Any:
        """Returns labels as losses take them, of rows that `pack` made.

        Args:
            rows: Float32 `(n, columns)`, an array or a tensor.
        """
        return rows[:, 0] if self._are_packed_numbers else rows

    @property
    def _are_packed_numbers(self) -> bool:
        return self.are_numbers and self.columns == 1

    @abc.abstractmethod
    def _valid(self, known: np.ndarray) -> tuple[np.ndarray, str]:
        """Returns which packed labels can be, and what they must be, in words."""

    @abc.abstractmethod
    def label_text(self, label: Any) -> str:
        """Returns one example's label in words.

        Args:
            label: A number or a row, as data hold it.
        """

    def mark(
        self, ax: Any, size: tuple[int, int], true: Any, found: Any = None
    ) -> None:
        """Draws a label on its picture, where it says something of places.

        Args:
            ax: Matplotlib axes that show the picture.
            size: Its height and width in pixels.
            true: Its label, as data hold it.
            found: What was predicted, as `predictions` returned it; `None`: nothing.
        """

    # Labels, counted.

    def strata(self, labels: np.ndarray) -> np.ndarray | None:
        """Returns each example's stratum for splitting, int `(n,)`; `None` for none.

        Args:
            labels: As data hold them.
        """
        return None

    def counts(self, labels: np.ndarray) -> np.ndarray | None:
        """Returns how many examples have each class, int `(units,)`, or `None`.

        Args:
            labels: As data hold them, or rows; those that are missing do not count.
        """
        return None

    # Plans.

    @property
    def amount(self) -> str:
        """How much it tells, in words: `"3 classes"`."""
        return f"{self.units} outputs"

    def separability(
        self, features: np.ndarray, labels: np.ndarray, seed: int = 0
    ) -> float | None:
        """Returns how well a linear model tells labels from features, cross-validated.

        Args:
            features: Float `(n, width)`.
            labels: As data hold them.
            seed: Seed of the folds.

        Returns:
            From 0 (by chance) to 1 (perfectly); `None` where that is not known, as of
            too few examples.
        """
        return None

    def planned_weights(self, sizes: Sequence[int]) -> Proposal | None:
        """Returns the class weights of a plan, and why; `None` where there are none.

        Args:
            sizes: Training examples of each class, as `counts` returned; `()` for none.
        """
        return weighing_by_size(sizes)

    # Data. Labels are as data hold them: of a head with a name NaN where missing.

    @classmethod
    def of_feature(
        cls, feature: Any, labels: Sequence[np.ndarray]
    ) -> tuple[Self, np.ndarray] | None:
        """Returns the output that a feature of TensorFlow Datasets is of, and labels.

        Args:
            feature: The `tfds.features.FeatureConnector` of the labels.
            labels: One for each example, as the data set gives them.

        Returns:
            Also the labels as data hold them; `None` where it is none of this kind.
        """
        return None

    def are_hidden(self, labels: np.ndarray) -> bool:
        """Whether these labels of a part of a data set stand for none at all.

        Args:
            labels: Those of all its examples, as data hold them.
        """
        return False

    def check_train(self, labels: np.ndarray) -> None:
        """Raises `ValueError` where nothing can be learnt from training labels.

        Args:
            labels: As data hold them.
        """
        if not are_labelled(labels).any():
            raise ValueError(
                "No training example has a label: nothing could be learnt."
            )

    def lost(self, labels: np.ndarray, others: np.ndarray) -> list[str]:
        """Returns the classes that `labels` have, and `others` have not, by name.

        Args:
            labels: As data hold them.
            others: The same.
        """
        return []

    def balanced_weights(self, labels: np.ndarray) -> dict[int, float] | None:
        """Returns for each class number the weight by which all count the same.

        `None`: there are no classes of which an example has one.

        Args:
            labels: As data hold them.
        """
        return None

    def label_table(
        self, labels: Mapping[str, np.ndarray]
    ) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
        """Returns what `Splits.describe` says of labels: a header, and rows of cells.

        Args:
            labels: Of each part; those of a part without examples are empty.
        """
        rows = ((part, str(np.sum(are_labelled(x)))) for part, x in labels.items())
        return ("part", "examples"), tuple(rows)

    def label_findings(
        self, parts: Mapping[str, Any], labels: Mapping[str, np.ndarray], gaps: bool
    ) -> Iterator[Finding]:
        """Yields what is wrong with labels, for `Splits.check`.

        Args:
            parts: The `Examples` of each part.
            labels: Their labels.
            gaps: Whether NaN stands for labels that are missing.
        """
        found = {part: self._impossible(x, gaps) for part, x in labels.items()}
        bad = {part: rows for part, (rows, _) in found.items()}
        yield from impossible_labels(parts, bad, next(iter(found.values()))[1])
        yield from self._findings({p: x[~bad[p]] for p, x in labels.items()})

    def _impossible(self, labels: np.ndarray, gaps: bool) -> tuple[np.ndarray, str]:
        """Returns which labels cannot be, bool `(n,)`, and what they must be."""
        return np.zeros(len(labels), bool), ""

    def _findings(self, labels: Mapping[str, np.ndarray]) -> Iterator[Finding]:
        """Yields what is wrong with labels of each part that can be."""
        return iter(())
