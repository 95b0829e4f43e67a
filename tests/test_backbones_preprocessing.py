"""Each backbone's pixel scaling against what `keras.applications` says it should be."""

import keras
import numpy as np
import pytest

from tlkeras.backbones.table import TABLE
from tlkeras.inputs.pictures.preprocessing import (
    SCALINGS,
    BGRRescaling,
    scales_its_input,
    scaling_layer,
)

APPLICATIONS = [name for name in TABLE if name != "glyphnet"]
POLICIES = ["float32", "mixed_float16", "mixed_bfloat16", "bfloat16"]


@pytest.fixture
def pixels():
    return np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")


@pytest.mark.parametrize("name", APPLICATIONS)
def test_scaling_is_that_of_preprocess_input(name, pixels):
    entry = TABLE[name]
    family = getattr(keras.applications, entry.family)
    expected = family.preprocess_input(pixels.copy())
    if entry.scales_itself:
        np.testing.assert_array_equal(expected, pixels)
    else:
        scaled = scaling_layer(SCALINGS[entry.scaling])(pixels)
        np.testing.assert_allclose(scaled, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("mode", SCALINGS)
def test_scaling_is_exact_under_every_dtype_policy(mode, policy, pixels):
    expected = scaling_layer(SCALINGS[mode])(pixels)
    keras.config.set_dtype_policy(policy)
    scaled = scaling_layer(SCALINGS[mode])(pixels)
    assert keras.backend.standardize_dtype(scaled.dtype) == "float32"
    np.testing.assert_array_equal(scaled, expected)


@pytest.mark.parametrize("mode", SCALINGS)
def test_scaling_takes_whole_numbers(mode, pixels):
    layer = scaling_layer(SCALINGS[mode])
    whole = pixels.astype("uint8")
    np.testing.assert_array_equal(layer(whole), layer(whole.astype("float32")))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("mode", SCALINGS)
def test_scaling_survives_saving(mode, pixels, tmp_path):
    model = keras.Sequential([keras.Input((32, 32, 3)), scaling_layer(SCALINGS[mode])])
    model.save(tmp_path / "scaling.keras")
    restored = keras.models.load_model(tmp_path / "scaling.keras")
    np.testing.assert_array_equal(restored(pixels), model(pixels))


def test_bgr_turns_the_channels_round():
    blue_of_rgb = np.zeros((1, 1, 1, 3), "float32")
    blue_of_rgb[..., 2] = 255
    np.testing.assert_array_equal(
        BGRRescaling(1.0, [1.0, 2.0, 3.0])(blue_of_rgb)[0, 0, 0], [256, 2, 3]
    )


@pytest.mark.parametrize("mode", SCALINGS)
def test_grey_images_get_one_value_for_all_channels(mode):
    scaled = scaling_layer(SCALINGS[mode], channels=1)(np.full((1, 2, 2, 1), 120.0))
    assert scaled.shape == (1, 2, 2, 1)
    colour = scaling_layer(SCALINGS[mode])(np.full((1, 2, 2, 3), 120.0))
    np.testing.assert_allclose(scaled[..., 0], np.mean(colour, -1), atol=0.02)


def test_scaling_is_seen_after_augmentation_but_not_after_weights():
    inputs = keras.Input((16, 16, 3))
    flipped = keras.layers.RandomFlip()(inputs)
    scaled = keras.layers.Rescaling(1 / 255)(flipped)
    assert scales_its_input(keras.Model(inputs, keras.layers.Conv2D(2, 3)(scaled)))
    late = keras.layers.Rescaling(2.0)(keras.layers.Conv2D(2, 3)(inputs))
    assert not scales_its_input(keras.Model(inputs, late))
