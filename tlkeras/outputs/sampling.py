"""How rare each example is, and the draws that let rare ones come more often."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

# How many times as much as another a label or a target may count: of what is next to
# absent, the few examples there are would otherwise be all that is learnt.
GREATEST_RATIO = 100.0

# Examples per bin of targets, where there are enough for the most bins.
_BIN_SIZE = 10
_FEWEST_BINS, _MOST_BINS = 10, 100
# The kernel of Yang et al.: Gaussian, two bins wide on either side.
_KERNEL = np.exp(-0.5 * (np.arange(-2, 3) / 2.0) ** 2)

_GOLDEN = (5**0.5 - 1) / 2


def balanced_class_weights(labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Returns a weight for each class, such that each counts the same in total.

    They are those of scikit-learn's `"balanced"`, for rows of probabilities too.

    Args:
        labels: Class numbers `(n,)` or `(n, 1)`, or rows `(n, num_classes)`.
        num_classes: The number of classes.

    Returns:
        float64 `(num_classes,)`; 1 for a class without examples. The mean over the
        examples is 1.
    """
    totals = _class_totals(labels, num_classes)
    present = totals > 0
    weights = np.ones(num_classes)
    weights[present] = totals.sum() / (present.sum() * totals[present])
    return weights


def are_numbers(shape: Any, num_classes: int) -> bool:
    """Whether labels of this shape are class numbers, not a row for each example."""
    return len(shape) == 1 or (len(shape) == 2 and shape[1] == 1 != num_classes)


def _class_totals(labels: np.ndarray, num_classes: int) -> np.ndarray:
    if not are_numbers(labels.shape, num_classes):
        return labels.sum(axis=0, dtype="float64")
    numbers = labels.reshape(-1).astype("int64")
    return np.bincount(numbers, minlength=num_classes).astype("float64")


class TargetBins(NamedTuple):
    """Weights of the targets of one output, by where they lie in the targets' range.

    Attributes:
        edges: float32, increasing: where one bin ends and the next begins.
        weights: float64, one more than edges. The mean over the examples is 1.
    """

    edges: np.ndarray
    weights: np.ndarray

    def __call__(self, targets: np.ndarray) -> np.ndarray:
        """Returns the weights of targets `(n,)`."""
        places = np.searchsorted(self.edges, targets.astype("float32"), side="right")
        return self.weights[places]


def balanced_target_bins(targets: np.ndarray) -> list[TargetBins]:
    """Returns weights of targets, for each output: the inverse of their density.

    The range of the targets is cut into bins of equal width, about ten examples each,
    at least 10 and at most 100 bins, and their counts are smoothed over five bins:
    targets close to a frequent one are not rare.

    Args:
        targets: Numbers `(n,)` or `(n, outputs)`.

    Reference:
        Yang et al., Delving into Deep Imbalanced Regression (2021): label distribution
        smoothing.
    """
    columns = targets.reshape(len(targets), -1).astype("float32")
    return [_target_bins(column) for column in columns.T]


def _target_bins(targets: np.ndarray) -> TargetBins:
    bins = min(max(len(targets) // _BIN_SIZE, _FEWEST_BINS), _MOST_BINS)
    low, high = np.float64(targets.min()), np.float64(targets.max())
    edges = np.linspace(low, high, bins + 1)[1:-1].astype("float32")
    places = np.searchsorted(edges, targets, side="right")
    counts = np.bincount(places, minlength=bins)
    # Mirrored at both ends: beyond the range there is nothing, neither many nor few.
    density = np.convolve(np.pad(counts, 2, mode="symmetric"), _KERNEL, "valid")
    weights = 1.0 / np.maximum(density, density.max() / GREATEST_RATIO)
    return TargetBins(edges, weights * len(targets) / (weights @ counts))


def balanced_positions(
    shares: np.ndarray, kinds: np.ndarray, draws: int | None = None
) -> Callable[[Any, Any], Any]:
    """Makes the draws of a training in which what is rare comes as often as the rest.

    Each epoch draws every example as often as its share says, rounded up or down. Of
    what is frequent the epochs take turns: an example of which an epoch draws `s` on
    average, less than one, comes at least once in any `3 / s` epochs.

    Args:
        shares: How often each example is to come, relative to others, float `(n,)`, as
            `Output.shares` gives them.
        kinds: Numbers by which like examples stand together, `(n,)`.
        draws: Examples per epoch; by default, as many as there are.

    Returns:
        A function of a seed and the number of an epoch, int64 scalars, for use inside
        of `tf.data`: positions, int64 `(draws,)`, in random order. They depend on these
        two alone.

    Example:

    >>> shares = class_shares(np.array([0, 0, 0, 1]), 2)
    >>> positions = balanced_positions(*shares)
    >>> np.bincount(positions(0, 0).numpy() == 3).tolist()
    [2, 2]

    Reference:
        Gupta et al., LVIS (2019): repeat factor sampling; Yang et al., Delving into
        Deep Imbalanced Regression (2021).
    """
    import tensorflow as tf

    most = len(shares) - 1
    count = len(shares) if draws is None else draws
    # Neighbours share their roundings: all of a kind must stand together.
    order = np.argsort(kinds, kind="stable")
    ends = np.cumsum(shares[order])
    # The graphs of `tf.data` run on the CPU.
    with tf.device("CPU:0"):
        order = tf.constant(order, "int64")
        ends = tf.constant(ends * (count / ends[-1]), "float64")

    @tf.autograph.experimental.do_not_convert
    def positions(seed: Any, epoch: Any) -> Any:
        seed, epoch = tf.convert_to_tensor(seed, "int64"), tf.cast(epoch, "int64")
        # Steps of the golden ratio leave no gap: each place is met again soon.
        first = tf.random.stateless_uniform([], tf.stack([seed, -1]), dtype="float64")
        offset = (first + tf.cast(epoch, "float64") * _GOLDEN) % 1.0
        points = offset + tf.range(count, dtype="float64")
        places = tf.searchsorted(ends, points, side="right")
        # Rounding may leave the last point behind the last end.
        drawn = tf.gather(order, tf.minimum(places, most))
        seeds = tf.stack([seed, epoch])
        return tf.random.experimental.stateless_shuffle(drawn, seed=seeds)

    return positions


def class_shares(labels: np.ndarray, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns shares with which classes come equally often, and each one's class.

    Args:
        labels: Class numbers `(n,)` or `(n, 1)`, or rows `(n, classes)`.
        classes: The number of classes.
    """
    weights = balanced_class_weights(labels, classes)
    if are_numbers(labels.shape, classes):
        numbers = labels.reshape(-1).astype("int64")
        return weights[numbers], numbers
    return labels @ weights, labels.argmax(axis=1)


def label_shares(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns shares with which rare labels come more often, and each one's rarest.

    Labels that are not exclusive cannot come equally often: an example comes
    `sqrt(f / g)` times as often as one without labels, 100 times at most, where `g` is
    the frequency of its rarest label and `f` that of the most frequent one.

    Args:
        labels: Rows of zeros and ones, `(n, labels)`.
    """
    frequencies = labels.sum(axis=0, dtype="float64")
    # A label without examples has no example to repeat.
    ratios = frequencies.max() / np.where(frequencies > 0, frequencies, np.inf)
    factors = labels * np.minimum(np.sqrt(ratios), GREATEST_RATIO)
    return np.maximum(factors.max(axis=1), 1.0), factors.argmax(axis=1)


def target_shares(targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the inverse of targets' density, and the targets of the first output.

    Args:
        targets: Numbers `(n,)` or `(n, outputs)`; of several outputs shares are means.
    """
    columns = targets.reshape(len(targets), -1)
    bins = balanced_target_bins(targets)
    parts = [find(column) for find, column in zip(bins, columns.T, strict=True)]
    return np.mean(parts, axis=0), columns[:, 0]
