"""Linear models of features: what is solved is the minimum, and generalises."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from tlkeras.linear import Rows, Targets, solve, strength
from tlkeras.linear import rows as rows_module
from tlkeras.linear.least_squares import LeastSquares, minimum_of
from tlkeras.linear.minimum import Held, Minimum

N, WIDTH, CLASSES = 90, 12, 3


def clouds(count=N, seed=0, apart=1.0, width=WIDTH):
    """Returns features of three classes around a mean each, and the classes."""
    centres = np.random.default_rng(7).normal(size=(CLASSES, width)) * apart
    labels = np.arange(count) % CLASSES
    noise = np.random.default_rng(seed).normal(size=(count, width))
    # Columns of different size and place, as features have.
    return (centres[labels] + noise) * np.linspace(0.5, 3, width) + 3, labels


def classes(labels, weights=None):
    weights = np.ones(len(labels)) if weights is None else weights
    return Targets(np.eye(CLASSES)[labels], weights[:, None], "softmax", labels)


def softmax(logits):
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def test_classes_are_those_of_a_logistic_regression():
    x, y = clouds()
    found = solve(x, classes(y), penalty=0.1)
    learner = LogisticRegression(C=1 / (0.1 * N), tol=1e-8, max_iter=5000).fit(x, y)
    ours = softmax(x @ found.kernel + found.bias)
    np.testing.assert_allclose(ours, learner.predict_proba(x), atol=1e-4)
    assert (found.strength, found.folds, found.cross_validated) == (0.1, 0, None)


def test_numbers_are_those_of_a_ridge_regression():
    x, y = clouds()
    targets = np.stack([x[:, 0] - 2 * x[:, 5], y + 0.5 * x[:, 3]], axis=1)
    found = solve(x, Targets(targets, np.ones((N, 1)), "identity"), penalty=0.2)
    # Halved squares, meant over both numbers.
    ridge = Ridge(alpha=0.2 * N * 2).fit(x, targets)
    np.testing.assert_allclose(found.kernel.T, ridge.coef_, atol=1e-4)
    np.testing.assert_allclose(found.bias, ridge.intercept_, atol=1e-3)


@pytest.mark.parametrize("unit", [1e-9, 1.0, 1e12])
def test_the_unit_of_numbers_does_not_matter(unit):
    x, y = clouds()
    targets = np.stack([x[:, 0] - 2 * x[:, 5], np.full(N, 7.0)], axis=1)
    plain = solve(x, Targets(targets, np.ones((N, 1)), "identity"))
    scaled = solve(x, Targets(targets * unit, np.ones((N, 1)), "identity"))
    assert scaled.strength == plain.strength
    np.testing.assert_allclose(scaled.kernel / unit, plain.kernel, atol=1e-5)
    np.testing.assert_allclose(scaled.bias / unit, plain.bias, atol=1e-4)


def test_labels_are_learnt_of_those_examples_that_have_them():
    x, y = clouds()
    values = np.stack([y == 0, y == 1], axis=1).astype(float)
    weights = np.ones_like(values)
    weights[::4, 0] = 0
    found = solve(x, Targets(values, weights, "sigmoid"), penalty=0.1)
    for label in range(2):
        known = weights[:, label] > 0
        learner = LogisticRegression(C=1 / (0.1 * weights.sum()), tol=1e-8)
        learner.fit(x[known], values[known, label])
        logits = x @ found.kernel[:, label] + found.bias[label]
        np.testing.assert_allclose(logits, learner.decision_function(x), atol=1e-3)


def test_a_weight_of_two_is_an_example_twice():
    x, y = clouds()
    weights = np.where(y == 0, 2.0, 1.0)
    twice = np.concatenate([np.arange(N), np.flatnonzero(y == 0)])
    weighed = solve(x, classes(y, weights), penalty=0.1)
    repeated = solve(x[twice], classes(y[twice]), penalty=0.1)
    ours, theirs = (softmax(x @ s.kernel + s.bias) for s in (weighed, repeated))
    np.testing.assert_allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize("held", [True, False])
def test_what_weighs_nothing_is_as_good_as_left_out(held, monkeypatch):
    if not held:
        monkeypatch.setattr(rows_module, "_HELD_BYTES", 0)
        monkeypatch.setattr(rows_module, "_BLOCK_BYTES", 7 * 8 * WIDTH)
    x, y = clouds()
    nothing = np.arange(N) % 4 == 1
    x[nothing] = 1e3 * x[nothing] + 50
    groups, kept = np.arange(N) // 4, ~nothing
    among = solve(x, classes(y, 1.0 - nothing), groups=groups)
    without = solve(x[kept], classes(y[kept]), groups=groups[kept])
    assert among.facts == without.facts
    np.testing.assert_allclose(among.kernel, without.kernel, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(among.bias, without.bias, rtol=1e-6, atol=1e-9)


def test_what_does_not_fit_memory_is_read_in_blocks(monkeypatch):
    x, y = clouds()
    whole = solve(x, classes(y))
    monkeypatch.setattr(rows_module, "_HELD_BYTES", 0)
    monkeypatch.setattr(rows_module, "_BLOCK_BYTES", 7 * 8 * WIDTH)
    released = []
    parts = solve(x, classes(y), release=released.append)
    assert len(released) > N // 7
    assert parts.strength == whole.strength
    np.testing.assert_allclose(parts.kernel, whole.kernel, atol=1e-3)


@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_features_of_low_precision_and_constant_ones(dtype):
    x, y = clouds()
    x = np.concatenate([x, np.full((N, 1), 5.0)], axis=1)
    exact, rounded = solve(x, classes(y)), solve(x.astype(dtype), classes(y))
    np.testing.assert_allclose(rounded.kernel, exact.kernel, atol=0.02)
    assert np.all(rounded.kernel[-1] == 0)


def test_a_column_that_is_constant_but_for_rounding_gets_no_weight():
    """A text backbone has such; fine-tuning moves it, and a weight of 1e7 with it."""
    x, y = clouds()
    rounding = np.random.default_rng(0).normal(size=(N, 1)) * 1e-8
    found = solve(np.concatenate([x, 0.3 + rounding], axis=1), classes(y))
    assert np.abs(found.kernel[-1]).max() < 1e-3


def test_the_same_data_give_the_same_bits():
    x, y = clouds()
    one, two = solve(x, classes(y), seed=3), solve(x, classes(y), seed=3)
    assert np.array_equal(one.kernel, two.kernel)
    assert one.facts == two.facts


def test_more_columns_than_rows_lose_nothing():
    x, y = clouds(30, width=200)
    reduced = strength._reduced(x)
    assert reduced.shape[1] <= 30
    np.testing.assert_allclose(reduced @ reduced.T, x @ x.T, rtol=1e-3)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("each", [3, 30])
def test_it_is_as_good_as_class_means_and_knows_how_good(seed, each):
    x, y = clouds(CLASSES * each, seed, apart=0.5, width=60)
    others, right = clouds(900, 100 + seed, apart=0.5, width=60)
    found = solve(x, classes(y), seed=seed)
    outputs = softmax(others @ found.kernel + found.bias)
    loss = -np.log(outputs[np.arange(900), right]).mean()
    assert loss < np.log(CLASSES)
    scaled, asked = ((rows - x.mean(0)) / x.std(0) for rows in (x, others))
    means = np.stack([scaled[y == c].mean(0) for c in range(CLASSES)])
    distances = np.linalg.norm(asked[:, None] - means, axis=2)
    by_means = (distances.argmin(axis=1) == right).mean()
    assert (outputs.argmax(axis=1) == right).mean() >= by_means - 0.03
    # What cross-validation led to expect is about what came; of 9 examples it is less.
    assert loss - 0.3 < found.cross_validated < loss + (0.3 if each == 30 else 0.6)


def test_two_examples_of_a_class_do_not_make_it_sure_of_itself():
    """The least of many held-out losses is least by chance, at a factor of 10 too."""
    losses = []
    for seed in range(4):
        x, y = clouds(2 * CLASSES, seed, apart=0.15, width=200)
        others, right = clouds(300, 100 + seed, apart=0.15, width=200)
        found = solve(x, classes(y), seed=seed)
        outputs = softmax(others @ found.kernel + found.bias)
        losses.append(-np.log(outputs[np.arange(300), right]).mean())
    assert np.mean(losses) < np.log(CLASSES)


def test_noise_teaches_nothing():
    x, y = np.random.default_rng(0).normal(size=(60, 40)), np.arange(60) % CLASSES
    found = solve(x, classes(y))
    outputs = softmax(np.random.default_rng(1).normal(size=(200, 40)) @ found.kernel)
    assert outputs.max() < 0.75


@pytest.mark.parametrize(
    "labels", [[0, 1], [0, 1, 2], [0, 0, 0, 0, 1], [0, 0, 0, 1, 1, 2], [1, 1, 1]]
)
def test_very_few_examples(labels):
    labels = np.array(labels)
    x = np.random.default_rng(0).normal(size=(len(labels), WIDTH)) + labels[:, None]
    found = solve(x, classes(labels))
    assert np.isfinite(found.kernel).all() and np.isfinite(found.bias).all()


@pytest.mark.parametrize("count", [0, 1])
def test_a_class_with_no_example_to_hold_out_does_not_decide(count):
    x, y = clouds(60, apart=1.5)
    rare = np.flatnonzero(y == 2)[count:]
    kept = np.setdiff1d(np.arange(60), rare)
    others, right = clouds(300, 1, apart=1.5)
    others, right = others[right != 2], right[right != 2]
    losses = []
    for rows in (np.arange(60), kept):
        found = solve(x[rows], classes(y[rows]))
        outputs = softmax(others @ found.kernel + found.bias)
        losses.append(-np.log(outputs[np.arange(len(right)), right]).mean())
    assert losses[1] < 1.5 * losses[0] + 0.05


def test_a_group_is_held_out_as_one():
    x, y = clouds()
    groups = np.arange(N) // 6
    for kept, held in strength._folds(classes(y), groups, seed=0):
        assert not set(groups[kept]) & set(groups[held])


def test_copies_in_one_group_do_not_make_the_penalty_weak():
    """Copies of an example in several folds would be known by heart."""
    x, y = clouds(30, apart=0.3)
    x, y = np.repeat(x, 6, axis=0), np.repeat(y, 6)
    apart = solve(x, classes(y))
    together = solve(x, classes(y), groups=np.repeat(np.arange(30), 6))
    assert together.strength > apart.strength
    assert together.cross_validated > apart.cross_validated


def test_standardised_rows():
    x, _ = clouds()
    rows = Rows(x)
    every = rows.at(np.arange(N), "float64")
    np.testing.assert_allclose(every.mean(axis=0), 0, atol=1e-9)
    # Of 90 rows a little nearer to each other than they are, with 10,000 not.
    assert every.std(axis=0).min() < 0.95
    many = Rows(np.repeat(x, 200, axis=0)).at(np.arange(18_000), "float64")
    np.testing.assert_allclose(many.std(axis=0), 1, atol=0.05)
    # Numbers that differ by a millionth say nothing, and stay small.
    near = Rows(1 + 1e-6 * np.random.default_rng(0).normal(size=(20, 2)) * [1, 1e6])
    assert np.abs(near.at(np.arange(20))[:, 0]).max() < 1e-4


@pytest.mark.parametrize("missing", [False, True])
def test_numbers_are_solved_in_closed_form_as_by_steps(missing):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 6))
    y = x @ rng.normal(size=(6, 3)) + rng.normal(size=(80, 3)) + 5
    weights = rng.uniform(0.5, 2, (80, 1)) * np.ones(3)
    if missing:
        weights *= rng.random((80, 3)) < 0.8
    targets = Targets(np.where(weights > 0, y, 0), weights, "identity")
    closed = minimum_of(Held(x), targets)
    assert isinstance(closed, LeastSquares)
    for penalty in (1e-3, 0.1, rng.uniform(0.01, 1, 6)):
        by_steps = Minimum(Held(x), targets, 1e-9).find(penalty)
        for found, expected in zip(closed.find(penalty), by_steps, strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-4)
    uneven = Targets(y, weights * [1, 2, 3], "identity")
    assert isinstance(minimum_of(Held(x), uneven), Minimum)
