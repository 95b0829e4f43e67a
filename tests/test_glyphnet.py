"""Glyphnet: its blocks, its weights, and the pretraining that made them."""

import os
import subprocess
import sys
import unicodedata
from pathlib import Path

import keras
import numpy as np
import pytest

from tlkeras.backbones.glyphnet import build_glyphnet, glyphnet_weights_path

SCRIPT = Path(__file__).parent / "benchmarks" / "glyphnet_pretrain.py"
sys.path.insert(0, str(SCRIPT.parent))

import glyphnet_pretrain  # noqa: E402
from glyphnet_pretrain import (  # noqa: E402
    FONTS,
    LETTERS,
    SHA256,
    compare,
    digit_accuracy,
    main,
    pretrain,
    render_letters,
    weights_sha256,
)


@pytest.fixture
def shipped():
    """Glyphnet with the weights that ship with the package."""
    backbone = build_glyphnet()
    backbone.load_weights(glyphnet_weights_path())
    return backbone


def test_it_is_small_and_ends_in_a_feature_map():
    backbone = build_glyphnet()
    assert backbone.name == "glyphnet"
    assert backbone.input_shape == (None, 32, 32, 1)
    assert backbone.output_shape == (None, 4, 4, 128)
    assert backbone.count_params() == 292_304


def test_every_layer_belongs_to_a_block_and_blocks_come_in_order():
    names = [layer.name for layer in build_glyphnet().layers[1:]]
    blocks = [name.split("_")[0] for name in names]
    assert blocks == sorted(blocks)
    assert set(blocks) == {"block1", "block2", "block3", "block4"}


def test_batch_norms_follow_small_data_sets():
    norms = [
        layer
        for layer in build_glyphnet().layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert len(norms) == 7
    assert {norm.momentum for norm in norms} == {0.9}


def test_other_shapes_and_names():
    backbone = build_glyphnet(input_shape=(48, 8, 3), name="mine")
    assert backbone.name == "mine"
    assert backbone.output_shape == (None, 6, 1, 128)


@pytest.mark.parametrize("shape", [(32, 32), 32, (7, 32, 1), (32, 32, 0), "big"])
def test_shapes_that_will_not_do(shape):
    with pytest.raises(ValueError, match="input_shape"):
        build_glyphnet(input_shape=shape)


def test_the_weights_are_the_ones_on_record(shipped):
    assert weights_sha256(shipped) == SHA256
    assert glyphnet_weights_path().stat().st_size < 2_000_000


def test_the_hash_sees_one_changed_bit(shipped):
    weights = shipped.get_weights()
    weights[0][0, 0, 0, 0] = np.nextafter(weights[0][0, 0, 0, 0], np.float32(9))
    shipped.set_weights(weights)
    assert weights_sha256(shipped) != SHA256


@pytest.mark.slow
def test_the_features_serve_for_digits_and_random_ones_do_not(shipped):
    assert digit_accuracy(shipped) > 0.93
    assert digit_accuracy(build_glyphnet()) < 0.89


def test_comparison_of_equal_weights(shipped, capsys):
    assert compare(shipped)
    assert "same bits" in capsys.readouterr().out


@pytest.mark.parametrize(("accuracy", "serves"), [(0.94, True), (0.90, False)])
def test_comparison_of_other_weights(monkeypatch, capsys, accuracy, serves):
    measured = iter([accuracy, 0.95])
    monkeypatch.setattr(glyphnet_pretrain, "digit_accuracy", lambda _: next(measured))
    assert compare(build_glyphnet()) is serves
    assert "differ" in capsys.readouterr().out


def test_no_digits_among_the_letters():
    characters = "".join(LETTERS)
    assert {unicodedata.category(c) for c in characters} <= {"Lu", "Ll"}
    assert len(set(characters)) == len(characters)
    assert len(LETTERS) == 78


def test_renderings_are_bright_ink_on_a_dark_ground():
    images, labels = render_letters(40, letters=["O", "L"], fonts=["DejaVuSans"])
    assert images.shape == (40, 32, 32, 1)
    assert images.dtype == np.uint8
    assert np.bincount(labels).tolist() == [20, 20]
    assert (images.max(axis=(1, 2, 3)) > 100).all()
    assert np.median(images) < 64


def test_renderings_follow_from_the_seed():
    some = {"letters": ["a", "Жж"], "fonts": FONTS[:2]}
    images, labels = render_letters(30, seed=3, **some)
    again, labels_again = render_letters(30, seed=3, **some)
    np.testing.assert_array_equal(images, again)
    np.testing.assert_array_equal(labels, labels_again)
    assert (images != render_letters(30, seed=4, **some)[0]).any()


def test_a_letter_that_no_font_has():
    with pytest.raises(ValueError, match=r"No font has a glyph for \['Ж'\]"):
        render_letters(4, letters=["a", "Ж"], fonts=["cmr10"])


@pytest.mark.parametrize("arguments", [{"renderings": 0}, {"epochs": 0}])
def test_pretraining_needs_something_to_do(arguments):
    with pytest.raises(ValueError, match="at least 1"):
        pretrain(**arguments)


def test_distances_are_euclidean():
    mask = np.zeros((64, 64), bool)
    mask[10, 20] = mask[40, 50] = True
    rows, columns = np.indices(mask.shape)
    near, far = (np.hypot(rows - y, columns - x) for y, x in ((10, 20), (40, 50)))
    distances = glyphnet_pretrain._distance_to(mask)
    np.testing.assert_allclose(distances, np.minimum(near, far), rtol=1e-6)


@pytest.mark.slow
def test_two_processes_make_the_same_weights(tmp_path):
    files = [tmp_path / f"{name}.weights.h5" for name in "ab"]
    tiny = ["--renderings", "256", "--epochs", "2"]
    runs = [
        subprocess.Popen(
            [sys.executable, SCRIPT, *tiny, "--out", file],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        )
        for file in files
    ]
    printed = [run.communicate() for run in runs]
    assert [run.returncode for run in runs] == [0, 0], printed
    hashes = []
    for file, (out, _) in zip(files, printed, strict=True):
        backbone = build_glyphnet()
        backbone.load_weights(file)
        hashes.append(weights_sha256(backbone))
        assert hashes[-1] in out
    assert hashes[0] == hashes[1] != SHA256


def test_help_and_an_empty_command_line(capsys):
    with pytest.raises(SystemExit) as done:
        main(["--help"])
    assert done.value.code == 0
    assert "--check" in capsys.readouterr().out
    with pytest.raises(SystemExit) as done:
        main([])
    assert done.value.code == 2
    assert "give --out FILE, --check, or both" in capsys.readouterr().err
