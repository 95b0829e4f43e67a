"""How alike texts are by their letters."""

from collections.abc import Mapping

import numpy as np

from tlkeras.inputs.examples import Examples
from tlkeras.inputs.likeness import Likeness
from tlkeras.inputs.texts import minhash
from tlkeras.inputs.texts.checking import all_texts


class TextLikeness(Likeness):
    """The share of two texts' shingles that both have.

    Args:
        parts: The texts of each part.
    """

    def __init__(self, parts: Mapping[str, Examples]):
        self._texts = [minhash.normalised(text) for text in all_texts(parts)]

    def of(self, pairs: np.ndarray) -> np.ndarray:
        common = [minhash.similarity(self._texts[i], self._texts[j]) for i, j in pairs]
        return np.array(common, float)
