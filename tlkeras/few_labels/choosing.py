"""Which rows to choose: typical ones of what is unknown, doubtful ones that differ."""

import warnings
from typing import Any

import numpy as np

# Of the nearest neighbours, how many tell how typical an example is.
_NEIGHBOURS = 20
# Clusters at most, and how many examples a cluster should have at least.
_MOST_CLUSTERS, _LEAST = 500, 5
# How many of the most uncertain are looked at for each that is chosen.
_CANDIDATES = 10
# In how many dimensions examples are clustered.
_DIMENSIONS = 50


def typical(vectors: np.ndarray, n: int, known: np.ndarray, seed: int) -> np.ndarray:
    """Returns the most typical examples of the largest clusters without a known one.

    Args:
        vectors: `(rows, width)`, those of known examples included.
        n: How many to choose of the others.
        known: bool `(rows,)`: which have labels already.
        seed: Seed of the clusters.

    Returns:
        int `(n,)`, the largest cluster first.

    Reference:
        Hacohen, Dekel and Weinshall, Active Learning on a Budget: Opposite Strategies
        Suit High and Low Budgets (2022): TypiClust.
    """
    places = _few_dimensions(vectors, seed)
    count = min(int(known.sum()) + n, _MOST_CLUSTERS, len(places))
    clusters = _clusters(places, count, seed).labels_
    sizes = np.bincount(clusters, minlength=count)
    covered = np.bincount(clusters[known], minlength=count)
    # A handful of examples apart from all others are outliers, not a kind.
    order = np.lexsort((-sizes, covered, sizes < _LEAST))
    free, chosen = ~known, []
    while len(chosen) < n:
        for cluster in order:
            rows = np.flatnonzero((clusters == cluster) & free)
            if len(rows) and len(chosen) < n:
                chosen.append(rows[_density(places[rows]).argmax()])
                free[chosen[-1]] = False
    return np.array(chosen)


def doubtful(
    vectors: np.ndarray, uncertainty: np.ndarray, n: int, seed: int
) -> np.ndarray:
    """Returns examples that are uncertain and differ from each other.

    Of the most uncertain ones as many clusters are made as are wanted, in which the
    uncertain count more, and the example nearest to each centre is taken.

    Args:
        vectors: float `(rows, width)`.
        uncertainty: From 0 to 1, `(rows,)`.
        n: How many to choose.
        seed: Seed of the clusters.

    Returns:
        int `(n,)`, the most uncertain first.

    Reference:
        Zhdanov, Diverse mini-batch Active Learning (2019).
    """
    most = np.argsort(-uncertainty, kind="stable")[: _CANDIDATES * n]
    places = _few_dimensions(vectors, seed)[most]
    weights = np.maximum(uncertainty[most].astype("float64"), 1e-6)
    clusters = _clusters(places, n, seed, weights)
    away = np.linalg.norm(places - clusters.cluster_centers_[clusters.labels_], axis=1)
    # Of copies, which differ by rounding alone, the first.
    nearest = np.lexsort((away.round(6), clusters.labels_))
    _, first = np.unique(clusters.labels_[nearest], return_index=True)
    chosen = nearest[first]
    if len(chosen) < n:
        # Of copies some clusters are left without any.
        rest = np.setdiff1d(np.arange(len(most)), chosen)
        chosen = np.concatenate([chosen, rest[: n - len(chosen)]])
    return most[np.sort(chosen)]


def _clusters(places: np.ndarray, count: int, seed: int, weights: Any = None) -> Any:
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # Where there are copies there are fewer clusters, which is as well.
        warnings.simplefilter("ignore", ConvergenceWarning)
        found = KMeans(count, n_init=1, random_state=seed)
        return found.fit(places, sample_weight=weights)


def _few_dimensions(vectors: np.ndarray, seed: int) -> np.ndarray:
    """Returns vectors on the unit sphere of their first principal components."""
    from sklearn.decomposition import PCA

    count = min(_DIMENSIONS, *vectors.shape)
    solver = "randomized" if count < min(vectors.shape) else "auto"
    places = PCA(count, svd_solver=solver, random_state=seed).fit_transform(vectors)
    lengths = np.linalg.norm(places, axis=1, keepdims=True)
    return places / np.maximum(lengths, 1e-12)


def _density(places: np.ndarray) -> np.ndarray:
    """Returns how near each place is to its nearest neighbours, on average."""
    from sklearn.neighbors import NearestNeighbors

    if len(places) == 1:
        return np.zeros(1)
    # A place is no neighbour of its own.
    search = NearestNeighbors(n_neighbors=min(_NEIGHBOURS, len(places) - 1)).fit(places)
    return -search.kneighbors()[0].mean(axis=1)
