"""Builders and `TransferModel`: what is built, what is saved, what it answers."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from helpers import (
    assert_equal_weights,
    solid_colours,
    tiny_backbone,
    weights_of,
)

import tlkeras as tl

CLASSES = ["cat", "dog", "newt"]
NINE = {
    "vgg16": 32,
    "resnet50": 32,
    "mobilenet_v2": 32,
    "efficientnet_b0": 32,
    "densenet121": 32,
    "convnext_tiny": 32,
    "inception_v3": 75,
    "nasnet_mobile": 32,
    "mobilenet_v3_small": 32,
}


def classifier(**arguments):
    return tl.image_classifier(tiny_backbone(), CLASSES, **arguments)


def test_the_classic_vgg16_model_is_one_call():
    model = tl.image_classifier(
        "vgg16", ["a", "b"], weights=None, head="flatten", hidden=(256,)
    )
    assert model.backbone.count_params() == 14_714_688
    assert model.head.count_params() == 6_422_784 + 2 * 257
    assert tl.trainable_summary(model).trainable == 6_422_784 + 2 * 257
    assert model.input_shape == (None, 224, 224, 3)


def test_a_new_model_is_frozen_compiled_and_names_its_classes():
    model = classifier()
    assert isinstance(model, keras.Model) and model.compiled
    assert model.class_names == ("cat", "dog", "newt")
    assert model.task == "classification"
    assert not model.backbone.trainable_variables
    assert model.jit_compile is False


def test_classes_by_number_are_named_by_number():
    assert tl.image_classifier(tiny_backbone(), 3).class_names == ("0", "1", "2")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (1, "at least 2"),
        ("cats", "list of their names"),
        (["a"], "at least 2"),
        (["a", "b", "a"], "repeated"),
        (None, "list of their names"),
        (2.5, "list of their names"),
    ],
)
def test_bad_classes(classes, message):
    with pytest.raises(ValueError, match=message):
        tl.image_classifier(tiny_backbone(), classes)


def test_probabilities_sum_to_one_and_multi_label_ones_need_not():
    x, _ = solid_colours(4, 3)
    np.testing.assert_allclose(classifier().predict(x, verbose=0).sum(1), 1, rtol=1e-5)
    model = classifier(multi_label=True)
    assert model.task == "multi_label"
    assert model.layers[-1].activation is keras.activations.sigmoid
    assert isinstance(model.loss.loss, keras.losses.BinaryCrossentropy)


def test_a_regressor_has_linear_outputs():
    model = tl.image_regressor(tiny_backbone(), outputs=2)
    assert model.task == "regression" and model.class_names is None
    assert model.output_shape == (None, 2)
    with pytest.raises(ValueError, match="classify.. is for classifiers"):
        model.classify(np.zeros((16, 16, 3)))


def test_classify_arrays_of_any_size():
    x, _ = solid_colours(3, 3)
    model = classifier()
    expected = model.predict(x, verbose=0)
    predictions = model.classify(x)
    for row, prediction in zip(expected, predictions, strict=True):
        assert prediction.label == CLASSES[row.argmax()]
        assert list(prediction.probabilities) == CLASSES
        np.testing.assert_allclose(prediction.probability, row.max(), rtol=1e-6)
    assert model.classify(x[0]) == model.classify(x[:1])
    larger = np.repeat(np.repeat(x, 2, 1), 2, 2)
    assert [p.label for p in model.classify(larger)] == [p.label for p in predictions]


def test_classify_paths_and_arrays_agree(tmp_path):
    x, _ = solid_colours(2, 2)
    paths = [tmp_path / f"{i}.png" for i in range(2)]
    for path, picture in zip(paths, x, strict=True):
        keras.utils.save_img(path, picture, scale=False)
    model = classifier()
    assert model.classify(paths) == model.classify(x)
    assert model.classify(str(paths[0])) == model.classify(x[:1])


def test_classify_names_several_labels_or_none():
    model = classifier(multi_label=True)
    model.layers[-1].set_weights(
        [np.zeros_like(model.layers[-1].kernel), np.array([3.0, -3.0, 3.0])]
    )
    (prediction,) = model.classify(np.zeros((16, 16, 3)))
    assert prediction.label == ("cat", "newt")
    assert min(prediction.probability) > 0.9


@pytest.mark.parametrize(
    "bad", [np.zeros((16, 16)), np.zeros((2, 16, 16, 1)), ["missing.jpg"], [None]]
)
def test_classify_rejects_what_it_cannot_read(bad):
    with pytest.raises(ValueError, match=r"shape|missing.jpg"):
        classifier().classify(bad)


def saved_and_loaded(model, folder):
    path = folder / "model.keras"
    model.save(path)
    return tl.load(path)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("before", [None, "block2"])
def test_a_file_holds_everything(tmp_path, policy, before):
    keras.config.set_dtype_policy(policy)
    model = tl.freeze(classifier(dropout=0.3, hidden=(4,)), unfreeze_from=before)
    keras.config.set_dtype_policy("float32")
    x, _ = solid_colours(4, 3)
    again = saved_and_loaded(model, tmp_path)
    assert again.classify(x) == model.classify(x)
    assert again.class_names == model.class_names and again.task == model.task
    assert_equal_weights(weights_of(model), weights_of(again))
    assert [v.path for v in again.trainable_variables] == [
        v.path for v in model.trainable_variables
    ]
    assert again.loss.get_config() == model.loss.get_config()
    assert again.backbone.layers[1].dtype_policy.name == policy


@pytest.mark.slow
@pytest.mark.parametrize("name", NINE)
def test_each_backbone_saves_and_loads_after_unfreezing(tmp_path, name):
    model = tl.image_classifier(name, CLASSES, weights=None, input_shape=NINE[name])
    tl.freeze(model, unfreeze_from=0.2)
    x, _ = solid_colours(2, 2, size=NINE[name])
    again = saved_and_loaded(model, tmp_path)
    np.testing.assert_array_equal(
        again.predict(x, verbose=0), model.predict(x, verbose=0)
    )
    assert tl.trainable_summary(again) == tl.trainable_summary(model)


@pytest.mark.slow
def test_a_fresh_process_gives_the_same_answers(tmp_path):
    x, _ = solid_colours(3, 3)
    model = classifier()
    model.save(tmp_path / "m.keras")
    np.save(tmp_path / "x.npy", x)
    script = (
        "import keras, numpy as np, tlkeras\n"
        "model = keras.models.load_model('m.keras')\n"
        "print(repr([p.probabilities for p in model.classify(np.load('x.npy'))]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    expected = [p.probabilities for p in model.classify(x)]
    answered = done.stdout.strip().splitlines()[-1]
    assert answered == repr(expected)


def test_a_kerashub_backbone_keeps_its_freeze_point_in_the_file(tmp_path):
    keras_hub = pytest.importorskip("keras_hub")
    backbone = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[3],
        stackwise_num_filters=[64, 64],
        stackwise_num_blocks=[1, 1],
        stackwise_num_strides=[1, 2],
        block_type="basic_block",
        image_shape=(16, 16, 3),
    )
    model = tl.image_classifier(backbone, CLASSES, preprocessing=None)
    tl.freeze(model, unfreeze_from=0.3)
    again = saved_and_loaded(model, tmp_path)
    x, _ = solid_colours(2, 2)
    assert again.classify(x) == model.classify(x)
    assert tl.trainable_summary(again) == tl.trainable_summary(model)
    assert 0 < len(again.backbone.trainable_weights) < len(again.backbone.weights)


def test_load_names_the_file_that_is_missing(tmp_path):
    with pytest.raises(ValueError, match="no file .*nowhere.keras"):
        tl.load(tmp_path / "nowhere.keras")
