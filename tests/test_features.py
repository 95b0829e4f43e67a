"""Splitting at the freeze point: prefix then suffix equals the whole, bit for bit."""

import keras
import numpy as np
import pytest
from helpers import solid_colours, tiny_backbone, with_head
from hypothesis import given, settings
from hypothesis import strategies as st

import tlkeras as tl
from tlkeras.features import join

# Small inputs and, in each backbone, a cut at a block, one inside a block, and none.
BACKBONES = {
    "VGG16": (32, ["block5", "block4_conv2", None]),
    "ResNet50": (32, ["conv5", "conv4_block3_2_conv", None]),
    "MobileNetV2": (32, ["block_15", "block_7_depthwise", None]),
    "EfficientNetB0": (32, ["block6a", "block4b_dwconv", None]),
    "ConvNeXtTiny": (32, ["convnext_tiny_stage_3", 0.3, None]),
    "InceptionV3": (75, ["mixed7", 250, None]),
    "MobileNetV3Small": (32, ["expanded_conv_6", 0.3, None]),
}


def pictures(size, n=2):
    rng = np.random.default_rng(0)
    return rng.uniform(0, 255, (n, size, size, 3)).astype("float32")


def assert_split_is_exact(model, x):
    parts = tl.split_model(model)
    whole = np.array(model(x, training=False))
    cut = parts.prefix(x, training=False)
    np.testing.assert_array_equal(parts.suffix(cut, training=False), whole)
    np.testing.assert_array_equal(join(parts)(x, training=False), whole)
    assert not parts.prefix.trainable_variables
    assert {id(v) for v in parts.suffix.trainable_variables} == {
        id(v) for v in model.trainable_variables
    }
    return parts


QUICK = ("VGG16",)


@pytest.mark.parametrize(
    "name",
    [
        name if name in QUICK else pytest.param(name, marks=pytest.mark.slow)
        for name in BACKBONES
    ],
)
def test_prefix_then_suffix_equals_the_whole(name):
    size, points = BACKBONES[name]
    base = getattr(keras.applications, name)(
        weights=None, include_top=False, input_shape=(size, size, 3)
    )
    model, x = with_head(base, 3), pictures(size)
    for point in points:
        assert_split_is_exact(tl.freeze(model, unfreeze_from=point), x)


TINY = with_head(tiny_backbone(blocks=2))
TINY_BACKBONE = tl.find_backbone(TINY)


@settings(deadline=None, max_examples=len(TINY_BACKBONE.layers) + 1)
@given(st.integers(0, len(TINY_BACKBONE.layers)), st.booleans())
def test_every_cut_of_a_residual_backbone_is_exact(index, train_batch_norm):
    tl.freeze(TINY, unfreeze_from=index, train_batch_norm=train_batch_norm)
    assert_split_is_exact(TINY, pictures(16))


def test_a_cut_inside_a_residual_block_carries_both_branches():
    tl.freeze(TINY, unfreeze_from="block2_conv")
    assert len(keras.tree.flatten(tl.split_model(TINY).prefix.output)) == 1
    inputs = keras.Input((8,))
    x = keras.layers.Dense(8, name="a")(inputs)
    y = keras.layers.Dense(4, name="b")(x)
    z = keras.layers.Dense(8, name="c")(y)
    base = keras.Model(inputs, keras.layers.Add()([x, z]))
    outer = keras.Input((8,))
    model = keras.Model(outer, base(outer))
    parts = tl.split_model(tl.freeze(model, unfreeze_from="c"))
    shapes = [tensor.shape for tensor in keras.tree.flatten(parts.prefix.output)]
    assert shapes == [(None, 4), (None, 8)]


def test_a_frozen_backbone_takes_the_pooling_along():
    parts = tl.split_model(tl.freeze(TINY))
    assert parts.prefix.output_shape == (None, 4)
    assert [layer.name for layer in parts.suffix.layers][-1] == "out"


def test_the_prefix_ends_where_the_tensors_are_smallest():
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, padding="same", name="low")(inputs)
    x = keras.layers.MaxPooling2D()(x)
    x = keras.layers.UpSampling2D(4)(x)
    base = keras.Model(inputs, keras.layers.Conv2D(4, 3, name="high")(x))
    outer = keras.Input((8, 8, 3))
    model = keras.Model(outer, base(outer))
    parts = tl.split_model(tl.freeze(model, unfreeze_from="high"))
    assert parts.prefix.output_shape == (None, 4, 4, 4)


def test_inputs_that_bypass_the_backbone_reach_the_suffix():
    base = tiny_backbone()
    image, extra = keras.Input((16, 16, 3)), keras.Input((2,), name="extra")
    x = keras.layers.GlobalAveragePooling2D()(base(image))
    x = keras.layers.Concatenate()([x, keras.layers.Dense(3)(extra)])
    model = keras.Model([image, extra], keras.layers.Dense(2)(x))
    x = [pictures(16), np.ones((2, 2), "float32")]
    for point in (None, "block2", 0):
        tl.freeze(model, unfreeze_from=point)
        parts = tl.split_model(model)
        cut = parts.prefix(x, training=False)
        np.testing.assert_array_equal(parts.suffix(cut), model(x))


def test_what_trains_beside_the_backbone_is_part_of_the_suffix():
    left, right = tiny_backbone(), tiny_backbone()
    right.name = "right"
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Concatenate()([left(inputs), right(inputs)])
    model = keras.Model(inputs, keras.layers.Flatten()(x))
    for point in (None, "block2"):
        tl.freeze(model, unfreeze_from=point, backbone="right")
        parts = tl.split_model(model, "right")
        trained = {id(v) for v in model.trainable_variables}
        assert {id(v) for v in parts.suffix.trainable_variables} == trained
        assert {id(v) for v in left.trainable_variables} <= trained
        assert not parts.prefix.trainable_variables
        whole, x = join(parts), pictures(16)
        np.testing.assert_array_equal(whole(x), model(x))


def test_what_trains_before_the_backbone_is_refused():
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Conv2D(3, 1, name="adapter")(inputs)
    x = keras.layers.Flatten()(tiny_backbone()(x))
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    with pytest.raises(ValueError, match="train: .'adapter'"):
        tl.split_model(tl.freeze(model))
    model.get_layer("adapter").trainable = False
    assert not tl.split_model(model).prefix.trainable_variables


def test_random_layers_before_the_backbone_are_kept_apart():
    base = tiny_backbone()
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.RandomTranslation(0.5, 0.5, seed=0)(inputs)
    x = keras.layers.GlobalAveragePooling2D()(base(x))
    model = keras.Model(inputs, keras.layers.Dense(2)(x))
    parts = tl.split_model(tl.freeze(model, unfreeze_from="block2"))
    assert parts.augmentation is not None
    whole, x = join(parts), pictures(16)
    np.testing.assert_array_equal(whole(x, training=False), model(x, training=False))
    assert np.abs(np.subtract(whole(x, training=True), whole(x))).max() > 0


def test_training_changes_nothing_below_the_cut():
    """Dropout and batch norms of the frozen part stay in inference mode."""
    parts = tl.split_model(tl.freeze(TINY))
    whole, x = join(parts), pictures(16)
    before = TINY.get_weights()
    np.testing.assert_array_equal(whole(x, training=True), TINY(x, training=False))
    for old, new in zip(before, TINY.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_dropout_is_on_above_the_cut():
    whole = join(tl.split_model(tl.freeze(TINY, unfreeze_from="block2")))
    x = pictures(16)
    assert np.abs(np.subtract(whole(x, training=True), whole(x))).max() > 0


def test_a_sequential_model_splits_too():
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            tiny_backbone(),
            keras.layers.Flatten(),
            keras.layers.Dense(2),
        ]
    )
    for point in (None, "block2"):
        assert_split_is_exact(tl.freeze(model, unfreeze_from=point), pictures(16))


def test_a_split_model_still_saves_and_loads(tmp_path):
    model, x = with_head(tiny_backbone()), pictures(16)
    assert_split_is_exact(tl.freeze(model, unfreeze_from="block2"), x)
    assert_split_is_exact(tl.freeze(model), x)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    np.testing.assert_array_equal(again(x), model(x))
    assert_split_is_exact(again, x)


# What lies before the backbone.


def jittered(x):
    return x + keras.random.normal(keras.ops.shape(x))


class Jitter(keras.layers.Layer):
    def call(self, x):
        return jittered(x)


RNG = np.random.default_rng(0)


class Shaken(keras.layers.Layer):
    def __init__(self):
        super().__init__()
        self.source = np.random.RandomState(0)

    def call(self, x):
        return x + self.source.normal()


def scale(x):
    return x / 127.5 - 1


def with_layers_before(*layers):
    backbone = tiny_backbone(blocks=1)
    backbone.trainable = False
    inputs = keras.Input((16, 16, 3))
    x = inputs
    for layer in layers:
        x = layer(x)
    x = keras.layers.GlobalAveragePooling2D()(backbone(x))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    model.compile("sgd", "sparse_categorical_crossentropy")
    return model, backbone


RESCALING = {"scale": 1 / 127.5, "offset": -1}
BEFORE = {
    "augmentation": lambda: [
        keras.layers.RandomFlip(),
        keras.layers.Rescaling(**RESCALING),
    ],
    "nested": lambda: [
        keras.Sequential([keras.layers.RandomRotation(0.2)]),
        keras.layers.Lambda(scale),
    ],
    "noise": lambda: [keras.layers.GaussianNoise(0.9), keras.layers.Lambda(scale)],
}


@pytest.mark.parametrize("before", BEFORE)
def test_features_are_those_of_inference_whatever_lies_before_the_backbone(before):
    x, y = solid_colours(8, 2)
    model, backbone = with_layers_before(*BEFORE[before]())
    found = tl.extract_features(model, (x, y), cache=False, verbose=0).arrays[0]
    wanted = np.mean(backbone(x / 127.5 - 1, training=False), axis=(1, 2))
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "cached"),
    [
        (keras.layers.Lambda(scale), True),
        (keras.layers.Lambda(lambda x: scale(x)), True),
        (keras.layers.Lambda(jittered), False),
        (keras.layers.Lambda(lambda x: jittered(x)), False),
        (keras.layers.Lambda(lambda x, training=None: x), False),
        (keras.layers.Lambda(lambda x: x + RNG.normal()), False),
        (keras.layers.Lambda(lambda x, draw=RNG.normal: x + draw()), False),
        (Shaken(), False),
        (Jitter(), False),
        (keras.layers.RandomFlip(), False),
        (keras.layers.Resizing(16, 16), True),
        (keras.layers.CenterCrop(16, 16), True),
    ],
)
def test_random_layers_keep_features_from_the_cache(layer, cached):
    model, _ = with_layers_before(layer, keras.layers.Rescaling(**RESCALING))
    found = tl.split_model(model).random_layers
    assert found == ([] if cached else [layer.name])


@pytest.mark.parametrize("cached", [False, True])
def test_it_is_said_where_features_are_not_cached(cached, capsys):
    layer = keras.layers.Lambda(scale) if cached else Jitter()
    model, _ = with_layers_before(layer, keras.layers.Rescaling(**RESCALING))
    tl.fit_head(model, solid_colours(8, 2), epochs=1, cache="memory", verbose=2)
    said = capsys.readouterr().out
    assert ("Frozen part:" in said) == cached
    assert (f"Not cached: the model's layers '{layer.name}' before" in said) != cached
