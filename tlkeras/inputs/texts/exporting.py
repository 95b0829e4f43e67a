"""Texts in an export: the signature that tokenizes, texts to check it on."""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from tlkeras.inputs.texts.reading import text_array
from tlkeras.inputs.texts.tokens import are_texts, trim

_TEXTS = (
    "A short text.",
    "The film was good, and we loved every minute of it!",
    "",
    "Was it worth $12.50? No -- not at all...",
    "naïve café, 東京 and 🙂",
    "one two three four five six seven eight nine ten " * 20,
    "ALL CAPITALS AND 12345 67,890",
    'He said: "I\'d rather not."',
)


def of_texts(
    exported: Any, preprocessor: Any, pairs: bool
) -> tuple[Callable[[Any], dict[str, Any]], list[Any]]:
    """Returns the function of a SavedModel that takes texts, and what it takes.

    Args:
        exported: The model's `Interface`.
        preprocessor: The model's `TextPreprocessor`.
        pairs: Whether they are pairs of texts.
    """
    import tensorflow as tf

    def run(text: Any) -> dict[str, Any]:
        outputs = exported.model(trim(preprocessor(text)), training=False)
        return exported.answers(exported.named_outputs(outputs))

    shape = (None, 2) if pairs else (None,)
    return run, [tf.TensorSpec(shape, tf.string, name="text")]


def as_text(x: Any) -> np.ndarray | None:
    """Returns texts as strings, bytes of a `tf.data` pipeline too; `None` for others.

    Args:
        x: A batch of texts or of pairs of them, or of anything else.
    """
    if isinstance(x, dict):
        return None
    x = x.numpy() if hasattr(x, "numpy") else x
    if not are_texts(x):
        return None
    array = text_array(x)
    flat = [
        each.decode("utf-8", "replace") if isinstance(each, bytes) else each
        for each in array.flat
    ]
    return np.asarray(flat, dtype=object).reshape(array.shape)


def some_texts(count: int, pairs: bool) -> np.ndarray:
    """Returns a few texts, or pairs of them, that tokenizers may stumble over."""
    texts = list(itertools.islice(_TEXTS, count))
    if pairs:
        texts = list(zip(texts, reversed(texts), strict=True))
    return np.asarray(texts, dtype=object)
