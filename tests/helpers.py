"""Checks and generated data that several test modules share."""

import inspect
import os
from pathlib import Path

import keras
import numpy as np
import pytest

import tlkeras as tl

SHARED = Path(__file__).resolve().parents[2] / "shared"


def needs_shared(*parts: str) -> Path:
    """Returns a path below `../shared`, or skips the test where it is absent.

    With `CI` set the material must be there: its absence fails the test.
    """
    path = SHARED.joinpath(*parts)
    if not path.exists():
        message = f"needs real weights or data: {path} is absent"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return path


def with_recipe(**arguments):
    """Returns arguments of `fine_tune`; settings that it has not are a recipe's."""
    own = inspect.signature(tl.fine_tune).parameters
    settings = {n: arguments.pop(n) for n in [*arguments] if n not in own}
    return {**arguments, **({"recipe": tl.Recipe(**settings)} if settings else {})}


def solid_colours(n: int, classes: int, size: int = 16, seed: int = 0):
    """Returns `n` noisy solid-colour uint8 images and their int32 labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    palette = np.random.default_rng(99).integers(0, 256, (classes, 3))
    pixels = palette[labels][:, None, None, :] + rng.normal(0, 20, (n, size, size, 3))
    return np.clip(pixels, 0, 255).astype("uint8"), labels.astype("int32")


def tiny_backbone(size: int = 16, width: int = 4, blocks: int = 3) -> keras.Model:
    """Returns a small residual backbone with batch norms, dropout and named blocks."""
    inputs = keras.Input((size, size, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1, name="stem_rescale")(inputs)
    x = keras.layers.Conv2D(width, 3, padding="same", name="stem_conv")(x)
    for number in range(1, blocks + 1):
        block = f"block{number}"
        y = keras.layers.Conv2D(width, 3, padding="same", name=f"{block}_conv")(x)
        y = keras.layers.BatchNormalization(name=f"{block}_bn")(y)
        y = keras.layers.Activation("relu", name=f"{block}_relu")(y)
        y = keras.layers.Dropout(0.5, name=f"{block}_dropout")(y)
        x = keras.layers.Add(name=f"{block}_add")([x, y])
    return keras.Model(inputs, x, name="tiny")


def with_head(backbone: keras.Model, units: int = 2) -> keras.Model:
    """Returns a hand-written, compiled classifier on `backbone`: no class of ours."""
    inputs = keras.Input(backbone.input_shape[1:])
    x = keras.layers.GlobalAveragePooling2D()(backbone(inputs))
    outputs = keras.layers.Dense(units, activation="softmax", name="out")(x)
    model = keras.Model(inputs, outputs)
    model.compile(
        keras.optimizers.Adam(1e-2),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
    return model


def echo(*shape: int) -> keras.Model:
    """Returns a model whose outputs are its inputs: predictions known beforehand."""
    return keras.Sequential([keras.Input(shape), keras.layers.Identity()])


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns probabilities along the last axis."""
    exp = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exp / exp.sum(axis=-1, keepdims=True)


def weights_of(layer: keras.layers.Layer) -> dict[str, np.ndarray]:
    """Returns a copy of every weight by its path."""
    return {v.path: np.array(v) for v in layer.weights}


def assert_equal_weights(before: dict, after: dict) -> None:
    """Fails unless both hold the same weights, bit for bit."""
    assert before.keys() == after.keys()
    for path, value in before.items():
        np.testing.assert_array_equal(value, after[path], err_msg=path)
