"""Quantized models: how small, how fast, how good next to those unquantized."""

import time

import keras
import numpy as np
import pytest
from helpers import solid_colours, tiny_backbone, weights_of
from text_models import SENTENCES, tiny_bert

import tlkeras as tl
from tlkeras.export import ExportError, litert, quantize
from tlkeras.export.samples import Samples
from tlkeras.export.scoring import milliseconds

X, Y = solid_colours(24, 2)
LABELS = np.array([0, 1, 0, 1, 1])


@pytest.fixture(scope="module")
def trained():
    """A classifier that tells the colours apart, wide enough for weights to count."""
    keras.utils.set_random_seed(0)
    model = tl.image_classifier(
        tiny_backbone(width=48, blocks=1), ["ant", "bee"], head="flatten"
    )
    tl.fit_head(model, (X, Y), epochs=8, cache=False, verbose=0)
    return model


def bert(**arguments):
    backbone, tokenizer = tiny_bert(hidden_dim=64, intermediate_dim=128)
    return tl.text_classifier(
        backbone, ["bad", "good"], tokenizer=tokenizer, sequence_length=16, **arguments
    )


@pytest.mark.parametrize(
    ("mode", "ratio"), [("dynamic", 0.45), ("float16", 0.6), ("int8", 0.45)]
)
def test_each_mode_is_smaller_and_as_good(mode, ratio, trained, tmp_path):
    before = weights_of(trained)
    path = tmp_path / "small.tflite"
    report = quantize(trained, path, mode, data=X, test=(X, Y))
    assert [each.name for each in tmp_path.iterdir()] == ["small.tflite"]
    assert report.after.size == path.stat().st_size
    assert report.size_ratio == report.after.size / report.before.size < ratio
    accuracy = tl.evaluate(trained, (X, Y), verbose=0).accuracy
    assert accuracy > 0.9 and report.before.scores == {"accuracy": accuracy}
    assert report.after.scores["accuracy"] >= accuracy - 0.05
    assert report.agreement >= 0.9 and report.examples == 16
    assert report.before.milliseconds > 0 and report.speedup > 0
    for text in ("size", "latency", f"{accuracy:.4f}", "ratio", mode):
        assert text in str(report)
    for name, weight in weights_of(trained).items():
        np.testing.assert_array_equal(weight, before[name])
    if mode == "int8":
        check_whole_numbers_between_float_ends(path)


def check_whole_numbers_between_float_ends(path):
    """Fails unless a file computes in whole numbers, and takes and gives floats."""
    import tensorflow as tf

    with litert._quiet():
        interpreter = tf.lite.Interpreter(str(path))
    interpreter.allocate_tensors()
    kinds = [each["dtype"] for each in interpreter.get_tensor_details()]
    assert kinds.count(np.float32) == 2 and kinds.count(np.int8) > 10
    for ends in (interpreter.get_input_details(), interpreter.get_output_details()):
        assert [each["dtype"] for each in ends] == [np.float32]


def test_models_of_mixed_precision(tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    model = tl.image_classifier(tiny_backbone(blocks=1), ["ant", "bee"])
    report = quantize(model, tmp_path / "small.tflite")
    assert report.mode == "dynamic" and report.before.scores == {}
    assert report.examples == 16


def test_several_heads_are_scored_by_name(tmp_path):
    heads = {"species": tl.Classes(["ant", "bee"]), "length": tl.Numbers()}
    model = tl.image_classifier(tiny_backbone(blocks=1), heads)
    labels = {"species": np.where(Y == 0, Y, -1), "length": np.full(24, 2.0)}
    report = quantize(model, tmp_path / "small.tflite", test=(X, labels))
    found = tl.evaluate(model, (X, labels), verbose=0)
    assert set(report.before.scores) == {"species accuracy", "length mae"}
    assert report.before.scores["species accuracy"] == found["species"].accuracy
    assert report.before.scores["length mae"] == pytest.approx(
        found["length"].metrics["mae"], rel=1e-4
    )


@pytest.mark.slow
def test_text_models_take_tokens(tmp_path):
    model = bert()
    report = quantize(
        model,
        tmp_path / "small.tflite",
        "int8",
        data=SENTENCES,
        test=(SENTENCES, LABELS),
    )
    accuracy = tl.evaluate(model, _dataset(), verbose=0).accuracy
    assert report.before.scores["accuracy"] == pytest.approx(accuracy)
    assert "takes token ids" in str(report)


@pytest.mark.parametrize(
    ("policy", "lora_rank"),
    [
        ("float32", None),
        pytest.param("mixed_float16", 2, marks=pytest.mark.slow),
    ],
)
@pytest.mark.slow
def test_keras_files_of_8_bits(policy, lora_rank, tmp_path):
    keras.config.set_dtype_policy(policy)
    model = bert(lora_rank=lora_rank)
    keras.config.set_dtype_policy("float32")
    before = weights_of(model)
    path = tmp_path / "small.keras"
    report = quantize(model, path, "int8", data=SENTENCES, test=(SENTENCES, LABELS))
    assert [each.name for each in tmp_path.iterdir()] == ["small.keras"]
    assert report.size_ratio < 0.7 and report.after.scores
    assert "embeddings of" in str(report)
    assert weights_of(model).keys() == before.keys()
    small = tl.load(path)
    assert any(weight.dtype == "int8" for weight in small.weights)
    got, wanted = (m.predict(SENTENCES, verbose=0) for m in (small, model))
    np.testing.assert_allclose(got, wanted, atol=0.05)
    assert small.classify("a good film")[0].label in ("bad", "good")


def test_times_are_taken_in_turn():
    ran = []

    def runner(name, seconds):
        def run(one):
            assert one["x"].shape == (1, 2)
            ran.append(name)
            time.sleep(seconds)

        return run

    runs = {"slow": runner("slow", 0.004), "fast": runner("fast", 0.001)}
    found = milliseconds(runs, Samples({"x": np.zeros((3, 2))}))
    assert ran[:4] == ["slow", "fast", "slow", "fast"]
    assert found["slow"] >= 4 > found["fast"] >= 1


@pytest.mark.parametrize(
    ("name", "mode", "message"),
    [
        ("m.tflite", "int8", "needs `data`"),
        ("m.tflite", "int4", "must be one of 'dynamic', 'float16', 'int8'"),
        ("m.keras", "dynamic", "with mode='int8'"),
        ("m.onnx", "dynamic", "must end in '.tflite'"),
    ],
)
def test_modes_and_paths_that_do_not_do(name, mode, message, trained, tmp_path):
    with pytest.raises(ValueError, match=message):
        quantize(trained, tmp_path / name, mode)
    assert not list(tmp_path.iterdir())


def test_keras_needs_a_layer_that_it_can_quantize(tmp_path):
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, keras.layers.Conv2D(2, 1)(inputs))
    with pytest.raises(ValueError, match="no dense layer"):
        quantize(model, tmp_path / "m.keras", "int8")


def test_what_is_not_finite_or_cannot_be_scored_is_not_written(tmp_path, monkeypatch):
    inputs = keras.Input((4, 4, 3))
    ends = keras.layers.Dense(2)(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, ends)
    x = np.zeros((2, 4, 4, 3), "float32")
    with monkeypatch.context() as patch:
        # It is said before anything is converted.
        patch.delattr(litert, "write")
        for test, message in ((x, "has no labels"), ((x, [1]), "2 inputs, 1 labels")):
            with pytest.raises(ValueError, match=message):
                quantize(model, tmp_path / "m.tflite", test=test)
    spoiled = {"output": np.full((16, 2), np.nan)}
    monkeypatch.setattr(litert.Interpreter, "all", lambda *_: spoiled)
    with pytest.raises(ExportError, match="NaN"):
        quantize(model, tmp_path / "m.tflite")
    assert not list(tmp_path.iterdir())


def _dataset():
    import tensorflow as tf

    return tf.data.Dataset.from_tensor_slices((SENTENCES, LABELS)).batch(5)
