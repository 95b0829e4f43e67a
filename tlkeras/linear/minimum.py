"""`Minimum`: where a linear model's regularised loss is least, by L-BFGS."""

from typing import Any

import numpy as np

from tlkeras.linear.rows import Rows
from tlkeras.linear.targets import Targets

_STEPS = 1_000


class Held:
    """Rows that are in memory already, as `Rows` hands them out.

    Args:
        array: `(n, width)`.
    """

    def __init__(self, array: np.ndarray):
        self.array = array

    @property
    def width(self) -> int:
        """The number of columns."""
        return self.array.shape[1]

    def blocks(self) -> Any:
        """Yields all rows at once."""
        yield slice(0, len(self.array)), self.array


class Minimum:
    """Minimises the mean loss plus an L2 penalty on the weights, from zero or a start.

    Args:
        rows: Standardised features.
        targets: What is to be learnt.
        tolerance: On the largest component of the gradient.
    """

    def __init__(self, rows: Rows | Held, targets: Targets, tolerance: float = 1e-7):
        self.rows, self.targets, self.tolerance = rows, targets, tolerance
        self.shape = rows.width, targets.values.shape[1]
        self.total = targets.total

    def find(
        self, strength: Any, start: tuple[np.ndarray, np.ndarray] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the weights `(width, outputs)` and biases `(outputs,)`.

        Args:
            strength: The penalty, one number or one for each column.
            start: Weights and biases to begin with.
        """
        from scipy.optimize import minimize

        weights, biases = start or (np.zeros(self.shape), self.targets.start())
        strength = np.broadcast_to(np.asarray(strength, "float64"), self.shape[:1])
        found = minimize(
            self._value,
            np.concatenate([weights.ravel(), biases]),
            args=(strength[:, None],),
            jac=True,
            method="L-BFGS-B",
            options={
                "maxiter": _STEPS,
                "gtol": self.tolerance,
                "ftol": 0,
                "maxcor": 20,
            },
        )
        return self._parts(found.x)

    def _parts(self, flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        width, outputs = self.shape
        return flat[: width * outputs].reshape(width, outputs), flat[width * outputs :]

    def _value(self, flat: np.ndarray, strength: Any) -> tuple[float, np.ndarray]:
        """Returns the regularised loss and its gradient."""
        weights, biases = self._parts(flat)
        value = 0.5 * float(np.sum(strength * weights**2))
        by_weights, by_biases = strength * weights, np.zeros_like(biases)
        for where, block in self.rows.blocks():
            targets = self.targets.at(where)
            logits = block @ weights.astype(block.dtype) + biases.astype(block.dtype)
            losses, slopes = targets.losses(logits)
            value += (
                float(np.sum(losses * targets.weights, dtype="float64")) / self.total
            )
            slopes = slopes * targets.weights / self.total
            by_weights += block.T @ slopes.astype(block.dtype)
            by_biases += slopes.sum(axis=0, dtype="float64")
        return value, np.concatenate([by_weights.ravel(), by_biases])
