"""Examples that are alike, in features and in what they show."""

import numpy as np

from tlkeras.inputs.likeness import Likeness
from tlkeras.outputs.suspicion import principal_components

# How alike two examples are at least that are taken for the same: 1 where they are
# equal. Where all examples are alike (faces, digits), more is asked for, up to a limit.
LEAST_ALIKE = 0.68
_MOST_ASKED = 0.97
_DEVIATIONS = 2

# How many of the nearest examples each is compared with, and in how many dimensions.
_NEAREST = 10
_DIMENSIONS = 128


def find_duplicates(
    features: np.ndarray, likeness: Likeness | None
) -> tuple[np.ndarray, np.ndarray]:
    """Finds examples that are alike in features and in what they show.

    Args:
        features: Float `(n, channels)`.
        likeness: What compares the examples by what they show; `None` where nothing
            does.

    Returns:
        int `(pairs, 2)`, the lower number first, and their similarities, float
        `(pairs,)`, the greatest first.
    """
    units = _unit(features - features.mean(axis=0))
    forms = () if likeness is None else likeness.forms
    # The scalar product of joined vectors is the mean of both similarities.
    joint = [np.concatenate([units, form], axis=1) for form in forms] or [units]
    pairs = _nearest(*joint)
    similarity = np.einsum("nd,nd->n", units[pairs[:, 0]], units[pairs[:, 1]])
    if likeness is not None:
        similarity = (similarity + likeness.of(pairs)) / 2
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
