"""Weights made of labels: their numbers, Keras' own, and what they do to learning."""

import keras
import numpy as np
import pytest
from helpers import solid_colours, tiny_backbone, with_head
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

import tlkeras as tl
from tlkeras.augmentation import resolve_augment
from tlkeras.outputs import Classes, LabelLoss, Labels, Numbers, output_of_keras
from tlkeras.outputs.sampling import balanced_positions

X, Y = solid_colours(12, 3)
MULTI = np.array([[1, 0, 1], [0, 0, 1], [0, 0, 1], [1, 1, 1]], "float32")


def classes(class_weight, names=3, labels=None):
    return Classes(names).weighing(class_weight, labels)


def several(class_weight, labels=None, loss=None):
    return Labels(3).weighing(class_weight, labels, loss)


def regression(targets):
    output = Numbers(targets.shape[1] if targets.ndim == 2 else 1)
    return output.weighing("balanced", targets)


def dataset(*arrays, size=4):
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices(arrays).batch(size)


def test_nothing_to_weigh():
    assert classes(None) is None


@pytest.mark.parametrize("form", ["numbers", "column", "rows"])
def test_weights_of_classes(form):
    labels = {"numbers": Y, "column": Y[:, None], "rows": np.eye(3)[Y]}[form]
    weights = {0: 1.0, 1: 2.0, 2: 0.5}
    found = classes(weights, labels=labels)(labels).numpy()
    assert found.dtype == "float32"
    np.testing.assert_allclose(found, [weights[y] for y in Y])


def test_classes_may_be_named():
    names = ("cat", "dog", "newt")
    found = classes({"newt": 3, "cat": 1, "dog": 2}, names)
    assert found(np.array([0, 1, 2])).numpy().tolist() == [1, 2, 3]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=5, max_size=80))
def test_balanced_weights_of_classes(labels):
    labels = np.array(labels)
    found = classes("balanced", 5, labels=labels)(labels).numpy()
    present = np.unique(labels)
    expected = compute_class_weight("balanced", classes=present, y=labels)
    places = np.searchsorted(present, labels)
    np.testing.assert_allclose(found, expected[places], rtol=1e-6)
    assert found.mean() == pytest.approx(1)


def test_mixed_labels_weigh_what_they_are_mixed_of():
    rows = np.array([[0.6, 0.4, 0.0], [0.0, 0.1, 0.9]], "float32")
    found = classes({0: 1.0, 1: 10.0, 2: 2.0})(rows).numpy()
    np.testing.assert_allclose(found, [0.6 + 4.0, 1.0 + 1.8], rtol=1e-6)


def test_labels_that_mixup_made():
    import tensorflow as tf

    augment = resolve_augment("mixup", output=tl.Classes(3), seed=0)
    weighing = classes("balanced", labels=Y)
    mixed = augment.over(tf.data.Dataset.from_tensor_slices((X, Y)).batch(6))
    for _, labels, weights in weighing.over(mixed):
        assert labels.shape == (6, 3)
        np.testing.assert_allclose(weights, np.ones(6), rtol=1e-6)


@pytest.mark.parametrize("form", ["numbers", "rows"])
def test_the_same_losses_as_with_class_weight_of_keras(form):
    """Keras' own weights, batch for batch, in training and in the model it makes."""
    weights = {0: 0.2, 1: 3.0, 2: 1.0}
    labels = np.eye(3, dtype="float32")[Y] if form == "rows" else Y
    ours, theirs = (
        tl.image_classifier(tiny_backbone(blocks=0), 3, preprocessing=None)
        for _ in range(2)
    )
    theirs.set_weights(ours.get_weights())
    batches, logs = dataset(X, labels), []
    fitting = {"epochs": 3, "shuffle": False, "verbose": 0}
    weighed = classes(weights).over(batches)
    logs.append(ours.fit(weighed, **fitting).history)
    logs.append(theirs.fit(batches, class_weight=weights, **fitting).history)
    np.testing.assert_allclose(logs[0]["loss"], logs[1]["loss"], rtol=1e-5)
    np.testing.assert_allclose(logs[0]["accuracy"], logs[1]["accuracy"])


def test_weights_that_are_there_are_multiplied():
    weighing, own = classes({0: 1, 1: 2, 2: 3}), np.linspace(0, 1, 12)
    batches = list(weighing.over(dataset(X, Y, own)))
    found = np.concatenate([weights for *_, weights in batches])
    np.testing.assert_allclose(found, own * (Y + 1), rtol=1e-6)
    np.testing.assert_array_equal(np.concatenate([y for _, y, _ in batches]), Y)
    np.testing.assert_allclose(weighing(Y, own), found)
    rows = several("balanced", MULTI)
    both = rows(MULTI, np.arange(4)).numpy()
    np.testing.assert_allclose(both, rows(MULTI).numpy() * np.arange(4)[:, None])


def test_positives_and_negatives_of_a_label_weigh_the_same():
    found = several("balanced", MULTI)(MULTI).numpy()
    expected = [[1, 2 / 3, 1], [1, 2 / 3, 1], [1, 2 / 3, 1], [1, 2, 1]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), rarest=st.floats(0.0, 0.5))
def test_weights_of_labels_are_1_on_average_and_bounded(seed, rarest):
    random = np.random.default_rng(seed)
    rows = (random.random((400, 3)) < [0.5, rarest, 1 - rarest / 50]).astype("float32")
    weighing = several("balanced", rows)
    weights = weighing(rows).numpy()
    mean = weights.mean(axis=0, dtype="float64")
    np.testing.assert_allclose(mean, 1, rtol=1e-5)
    for label in range(3):
        column, has = weights[:, label], rows[:, label] == 1
        assert column.max() <= 100.01 * column.min()
        if 4 < has.sum() < 396:
            assert column[has].sum() == pytest.approx(column[~has].sum(), rel=1e-4)


def test_a_mapping_weighs_the_examples_that_have_a_label():
    weighing = several({0: 3.0, 1: 1.0, 2: 0.5})
    expected = [[3, 1, 0.5], [1, 1, 0.5], [1, 1, 0.5], [3, 1, 0.5]]
    np.testing.assert_allclose(weighing(MULTI), expected)


def test_labels_are_weighed_one_by_one_in_fit():
    """The loss by hand: the mean over examples and labels of weight times loss."""
    model = tl.image_classifier(
        tiny_backbone(blocks=1), 3, multi_label=True, preprocessing=None
    )
    weighing = several("balanced", MULTI, model.loss)
    p = np.clip(model.predict(X[:4], verbose=0), 1e-7, 1 - 1e-7)
    losses = -np.log(np.where(MULTI == 1, p, 1 - p))
    weights = np.array([[1, 2 / 3, 1], [1, 2 / 3, 1], [1, 2 / 3, 1], [1, 2, 1]])
    found = model.evaluate(weighing.over(dataset(X[:4], MULTI)), verbose=0)[0]
    assert found == pytest.approx((weights * losses).mean(), rel=1e-5)
    weighed = weighing.over(dataset(X[:4], MULTI))
    history = model.fit(weighed, epochs=2, shuffle=False, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


def test_weights_of_targets():
    targets = np.random.default_rng(0).exponential(1.0, 500)
    found = regression(targets)(targets).numpy()
    assert found.mean() == pytest.approx(1, rel=1e-5)
    assert found[targets > 3].mean() > 5 * found[targets < 1].mean()
    np.testing.assert_allclose(regression(targets)(targets[:, None]), found)
    # Beyond the range of training, as at its ends.
    ends = regression(targets)(np.array([-9.0, targets.min(), targets.max(), 99.0]))
    assert ends[0] == ends[1] and ends[2] == ends[3]


def test_weights_of_several_targets_are_their_mean():
    one, two = np.random.default_rng(0).exponential(1.0, (2, 300))
    both = np.stack([one, two], axis=1)
    expected = (regression(one)(one) + regression(two)(two)) / 2
    np.testing.assert_allclose(regression(both)(both), expected, rtol=1e-6)


def test_weights_of_targets_in_fit():
    targets = np.linspace(0, 1, 12).astype("float32") ** 4
    model = tl.image_regressor(tiny_backbone(blocks=1), preprocessing=None)
    weights = regression(targets)(targets).numpy()
    errors = (model.predict(X, verbose=0)[:, 0] - targets) ** 2
    found = model.evaluate(regression(targets).over(dataset(X, targets)), verbose=0)
    assert found[0] == pytest.approx((weights * errors).mean(), rel=1e-4)


NAMES = ("cat", "dog", "newt")


@pytest.mark.parametrize(
    ("output", "class_weight", "loss", "message"),
    [
        (Classes(3), "balancd", None, "Did you mean 'balanced'"),
        (Classes(3), [1.0, 2.0], None, "each class number"),
        (Classes(3), {0: 1.0}, None, "from 0 to 2"),
        (Classes(3), {0: 1, 1: 1, 2: 1, 3: 1}, None, "from 0 to 2"),
        (Classes(NAMES), {0: 1, 1: 1, "cat": 1}, None, "'newt'"),
        (Classes(NAMES), {0: 1, 1: 1, "newt": -1}, None, "at least"),
        (Classes(3), {"a": 1, "b": 1, "c": 1}, None, "each class number"),
        (Numbers(), {0: 1.0}, None, "it has no classes"),
        (Labels(3), "balanced", "bce", "LabelLoss"),
        (
            Labels(3),
            {0: 1, 1: 1, 2: 1},
            keras.losses.BinaryFocalCrossentropy(),
            "outputs.LabelLoss.'binary_focal_crossentropy'",
        ),
    ],
)
def test_what_cannot_be_weighed(output, class_weight, loss, message):
    with pytest.raises(ValueError, match=message):
        output.weighing(class_weight, MULTI, loss)


@pytest.mark.parametrize("output", [Classes(3), Labels(3), Numbers()])
def test_balance_needs_to_know_the_labels(output):
    with pytest.raises(ValueError, match="pass a dataset of `Splits`"):
        output.weighing("balanced", None)


def test_pictures_of_labels_are_not_weighed():
    with pytest.raises(ValueError, match=r"labels of shape \(2, 4, 4\)"):
        classes({0: 1, 1: 2, 2: 3})(np.zeros((2, 4, 4)))


def test_losses_that_have_a_value_for_each_label():
    def own(y_true, y_pred):
        return (y_true - y_pred) ** 2

    for loss in (own, LabelLoss("binary_crossentropy"), None):
        assert several("balanced", MULTI, loss)(MULTI).shape == (4, 3)


BINARY = keras.losses.BinaryCrossentropy()


@pytest.mark.parametrize(
    ("labels", "loss", "outputs", "shape"),
    [
        (Y, "sparse_categorical_crossentropy", 3, (12,)),
        (np.eye(3)[Y], keras.losses.CategoricalCrossentropy(), 3, (12,)),
        (Y % 2, BINARY, 1, (12,)),
        ((Y % 2)[:, None].astype("float32"), "binary_crossentropy", 1, (12,)),
        (Y, "mse", 1, (12,)),
        (Y * 0.1, keras.losses.MeanSquaredError(), 1, (12,)),
        (np.stack([Y, -Y], 1), "mse", 2, (12,)),
        (MULTI, LabelLoss(BINARY), 3, (4, 3)),
        (np.eye(3)[Y], LabelLoss(BINARY), 3, (12, 3)),
    ],
)
def test_models_of_others_tell_what_is_weighed(labels, loss, outputs, shape):
    output = output_of_keras(loss, None, outputs, labels)
    weighing = output.weighing("balanced", labels, loss)
    weights = weighing(labels).numpy()
    assert weights.shape == shape and weights.mean() == pytest.approx(1, rel=1e-5)


def test_a_mapping_for_a_model_of_others():
    weights = {0: 1.0, 1: 4.0}
    sigmoid = output_of_keras(BINARY, None, 1).weighing(weights, None, BINARY)
    assert sigmoid(np.array([[0.0], [1.0]])).numpy().tolist() == [1, 4]
    with pytest.raises(ValueError, match="LabelLoss"):
        output_of_keras(BINARY, None, 2).weighing(weights, None, BINARY)


def imbalanced_colours(n=200):
    """Returns noisy colours that overlap, nine of one for one of the other."""
    random = np.random.default_rng(5)
    labels = (np.arange(n) % 10 == 9).astype("int32")
    colours = np.array([[110, 128, 128], [146, 128, 128]])[labels]
    colours = colours + random.normal(0, 25, (n, 3))
    pixels = colours[:, None, None, :] + random.normal(0, 5, (n, 16, 16, 3))
    return pixels.clip(0, 255).astype("float32"), labels


def recalls(treatment):
    """Returns the recall of both classes after training on epochs in one dataset."""
    import tensorflow as tf

    x, y = imbalanced_colours()
    keras.utils.set_random_seed(0)
    model = with_head(tiny_backbone(width=3, blocks=0))
    model.compile(keras.optimizers.Adam(0.1), model.loss, jit_compile=False)
    epochs = [np.arange(len(y))] * 15
    if treatment == "sampling":
        positions = balanced_positions(*Classes(2).shares(y))
        epochs = [positions(0, epoch).numpy() for epoch in range(15)]
    chosen = tf.data.Dataset.from_tensor_slices(np.concatenate(epochs))
    batches = chosen.batch(50).map(
        lambda rows: (tf.gather(x, rows), tf.gather(y, rows))
    )
    if treatment == "weights":
        batches = classes("balanced", 2, labels=y).over(batches)
    model.fit(batches, shuffle=False, verbose=0)
    found = model.predict(x, batch_size=200, verbose=0).argmax(axis=1)
    return [float(np.mean(found[y == label] == label)) for label in (0, 1)]


@pytest.mark.slow
def test_balance_raises_the_recall_of_the_rare_class():
    plain, weights, sampling = map(recalls, ("none", "weights", "sampling"))
    assert plain[1] < 0.6
    for treated in (weights, sampling):
        assert treated[1] > plain[1] + 0.2 and treated[0] > 0.7
    assert recalls("sampling") == sampling and recalls("weights") == weights
