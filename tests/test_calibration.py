"""Calibration: reliability by hand, temperatures, and models that keep them."""

import functools

import keras
import numpy as np
import pytest
from helpers import softmax, tiny_backbone, weights_of
from sklearn.metrics import log_loss

import tlkeras as tl
from tlkeras._validation import UnsupportedError
from tlkeras.evaluation import Report, calibrate, evaluate
from tlkeras.evaluation.calibrating import find_logits
from tlkeras.metrics import calibration

SHARP = 3.0


def logits(n=400, classes=4, seed=0, sharp=SHARP):
    """Returns labels drawn from softmax(z) and the overconfident logits `sharp * z`."""
    rng = np.random.default_rng(seed)
    z = 2 * rng.normal(size=(n, classes))
    y = np.array([rng.choice(classes, p=row) for row in softmax(z)])
    return y, (sharp * z).astype("float32")


def head(activation="softmax", units=4, inputs=4, split=False, bias=0.3):
    """Returns a model that passes its inputs on as logits."""
    x = keras.Input((inputs,))
    layer = keras.layers.Dense(units, None if split else activation)
    z = layer(x)
    outputs = keras.layers.Activation(activation)(z) if split else z
    layer.set_weights([np.eye(inputs, units), np.full(units, bias)])
    return keras.Model(x, outputs)


def ece_by_hand(y, p, bins=15):
    total = 0.0
    for low in range(bins):
        inside = [
            (row.max(), row.argmax() == label)
            for row, label in zip(p, y, strict=True)
            if low / bins < row.max() <= (low + 1) / bins
        ]
        if inside:
            confidence, right = np.mean(inside, axis=0)
            total += len(inside) / len(y) * abs(confidence - right)
    return total


@pytest.mark.parametrize("bins", [1, 5, 15])
def test_the_calibration_error_is_that_of_guo_by_hand(bins):
    y, z = logits()
    p = softmax(z)
    found = Report(y, p).reliability(bins)
    assert found.ece == pytest.approx(ece_by_hand(y, p, bins), rel=1e-5)
    assert found.count.sum() == len(y)
    assert np.isnan(found.accuracy[found.count == 0]).all()
    assert Report(y, p).metrics["ece"] == pytest.approx(ece_by_hand(y, p), rel=1e-5)


def test_an_edge_belongs_to_the_bin_below_it():
    p = np.array([[0.75, 0.25], [0.76, 0.24]])
    assert Report([0, 0], p).reliability(4).count.tolist() == [0, 0, 1, 1]


def test_labels_that_are_not_exclusive_are_pooled():
    p, y = np.array([[0.1, 0.9], [0.3, 0.7]]), np.array([[0, 1], [1, 1]])
    found = Report(y, p, task="multi_label").reliability(2)
    assert found.count.tolist() == [2, 2]
    np.testing.assert_allclose(found.confidence, [0.2, 0.8], rtol=1e-6)
    np.testing.assert_allclose(found.accuracy, [0.5, 1.0])
    assert found.ece == pytest.approx(0.25)


@pytest.mark.parametrize("classes", [2, 4])
def test_the_temperature_that_was_put_in_is_found(classes):
    y, z = logits(4000, classes)
    p = softmax(z)
    temperature = Report(y, p).temperature()
    assert temperature == pytest.approx(SHARP, rel=0.1)
    around = [log_loss(y, softmax(z / (temperature * f))) for f in (0.98, 1, 1.02)]
    assert min(around) == around[1]
    flat = Report(y, softmax(z / SHARP / SHARP)).temperature()
    assert flat == pytest.approx(1 / SHARP, rel=0.1)


def test_the_temperature_of_sigmoids_is_found():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(2000, 3))
    y = (rng.random(z.shape) < 1 / (1 + np.exp(-z))).astype(int)
    p = 1 / (1 + np.exp(-2 * z))
    assert Report(y, p, task="multi_label").temperature() == pytest.approx(2, rel=0.1)


def test_nothing_is_fitted_where_no_prediction_is_wrong():
    y, z = logits()
    assert Report(z.argmax(axis=1), softmax(z)).temperature() == 1.0
    assert Report([0], [[1.0, 0.0]]).temperature() == 1.0


def test_a_temperature_never_makes_log_loss_or_calibration_error_worse():
    for seed in range(30):
        y, z = logits(25, seed=seed, sharp=np.exp(seed / 10 - 1.5))
        p = softmax(z)
        value = Report(y, p).temperature()
        after = calibration.scaled(p, value, True)
        assert calibration.log_loss(y, after) <= calibration.log_loss(y, p) + 1e-9
        was, now = (calibration.reliability(y, q).ece for q in (p, after))
        assert now <= was + 1e-6


@pytest.mark.parametrize(
    ("activation", "split"), [("softmax", False), ("softmax", True), ("linear", False)]
)
def test_a_model_keeps_its_temperature_in_its_weights(activation, split, tmp_path):
    y, z = logits()
    model = head(activation, split=split)
    before = evaluate(model, (z, y), verbose=0)
    outputs = model(z)
    temperature = calibrate(model, (z, y), verbose=0)
    after = evaluate(model, (z, y), verbose=0)
    assert temperature.value == pytest.approx(before.temperature())
    assert temperature.value > 2
    assert np.array_equal(after.y_pred, before.y_pred)
    assert temperature.loss == pytest.approx(
        (before.metrics["loss"], after.metrics["loss"]), rel=1e-3
    )
    assert temperature.ece == pytest.approx(
        (before.metrics["ece"], after.metrics["ece"]), abs=1e-3
    )
    assert after.metrics["loss"] < before.metrics["loss"]
    assert after.metrics["ece"] < before.metrics["ece"]
    if activation == "linear":
        np.testing.assert_allclose(model(z), outputs / temperature.value, rtol=1e-4)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(z), model(z))
    assert f"temperature {temperature.value:.4g}, loss" in str(temperature)


def test_a_temperature_helps_on_other_data():
    model = head()
    calibrate(model, logits(seed=0)[::-1], verbose=0)
    other = logits(seed=5)[::-1]
    after, before = (evaluate(m, other, verbose=0).metrics for m in (model, head()))
    assert after["loss"] < before["loss"] and after["ece"] < before["ece"]
    assert after["accuracy"] == before["accuracy"]


def test_a_temperature_at_its_bound_is_told():
    labels, z = logits(n=400, sharp=50)
    found = calibrate(head(), (z, np.roll(labels, 1)), verbose=0)
    assert "say next to nothing of the labels" in str(found)


def test_calibrating_twice_changes_nothing():
    y, z = logits()
    model = head()
    calibrate(model, (z, y), verbose=0)
    once = model.layers[-1].get_weights()
    again = calibrate(model, (z, y), verbose=0)
    assert again.value == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(model.layers[-1].get_weights()[0], once[0], rtol=1e-3)


def test_a_single_sigmoid_and_several_labels_are_calibrated():
    rng = np.random.default_rng(0)
    z = rng.normal(size=(500, 3)).astype("float32")
    y = (rng.random(z.shape) < 1 / (1 + np.exp(-z))).astype("int64")
    model = head("sigmoid", 1, inputs=1, bias=0.0)
    assert calibrate(model, (4 * z[:, :1], y[:, 0]), verbose=0).value > 2
    model = head("sigmoid", 3, inputs=3, bias=0.0)
    was = evaluate(model, (4 * z, y), verbose=0)
    assert was.task == "multi_label"
    assert calibrate(model, (4 * z, y), verbose=0).value > 2
    now = evaluate(model, (4 * z, y), verbose=0)
    assert np.array_equal(now.y_pred, was.y_pred)


def test_of_a_transfer_model_the_last_layer_alone_changes(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.integers(0, 255, (40, 16, 16, 3)).astype("float32")
    y = np.arange(40) % 2
    model = tl.image_classifier(tiny_backbone(blocks=1), ["ant", "bee"])
    model.get_layer("predictions").set_weights(
        [9 * rng.normal(size=(4, 2)), np.zeros(2)]
    )
    backbone = weights_of(model.backbone)
    assert calibrate(model, (x, y), verbose=0).value > 1
    for path, value in weights_of(model.backbone).items():
        np.testing.assert_array_equal(value, backbone[path])
    model.save(tmp_path / "model.keras")
    loaded = tl.load(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x), model(x))


def test_each_head_with_classes_has_a_temperature():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 255, (40, 16, 16, 3)).astype("float32")
    heads = {
        "kind": tl.Classes(["a", "b"]),
        "tags": tl.Labels(["c", "d"]),
        "size": tl.Numbers(),
    }
    model = tl.image_classifier(tiny_backbone(blocks=1), heads)
    for name in ("kind", "tags"):
        layer = find_logits(model, model.output[name]).layer
        layer.set_weights([9 * w + 4 for w in layer.get_weights()])
    labels = {
        "kind": np.where(np.arange(40) % 4 == 0, -1, np.arange(40) % 3 % 2),
        "tags": rng.integers(0, 2, (40, 2)),
        "size": rng.normal(size=40),
    }
    size = model(x)["size"]
    found = calibrate(model, (x, labels), verbose=0)
    assert found.keys() == {"kind", "tags"}
    after = evaluate(model, (x, labels), verbose=0)
    for name, temperature in found.items():
        loss = after[name].metrics["loss"]
        assert temperature.loss[1] == pytest.approx(loss, rel=1e-3)
        assert temperature.loss[1] < temperature.loss[0]
    np.testing.assert_array_equal(model(x)["size"], size)


def test_a_head_that_is_nested_is_found():
    inner = head()
    model = keras.Sequential([keras.Input((4,)), keras.layers.Identity(), inner])
    assert find_logits(model, model.outputs[0]).layer is inner.layers[-1]


def shared_twice():
    x, layer = keras.Input((4,)), keras.layers.Dense(4, "softmax")
    return keras.Model(x, layer(layer(x)))


def temperature_after(last):
    x = keras.Input((4,))
    return keras.Model(x, last(keras.layers.Dense(4, "softmax")(x)))


def tied_bias():
    """Returns a model whose last kernel and bias also shape its input."""

    class Tied(keras.layers.Layer):
        def call(self, x):
            return x * keras.ops.mean(dense.kernel)

    dense, x = keras.layers.Dense(4, "softmax"), keras.Input((4,))
    dense.build((None, 4))
    model = keras.Model(x, dense(Tied()(x)))
    dense.set_weights([4 * np.eye(4), np.zeros(4)])
    return model


@pytest.mark.parametrize(
    "make, message",
    [
        (shared_twice, "used more than once"),
        (lambda: temperature_after(keras.layers.Softmax()), "Received: Dense"),
        (lambda: temperature_after(keras.layers.Rescaling(0.5)), "Rescaling"),
        (lambda: head("relu"), "Received: Dense"),
        (tied_bias, "in another way"),
    ],
)
def test_a_model_that_cannot_be_calibrated_stays_as_it_was(make, message):
    model = make()
    before = weights_of(model)
    y, z = logits()
    with pytest.raises(ValueError, match=message):
        calibrate(model, (z, y), verbose=0)
    for path, value in weights_of(model).items():
        np.testing.assert_array_equal(value, before[path])


def test_what_has_no_probabilities_is_not_calibrated():
    x = np.linspace(0, 1, 20, dtype="float32")[:, None]
    offered = "`tl.calibrate`.*'regression'.*'classification', 'multi_label'"
    with pytest.raises(UnsupportedError, match=offered):
        calibrate(head("linear", 1, inputs=1), (x, x), verbose=0)
    with pytest.raises(UnsupportedError, match="`Report.temperature`"):
        Report(x, x, task="regression").temperature()

    class Own(keras.Model):
        def call(self, x):
            return keras.ops.softmax(x)

    y, z = logits()
    with pytest.raises(ValueError, match="functional"):
        calibrate(Own(), (z, y), verbose=0)


# Thresholds that a model keeps


def multi_label_model(outputs=("red", "round", "tall")):
    """Returns a model with random outputs well away from 0 and 1, pictures, labels."""
    model = tl.image_classifier(
        tiny_backbone(blocks=1), list(outputs), multi_label=True
    )
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (60, 16, 16, 3)).astype("float32")
    layer = model.get_layer("predictions")
    layer.set_weights([30 * layer.get_weights()[0], layer.get_weights()[1]])
    p = np.asarray(model(x))
    y = (p + 0.3 * rng.normal(size=p.shape) > p.mean(axis=0)).astype("float32")
    return model, x, y


def test_a_model_keeps_thresholds_and_classifies_by_them(tmp_path):
    model, x, y = multi_label_model()
    report = evaluate(model, (x, y), verbose=0)
    model.thresholds = report.thresholds
    assert model.thresholds == tuple(report.thresholds.tolist())
    chosen = evaluate(model, (x, y), verbose=0)
    assert chosen.metrics["macro_f1"] > report.metrics["macro_f1"]
    model.save(tmp_path / "model.keras")
    loaded = tl.load(tmp_path / "model.keras")
    assert loaded.thresholds == model.thresholds
    for kind in (model, loaded):
        said = [answer.label for answer in kind.classify(x)]
        rows = [[name in label for name in model.class_names] for label in said]
        np.testing.assert_array_equal(rows, chosen.y_pred == 1)
    model.thresholds = None
    model.save(tmp_path / "plain.keras")
    assert tl.load(tmp_path / "plain.keras").thresholds is None


@pytest.mark.parametrize("value", [0.3, [0.2, 0.6, 0.0]])
def test_calibrating_moves_thresholds_and_changes_no_decision(value):
    model, x, y = multi_label_model()
    model.thresholds = value
    before = evaluate(model, (x, y), verbose=0)
    temperature = calibrate(model, (x, y), verbose=0).value
    assert temperature != 1.0
    assert model.temperature == temperature
    after = evaluate(model, (x, y), verbose=0)
    assert np.abs(after.probabilities - before.probabilities).max() > 0.01
    np.testing.assert_array_equal(after.y_pred, before.y_pred)
    t = np.clip(np.array(value), 1e-12, 1)
    moved = 1 / (1 + np.exp(-np.log(t / (1 - t)) / temperature))
    wanted = np.where(np.array(value) == 0, 0, moved)
    np.testing.assert_allclose(model.thresholds, wanted, rtol=1e-6)


def test_heads_have_thresholds_of_their_own(tmp_path):
    heads = {"tags": tl.Labels(["red", "tall"]), "kind": tl.Classes(2)}
    model = tl.image_classifier(tiny_backbone(blocks=1), heads)
    x = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3)).astype("float32")
    model.thresholds = {"tags": [0.0, 1.0]}
    model.save(tmp_path / "model.keras")
    loaded = tl.load(tmp_path / "model.keras")
    assert loaded.thresholds == {"tags": (0.0, 1.0)}
    assert [answer["tags"].label for answer in loaded.classify(x)] == [("red",)] * 12
    labels = {"tags": np.tile([[1.0, 0.0]], (12, 1)), "kind": np.arange(12) % 2}
    assert evaluate(loaded, (x, labels), verbose=0)["tags"].accuracy == 1.0
    given = evaluate(loaded, (x, labels), thresholds={"tags": 0.0}, verbose=0)
    assert given["tags"].accuracy == 0.0
    calibrate(loaded, (x, labels), verbose=0)
    assert loaded.thresholds == {"tags": (0.0, 1.0)}
    for wrong in (0.3, {"kind": 0.3}, {"none": 0.3}):
        with pytest.raises(ValueError, match="given by head"):
            loaded.thresholds = wrong
        with pytest.raises(ValueError, match="given by head"):
            evaluate(loaded, (x, labels), thresholds=wrong, verbose=0)


@functools.cache
def without_thresholds():
    return tl.image_classifier(tiny_backbone(blocks=0), 3, multi_label=True)


@pytest.mark.parametrize("wrong", [2, [0.1, 0.2], [[0.1] * 3], "a", [0.1, None, 0.2]])
def test_thresholds_that_do_not_fit_are_refused(wrong):
    model = without_thresholds()
    with pytest.raises(ValueError, match="from 0 to 1, or one for each of the 3"):
        model.thresholds = wrong
    assert model.thresholds is None


def test_exclusive_classes_have_no_thresholds():
    model = tl.image_classifier(tiny_backbone(blocks=1), 3)
    with pytest.raises(ValueError, match="multi_label=True"):
        model.thresholds = 0.4


def test_exported_labels_go_by_the_thresholds():
    from tlkeras.export.interface import Interface

    model = tl.image_classifier(
        tiny_backbone(blocks=1), ["red", "round", "tall"], multi_label=True
    )
    model.thresholds = [0.0, 1.0, 0.0]
    outputs = {"probabilities": keras.ops.full((4, 3), 0.5)}
    interface = Interface(model)
    said = interface.answers(outputs)["label"].numpy()
    assert {tuple(row) for row in said} == {(b"red", b"", b"tall")}
    assert interface.metadata()["thresholds"] == (0.0, 1.0, 0.0)
