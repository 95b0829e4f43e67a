"""`Adapting`: what an output offers to adaptation to another domain."""

from typing import Any

import numpy as np

from tlkeras.outputs.base.kind import Kind


class Adapting(Kind):
    """What an output knows of data that come from elsewhere, without labels."""

    @property
    def is_exclusive(self) -> bool:
        """Whether each example has one of several classes, and their shares sum to 1.

        What confuses classes, and how frequent they are, is defined for these alone.
        """
        return type(self).class_probabilities is not Adapting.class_probabilities

    def class_probabilities(self, outputs: Any) -> Any:
        """Returns the probability of each class, a tensor `(n, classes)`.

        Args:
            outputs: A tensor `(n, units)`, as a model gives them.
        """
        raise self.unsupported("tl.adapt", "class_probabilities")

    def with_shares(self, bias: np.ndarray, ratios: np.ndarray) -> np.ndarray:
        """Returns the last layer's bias once classes are so many times as frequent.

        Args:
            bias: `(units,)`, as it is.
            ratios: float `(classes,)`, above 0: new share by old share.

        Reference:
            Saerens et al., Adjusting the Outputs of a Classifier to New a Priori
            Probabilities (2002), equation 2.4.
        """
        raise self.unsupported("tl.adapt", "class_probabilities")
