"""`PerExample`: a figure with its value for each example, which can be resampled."""

from typing import NamedTuple

import numpy as np


class PerExample(NamedTuple):
    """A figure that is the mean of a value for each example.

    Attributes:
        name: Its name: `"accuracy"`.
        values: Float64 of shape `(n,)`.
        more_is_better: Whether the better of two models has the larger one.
        are_hits: Whether the values are 0 and 1, so that their mean is a share.
    """

    name: str
    values: np.ndarray
    more_is_better: bool
    are_hits: bool = False
