"""Checks and generated data that several test modules share."""

import os
from pathlib import Path

import numpy as np
import pytest

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


def solid_colours(n: int, classes: int, size: int = 16, seed: int = 0):
    """Returns `n` noisy solid-colour uint8 images and their int32 labels."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    palette = np.random.default_rng(99).integers(0, 256, (classes, 3))
    pixels = palette[labels][:, None, None, :] + rng.normal(0, 20, (n, size, size, 3))
    return np.clip(pixels, 0, 255).astype("uint8"), labels.astype("int32")
