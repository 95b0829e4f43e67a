"""Heads: shapes, dtypes, and a loss that takes class numbers and soft targets."""

import keras
import numpy as np
import pytest

from tlkeras.heads import ClassCrossentropy, add_head


def layer_names(inputs, outputs):
    return [type(layer).__name__ for layer in keras.Model(inputs, outputs).layers[1:]]


def test_the_classic_head():
    x = keras.Input((7, 7, 512))
    y = add_head(x, 3, "softmax", head="flatten", hidden=(256,))
    assert layer_names(x, y) == ["Flatten", "Dense", "Dense"]
    assert keras.Model(x, y).count_params() == 7 * 7 * 512 * 256 + 256 + 257 * 3


@pytest.mark.parametrize(
    ("shape", "pooling"),
    [
        ((4, 4, 8), "GlobalAveragePooling2D"),
        ((5, 8), "GlobalAveragePooling1D"),
        ((8,), "Dense"),
    ],
)
def test_pooling_follows_the_rank_of_the_features(shape, pooling):
    x = keras.Input(shape)
    assert layer_names(x, add_head(x, 2, None))[0] == pooling


def test_dropout_stands_before_every_dense_layer():
    x = keras.Input((8,))
    y = add_head(x, 2, None, hidden=(4,), dropout=0.5)
    assert layer_names(x, y) == ["Dropout", "Dense", "Dropout", "Dense"]


def test_weight_decay_penalises_every_kernel():
    x = keras.Input((8,))
    model = keras.Model(x, add_head(x, 2, None, hidden=(4,), weight_decay=0.5))
    expected = 0.5 * sum(np.sum(np.square(layer.kernel)) for layer in model.layers[1:])
    np.testing.assert_allclose(sum(model.losses), expected, rtol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_outputs_are_float32_under_mixed_precision(policy):
    keras.config.set_dtype_policy(policy)
    x = keras.Input((8,))
    y = add_head(x, 2, "softmax", hidden=(4,))
    assert y.dtype == "float32"
    assert keras.Model(x, y).layers[1].compute_dtype == policy.removeprefix("mixed_")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"head": "poll"}, "Did you mean 'pool'"),
        ({"hidden": 256}, "must be a tuple"),
        ({"hidden": (0,)}, "at least 1"),
        ({"dropout": 1.0}, "below 1"),
        ({"weight_decay": -1}, "at least 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        add_head(keras.Input((8,)), 2, None, **arguments)


def test_flatten_needs_a_fixed_size_and_a_head_needs_features():
    with pytest.raises(ValueError, match="fixed input size"):
        add_head(keras.Input((None, None, 8)), 2, None, head="flatten")
    with pytest.raises(ValueError, match="rank 2, 3 or 4"):
        add_head(keras.Input((2, 3, 4, 8)), 2, None)


PROBABILITIES = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6]], "float32")
LABELS = np.array([0, 1])
ONE_HOT = np.eye(3, dtype="float32")[LABELS]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_class_numbers_and_distributions_give_the_same_loss(smoothing):
    loss = ClassCrossentropy(label_smoothing=smoothing)
    expected = keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)(
        ONE_HOT, PROBABILITIES
    )
    for targets in (LABELS, LABELS[:, None], ONE_HOT):
        np.testing.assert_allclose(loss(targets, PROBABILITIES), expected, rtol=1e-5)


def test_soft_targets_are_not_taken_for_class_numbers():
    mixed = 0.5 * ONE_HOT + 0.5 * ONE_HOT[::-1]
    expected = keras.losses.CategoricalCrossentropy()(mixed, PROBABILITIES)
    np.testing.assert_allclose(ClassCrossentropy()(mixed, PROBABILITIES), expected)


def test_the_loss_survives_saving():
    config = keras.losses.serialize(ClassCrossentropy(label_smoothing=0.2))
    assert keras.losses.deserialize(config).label_smoothing == 0.2
