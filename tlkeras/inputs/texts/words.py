"""How long texts are, and how they are shown in a table."""

import numpy as np

from tlkeras.inputs.examples import Examples

_TEXTS_AT_ONCE = 4096


def word_counts(examples: Examples) -> np.ndarray:
    """Returns how many words each text has, both of a pair together."""
    counts = [
        len(text.decode().split())
        for texts, _ in examples.dataset(batch_size=_TEXTS_AT_ONCE)
        for text in texts.numpy().flat
    ]
    return np.reshape(counts, (len(examples), -1)).sum(axis=1)
