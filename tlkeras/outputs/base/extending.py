"""`Extending`: classes that come later, and which labels to ask for."""

from collections.abc import Sequence
from typing import Self

import numpy as np

from tlkeras.linear import Targets
from tlkeras.outputs.base.kind import Kind
from tlkeras.outputs.missing import are_labelled


class Extending(Kind):
    """What an output knows of learning more than it was built for."""

    # `tl.learn_class`.

    def with_more(self, names: Sequence[str]) -> Self:
        """Returns the output with further names behind its own.

        Args:
            names: `str`, none of them its own.
        """
        raise self.unsupported("tl.learn_class", "with_more")

    @property
    def extends(self) -> bool:
        """Whether it can learn further names."""
        return type(self).with_more is not Extending.with_more

    def groups(self, labels: np.ndarray) -> np.ndarray:
        """Returns which examples are alike, int `(n,)`, -1 without a label.

        Args:
            labels: As data hold them.
        """
        strata = self.strata(labels)
        if strata is not None:
            return np.asarray(strata, int)
        return np.where(are_labelled(labels), 0, -1)

    def usual_size(self, labels: np.ndarray) -> float:
        """Returns how many examples one of its names has, on average.

        Args:
            labels: As data hold them.
        """
        counts = self.counts(labels)
        return float(np.mean(counts[counts > 0])) if np.any(counts) else 1.0

    def more_targets(
        self, logits: np.ndarray, new: np.ndarray, weights: np.ndarray
    ) -> Targets:
        """Returns what a linear model is to learn beside the last layer as it is.

        Args:
            logits: `(n, units)`, what that layer gives.
            new: int `(n,)`: which of the further names each example is of, from 0; -1
                for what is of none of them.
            weights: How much each example counts, `(n,)`.
        """
        raise self.unsupported("tl.learn_class", "with_more")

    def with_rows(
        self, kernel: np.ndarray, bias: np.ndarray, found: tuple[np.ndarray, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the last layer's kernel and bias with what was learnt beside them.

        Args:
            kernel: `(width, units)`, as it is.
            bias: `(units,)`, as it is.
            found: Kernel and bias of the linear model of `more_targets`.
        """
        raise self.unsupported("tl.learn_class", "with_more")

    def among(self, outputs: np.ndarray, count: int) -> np.ndarray:
        """Returns what outputs say of the first names, as if these were all.

        NaN where they leave next to nothing for these.

        Args:
            outputs: `(n, units)`, as a model gives them.
            count: How many names.
        """
        raise self.unsupported("tl.learn_class", "with_more")

    def taken_for(self, logits: np.ndarray, own: np.ndarray) -> np.ndarray:
        """Returns which answers have a name that they should have, bool `(n,)`.

        Args:
            logits: `(n, units)`, what the last layer gives.
            own: int `(n,)`, numbers of names.
        """
        raise self.unsupported("tl.learn_class", "with_more")

    # `tl.suggest_labels`.

    def uncertainty(self, logits: np.ndarray) -> np.ndarray | None:
        """Returns how uncertain each answer is, `(n,)`, from 0 (not at all) to 1.

        `None`: outputs do not tell.

        Args:
            logits: `(n, units)`, what the last layer gives.
        """
        return None

    def between(self, logits: np.ndarray) -> list[str]:
        """Returns what each uncertain answer is between, in words.

        Args:
            logits: `(n, units)`, what the last layer gives.
        """
        raise self.unsupported("tl.suggest_labels", "between")
