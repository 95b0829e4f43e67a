"""How alike pictures are by their pixels, mirrored or not."""

from collections.abc import Mapping

import numpy as np

from tlkeras.inputs.examples import Examples
from tlkeras.inputs.likeness import Likeness
from tlkeras.inputs.pictures.thumbnails import read_thumbnails, unit_vectors


class PictureLikeness(Likeness):
    """The correlation of two pictures' thumbnails, or of one mirrored with the other.

    Args:
        parts: The pictures of each part.
    """

    def __init__(self, parts: Mapping[str, Examples]):
        small = np.concatenate([read_thumbnails(x)[0] for x in parts.values()])
        self.forms = unit_vectors(small), unit_vectors(small[:, :, ::-1])

    def of(self, pairs: np.ndarray) -> np.ndarray:
        straight = self.forms[0]
        alike = [
            np.einsum("nd,nd->n", straight[pairs[:, 0]], other[pairs[:, 1]])
            for other in self.forms
        ]
        return np.maximum(*alike)
