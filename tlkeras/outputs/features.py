"""Which features of TensorFlow Datasets can be labels."""

from types import ModuleType
from typing import Any

from tlkeras._validation import optional_import


def import_tfds() -> ModuleType:
    """Imports TensorFlow Datasets, or raises an `ImportError` that says how."""
    return optional_import("tensorflow_datasets", "from_tfds", "tensorflow-datasets")


def is_class(feature: Any) -> bool:
    """Whether a feature is one of several classes."""
    return isinstance(feature, import_tfds().features.ClassLabel)


def is_sequence(feature: Any) -> bool:
    """Whether a feature is a sequence of another one, its attribute `feature`."""
    return isinstance(feature, import_tfds().features.Sequence)


def is_float(feature: Any) -> bool:
    """Whether a feature is a float, or a tensor of them."""
    import tensorflow as tf

    is_tensor = isinstance(feature, import_tfds().features.Tensor)
    return is_tensor and tf.dtypes.as_dtype(feature.dtype).is_floating
