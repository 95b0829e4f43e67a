"""`LeastSquares`: where a ridge regression's loss is least, in closed form."""

from typing import Any

import numpy as np

from tlkeras.linear.minimum import Held, Minimum
from tlkeras.linear.rows import Rows
from tlkeras.linear.targets import Targets

# Of more columns a matrix of their products takes longer than L-BFGS.
WIDEST = 4_096
# What is missing is filled by the solution again, at most so often.
_FILLINGS = 50
_CHANGE = 1e-6


def minimum_of(
    rows: Rows | Held, targets: Targets, tolerance: float = 1e-7
) -> "LeastSquares | Minimum":
    """Returns what minimises the loss: in closed form where there is one.

    Args:
        rows: Standardised features.
        targets: What is to be learnt.
        tolerance: As in `Minimum`.
    """
    if has_closed_form(rows.width, targets):
        return LeastSquares(rows, targets)
    return Minimum(rows, targets, tolerance)


def has_closed_form(width: int, targets: Targets) -> bool:
    """Whether `LeastSquares` finds the minimum.

    Args:
        width: Columns of the features.
        targets: What is to be learnt. Weights may differ between rows, and be 0 for
            what is missing in a row, but not differ otherwise within it.
    """
    weights = targets.weights
    most = weights.max(axis=1, keepdims=True, initial=0)
    alike = bool(np.all((weights == most) | (weights == 0)))
    plain = targets.link == "identity" and targets.offsets is None
    return plain and alike and width <= WIDEST


class LeastSquares:
    """Minimises the mean of halved squares plus an L2 penalty, like `Minimum`.

    All numbers that are learnt share one factorisation of the features' products, which
    every strength of a penalty reuses. Where numbers are missing, they are filled by
    what the solution says of them until that no longer changes: then they do not count.

    Args:
        rows: Standardised features.
        targets: What is to be learnt, for which `has_closed_form`.

    Reference:
        Hastie et al., The Elements of Statistical Learning (2009), section 3.4.1.
    """

    def __init__(self, rows: Rows | Held, targets: Targets):
        self.rows, self.targets, self.total = rows, targets, targets.total
        self.row_weights = targets.weights.max(axis=1, initial=0).astype("float64")
        known = np.broadcast_to(targets.weights > 0, targets.values.shape)
        self.missing = None if known[self.row_weights > 0].all() else ~known
        self.sum = max(float(self.row_weights.sum()), 1e-300)
        self.mean = self._over_rows(lambda x, where: x.T @ self.row_weights[where])
        self.mean /= self.sum
        self.products = self._over_rows(self._product)
        self._factors: Any = None

    def find(
        self, strength: Any, start: tuple[np.ndarray, np.ndarray] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the weights `(width, outputs)` and biases `(outputs,)`.

        Args:
            strength: The penalty, one number or one for each column.
            start: Weights and biases of another strength, which missing numbers are
                first filled by.
        """
        values = self.targets.values.astype("float64")
        if self.missing is None:
            return self._solved(values, strength)
        weights, biases = start or (None, self.targets.start())
        for _ in range(_FILLINGS):
            filled = values.copy()
            for where, x in self.rows.blocks():
                gone = self.missing[where]
                guess = biases if weights is None else x @ weights + biases
                filled[where] = np.where(gone, guess, filled[where])
            before, (weights, biases) = weights, self._solved(filled, strength)
            if before is not None:
                change = np.abs(weights - before).max(initial=0)
                if change <= _CHANGE * max(np.abs(weights).max(initial=0), _CHANGE):
                    break
        return weights, biases

    def _solved(
        self, values: np.ndarray, strength: Any
    ) -> tuple[np.ndarray, np.ndarray]:
        mean = self.row_weights @ values / self.sum
        apart = (values - mean) * self.row_weights[:, None]
        right = self._over_rows(lambda x, where: (x - self.mean).T @ apart[where])
        if np.ndim(strength) and np.ptp(strength) > 0:
            left = self.products + np.diag(strength * self.total)
            weights = np.linalg.lstsq(left, right, rcond=None)[0]
        else:
            if self._factors is None:
                self._factors = np.linalg.eigh(self.products)
            values, vectors = self._factors
            penalty = float(np.max(strength)) * self.total
            by = np.maximum(values, 0) + penalty
            weights = vectors @ ((vectors.T @ right) / np.maximum(by, 1e-300)[:, None])
        return weights, mean - self.mean @ weights

    def _product(self, x: np.ndarray, where: slice) -> np.ndarray:
        apart = x - self.mean
        return apart.T @ (apart * self.row_weights[where, None])

    def _over_rows(self, of: Any) -> Any:
        """Returns the sum of a function of blocks of rows, and of where these lie."""
        return sum(of(x.astype("float64"), where) for where, x in self.rows.blocks())
