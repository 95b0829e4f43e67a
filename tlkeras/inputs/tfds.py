"""Rows of a data set of TensorFlow Datasets, as they are stored."""

from typing import Any

import tensorflow as tf

from tlkeras.outputs.features import import_tfds


def encoded_rows(builder: Any, split: str) -> tf.data.Dataset:
    """Reads a split in its stored order, with images (and the like) left encoded."""
    tfds = import_tfds()
    heavy = tfds.features.Image, tfds.features.Video, tfds.features.Audio
    decoders = {
        key: tfds.decode.SkipDecoding()
        for key, feature in builder.info.features.items()
        if isinstance(feature, heavy)
    }
    return builder.as_dataset(
        split=split,
        shuffle_files=False,
        decoders=decoders,
        read_config=tfds.ReadConfig(try_autocache=False),
    )
