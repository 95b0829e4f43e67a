"""Which texts are nearly the same: shingles of characters and their MinHash."""

import re
import unicodedata
from collections.abc import Callable, Sequence

import numpy as np

# Characters of a shingle: short enough for a review, long enough to be rare.
_SHINGLE = 5

# A signature's hashes, in bands: of texts that share 0.8 of their shingles, all but
# two of 10,000 pairs share a whole band.
_BANDS = 16
_ROWS = 4
_AT_ONCE = 1024
_PRIME = (1 << 31) - 1

# How much two texts have in common that are nearly the same, at least.
NEAR = 0.8

# How many texts of a band's bucket each text is compared with.
_NEIGHBOURS = 4


def normalised(text: str) -> str:
    """Returns a text in lower case, without punctuation and with single spaces."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    words = re.sub(r"[^\w\s]|_", " ", folded).split()
    # What is nothing but signs is itself.
    return " ".join(words) or folded


def shingles(text: str) -> set[str]:
    """Returns all runs of a few characters in a normalised text."""
    return {text[i : i + _SHINGLE] for i in range(max(1, len(text) - _SHINGLE + 1))}


def similarity(first: str, second: str) -> float:
    """Returns which share of the shingles of either text both have (Jaccard)."""
    a, b = shingles(first), shingles(second)
    return len(a & b) / len(a | b)


def near_pairs(
    texts: Sequence[str], progress: Callable[[int], None] = lambda done: None
) -> np.ndarray:
    """Finds the texts that are nearly the same, without comparing all with all.

    Args:
        texts: Normalised texts, all different.
        progress: Called with the number of texts that are done.

    Returns:
        int `(pairs, 2)`, the lower number first. Where very many texts are nearly
        the same, not all pairs, but enough to connect them.

    Reference:
        Broder, On the resemblance and containment of documents (1997); Lee et al.,
        Deduplicating training data makes language models better (2022).
    """
    signatures = _signatures(texts, progress)
    found = {
        pair
        for band in np.split(signatures, _BANDS, axis=1)
        for pair in _in_one_bucket(band)
    }
    near = [
        pair
        for pair in sorted(found)
        if similarity(texts[pair[0]], texts[pair[1]]) >= NEAR
    ]
    return np.array(near, int).reshape(-1, 2)


def _signatures(texts: Sequence[str], progress: Callable[[int], None]) -> np.ndarray:
    """Returns the least hash of each text's shingles, for each of many hashes."""
    from sklearn.feature_extraction.text import HashingVectorizer

    count = _BANDS * _ROWS
    random = np.random.default_rng(0)
    factors = random.integers(1, _PRIME, count)
    summands = random.integers(0, _PRIME, count)
    vectorizer = HashingVectorizer(
        analyzer=shingles, n_features=2**30, alternate_sign=False, norm=None
    )
    signatures = np.empty((len(texts), count), np.int32)
    for start in range(0, len(texts), _AT_ONCE):
        rows = vectorizer.transform(texts[start : start + _AT_ONCE])
        numbers = rows.indices.astype(np.int64)
        for i in range(count):
            hashes = (numbers * factors[i] + summands[i]) % _PRIME
            least = np.minimum.reduceat(hashes, rows.indptr[:-1])
            signatures[start : start + _AT_ONCE, i] = least
        progress(min(start + _AT_ONCE, len(texts)))
    return signatures


def _in_one_bucket(band: np.ndarray) -> set[tuple[int, int]]:
    """Returns pairs of texts with the same hashes, each with its next few."""
    _, bucket = np.unique(band, axis=0, return_inverse=True)
    order = np.argsort(bucket, kind="stable")
    bucket = bucket[order]
    pairs = set()
    for step in range(1, _NEIGHBOURS + 1):
        same = np.flatnonzero(bucket[step:] == bucket[:-step])
        pairs.update(
            zip(order[same].tolist(), order[same + step].tolist(), strict=True)
        )
    return pairs
