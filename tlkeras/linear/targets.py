"""`Targets`: labels as a linear model learns them, with weights and strata."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

# Probabilities are kept away from 0 and 1 by this in what is reported.
_TINY = 1e-12


@dataclass(frozen=True)
class Targets:
    """What the outputs of a linear model are to be.

    Attributes:
        values: float `(n, outputs)`: shares of classes that sum to 1 in each row; or
            shares of labels; or numbers.
        weights: How much each counts, at least 0: `(n, 1)`, or `(n, outputs)`; 0 where
            a label is missing.
        link: From logits to outputs: `"softmax"`, `"sigmoid"` or `"identity"`.
        strata: int `(n,)`: what folds are to have like shares of; `None` for nothing.
        offsets: float `(n, outputs)`: logits that are given, to which those to be found
            are added; `None` for none.
    """

    values: np.ndarray
    weights: np.ndarray
    link: str
    strata: np.ndarray | None = None
    offsets: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.values)

    def at(self, rows: np.ndarray) -> "Targets":
        """Returns the targets of some rows."""
        strata = None if self.strata is None else self.strata[rows]
        return replace(
            self,
            values=self.values[rows],
            weights=self.weights[rows],
            strata=strata,
            offsets=None if self.offsets is None else self.offsets[rows],
        )

    @property
    def seen(self) -> np.ndarray:
        """Which outputs some row has a share of, bool `(outputs,)`."""
        return (self.values * (self.weights > 0) > 0).any(axis=0)

    def doubted(self, share: float, among: np.ndarray) -> "Targets":
        """Returns targets of which a share says nothing: it is even.

        Args:
            share: From 0 to 1.
            among: Which classes there are, bool `(outputs,)`.
        """
        if self.link == "identity":
            return self
        even: Any = 1 / 2
        if self.link == "softmax":
            even = among / max(1, among.sum())
        return replace(self, values=(1 - share) * self.values + share * even)

    def known_from(self, others: "Targets") -> "Targets":
        """Returns targets without the rows of classes that others have none of.

        Args:
            others: What something was learnt from.
        """
        if self.link != "softmax":
            return self
        foreign = (self.values * ~others.seen).sum(axis=1, keepdims=True) > 0
        return replace(self, weights=np.where(foreign, 0.0, self.weights))

    @property
    def total(self) -> float:
        """The sum of all weights: what a mean of the losses divides by."""
        columns = self.values.shape[1] if self.link != "softmax" else 1
        return max(float(np.sum(self.weights)) * columns / self.weights.shape[1], _TINY)

    def losses(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the loss of each row, and its gradient by the logits, unweighted.

        Args:
            logits: `(n, outputs)`, without the offsets.

        Returns:
            `(n, 1)`, or `(n, outputs)` where each output has a loss of its own; and
            `(n, outputs)`.
        """
        if self.offsets is not None:
            logits = logits + self.offsets.astype(logits.dtype)
        return _LINKS[self.link](logits, self.values)

    def mean_loss(self, logits: np.ndarray) -> float:
        """Returns the weighted mean of the losses."""
        losses, _ = self.losses(logits)
        return float(np.sum(losses * self.weights, dtype="float64")) / self.total

    def start(self) -> np.ndarray:
        """Returns the biases that are best where features tell nothing."""
        weights = np.broadcast_to(self.weights, self.values.shape)
        sums = np.maximum(weights.sum(axis=0, dtype="float64"), _TINY)
        means = (weights * self.values).sum(axis=0, dtype="float64") / sums
        if self.link == "identity":
            return means
        # As if one example more had been seen of all: a class may be absent.
        share = 1 / (1 + sums)
        means = (1 - share) * means + share / (
            2 if self.link == "sigmoid" else len(means)
        )
        if self.link == "softmax":
            return np.log(means) - np.mean(np.log(means))
        return np.log(means) - np.log1p(-means)


def _softmax(logits: np.ndarray, values: np.ndarray) -> tuple[Any, Any]:
    shifted = logits - logits.max(axis=1, keepdims=True)
    exponentials = np.exp(shifted)
    sums = exponentials.sum(axis=1, keepdims=True)
    losses = np.log(sums) - np.sum(shifted * values, axis=1, keepdims=True)
    return losses, exponentials / sums - values


def _sigmoid(logits: np.ndarray, values: np.ndarray) -> tuple[Any, Any]:
    from scipy.special import expit

    return np.logaddexp(0, logits) - values * logits, expit(logits) - values


def _identity(logits: np.ndarray, values: np.ndarray) -> tuple[Any, Any]:
    difference = logits - values
    return difference**2 / 2, difference


_LINKS: dict[str, Callable[[np.ndarray, np.ndarray], tuple[Any, Any]]] = {
    "softmax": _softmax,
    "sigmoid": _sigmoid,
    "identity": _identity,
}
