"""The table of backbones, loading by name, weights files, models of the user's own."""

import functools
import gc
import inspect
import sys
import types
import weakref

import keras
import numpy as np
import pytest
from helpers import needs_shared
from hypothesis import given, settings
from hypothesis import strategies as st

from tlkeras.backbone_loading import load_backbone
from tlkeras.backbones.applications import full_input_shape, is_scaling
from tlkeras.backbones.table import TABLE, entry_for, entry_for_model_name
from tlkeras.inputs.pictures.backbones import load_backbone as load_image_backbone
from tlkeras.inputs.pictures.preprocessing import SCALINGS, BGRRescaling, scaling_layer

APPLICATIONS = [name for name in TABLE if name != "glyphnet"]


@functools.cache
def built(name, policy):
    """Returns the same backbone to every test that only looks at it."""
    keras.config.set_dtype_policy(policy)
    return load_image_backbone(name, weights=None, input_shape=32)


def scaled_inside(model):
    """Returns the part of `model` that scales, with statistics as they are published.

    EfficientNet's file holds deviations in the place of the variances.
    """
    scaling = [layer for layer in model.layers if is_scaling(layer)]
    for layer in scaling:
        if layer.weights:
            mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
            layer.load_own_variables(
                {"0": np.array(mean), "1": np.array(std), "2": np.array(1)}
            )
    return keras.Model(model.input, scaling[-1].output)


def tiny_model(name="own", rescaling=False, **kwargs):
    inputs = keras.Input((16, 16, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs) if rescaling else inputs
    outputs = keras.layers.Conv2D(4, 3, strides=2, **kwargs)(x)
    return keras.Model(inputs, outputs, name=name)


# The table


def test_table_covers_what_keras_applications_exposes():
    exposed = {n for n in dir(keras.applications) if n[0].isupper()}
    assert {TABLE[name].constructor for name in APPLICATIONS} == exposed
    assert len(APPLICATIONS) == 40


def test_names_are_written_as_expected():
    expected = """vgg16 resnet50 resnet50_v2 mobilenet mobilenet_v2 mobilenet_v3_small
        efficientnet_b0 efficientnet_v2_b0 efficientnet_v2_s convnext_tiny
        convnext_xlarge densenet121 inception_v3 inception_resnet_v2 nasnet_mobile
        xception glyphnet"""
    assert set(expected.split()) <= set(TABLE)


@given(name=st.sampled_from(sorted(TABLE)), data=st.data())
@settings(deadline=None, max_examples=100)
def test_any_spelling_finds_the_entry(name, data):
    separator = data.draw(st.sampled_from(["", "_", "-"]))
    spelled = "".join(
        data.draw(st.sampled_from([c.upper(), c])) if c != "_" else separator
        for c in name
    )
    assert entry_for(spelled) is TABLE[name]


@pytest.mark.parametrize("name", APPLICATIONS)
def test_constructor_names_and_keras_model_names_find_the_entry(name):
    entry = TABLE[name]
    constructor = getattr(keras.applications, entry.constructor)
    assert entry_for(entry.constructor) is entry
    model_name = inspect.signature(constructor).parameters["name"].default
    if model_name is None:
        model_name = f"{entry.constructor.lower()}_0.75_160"
    assert entry_for_model_name(model_name) is entry


def test_mobilenets_have_weights_for_each_size():
    file = TABLE["mobilenet_v2"].weights_file
    assert "_1.0_160_" in file((160, 160, 3))
    assert "_1.0_224_" in file((160, 128, 3))
    assert "_1.0_224_" in file((150, 150, 3))


# Loading by name


@given(
    height=st.integers(1, 999), width=st.integers(1, 999), channels=st.integers(1, 9)
)
def test_input_shapes_are_completed(height, width, channels):
    default = (32, 64, 3)
    assert full_input_shape(height, default) == (height, height, 3)
    assert full_input_shape((height, width), default) == (height, width, 3)
    full = (height, width, channels)
    assert full_input_shape(full, default) == full
    assert full_input_shape(None, default) == default


@pytest.mark.parametrize("bad", ["224", (), (1, 2, 3, 4), 0, 12.5, (32, None)])
def test_bad_input_shapes_are_refused(bad):
    with pytest.raises(ValueError, match="input_shape"):
        full_input_shape(bad, (32, 32, 3))


@pytest.mark.parametrize(
    ("name", "policy"),
    [
        ("vgg16", "float32"),
        ("mobilenet_v2", "mixed_bfloat16"),
        ("mobilenet_v3_small", "float32"),
        pytest.param("efficientnet_v2_b0", "mixed_bfloat16", marks=pytest.mark.slow),
        ("convnext_tiny", "float32"),
    ],
)
def test_backbone_is_what_the_table_says(name, policy):
    loaded, entry = built(name, policy), TABLE[name]
    assert (loaded.name, loaded.licence) == (name, None)
    assert loaded.input_shape == (32, 32, 3) == loaded.model.input_shape[1:]
    assert len(loaded.model.output_shape) == 4
    assert loaded.model.layers[-1].compute_dtype == policy.removeprefix("mixed_")
    assert {weight.dtype for weight in loaded.model.trainable_weights} == {"float32"}
    assert (loaded.preprocessing is None) == entry.scales_itself
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    scale = loaded.preprocessing or scaled_inside(loaded.model)
    expected = scaling_layer(SCALINGS[entry.scaling])(pixels)
    np.testing.assert_allclose(scale(pixels), expected, rtol=1e-5, atol=1e-5)


def test_backbone_has_one_channel_without_pretrained_weights():
    loaded = load_image_backbone("vgg16", weights=None, input_shape=(32, 32, 1))
    grey = loaded.preprocessing(np.full((1, 32, 32, 1), 255.0, "float32"))
    assert grey.shape == (1, 32, 32, 1)
    # ConvNeXt leaves its own scaling out when there are not three channels.
    loaded = load_image_backbone("convnext_tiny", weights=None, input_shape=(32, 32, 1))
    assert loaded.preprocessing is not None


def test_too_small_images_name_the_minimum():
    with pytest.raises(ValueError, match="at least 75 x 75"):
        load_backbone("inception_v3", weights=None, input_shape=74)


def test_pretrained_weights_need_three_channels():
    with pytest.raises(ValueError, match="images of 3 channels"):
        load_backbone("vgg16", input_shape=(64, 64, 1))


def test_channels_first_is_refused():
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match="channels last"):
            load_backbone("vgg16", weights=None)
    finally:
        keras.config.set_image_data_format("channels_last")


# The embedded default, behind its two functions


@pytest.fixture
def glyphnet(monkeypatch, tmp_path):
    """Stands in for glyphnet: returns the weights that it claims to be pretrained."""

    def build_glyphnet(input_shape=(32, 32, 1), name="glyphnet"):
        inputs = keras.Input(input_shape)
        return keras.Model(inputs, keras.layers.Conv2D(2, 3)(inputs), name=name)

    file = tmp_path / "glyphnet.weights.h5"
    pretrained = build_glyphnet()
    pretrained.save_weights(file)
    module = types.ModuleType("tlkeras.backbones.glyphnet")
    module.build_glyphnet = build_glyphnet
    module.glyphnet_weights_path = lambda: file
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return pretrained.get_weights()


def test_glyphnet_takes_grey_pixels(glyphnet):
    loaded = load_image_backbone("glyphnet")
    assert loaded.input_shape == (32, 32, 1)
    assert loaded.licence == "Apache-2.0"
    assert loaded.preprocessing.scale == pytest.approx(1 / 255)
    assert loaded.preprocessing.offset == 0
    np.testing.assert_array_equal(loaded.model.get_weights()[0], glyphnet[0])
    colour = load_image_backbone("glyphnet", weights=None, input_shape=(40, 40, 3))
    assert colour.model.input_shape == (None, 40, 40, 3)


def test_glyphnet_was_not_pretrained_on_colours_or_imagenet(glyphnet):
    with pytest.raises(ValueError, match="images of 1 channel[.]"):
        load_backbone("glyphnet", input_shape=(32, 32, 3))
    with pytest.raises(ValueError, match="not on ImageNet"):
        load_backbone("glyphnet", weights="imagenet")


# The user's own models


def test_own_model_with_rescaling_needs_no_preprocessing():
    model = tiny_model(rescaling=True)
    loaded = load_image_backbone(model)
    assert loaded.model is model
    assert loaded.preprocessing is None
    assert loaded.input_shape == (16, 16, 3)
    nested = keras.Sequential([keras.Input((16, 16, 3)), model], name="nested")
    assert load_image_backbone(nested).preprocessing is None


def test_own_model_without_rescaling_warns_unless_told():
    with pytest.warns(UserWarning, match="0 to 255.*preprocessing="):
        assert load_image_backbone(tiny_model()).preprocessing is None
    assert load_image_backbone(tiny_model(), preprocessing=None).preprocessing is None
    layer = keras.layers.Rescaling(2.0)
    assert load_image_backbone(tiny_model(), preprocessing=layer).preprocessing is layer
    for family in ("vgg16", "resnet", "ResNet-101"):
        loaded = load_image_backbone(tiny_model(), preprocessing=family)
        assert isinstance(loaded.preprocessing, BGRRescaling)


def test_unknown_preprocessing_is_refused():
    with pytest.raises(ValueError, match="No such preprocessing: 'vgg_61'.*vgg16"):
        load_image_backbone(tiny_model(), preprocessing="vgg_61")
    with pytest.raises(ValueError, match="`preprocessing` must be"):
        load_image_backbone(tiny_model(), preprocessing=1 / 255)


def test_pixels_are_not_scaled_twice():
    with pytest.raises(ValueError, match="scale them twice"):
        load_image_backbone(tiny_model(rescaling=True), preprocessing="vgg16")
    loaded = load_image_backbone(
        built("mobilenet_v3_small", "float32").model, preprocessing="mobilenet_v3"
    )
    # As one that the user has made is recognised, too.
    assert loaded.preprocessing is None


@pytest.mark.parametrize(
    ("constructor", "kwargs", "scale"),
    [
        ("MobileNetV2", {"alpha": 0.35}, 1 / 127.5),
        ("MobileNetV3Small", {"include_preprocessing": False}, 1 / 127.5),
    ],
)
def test_keras_applications_model_of_ones_own_is_recognised(constructor, kwargs, scale):
    model = getattr(keras.applications, constructor)(
        weights=None, include_top=False, input_shape=(32, 32, 3), **kwargs
    )
    loaded = load_image_backbone(model)
    assert loaded.model is model
    assert getattr(loaded.preprocessing, "scale", None) == scale


def test_loaded_backbone_still_knows_its_preprocessing():
    model = load_backbone("vgg16", weights=None, input_shape=32)
    again = load_image_backbone(model)
    assert isinstance(again.preprocessing, BGRRescaling)
    assert again.name == "vgg16"
    assert again.input_shape == (32, 32, 3)
    assert load_image_backbone(model, preprocessing=None).preprocessing is None


def test_registry_does_not_keep_models_alive():
    loaded = load_image_backbone("glyphnet", weights=None)
    inputs = keras.Input((32, 32, 1))
    whole = keras.Model(inputs, loaded.model(loaded.preprocessing(inputs)))
    alive = weakref.ref(loaded.model)
    del loaded, whole, inputs
    keras.utils.clear_session()
    gc.collect()
    assert alive() is None


def test_multiple_outputs_give_the_deepest_map():
    inputs = keras.Input((16, 16, 3))
    maps = [inputs]
    for _ in range(3):
        maps.append(keras.layers.Conv2D(4, 3, 2, padding="same")(maps[-1]))
    pyramid = keras.Model(inputs, {"P3": maps[3], "P1": maps[1], "P2": maps[2]})
    loaded = load_image_backbone(pyramid, preprocessing=None)
    assert loaded.model.output_shape == (None, 2, 2, 4)
    assert loaded.model.layers[-1] is pyramid.layers[-1]


def test_input_shape_must_fit_an_own_model():
    assert load_image_backbone(
        tiny_model(), input_shape=16, preprocessing=None
    ).input_shape == (16, 16, 3)
    with pytest.raises(ValueError, match=r"takes images of shape \(16, 16, 3\)"):
        load_image_backbone(tiny_model(), input_shape=32, preprocessing=None)
    free = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(2, 3)])
    assert load_image_backbone(free, preprocessing=None).input_shape == (None, None, 3)
    fixed = load_image_backbone(free, input_shape=(20, 30), preprocessing=None)
    assert fixed.input_shape == (20, 30, 3)


def test_own_model_takes_a_weights_file(tmp_path):
    source, target = tiny_model(), tiny_model()
    source.save_weights(tmp_path / "own.weights.h5")
    file = tmp_path / "own.weights.h5"
    assert not np.array_equal(source.weights[0], target.weights[0])
    load_image_backbone(target, weights=file, preprocessing=None)
    np.testing.assert_array_equal(source.weights[0], target.weights[0])


def test_models_that_cannot_be_a_backbone_are_refused():
    class Subclassed(keras.Model):
        def call(self, inputs):
            return inputs

    two = [keras.Input((8, 8, 3)), keras.Input((8, 8, 3))]
    text = keras.Input((8,))
    with pytest.raises(ValueError, match="not a functional model"):
        load_image_backbone(Subclassed())
    with pytest.raises(ValueError, match="one batch of images"):
        load_image_backbone(keras.Model(two, keras.layers.Add()(two)))
    with pytest.raises(ValueError, match="one batch of images"):
        load_image_backbone(keras.Model(text, keras.layers.Dense(2)(text)))
    with pytest.raises(ValueError, match="classifier of its own.*include_top=False"):
        ends = keras.layers.Dense(3, "softmax")(keras.layers.Flatten()(two[0]))
        load_image_backbone(keras.Model(two[0], ends))
    whole = tiny_model(rescaling=True)
    whole.backbone = tiny_model()
    with pytest.raises(ValueError, match="Pass its `.backbone`"):
        load_image_backbone(whole)
    with pytest.raises(ValueError, match="must be a name"):
        load_image_backbone(None)


@pytest.mark.real
def test_real_mobilenet_features_tell_ants_from_bees(monkeypatch):
    home = needs_shared("keras_home")
    photographs = needs_shared("data", "ants_bees", "train")
    monkeypatch.setenv("KERAS_HOME", str(home))
    loaded = load_image_backbone("mobilenet_v2")
    by_folder = load_backbone("mobilenet_v2", weights=home / "models")
    np.testing.assert_array_equal(
        loaded.model.get_weights()[0], by_folder.get_weights()[0]
    )

    def features(kind, first, last):
        files = sorted((photographs / kind).iterdir())[first:last]
        images = [keras.utils.load_img(f, target_size=(224, 224)) for f in files]
        pixels = np.stack([np.asarray(image, "float32") for image in images])
        maps = loaded.model.predict(loaded.preprocessing(pixels), verbose=0)
        return maps.mean(axis=(1, 2))

    kinds = ("ants", "bees")
    means = np.stack([features(kind, 0, 8).mean(axis=0) for kind in kinds])
    correct = []
    for label, kind in enumerate(kinds):
        distances = np.linalg.norm(features(kind, 8, 20)[:, None] - means, axis=-1)
        correct.extend(distances.argmin(axis=1) == label)
    assert np.mean(correct) > 0.85
