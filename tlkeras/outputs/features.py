"""Which features of TensorFlow Datasets can be labels."""

import importlib
from types import ModuleType
from typing import Any

from tlkeras._validation import optional_import


def import_tfds() -> ModuleType:
    """Imports TensorFlow Datasets, or raises an `ImportError` that says how."""
    tfds = optional_import("tensorflow_datasets", "from_tfds", '"tlkeras[tfds]"')
    if hasattr(tfds, "builder"):
        return tfds
    # It logs what fails in it, and is empty then; its parts raise that again.
    try:
        importlib.import_module("tensorflow_datasets.public_api")
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
    else:
        reason = "it is incomplete"
    raise ImportError(
        f"from_tfds needs TensorFlow Datasets, which does not work as it is installed "
        f"({reason}). Where this is about protobuf 5, "
        '`pip install "tensorflow-metadata<1.18"` goes with it; start Python anew '
        "afterwards."
    )


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
