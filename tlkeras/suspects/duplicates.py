"""Examples that are alike, in features and in pixels or letters."""

import numpy as np

from tlkeras.inputs.examples import Examples
from tlkeras.inputs.pictures.thumbnails import read_thumbnails, unit_vectors
from tlkeras.inputs.texts import minhash as letters
from tlkeras.suspects.pooling import principal_components

# How alike two examples are at least that are taken for the same: 1 where they are
# equal. Where all examples are alike (faces, digits), more is asked for, up to a limit.
LEAST_ALIKE = 0.68
_MOST_ASKED = 0.97
_DEVIATIONS = 2

# How many of the nearest examples each is compared with, and in how many dimensions.
_NEAREST = 10
_DIMENSIONS = 128

_TEXTS_AT_ONCE = 4096


def find_duplicates(
    features: np.ndarray, parts: dict[str, Examples]
) -> tuple[np.ndarray, np.ndarray]:
    """Finds examples that are alike in features and in pixels or letters.

    Returns:
        int `(pairs, 2)`, the lower number first, and their similarities, float
        `(pairs,)`, the greatest first.
    """
    units = _unit(features - features.mean(axis=0))
    if next(iter(parts.values())).inputs_kind == "images":
        pairs, second = _alike_pictures(units, parts)
    else:
        pairs, second = _alike_texts(units, parts)
    first = np.einsum("nd,nd->n", units[pairs[:, 0]], units[pairs[:, 1]])
    similarity = (first + second) / 2
    alike = np.flatnonzero(similarity >= _threshold(pairs, similarity, len(units)))
    alike = alike[np.argsort(-similarity[alike], kind="stable")]
    return pairs[alike], similarity[alike]


def _threshold(pairs: np.ndarray, similarity: np.ndarray, count: int) -> float:
    """Returns what is unusually alike, given how alike nearest neighbours are here."""
    nearest = np.full(count, -1.0)
    for column in pairs.T:
        np.maximum.at(nearest, column, similarity)
    usual = np.median(nearest)
    deviation = 1.4826 * np.median(np.abs(nearest - usual))
    return float(np.clip(usual + _DEVIATIONS * deviation, LEAST_ALIKE, _MOST_ASKED))


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-6)


def _alike_pictures(
    units: np.ndarray, parts: dict[str, Examples]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns candidates, and how alike their pixels are, mirrored or not."""
    small = np.concatenate([read_thumbnails(x)[0] for x in parts.values()])
    straight, mirrored = unit_vectors(small), unit_vectors(small[:, :, ::-1])
    # The scalar product of these vectors is the mean of both similarities.
    both = np.concatenate([units, straight], axis=1)
    turned = np.concatenate([units, mirrored], axis=1)
    pairs = _nearest(both, turned)
    alike = [
        np.einsum("nd,nd->n", straight[pairs[:, 0]], other[pairs[:, 1]])
        for other in (straight, mirrored)
    ]
    return pairs, np.maximum(*alike)


def _alike_texts(
    units: np.ndarray, parts: dict[str, Examples]
) -> tuple[np.ndarray, np.ndarray]:
    """Returns candidates, and which share of their shingles is common."""
    texts = [
        letters.normalised("\n".join(text.decode() for text in np.ravel(row)))
        for examples in parts.values()
        for batch, _ in examples.dataset(_TEXTS_AT_ONCE)
        for row in batch.numpy()
    ]
    pairs = _nearest(units)
    common = [letters.similarity(texts[i], texts[j]) for i, j in pairs]
    return pairs, np.array(common, float)


def _nearest(vectors: np.ndarray, *others: np.ndarray) -> np.ndarray:
    """Returns each vector's nearest ones, and the nearest to each of `others`."""
    from sklearn.neighbors import NearestNeighbors

    pca = principal_components(vectors, _DIMENSIONS).fit(vectors)
    places = pca.transform(vectors)
    count = min(_NEAREST + 1, len(vectors))
    search = NearestNeighbors(n_neighbors=count, algorithm="brute").fit(places)
    found = []
    for queries in (places, *map(pca.transform, others)):
        near = search.kneighbors(queries, return_distance=False)
        rows = np.repeat(np.arange(len(near)), count)
        found.append(np.stack([rows, near.ravel()], axis=1))
    pairs = np.unique(np.sort(np.concatenate(found), axis=1), axis=0)
    return pairs[pairs[:, 0] != pairs[:, 1]]


def joined(count: int, pairs: np.ndarray) -> np.ndarray:
    """Returns a number for each example that is the same for its duplicates."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(pairs), bool), tuple(pairs.T)), (count, count))
    return connected_components(graph, directed=False)[1]
