"""Balanced draws: shares, turns over the epochs, and the same for the same seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from tlkeras.outputs import Classes, Labels, Numbers
from tlkeras.outputs.sampling import (
    balanced_class_weights,
    balanced_positions,
    balanced_target_bins,
)

IMBALANCED = np.array([0] * 90 + [1] * 9 + [2])


def draws_of(labels, output=None, **arguments):
    """Returns the draws of labels; by default of as many classes as they show."""
    labels = np.asarray(labels)
    classes = labels.shape[1] if labels.ndim == 2 else labels.max() + 1
    shares, kinds = (output or Classes(int(classes))).shares(labels)
    return balanced_positions(shares, kinds, **arguments)


def drawn(positions, epochs, seed=0):
    return np.stack([positions(seed, epoch).numpy() for epoch in range(epochs)])


def test_class_weights_are_those_of_scikit_learn():
    expected = compute_class_weight("balanced", classes=np.arange(3), y=IMBALANCED)
    for labels in (IMBALANCED, IMBALANCED[:, None], np.eye(3)[IMBALANCED]):
        np.testing.assert_allclose(balanced_class_weights(labels, 3), expected)
    # An absent class does not change those of the others.
    assert balanced_class_weights(IMBALANCED, 5)[:3] == pytest.approx(expected)
    assert balanced_class_weights(IMBALANCED, 5)[3:].tolist() == [1, 1]


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 60), min_size=2, max_size=6),
    epoch=st.integers(0, 10_000),
    seed=st.integers(0, 2**31),
)
def test_classes_come_equally_often_within_rounding(sizes, epoch, seed):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    labels = np.random.default_rng(seed).permutation(labels)
    positions = draws_of(labels)(seed, epoch).numpy()
    assert positions.dtype == np.int64 and positions.shape == labels.shape
    counts = np.bincount(labels[positions], minlength=len(sizes))
    share = len(labels) / len(sizes)
    assert np.all(np.abs(counts - share) < 1 + 1e-9)
    # And the examples of a class equally often among themselves.
    times = np.bincount(positions, minlength=len(labels))
    expected = share / np.array(sizes)[labels]
    assert np.all(np.abs(times - expected) < 1 + 1e-9)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_is_frequent_takes_turns(seed):
    """Each of 90 is drawn by an epoch 0.37 times on average: all within 3 / 0.37."""
    epochs = drawn(draws_of(IMBALANCED), 40, seed)
    window = 9
    for start in range(40 - window):
        assert len(np.unique(epochs[start : start + window])) == 100
    times = np.bincount(epochs.ravel(), minlength=100)[:90]
    np.testing.assert_allclose(times, 40 * 100 / 3 / 90, atol=2.5)


@pytest.mark.parametrize("column", [False, True])
def test_two_classes_of_one_output(column):
    labels = np.array([0] * 9 + [1])
    output = Classes(2, single_unit=True)
    positions = draws_of(labels[:, None] if column else labels, output)
    assert np.bincount(labels[positions(0, 0).numpy()]).tolist() == [5, 5]


def test_draws_depend_on_seed_and_epoch_alone():
    first = drawn(draws_of(IMBALANCED), 4)
    again = drawn(draws_of(IMBALANCED), 4)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    other = drawn(draws_of(IMBALANCED), 4, seed=1)
    assert not np.array_equal(first, other)


def test_draws_inside_of_a_data_pipeline():
    import tensorflow as tf

    positions = draws_of(IMBALANCED)
    epochs = tf.data.Dataset.counter(3).map(lambda epoch: positions(7, epoch)).take(2)
    found = np.stack([epoch.numpy() for epoch in epochs])
    np.testing.assert_array_equal(found[0], positions(7, 3).numpy())
    np.testing.assert_array_equal(found[1], positions(7, 4).numpy())


def test_draws_are_in_random_order():
    labels = IMBALANCED[draws_of(IMBALANCED)(0, 0).numpy()]
    halves = np.bincount(labels[:50]), np.bincount(labels[50:])
    assert np.all(np.minimum(*halves) >= 8)


def test_fewer_draws_than_examples():
    """As from several views of each example."""
    views = np.concatenate([IMBALANCED, IMBALANCED[::-1]])
    epochs = drawn(draws_of(views, draws=100), 30)
    assert epochs.shape == (30, 100)
    for epoch in epochs:
        assert np.ptp(np.bincount(views[epoch])) <= 2
    assert len(np.unique(epochs)) == 200


def test_soft_rows_are_drawn_by_the_weights_of_their_classes():
    rows = np.eye(3)[IMBALANCED] * 0.9 + 0.1 / 3
    epochs = drawn(draws_of(rows), 100)
    times = np.bincount(epochs.ravel(), minlength=100) / 100
    expected = rows @ (100 / 3 / rows.sum(axis=0))
    np.testing.assert_allclose(times, expected, atol=0.05)
    assert times[99] > 8 * times[0]


def test_examples_of_rare_labels_are_repeated():
    """Repeat factors by hand: frequencies 0.8, 0.2, 0.05 and 0."""
    rows = np.zeros((100, 4), "float32")
    rows[:80, 0] = rows[70:90, 1] = rows[85:90, 2] = 1
    epochs = drawn(draws_of(rows, Labels(4)), 200)
    times = np.bincount(epochs.ravel(), minlength=100) / 200
    factors = np.ones(100)
    factors[70:90], factors[85:90] = 2, 4
    np.testing.assert_allclose(times, factors / factors.mean(), rtol=0.05)


def test_rows_without_a_label_do():
    found = drawn(draws_of(np.zeros((5, 2)), Labels(2)), 2)
    assert np.array_equal(np.sort(found, axis=1), [np.arange(5)] * 2)


def skewed_targets(n=2000):
    return np.random.default_rng(0).exponential(1.0, n).clip(0, 4).astype("float32")


def test_draws_even_out_the_targets():
    targets = skewed_targets()
    epochs = drawn(draws_of(targets, Numbers()), 5)
    before, after = (
        np.histogram(values, bins=8, range=(0, 4))[0] / len(values)
        for values in (targets, targets[epochs.ravel()])
    )
    assert before.max() / before.min() > 15
    assert after.max() / after.min() < 1.5


def test_weights_of_targets_by_hand():
    """One target in each of ten bins, but eleven in the first."""
    targets = np.concatenate([np.zeros(10), np.linspace(0, 9, 10)])
    (bins,) = balanced_target_bins(targets)
    kernel = np.exp(-0.5 * (np.arange(-2, 3) / 2) ** 2)
    counts = np.array([1, 11, 11, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1])
    density = np.array([kernel @ counts[i : i + 5] for i in range(10)])
    weights = 1 / density
    weights *= 20 / (10 * weights[0] + weights.sum())
    np.testing.assert_allclose(bins.weights, weights)
    np.testing.assert_allclose(bins(np.linspace(0, 9, 10)), weights)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(-1e6, 1e6, width=32, allow_nan=False), min_size=1, max_size=300)
)
def test_weights_of_targets_are_1_on_average_and_bounded(targets):
    targets = np.array(targets)
    (bins,) = balanced_target_bins(targets)
    weights = bins(targets)
    assert weights.mean() == pytest.approx(1)
    assert weights.min() > 0 and weights.max() <= 100.01 * weights.min()


def test_even_targets_have_even_weights():
    (bins,) = balanced_target_bins(np.linspace(0, 1, 1000))
    np.testing.assert_allclose(bins.weights, 1, rtol=0.15)
    (bins,) = balanced_target_bins(np.full(20, 7.0))
    np.testing.assert_allclose(bins(np.full(20, 7.0)), 1)


def test_several_outputs_count_the_same():
    targets = np.stack([skewed_targets(200), np.linspace(0, 9, 200)], axis=1)
    positions = draws_of(targets, Numbers(2))
    times = np.bincount(drawn(positions, 100).ravel(), minlength=200) / 100
    parts = [
        bins(column)
        for bins, column in zip(balanced_target_bins(targets), targets.T, strict=True)
    ]
    np.testing.assert_allclose(times, np.mean(parts, axis=0), atol=0.05)
