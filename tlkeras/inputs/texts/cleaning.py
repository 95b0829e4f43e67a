"""Texts as tokenizers were meant to read them, where KerasHub's read them otherwise.

The reference is what models were trained with: the package `tokenizers`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import tensorflow as tf

from tlkeras.backbones.hub import keras_hub

# RE2's `\s` knows none of these blanks: to KerasHub they are letters or punctuation.
_BLANKS = (
    r"[\t\n\r\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]"
)
_CONTROLS = r"[\x{0}-\x{8}\x{b}\x{c}\x{e}-\x{1f}\x{7f}-\x{9f}\p{Cf}\p{Co}\x{fffd}]"
# Of these, KerasHub's byte-pair tokenizers know U+00A0, U+2009, U+202F and U+3000.
_OTHER_BLANKS = (
    r"([\x{b}\x{85}\x{1680}\x{2000}-\x{2008}\x{200a}\x{2028}\x{2029}\x{205f}])"
)
# Byte-pair tokenizers split at this character, and drop it.
_MARK = "६"


def cleaned(texts: tf.Tensor, tokenizer: Any) -> tf.Tensor:
    """Returns texts in which a tokenizer finds the words that its reference finds.

    BERT's tokenizers drop control characters, take all of Unicode's blanks for spaces
    and make letters small, no more; KerasHub's find no word boundary at most blanks,
    lose what follows a NUL, and fold characters such as "…" or "²" into others. Those
    of byte pairs lose what follows a NUL as well, and split few of Unicode's blanks
    from punctuation.

    Args:
        texts: `tf.string`, in a graph.
        tokenizer: A KerasHub tokenizer.
    """
    tokenizers = keras_hub().tokenizers
    if isinstance(tokenizer, tokenizers.WordPieceTokenizer):
        texts = tf.strings.regex_replace(texts, _CONTROLS, "")
        texts = tf.strings.regex_replace(texts, _BLANKS, " ")
        return _small(texts) if _makes_small(tokenizer) else texts
    if isinstance(tokenizer, tokenizers.BytePairTokenizer):
        # The next character that is as rare, and that C's strings can hold.
        texts = tf.strings.regex_replace(texts, r"\x{0}", "\x01")
        return tf.strings.regex_replace(texts, _OTHER_BLANKS, rf"{_MARK}\1{_MARK}")
    return texts


@contextmanager
def small_already(tokenizer: Any) -> Iterator[None]:
    """Keeps a tokenizer from folding letters that `cleaned` has made small."""
    if not _makes_small(tokenizer):
        yield
        return
    tokenizer.lowercase = False
    try:
        yield
    finally:
        tokenizer.lowercase = True


def _makes_small(tokenizer: Any) -> bool:
    # Special tokens in texts are capitals that must stay.
    return bool(getattr(tokenizer, "lowercase", False)) and not getattr(
        tokenizer, "special_tokens_in_strings", False
    )


def _small(texts: tf.Tensor) -> tf.Tensor:
    # ICU makes another letter of a sigma that ends a word.
    texts = tf.strings.regex_replace(texts, "Σ", "σ")
    return tf.strings.lower(texts, encoding="utf-8")
