"""Texts to tokens: the tokenizer and packing that belong to a text backbone."""

import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal
from weakref import WeakKeyDictionary

import keras
import numpy as np
import tensorflow as tf

from tlkeras._validation import check_choice, check_int
from tlkeras.backbones.hub import keras_hub
from tlkeras.inputs.texts.cleaning import cleaned, small_already
from tlkeras.inputs.texts.reading import text_array

# How a text backbone reads: every token sees every other, or only those before it.
Kind = Literal["encoder", "decoder"]

KINDS = ("encoder", "decoder")

# Room for the four special tokens around a pair of texts.
MINIMUM_LENGTH = 4

_KEYS = ("token_ids", "padding_mask", "segment_ids")

# Beside the preprocessors, not in them: a SavedModel would try to save them, too.
_TRACED: "WeakKeyDictionary[TextPreprocessor, dict[int, Callable]]" = (
    WeakKeyDictionary()
)


@keras.saving.register_keras_serializable("tlkeras")
class TextPreprocessor(keras.layers.Layer):
    """Turns texts, or pairs of texts, into the tokens that a text backbone expects.

    It tokenizes, truncates, adds the special tokens of the backbone's family and pads
    on the right. An encoder's texts are packed as KerasHub's `TextClassifier` packs
    them; a decoder's as its `CausalLM` packs a prompt: the start token where there is
    one, no end token. Both texts of a pair are truncated in turn, token by token; a
    decoder's are joined with the end-of-text token.

    It runs as a TensorFlow graph, eagerly too: outside of a graph, KerasHub's byte-pair
    tokenizers split numbers and punctuation another way, so that the same text would
    have two readings.

    As an attribute of a model it is saved with it, vocabulary included.

    Args:
        tokenizer: `keras_hub.tokenizers.Tokenizer`.
        sequence_length: `int`. Tokens per text, special tokens included; at least 4.
            Defaults to 128.
        keys: Inputs of the backbone, among `"token_ids"`, `"padding_mask"` and
            `"segment_ids"`. Defaults to the first two.
        kind: `"encoder"` or `"decoder"`. Defaults to `"encoder"`.
        **kwargs: Arguments of `keras.layers.Layer`.

    Call arguments:
        texts: Strings, `(batch,)`, or pairs of strings, `(batch, 2)`: a list, a NumPy
            array, or a `tf.string` tensor inside a `tf.data` pipeline.

    Returns:
        When called, a dictionary with `keys`, each `(batch, sequence_length)`: int32
        ids, and a mask that is `True` for tokens and `False` for padding.

    Raises:
        ValueError: If `sequence_length` is below 4, the tokenizer pads, or what comes
            are not texts.

    Example:

    >>> import keras_hub
    >>> words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "good", "film"]
    >>> tokenizer = keras_hub.models.BertTokenizer(words)
    >>> preprocessor = TextPreprocessor(tokenizer, sequence_length=6)
    >>> preprocessor(["good film"])["token_ids"].numpy().tolist()
    [[2, 5, 6, 3, 0, 0]]
    """

    def __init__(
        self,
        tokenizer: Any,
        sequence_length: int = 128,
        *,
        keys: Sequence[str] = _KEYS[:2],
        kind: Kind = "encoder",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.sequence_length = check_int(
            "sequence_length", sequence_length, MINIMUM_LENGTH
        )
        self.keys = tuple(check_choice("keys", key, _KEYS) for key in keys)
        self.kind = check_choice("kind", kind, KINDS)
        self.tokenizer = check_tokenizer(tokenizer)
        self.built = True  # All that it holds came with the tokenizer.

    def __call__(self, texts: Any) -> dict[str, tf.Tensor]:
        return super().__call__(as_strings(texts))

    def call(self, texts: tf.Tensor) -> dict[str, tf.Tensor]:
        return self._graph(texts.shape.rank)(texts)[0]

    def ids_and_lengths(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the ids of tokens, and how many tokens each text would need.

        Args:
            texts: `tf.string` of shape `(batch,)`, inside of a graph or outside.

        Returns:
            int32 `(batch, sequence_length)`, and int32 `(batch,)`.
        """
        features, lengths = self._graph(texts.shape.rank)(texts)
        return features["token_ids"], lengths

    def tokenize_all(
        self, texts: Any, batch_size: int = 1024
    ) -> tuple[dict[str, np.ndarray], np.ndarray, int]:
        """Tokenizes all texts at once, as short as the longest of them allows.

        A model runs faster on short sequences. Where the backbone takes no padding
        mask, padding is part of what it reads, and the texts stay at
        `sequence_length`.

        Args:
            texts: As when called.
            batch_size: `int`. Texts that one thread takes at a time. Defaults to 1024.

        Returns:
            The dictionary, its values NumPy arrays `(texts, length)`; the tokens of
            each text, special ones included, int32 `(texts,)`; and how many texts lost
            tokens because they were longer than `sequence_length`.

        Raises:
            ValueError: If `texts` holds something else than texts.
        """
        texts = as_strings(texts)
        # Of no texts there is one batch, too, which tells the form of its tokens.
        starts = range(0, max(1, len(texts)), check_int("batch_size", batch_size, 1))
        first, *others = (texts[start : start + starts.step] for start in starts)
        trimmed = functools.partial(self._trimmed, self._graph(texts.shape.rank))
        # Threads over the traced graph take half the time of a `tf.data` pipeline.
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            # The first alone: else each thread has TensorFlow prepare the graph.
            done = [trimmed(first), *pool.map(trimmed, others)]
        parts, lengths = zip(*done, strict=True)
        needed = np.concatenate(lengths)
        stacked = {
            key: _stacked(
                [part[key] for part in parts], self._length(needed), self._filler(key)
            )
            for key in self.keys
        }
        truncated = int((needed > self.sequence_length).sum())
        return stacked, np.minimum(needed, self.sequence_length), truncated

    def _trimmed(
        self, graph: Callable, texts: tf.Tensor
    ) -> tuple[dict[str, np.ndarray], np.ndarray]:
        features, needed = graph(texts)
        length = self._length(needed.numpy())
        return {k: rows[:, :length].numpy() for k, rows in features.items()}, needed

    def _length(self, needed: np.ndarray) -> int:
        if "padding_mask" not in self.keys:
            return self.sequence_length
        # A decoder's empty text has no token at all, and a model reads at least one.
        return int(max(1, min(needed.max(initial=0), self.sequence_length)))

    def _filler(self, key: str) -> int:
        return self.tokenizer.pad_token_id if key == "token_ids" else 0

    def _graph(self, rank: int) -> Callable:
        # Traced once for texts, once for pairs: byte-pair tokenizers take seconds.
        traced = _TRACED.setdefault(self, {})
        if rank not in traced:
            shape = [None] if rank == 1 else [None, 2]
            function = tf.function(self._pack, autograph=False)
            with tf.init_scope():
                traced[rank] = function.get_concrete_function(
                    tf.TensorSpec(shape, tf.string)
                )
        return traced[rank]

    def _pack(self, texts: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        """Returns the features, and the tokens that each text would need."""
        with tf.device("cpu"):
            if texts.shape.rank == 1:
                tokens = (self._tokens(texts),)
            else:
                both = self._tokens(tf.concat(tf.unstack(texts, axis=1), 0))
                rows = tf.shape(texts)[0]
                tokens = (both[:rows], both[rows:])
            packer = self._packer()
            token_ids, segment_ids = packer(tokens)
            special = (
                len(packer.start_value)
                + len(packer.sep_value) * (len(tokens) - 1)
                + len(packer.end_value)
            )
            lengths = tf.add_n([each.row_lengths() for each in tokens]) + special
            packed = {
                "token_ids": tf.cast(token_ids, "int32"),
                # An id tells no padding: GPT-2 pads with that of a token.
                "padding_mask": tf.sequence_mask(lengths, self.sequence_length),
                "segment_ids": segment_ids,
            }
            features = {key: packed[key] for key in self.keys}
            return features, tf.cast(lengths, "int32")

    def _tokens(self, texts: tf.Tensor) -> tf.RaggedTensor:
        texts = cleaned(texts, self.tokenizer)
        with small_already(self.tokenizer):
            return self.tokenizer(texts)

    def _packer(self) -> Any:
        # Made when called: a loaded tokenizer does not know its special tokens before.
        if self.kind == "encoder":
            return _encoder_packer(self.tokenizer, self.sequence_length)
        start = getattr(self.tokenizer, "start_token_id", None)
        return keras_hub().layers.MultiSegmentPacker(
            sequence_length=self.sequence_length,
            start_value=[] if start is None else start,
            sep_value=self.tokenizer.end_token_id,
            end_value=[],
            pad_value=self.tokenizer.pad_token_id,
        )

    def get_config(self) -> dict:
        """Returns the arguments; the vocabulary is saved beside them, not in them."""
        return {
            **super().get_config(),
            "tokenizer": keras.saving.serialize_keras_object(self.tokenizer),
            "sequence_length": self.sequence_length,
            "keys": list(self.keys),
            "kind": self.kind,
        }

    @classmethod
    def from_config(cls, config: dict) -> "TextPreprocessor":
        """Makes one from `get_config`, its tokenizer without a vocabulary."""
        keras_hub()  # Registers the tokenizers with Keras.
        tokenizer = keras.saving.deserialize_keras_object(config["tokenizer"])
        return cls(**{**config, "tokenizer": tokenizer})


def check_tokenizer(tokenizer: Any) -> Any:
    """Returns a KerasHub tokenizer that does not pad, or raises `ValueError`."""
    tokenizers = keras_hub().tokenizers
    if not isinstance(tokenizer, tokenizers.Tokenizer):
        raise ValueError(
            "`tokenizer` must be a KerasHub tokenizer, such as "
            "keras_hub.tokenizers.Tokenizer.from_preset(folder) gives. "
            f"Received: tokenizer={tokenizer!r}."
        )
    if getattr(tokenizer, "sequence_length", None):
        raise ValueError(
            "The tokenizer must not pad or truncate: its padding would count as text. "
            f"Received: a tokenizer with sequence_length={tokenizer.sequence_length}; "
            "make it without."
        )
    return tokenizer


def as_strings(texts: Any) -> tf.Tensor:
    """Returns texts as one tensor of strings.

    Args:
        texts: Strings `(batch,)` or pairs `(batch, 2)`, in any form.

    Returns:
        A `tf.string` tensor.

    Raises:
        ValueError: If they are anything else.
    """
    if not isinstance(texts, tf.Tensor):
        texts = tf.constant(text_array(texts), tf.string)
    shape = texts.shape
    if texts.dtype == tf.string and (shape.rank == 1 or shape[1:] == (2,)):
        return texts
    raise ValueError(
        "Texts must be strings of shape (batch,), or pairs of shape (batch, 2). "
        f"Received: texts of type {texts.dtype.name} and shape {shape}."
    )


def same_reading(first: Any, second: Any) -> bool:
    """Whether two preprocessors, or none, make the same tokens of all texts.

    Args:
        first: A `TextPreprocessor`, or `None`.
        second: The same.
    """
    if first is second or first is None or second is None:
        return first is second
    if type(first.tokenizer) is not type(second.tokenizer):
        return False
    configs = [
        [{**each.get_config(), "name": None} for each in (one.tokenizer, one)]
        for one in (first, second)
    ]
    for _, config in configs:
        # Compared by itself, without the name that Keras numbers.
        del config["tokenizer"]
    # The vocabulary is no part of a configuration.
    parts = ("vocabulary", "merges", "proto")
    return configs[0] == configs[1] and all(
        getattr(first.tokenizer, part, None) == getattr(second.tokenizer, part, None)
        for part in parts
    )


def _encoder_packer(tokenizer: Any, sequence_length: int) -> Any:
    """Returns the packer that KerasHub classifies with; families differ in theirs."""
    models = keras_hub().models
    ending = "TextClassifierPreprocessor"
    named = [getattr(models, name) for name in dir(models) if name.endswith(ending)]
    fits = [
        each
        for each in named
        if each.tokenizer_cls is not None and isinstance(tokenizer, each.tokenizer_cls)
    ]
    chosen = fits[0] if fits else models.TextClassifierPreprocessor
    preprocessor = chosen(tokenizer, sequence_length=sequence_length)
    preprocessor.build(None)
    return preprocessor.packer


def _stacked(parts: list[np.ndarray], length: int, filler: int) -> np.ndarray:
    """Returns the rows of all parts, filled up on the right to one length."""
    rows = sum(len(part) for part in parts)
    stacked = np.full((rows, length), filler, parts[0].dtype)
    start = 0
    for part in parts:
        stacked[start : start + len(part), : part.shape[1]] = part
        start += len(part)
    return stacked
