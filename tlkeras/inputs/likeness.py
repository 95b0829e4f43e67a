"""`Likeness`: how alike examples are by what they show."""

import abc

import numpy as np


class Likeness(abc.ABC):
    """Compares examples of a data set by what they show, not by a model's features.

    Attributes:
        forms: Arrays `(n, d)` in which like examples are near each other: first of the
            examples as they are, then of forms of them that count as the same. Empty
            where there are none.
    """

    forms: tuple[np.ndarray, ...] = ()

    @abc.abstractmethod
    def of(self, pairs: np.ndarray) -> np.ndarray:
        """Returns how alike examples are, up to 1, `(pairs,)`.

        Args:
            pairs: int `(pairs, 2)`, numbers of examples.
        """
