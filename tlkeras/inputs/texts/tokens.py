"""Texts as tokens: tokenized once, sorted by length, read in batches that fit."""

import hashlib
from typing import Any

import keras
import numpy as np

from tlkeras.inputs.feature_set import FeatureSet, bucket_length
from tlkeras.inputs.texts.reading import holds_texts

_TEXTS_AT_ONCE = 4096


def are_texts(x: Any) -> bool:
    """Whether `x` holds texts or pairs of them, and is no dataset."""
    if x is None or isinstance(x, dict) or hasattr(x, "element_spec"):
        return False
    if keras.ops.is_tensor(x):
        return getattr(x.dtype, "name", x.dtype) == "string"
    return holds_texts(x)


def tokenize(examples: Any, preprocessor: Any) -> tuple[FeatureSet, np.ndarray, int]:
    """Tokenizes all texts of a split, and sorts them by length.

    The frozen part then runs over batches of like length, with little padding.
    Training reads them in an order of its own.

    Args:
        examples: `Examples` of texts.
        preprocessor: A `TextPreprocessor`.

    Returns:
        A `FeatureSet` of tokens, the place of each of its rows among the examples,
        and how many texts were longer than the model reads.
    """
    batches = examples.dataset(_TEXTS_AT_ONCE)
    texts = np.concatenate([x.numpy() for x, _ in batches])
    tokens, lengths, truncated = preprocessor.tokenize_all(texts)
    order = np.argsort(lengths, kind="stable")
    labels = np.asarray(examples.labels)[order]
    names = tuple(sorted(tokens))
    arrays = tuple(np.ascontiguousarray(tokens[name][order]) for name in names)
    digest = hashlib.sha256(repr(names).encode())
    for array in (*arrays, labels):
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array))
    # Without a mask, padding is part of what a backbone reads.
    masked = "padding_mask" in names
    found = FeatureSet(
        arrays,
        labels,
        0.0,
        digest.hexdigest(),
        ragged=(True,) * len(arrays) if masked else (),
        lengths=lengths[order] if masked else None,
        names=names,
    )
    return found, order, truncated


def trim(tokens: dict[str, Any]) -> dict[str, Any]:
    """Cuts a batch of tokens to its longest text, rounded up; in a `tf.data` graph.

    Args:
        tokens: What a `TextPreprocessor` returns.
    """
    import tensorflow as tf

    if "padding_mask" not in tokens:
        return tokens
    lengths = tf.reduce_sum(tf.cast(tokens["padding_mask"], "int32"), axis=1)
    end = bucket_length(tf.maximum(tf.reduce_max(lengths), 1))
    return {name: value[:, :end] for name, value in tokens.items()}
