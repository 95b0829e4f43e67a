"""Pictures of a data set, read or resized at the size of another model."""

import copy
from typing import Any

import numpy as np

from tlkeras.inputs.arrays import ArrayExamples
from tlkeras.inputs.examples import Examples
from tlkeras.inputs.pictures.decoding import resize_image

_BATCH = 256


def at_size(examples: Examples, pictures: Any, about: str) -> Examples:
    """Returns pictures at a model's own size.

    Files are read at it, arrays of pixels are resized as files are: as the model's
    `fit` says, or else that of the data.

    Args:
        examples: Pictures.
        pictures: What the model takes, a `Pictures`.
        about: What the model is called, for messages.

    Raises:
        ValueError: If an array's channels are not the model's.
    """
    height, width = pictures.image_size
    if isinstance(examples, ArrayExamples):
        return _resized(examples, pictures, about)
    size = (height or examples.image_size[0], width or examples.image_size[1])
    wanted = size, pictures.color_mode, pictures.fit or examples.fit
    if (tuple(examples.image_size), examples.color_mode, examples.fit) == wanted:
        return examples
    twin = copy.copy(examples)
    twin.image_size, twin.color_mode, twin.fit = wanted
    return twin.select(np.arange(len(twin)))


def _resized(examples: ArrayExamples, pictures: Any, about: str) -> ArrayExamples:
    size, channels = pictures.image_size, pictures.channels
    given = examples.shape
    if len(given) != 3:
        # No pictures: `Input.check` says so.
        return examples
    if channels not in (None, given[-1]):
        raise ValueError(
            f"{about} takes pictures of {channels} channel(s); those in the array have "
            f"{given[-1]}. Repeat or average the channels."
        )
    if all(want in (None, got) for want, got in zip(size, given, strict=False)):
        return examples
    batches = (x for x, _ in examples.dataset(_BATCH))
    one = [resize_image(x, size, pictures.fits_by).numpy() for b in batches for x in b]
    return ArrayExamples(np.stack(one), examples.labels)
