"""`precision="auto"` on a CPU: measured per backbone, remembered, said."""

import keras
import numpy as np
import pytest

import tlkeras as tl
from tlkeras import runtime
from tlkeras.features import precision


@pytest.fixture(autouse=True)
def _auto_precision(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("TLKERAS_CACHE", str(tmp_path))
    monkeypatch.setattr(runtime, "_configured", None)
    tl.configure(strategy="none")
    capsys.readouterr()


def pretend(monkeypatch, **rates):
    """Makes a measurement give these examples per second; returns what was measured."""
    measured = []

    def rate(model):
        measured.append(model.dtype_policy.name)
        return rates[model.dtype_policy.name]

    monkeypatch.setattr(precision, "examples_per_second", rate)
    return measured


@pytest.mark.parametrize("faster", precision.CANDIDATES)
def test_the_faster_precision_is_taken_said_and_remembered(monkeypatch, capsys, faster):
    rates = {name: 30.0 if name == faster else 10.0 for name in precision.CANDIDATES}
    measured = pretend(monkeypatch, **rates)
    model = tl.image_classifier("glyphnet", 2)
    assert model.backbone.layers[1].dtype_policy.name == faster
    assert keras.config.dtype_policy().name == "float32"
    said = capsys.readouterr().out
    assert faster in said and "3.0 times as fast" in said
    tl.image_classifier("glyphnet", 2)
    assert len(measured) == 2
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_each_backbone_and_size_is_measured_by_itself(monkeypatch):
    measured = pretend(monkeypatch, float32=2.0, mixed_bfloat16=1.0)
    tl.image_classifier("glyphnet", 2)
    tl.image_classifier("mobilenet_v2", 2, weights=None, input_shape=32)
    tl.image_classifier("mobilenet_v2", 2, weights=None, input_shape=64)
    assert len(measured) == 6


def test_a_damaged_answer_is_measured_again(monkeypatch, tmp_path):
    measured = pretend(monkeypatch, float32=2.0, mixed_bfloat16=1.0)
    tl.image_classifier("glyphnet", 2)
    (answer,) = (tmp_path / "precision").iterdir()
    answer.write_text("{")
    tl.image_classifier("glyphnet", 2)
    assert len(measured) == 4


def test_a_model_of_bfloat16_fits_and_predicts_in_float32(monkeypatch):
    pretend(monkeypatch, float32=1.0, mixed_bfloat16=2.0)
    model = tl.image_classifier("glyphnet", 2)
    x = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 1), "uint8")
    tl.fit_head(model, (x, np.arange(8) % 2), epochs=1, verbose=0)
    assert model.predict(x.astype("float32"), verbose=0).dtype == "float32"
    (entry,) = tl.cache_info().entries
    width = model.backbone.output_shape[-1]
    # Features are kept in bfloat16, two bytes each; labels take four or eight.
    assert entry.size - 8 * 8 <= 8 * width * 2 < entry.size


def test_a_measurement_of_the_real_thing():
    rate = precision.examples_per_second(tl.load_backbone("glyphnet"))
    assert 0 < rate < float("inf")


def test_a_model_of_ones_own_keeps_its_precision(monkeypatch):
    measured = pretend(monkeypatch)
    tl.image_classifier(tl.load_backbone("glyphnet"), 2)
    assert measured == []


def test_asked_precision_is_not_measured(monkeypatch, capsys):
    measured = pretend(monkeypatch)
    tl.configure(precision="mixed_bfloat16", strategy="none")
    model = tl.image_classifier("glyphnet", 2)
    assert model.backbone.layers[1].dtype_policy.name == "mixed_bfloat16"
    assert measured == []
