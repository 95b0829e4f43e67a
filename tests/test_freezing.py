"""Freeze points: total, idempotent, by index, name and share; errors that help."""

import keras
import numpy as np
import pytest
from helpers import tiny_backbone, with_head
from hypothesis import given, settings
from hypothesis import strategies as st

import tlkeras as tl
from tlkeras.freezing import freeze_index

BACKBONE = tiny_backbone()
MODEL = with_head(BACKBONE)


def trained_layers(model):
    backbone = tl.find_backbone(model)
    return [layer.name for layer in backbone.layers if layer.trainable]


def flags(model):
    return [layer.trainable for layer in tl.find_backbone(model).layers]


def test_none_freezes_all_of_the_backbone_and_nothing_of_the_head():
    tl.freeze(MODEL)
    assert trained_layers(MODEL) == []
    assert [v.path for v in MODEL.trainable_variables] == ["out/kernel", "out/bias"]


def test_an_int_freezes_the_layers_before_it():
    tl.freeze(MODEL, unfreeze_from=8)
    frozen = [layer.trainable for layer in BACKBONE.layers[:8]]
    assert not any(frozen)
    assert BACKBONE.layers[8].name in trained_layers(MODEL)


def test_a_negative_int_counts_from_the_end():
    assert freeze_index(BACKBONE, -2) == len(BACKBONE.layers) - 2


def test_a_name_and_a_prefix_mean_the_first_such_layer():
    names = [layer.name for layer in BACKBONE.layers]
    assert freeze_index(BACKBONE, "block2") == names.index("block2_conv")
    assert freeze_index(BACKBONE, "block3_bn") == names.index("block3_bn")


def test_a_prefix_ends_at_a_word():
    inputs = keras.Input((2,))
    x = keras.layers.Dense(2, name="layer_10_a")(inputs)
    x = keras.layers.Dense(2, name="layer_1_a")(x)
    assert freeze_index(keras.Model(inputs, x), "layer_1") == 2


def test_a_share_counts_layers_with_weights_from_the_top():
    names = [layer.name for layer in BACKBONE.layers]
    assert freeze_index(BACKBONE, 0.25) == names.index("block3_conv")
    assert freeze_index(BACKBONE, 0.26) == names.index("block2_conv")
    assert freeze_index(BACKBONE, 1.0) == names.index("stem_conv")


def test_a_share_of_batch_norms_alone_counts_them():
    inputs = keras.Input((2,))
    x = keras.layers.BatchNormalization(name="bn")(keras.layers.ReLU()(inputs))
    assert freeze_index(keras.Model(inputs, x), 0.3) == 2
    assert freeze_index(keras.Model(inputs, keras.layers.ReLU()(inputs)), 0.3) == 2


def test_batch_norms_stay_frozen_unless_asked():
    tl.freeze(MODEL, unfreeze_from="block3")
    assert "block3_bn" not in trained_layers(MODEL)
    tl.freeze(MODEL, unfreeze_from="block3", train_batch_norm=True)
    assert "block3_bn" in trained_layers(MODEL)


points = st.one_of(
    st.none(),
    st.integers(0, len(BACKBONE.layers)),
    st.sampled_from([layer.name for layer in BACKBONE.layers]),
    st.floats(0.01, 1.0),
)


@settings(deadline=None, max_examples=40)
@given(points, points)
def test_a_freeze_point_is_the_whole_state(earlier, point):
    tl.freeze(MODEL, unfreeze_from=point)
    expected = flags(MODEL)
    tl.freeze(MODEL, unfreeze_from=earlier)
    tl.freeze(MODEL, unfreeze_from=point)
    assert flags(MODEL) == expected
    tl.freeze(MODEL, unfreeze_from=point)
    assert flags(MODEL) == expected


def test_freezing_compiles_again_with_a_fresh_optimizer_like_the_old_one():
    model = with_head(tiny_backbone())
    old, loss = model.optimizer, model.loss
    tl.freeze(model, unfreeze_from="block2")
    assert model.optimizer is not old
    assert model.optimizer.get_config() == old.get_config()
    assert model.loss == loss
    frozen = tl.find_backbone(model).get_layer("stem_conv")
    before = np.array(frozen.kernel)
    model.fit(np.ones((2, 16, 16, 3)), np.array([0, 1]), verbose=0)
    np.testing.assert_array_equal(before, frozen.kernel)


@pytest.mark.slow
def test_an_uncompiled_model_stays_uncompiled():
    inputs = keras.Input((16, 16, 3))
    model = keras.Model(inputs, keras.layers.Flatten()(tiny_backbone()(inputs)))
    assert not tl.freeze(model).compiled


@pytest.mark.parametrize(
    ("before", "message"),
    [
        ("blok2", "Did you mean 'block2'"),
        ("", "No such freeze point"),
        (99, "beyond them"),
        (1.5, r"in \(0, 1\]"),
        (0.0, "above 0"),
        (True, "must be None, an int"),
        ([1], "must be None, an int"),
    ],
)
def test_a_freeze_point_that_does_not_exist(before, message):
    tl.freeze(MODEL, unfreeze_from="block2")
    expected = flags(MODEL)
    with pytest.raises(ValueError, match=message):
        tl.freeze(MODEL, unfreeze_from=before)
    assert flags(MODEL) == expected


def test_a_model_without_a_backbone():
    flat = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="has no backbone"):
        tl.freeze(flat)
    with pytest.raises(ValueError, match="must be a functional"):
        tl.freeze(keras.Sequential([keras.layers.Dense(2)]))


def test_several_nested_models_need_a_name_and_augmentations_do_not_count():
    inputs = keras.Input((16, 16, 3))
    augment = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.RandomFlip()])
    left, right = tiny_backbone(), tiny_backbone(blocks=1)
    right.name = "right"
    x = augment(inputs)
    one = keras.Model(inputs, left(x))
    assert tl.find_backbone(one) is left
    two = keras.Model(inputs, keras.layers.Add()([left(x), right(x)]))
    with pytest.raises(ValueError, match="nests several models"):
        tl.freeze(two)
    assert tl.find_backbone(two, "right") is right
    with pytest.raises(ValueError, match="names no model"):
        tl.find_backbone(two, "middle")


def test_trainable_summary_counts_and_prints():
    tl.freeze(MODEL, unfreeze_from="block3")
    summary = tl.trainable_summary(MODEL)
    assert summary.total == MODEL.count_params()
    assert summary.trainable == sum(np.prod(v.shape) for v in MODEL.trainable_variables)
    assert "block3_conv" in str(summary) and "frozen" in str(summary)


def test_vgg16_counts_are_those_of_the_classic_script():
    base = keras.applications.VGG16(
        weights=None, include_top=False, input_shape=(224, 224, 3)
    )
    inputs = keras.Input((224, 224, 3))
    x = keras.layers.Flatten()(base(inputs))
    x = keras.layers.Dense(256, activation="relu", name="fc")(x)
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    assert base.count_params() == 14_714_688
    assert model.get_layer("fc").count_params() == 6_422_784
    head = tl.trainable_summary(tl.freeze(model)).trainable
    assert head == 6_422_784 + 2 * 257
    by_index = tl.trainable_summary(tl.freeze(model, unfreeze_from=15))
    assert by_index.trainable == 7_079_424 + head
    assert by_index == tl.trainable_summary(tl.freeze(model, unfreeze_from="block5"))
