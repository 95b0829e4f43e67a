"""How alike sounds are by their loudness in time and pitch."""

from collections.abc import Mapping

import numpy as np

from tlkeras.inputs.likeness import Likeness
from tlkeras.inputs.sounds.checking import read_profiles


class SoundLikeness(Likeness):
    """The correlation of two sounds' profiles, whatever their levels.

    Args:
        parts: The sounds of each part.
    """

    def __init__(self, parts: Mapping):
        self.forms = (read_profiles(parts, lambda done: None).vectors,)

    def of(self, pairs: np.ndarray) -> np.ndarray:
        first, second = (self.forms[0][column] for column in pairs.T)
        return np.einsum("nd,nd->n", first, second)
