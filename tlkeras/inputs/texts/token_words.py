"""From tokens back to words: which piece of a text each token is of."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tlkeras.backbones.hub import keras_hub

# One character each, for they are words without spaces between them.
_IDEOGRAPHS = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
# From fine to coarse: words and punctuation, then what stands between spaces.
_PATTERNS = (
    re.compile(rf"\s*(?:[{_IDEOGRAPHS}]|(?:(?![{_IDEOGRAPHS}])[\w'’])+|[^\w\s'’]+)"),
    re.compile(r"\s*\S+"),
)


class Tokens(NamedTuple):
    """The tokens of one text, and the words that they make.

    Attributes:
        inputs: From the model's input names to rows `(1, length)`.
        places: Positions of the text's own tokens: no padding, no special tokens.
        words: The words, each as in the text.
        word_of: For each of `places` the index of its word.
        part_of: For each word 0, or 1 in the second text of a pair.
        truncated: Whether the text was longer than the model reads.
    """

    inputs: dict[str, np.ndarray]
    places: np.ndarray
    words: list[str]
    word_of: np.ndarray
    part_of: list[int]
    truncated: bool


def read_text(preprocessor, text: str | Sequence[str]) -> Tokens:
    """Tokenizes a text, or a pair of texts, and finds its words."""
    inputs, _, truncated = preprocessor.tokenize_all([text])
    ids = inputs["token_ids"][0]
    places = own_places(preprocessor, inputs)[0]
    parts = [text] if isinstance(text, str) else list(text)
    words, word_of, part_of = [], [], []
    start = 0
    for number, (part, count) in enumerate(
        zip(parts, _counts(preprocessor, parts, places), strict=True)
    ):
        pieces, numbers = _words(preprocessor, part, ids[places[start : start + count]])
        word_of += [len(words) + each for each in numbers]
        words += pieces
        part_of += [number] * len(pieces)
        start += count
    return Tokens(
        inputs, places, words, np.array(word_of, "int64"), part_of, truncated > 0
    )


def own_places(preprocessor, inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
    """Returns for each row the positions that are neither padding nor special."""
    special = sorted(special_ids(preprocessor.tokenizer))
    own = ~np.isin(inputs["token_ids"], special)
    if "padding_mask" in inputs:
        own &= inputs["padding_mask"].astype(bool)
    return [np.flatnonzero(row) for row in own]


def special_ids(tokenizer) -> set[int]:
    """Returns the ids of the tokens that no text has of its own."""
    unknown = getattr(tokenizer, "unk_token_id", None)
    return {int(i) for i in tokenizer.special_token_ids if i not in (None, unknown)}


def unknown_id(tokenizer) -> int | None:
    """Returns the token that stands for what a KerasHub tokenizer does not know."""
    if hasattr(tokenizer, "oov_token"):
        return int(tokenizer.token_to_id(tokenizer.oov_token))
    if isinstance(tokenizer, keras_hub().tokenizers.SentencePieceTokenizer):
        # No text has this token, for it is no character.
        return int(tokenizer.token_to_id("\uffff"))
    return None


def baseline_id(tokenizer, token: str | None) -> int:
    """Returns the token that stands for nothing.

    Args:
        tokenizer: A KerasHub tokenizer.
        token: A token of its vocabulary. By default that of padding; where padding has
            the id of a real token, as in GPT-2, that which ends a text.

    Raises:
        ValueError: If the vocabulary has no such token.
    """
    if token is None:
        padding = tokenizer.pad_token_id
        if padding in special_ids(tokenizer):
            return int(padding)
        return int(tokenizer.end_token_id)
    vocabulary = set(tokenizer.get_vocabulary())
    if isinstance(token, str) and token in vocabulary:
        return int(tokenizer.token_to_id(token))
    raise ValueError(
        "`baseline` of texts must be a token of the vocabulary, such as "
        f"{tokenizer.id_to_token(baseline_id(tokenizer, None))!r}. Received: "
        f"baseline={token!r}."
    )


def _counts(preprocessor, parts: Sequence[str], places: np.ndarray) -> list[int]:
    """Returns how many of the tokens are of each text of a pair."""
    if len(parts) == 1:
        return [len(places)]
    breaks = np.flatnonzero(np.diff(places) > 1)
    if len(breaks):
        return [int(breaks[0]) + 1, len(places) - int(breaks[0]) - 1]
    # One of the two has no tokens.
    whole = _ids_of(preprocessor, [parts[0]])[0]
    return [len(places), 0] if len(whole) else [0, len(places)]


def _words(preprocessor, text: str, ids: np.ndarray) -> tuple[list[str], list[int]]:
    """Returns the words of the tokens `ids`, and for each token its word's index.

    Words are tokenized one by one. Where that gives the tokens of the whole text, it
    says which are whose; otherwise each token is a word of its own.
    """
    for pattern in _PATTERNS:
        words = pattern.findall(text)
        found = _ids_of(preprocessor, words) if words else []
        joined = np.concatenate([*found, np.array([], ids.dtype)])
        if len(joined) >= len(ids) and np.array_equal(joined[: len(ids)], ids):
            owners = np.repeat(np.arange(len(words)), [len(each) for each in found])
            owners = owners[: len(ids)]
            # A word that lost its tokens to truncation, or has none, is left out.
            kept, numbers = np.unique(owners, return_inverse=True)
            return [words[i].strip() for i in kept], numbers.tolist()
    detokenize = preprocessor.tokenizer.detokenize
    pieces = [str(np.asarray(detokenize([int(i)])).item()) for i in ids]
    return pieces, list(range(len(ids)))


def _ids_of(preprocessor, texts: Sequence[str]) -> list[np.ndarray]:
    """Returns the tokens of each text on its own, special ones left out."""
    inputs, _, _ = preprocessor.tokenize_all(list(texts))
    places = own_places(preprocessor, inputs)
    return [ids[place] for ids, place in zip(inputs["token_ids"], places, strict=True)]
