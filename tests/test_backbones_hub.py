"""KerasHub image backbones: presets the test itself saves, and constructed objects."""

import io
import json
import urllib.error
import urllib.request

import keras
import keras_hub
import numpy as np
import pytest

import tlkeras as tl
from tlkeras.backbone_loading import load_backbone
from tlkeras.inputs.pictures.backbones import load_backbone as load_image_backbone
from tlkeras.inputs.pictures.presets import IMAGE_BACKBONES, image_presets

SCALE, OFFSET = [0.01, 0.02, 0.03], [-1.0, -2.0, -3.0]

# NumPy 2.4 calls `__array__(copy=...)`, which TensorFlow's tensors do not take yet.
pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation:DeprecationWarning"
)


def tiny_resnet(image_shape=(None, None, 3)):
    return keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        image_shape=image_shape,
    )


def tiny_vit(image_shape=(16, 16, 3)):
    return keras_hub.models.ViTBackbone(
        image_shape=image_shape,
        patch_size=8,
        num_layers=1,
        num_heads=2,
        hidden_dim=8,
        mlp_dim=16,
    )


def shifted(model):
    """Gives `model` weights that no seed would give it."""
    model.set_weights([weights + 1 for weights in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def resnet_preset(tmp_path_factory):
    """A ResNet with its image converter, saved as KerasHub saves them."""
    folder = tmp_path_factory.mktemp("presets") / "tiny_resnet"
    backbone = shifted(tiny_resnet())
    backbone.save_to_preset(str(folder))
    keras_hub.layers.ResNetImageConverter(
        image_size=(24, 24), scale=SCALE, offset=OFFSET
    ).save_to_preset(str(folder))
    return folder, backbone


@pytest.fixture(scope="module")
def vit_preset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("presets") / "tiny_vit"
    backbone = shifted(tiny_vit())
    backbone.save_to_preset(str(folder))
    converter = keras_hub.layers.ViTImageConverter(
        image_size=(16, 16), scale=1 / 127.5, offset=-1.0
    )
    keras_hub.models.ViTImageClassifierPreprocessor(converter).save_to_preset(
        str(folder)
    )
    return folder, backbone


def test_image_backbones_are_those_that_classify_images():
    models = keras_hub.models
    tasks = [getattr(models, n) for n in dir(models) if n.endswith("ImageClassifier")]
    classify = {t.backbone_cls.__name__ for t in tasks if t.backbone_cls}
    assert classify <= set(IMAGE_BACKBONES)
    assert "bert_base_en" not in image_presets()


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_preset_folder_brings_weights_size_and_scaling(resnet_preset, policy):
    folder, backbone = resnet_preset
    keras.config.set_dtype_policy(policy)
    loaded = load_image_backbone(folder)
    assert loaded.name == "tiny_resnet"
    assert loaded.model.input_shape == (None, 24, 24, 3)
    assert loaded.input_shape == (24, 24, 3)
    assert len(loaded.model.output_shape) == 4
    assert loaded.model.layers[2].compute_dtype == policy.removeprefix("mixed_")
    for expected, weight in zip(backbone.weights, loaded.model.weights, strict=True):
        np.testing.assert_array_equal(expected, weight)


def test_preset_scaling_is_that_of_the_image_converter(resnet_preset):
    folder, _ = resnet_preset
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 24, 24, 3)).astype("float32")
    expected = keras_hub.layers.ImageConverter.from_preset(str(folder))(pixels)
    keras.config.set_dtype_policy("mixed_bfloat16")
    scaled = load_image_backbone(str(folder)).preprocessing(pixels)
    np.testing.assert_allclose(scaled, expected, rtol=1e-6, atol=1e-6)


def test_loaded_preset_still_knows_its_scaling(resnet_preset):
    folder, _ = resnet_preset
    model = load_backbone(folder, input_shape=32)
    again = load_image_backbone(model)
    assert again.preprocessing.scale == SCALE
    assert again.input_shape == (32, 32, 3)
    assert load_image_backbone(model, preprocessing=None).preprocessing is None


def test_preset_without_weights_is_random(resnet_preset):
    folder, backbone = resnet_preset
    loaded = load_image_backbone(folder, weights=None)
    assert not np.array_equal(loaded.model.weights[0], backbone.weights[0])
    filled = load_image_backbone(folder, weights=folder / "model.weights.h5")
    np.testing.assert_array_equal(filled.model.weights[0], backbone.weights[0])


def test_scaling_is_found_in_the_preprocessor(vit_preset, tmp_path):
    folder, backbone = vit_preset
    assert (folder / "image_converter.json").exists()
    for file in folder.iterdir():
        if file.name != "image_converter.json":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    for preset in (folder, tmp_path):
        loaded = load_image_backbone(preset)
        assert loaded.preprocessing.scale == 1 / 127.5
        assert loaded.model.output_shape == (None, 5, 8)
        assert type(loaded.model) is type(backbone)


def test_preset_without_converter_warns(vit_preset, tmp_path):
    folder, _ = vit_preset
    for name in ("config.json", "model.weights.h5"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    with pytest.warns(UserWarning, match="preprocessing of .* is not known"):
        assert load_image_backbone(tmp_path).preprocessing is None
    named = load_image_backbone(tmp_path, preprocessing="mobilenet_v2")
    assert named.preprocessing.scale == 1 / 127.5


def test_converter_that_only_resizes_means_raw_pixels(vit_preset, tmp_path):
    folder, _ = vit_preset
    for name in ("config.json", "model.weights.h5"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    keras_hub.layers.ViTImageConverter(image_size=(16, 16)).save_to_preset(
        str(tmp_path)
    )
    assert load_image_backbone(load_backbone(tmp_path)).preprocessing is None


def test_image_shape_that_the_weights_do_not_fit_is_refused(vit_preset):
    folder, _ = vit_preset
    with pytest.raises(ValueError, match=r"cannot take images of shape \(32, 32, 3\)"):
        load_backbone(folder, input_shape=32)


def test_constructed_backbones_are_taken_as_they_are():
    vit = tiny_vit()
    loaded = load_image_backbone(vit, preprocessing="mobilenet_v2")
    assert loaded.model is vit
    assert loaded.input_shape == (16, 16, 3)
    with pytest.warns(UserWarning, match="0 to 255"):
        load_image_backbone(vit)


def test_dictionaries_of_tensors_are_unpacked():
    dinov2 = keras_hub.models.DINOV2Backbone(
        patch_size=8,
        num_layers=1,
        hidden_dim=8,
        num_heads=2,
        intermediate_dim=16,
        image_shape=(16, 16, 3),
        position_embedding_shape=(16, 16),
    )
    model = load_image_backbone(dinov2, preprocessing=None).model
    assert model.input_shape == (None, 16, 16, 3)
    assert model.output_shape == dinov2.output_shape
    hgnet = keras_hub.models.HGNetV2Backbone(
        depths=[1, 1],
        embedding_size=8,
        hidden_sizes=[8, 16],
        stem_channels=[3, 8, 8],
        hidden_act="relu",
        use_learnable_affine_block=False,
        stackwise_stage_filters=[(8, 8, 8, 1, 1, 3), (8, 8, 16, 1, 1, 3)],
        apply_downsample=[False, True],
        use_lightweight_conv_block=[False, False],
        image_shape=(32, 32, 3),
    )
    model = load_image_backbone(hgnet, preprocessing=None).model
    assert model.output_shape == (None, 4, 4, 16)


@pytest.mark.parametrize(
    "handle", ["hf://someone/tiny", "kaggle://keras/vit/keras/tiny/3"]
)
def test_handles_are_named_by_their_last_part(monkeypatch, handle):
    def no_converter(preset):
        raise FileNotFoundError(preset)

    models, layers = keras_hub.models, keras_hub.layers
    monkeypatch.setattr(urllib.request, "urlopen", lambda *a, **k: io.StringIO())
    monkeypatch.setattr(models.Backbone, "from_preset", lambda *a, **k: tiny_vit())
    monkeypatch.setattr(layers.ImageConverter, "from_preset", no_converter)
    assert load_image_backbone(handle, preprocessing=None).name == "tiny"


def test_text_presets_are_refused_as_image_backbones():
    with pytest.raises(ValueError, match="'bert_base_en' is not an image backbone"):
        load_image_backbone("bert_base_en")


def test_folder_that_is_no_preset_says_what_belongs_there(tmp_path):
    with pytest.raises(ValueError, match=r"config.json.*save_to_preset"):
        load_backbone(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"something": "else"}))
    with pytest.raises(ValueError, match=r"config.json.*save_to_preset"):
        load_backbone(tmp_path)


def test_offline_error_names_the_preset(monkeypatch):
    def unreachable(*args, **kwargs):
        raise ConnectionError("no network")

    monkeypatch.setattr(keras_hub.models.Backbone, "from_preset", unreachable)
    with pytest.raises(FileNotFoundError, match="'resnet_18_imagenet'.*save_to_preset"):
        load_backbone("resnet_18_imagenet")


def test_hugging_face_is_not_asked_again_and_again(monkeypatch):
    def unreachable(*args, timeout, **kwargs):
        assert timeout <= 10
        raise urllib.error.URLError("no network")

    def never(*args, **kwargs):
        raise AssertionError("the client would retry for half a minute")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    monkeypatch.setattr(keras_hub.models.Backbone, "from_preset", never)
    with pytest.raises(FileNotFoundError, match="hf://nobody/nothing.*no network"):
        load_backbone("hf://nobody/nothing")


@pytest.mark.parametrize("build", [tl.text_classifier, tl.image_classifier])
def test_a_name_of_the_hugging_face_hub_is_told_its_prefix(build):
    with pytest.raises(ValueError, match="is 'hf://google/some-model'"):
        build("google/some-model", 2)
