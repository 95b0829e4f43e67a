"""`FeatureStatistics`: what is kept of features that are gone, and draws from it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

# Directions of the covariance that are kept; of the others, their variances alone.
_RANK = 64


@dataclass(frozen=True, eq=False, repr=False)
class FeatureStatistics:
    """Means of groups of features, and one covariance around them.

    Attributes:
        means: float32 `(groups, width)`; of groups without rows, zeros.
        sizes: float32 `(groups,)`, the rows that each mean is of.
        factors: float32 `(rank, width)`: the covariance is `factors.T @ factors` plus
            `rest` on its diagonal.
        rest: float32 `(width,)`, variances that the factors leave out.
        usual: float64 `()`, how many rows a class has, on average.
        origin: uint8 `(16,)`, a fingerprint of the weights that made the features.
    """

    means: np.ndarray
    sizes: np.ndarray
    factors: np.ndarray
    rest: np.ndarray
    usual: np.ndarray
    origin: np.ndarray

    @classmethod
    def of(
        cls, features: np.ndarray, groups: np.ndarray, usual: float, origin: bytes
    ) -> "FeatureStatistics":
        """Returns the statistics of some features.

        Args:
            features: `(n, width)`, finite, at least one row.
            groups: int `(n,)`, the group of each row, from 0.
            usual: As the attribute.
            origin: As the attribute.

        Reference:
            Hastie, Tibshirani and Friedman, The Elements of Statistical Learning
            (2009), section 4.3: classes with one covariance.
        """
        from sklearn.utils.extmath import randomized_svd

        features = np.asarray(features, "float64")
        sizes = np.bincount(groups)
        sums = np.eye(len(sizes))[groups].T @ features
        means = sums / np.maximum(sizes, 1)[:, None]
        left = features - means[groups]
        # Each mean that is estimated from the same rows takes one's worth of freedom.
        left /= np.sqrt(max(1, len(features) - np.count_nonzero(sizes)))
        rank = min(_RANK, *left.shape)
        _, values, directions = randomized_svd(left, rank, random_state=0)
        factors = values[:, None] * directions
        rest = np.maximum((left**2).sum(axis=0) - (factors**2).sum(axis=0), 0)
        parts = (means, sizes, factors, rest)
        return cls(
            *(part.astype("float32") for part in parts),
            usual=np.float64(usual),
            origin=np.frombuffer(origin, "uint8"),
        )

    def joined(self, groups: Sequence[np.ndarray]) -> "FeatureStatistics":
        """Returns the statistics with further groups, of the same covariance.

        Args:
            groups: Features `(n, width)` of each.
        """
        means = [group.mean(axis=0, keepdims=True) for group in groups]
        sizes = [len(group) for group in groups]
        return replace(
            self,
            means=np.concatenate([self.means, *means]),
            sizes=np.concatenate([self.sizes, np.array(sizes, "float32")]),
        )

    def draw(self, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Draws features like those that are gone.

        Args:
            count: How many of each group that had rows.
            seed: Seed of the draws.

        Returns:
            float32 `(n, width)`, and the group of each row, int64 `(n,)`.
        """
        random = np.random.default_rng(seed)
        groups = np.repeat(np.flatnonzero(self.sizes), count)
        together = random.standard_normal((len(groups), len(self.factors)), "float32")
        alone = random.standard_normal((len(groups), len(self.rest)), "float32")
        noise = together @ self.factors + alone * np.sqrt(self.rest)
        return self.means[groups] + noise, groups

    def arrays(self) -> Iterator[tuple[str, np.ndarray]]:
        """Yields the arrays that a file keeps, by the attributes' names."""
        yield from vars(self).items()
