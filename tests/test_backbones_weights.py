"""Weights files: each format, what is missing, what does not fit, no network."""

import os
import socket

import keras
import numpy as np
import pytest

from tlkeras.backbone_loading import load_backbone
from tlkeras.backbones.table import TABLE
from tlkeras.backbones.weights import keras_models_folder
from tlkeras.inputs.pictures.backbones import load_backbone as load_image_backbone

# NumPy 2.4 calls `__array__(copy=...)`, which TensorFlow's tensors do not take yet.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)


@pytest.fixture(scope="module")
def mobilenet_files(tmp_path_factory):
    """A MobileNet and its weights in each format that Keras reads."""
    folder = tmp_path_factory.mktemp("weights")
    model = keras.applications.MobileNet(
        weights=None, include_top=False, input_shape=(32, 32, 3)
    )
    # Weights that no seed would give.
    model.set_weights([weights + 1 for weights in model.get_weights()])
    model.save_weights(folder / "mobilenet.weights.h5")
    model.save(folder / "mobilenet.keras")
    model.save(folder / TABLE["mobilenet"].weights_file((32, 32, 3)))
    return model, folder


@pytest.mark.parametrize(
    ("file", "policy"),
    [
        ("mobilenet.weights.h5", "mixed_float16"),
        ("mobilenet.keras", "float32"),
        ("folder", "float32"),
        ("published", "mixed_bfloat16"),
    ],
)
def test_weights_load_from_each_format(mobilenet_files, file, policy):
    source, folder = mobilenet_files
    published = TABLE["mobilenet"].weights_file((32, 32, 3))
    weights = folder / {"folder": "", "published": published}.get(file, file)
    keras.config.set_dtype_policy(policy)
    loaded = load_image_backbone("mobilenet", weights=weights, input_shape=32)
    for expected, weight in zip(source.weights, loaded.model.weights, strict=True):
        np.testing.assert_array_equal(expected, weight)
    is_published = file in ("folder", "published")
    assert loaded.licence == ("Apache-2.0" if is_published else None)


def test_weights_of_another_backbone_are_refused(mobilenet_files):
    _, folder = mobilenet_files
    for file in sorted(folder.iterdir()):
        with pytest.raises(ValueError, match="does not hold weights for 'vgg16'"):
            load_backbone("vgg16", weights=file, input_shape=32)


@pytest.mark.parametrize("ending", [".h5", ".weights.h5", ".keras"])
def test_files_that_are_no_weights_are_refused(tmp_path, ending):
    file = tmp_path / f"broken{ending}"
    file.write_text("cut off")
    with pytest.raises(ValueError, match="does not hold weights") as caught:
        load_backbone("mobilenet", weights=file, input_shape=32)
    assert caught.value.__cause__ is not None


def test_missing_files_say_what_was_expected(tmp_path):
    with pytest.raises(FileNotFoundError, match="vgg16_weights_tf.*_notop.h5"):
        load_backbone("vgg16", weights=tmp_path / "gone.h5", input_shape=32)
    (tmp_path / "other.h5").touch()
    with pytest.raises(FileNotFoundError, match="vgg16_weights.*there: other.h5"):
        load_backbone("vgg16", weights=tmp_path, input_shape=32)
    with pytest.raises(ValueError, match="ends in .h5"):
        load_backbone("vgg16", weights=__file__, input_shape=32)


def test_offline_error_names_file_folder_and_ways_out(monkeypatch, tmp_path):
    timeouts = []

    def unreachable(**kwargs):
        timeouts.append(socket.getdefaulttimeout())
        raise Exception("URL fetch failure on https://example.org")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras.applications, "VGG19", unreachable)
    with pytest.raises(FileNotFoundError) as caught:
        load_backbone("vgg19", input_shape=48)
    message = str(caught.value)
    assert "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5" in message
    assert str(tmp_path / "models") in message
    assert "weights=None" in message
    assert "URL fetch failure" in message
    # A server that never answers must not hold the user up.
    assert timeouts == [10.0]
    assert socket.getdefaulttimeout() is None


def test_weights_are_downloaded_once_by_keras(monkeypatch, tmp_path, mobilenet_files):
    source, _ = mobilenet_files
    calls = []

    def downloads(weights, include_top, input_shape):
        if weights == "imagenet":
            calls.append(input_shape)
            (tmp_path / "models").mkdir()
            file = TABLE["mobilenet"].weights_file(input_shape)
            source.save(tmp_path / "models" / file)
        return keras.Model(source.inputs, source.outputs)

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras.applications, "MobileNet", downloads)
    for _ in range(2):
        loaded = load_image_backbone("mobilenet", weights="imagenet", input_shape=32)
        assert loaded.licence == "Apache-2.0"
    assert calls == [(32, 32, 3)]


def test_keras_home_is_read_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert keras_models_folder() == tmp_path / "models"
    monkeypatch.delenv("KERAS_HOME")
    expected = os.path.join(os.path.expanduser("~"), ".keras", "models")
    assert str(keras_models_folder()) == expected
