"""What pixels must be, and arrays of pixels as models take them."""

from typing import Any

import numpy as np

# How many images are looked at together while pixels are checked.
_CHUNK = 1024


def read_pixels(x: Any) -> np.ndarray:
    """Returns images as uint8 or float32 `(n, height, width, channels)`."""
    try:
        pixels = np.asarray(x)
    except ValueError as error:
        raise ValueError(
            f"`x` must be one array, all images of the same size: {error}. Of sounds "
            "say their `sample_rate=`, too."
        ) from error
    _check_dtype(pixels)
    if pixels.ndim == 3:
        pixels = pixels[..., np.newaxis]
    _check_shape(pixels)
    _check_range(pixels)
    return pixels.astype(
        np.float32 if pixels.dtype.kind == "f" else np.uint8, copy=False
    )


def as_pixels(x: Any) -> np.ndarray | None:
    """Returns arrays or tensors of pictures as `(n, ...)`; `None` of all else.

    Args:
        x: Pictures, paths, or a description of some.
    """
    listed = isinstance(x, (list, tuple)) and all(
        hasattr(one, "shape") or isinstance(one, (list, tuple)) for one in x
    )
    if not listed and not hasattr(x, "__array__"):
        return None
    try:
        pixels = np.asarray(x)
    except ValueError:
        return None
    if pixels.dtype.name == "bfloat16":
        pixels = pixels.astype("float32")
    if pixels.ndim not in (3, 4) or not pixels.size or pixels.dtype.kind not in "biuf":
        return None
    return pixels[None] if pixels.ndim == 3 else pixels


def _check_dtype(pixels: np.ndarray) -> None:
    kind = pixels.dtype.kind
    if kind == "O":
        raise ValueError(
            "`x` has dtype object, as when images differ in size. Resize them to one "
            "size and stack them with `np.stack`."
        )
    if kind not in "iuf":
        raise ValueError(
            "`x` must hold pixels 0 to 255, uint8 or float. "
            f"Received: dtype {pixels.dtype}."
        )


def _check_shape(pixels: np.ndarray) -> None:
    if pixels.ndim != 4 or 0 in pixels.shape:
        others = (
            " Of sounds say their `sample_rate=`, too; rows of a table come as a "
            "DataFrame."
        ) * (pixels.ndim == 2)
        raise ValueError(
            "`x` must have shape (n, height, width) or (n, height, width, channels). "
            f"Received: shape {pixels.shape}.{others}"
        )
    channels = pixels.shape[3]
    if channels in (1, 3):
        return
    if pixels.shape[1] in (1, 3):
        mend = "Channels come last: pass `np.moveaxis(x, 1, -1)`."
    elif channels == 4:
        mend = "Drop the alpha channel: pass `x[..., :3]`."
    else:
        mend = "Pass 1 channel (grey) or 3 (RGB)."
    raise ValueError(
        f"Images in `x` have {channels} channels, shape {pixels.shape}. {mend}"
    )


def _check_range(pixels: np.ndarray) -> None:
    """Checks chunk by chunk, so that no second array of the size of `x` arises."""
    check_finite(pixels, "x")
    problem = range_problem(pixels, "x")
    if problem is not None:
        raise ValueError(problem)


def check_finite(pixels: np.ndarray, name: str) -> None:
    """Raises `ValueError` where some of `(n, ...)` pixels are NaN or infinite.

    Args:
        pixels: Numbers.
        name: What they are called.
    """
    if pixels.dtype.kind != "f":
        return
    axes = tuple(range(1, pixels.ndim))
    bad = np.concatenate([~np.isfinite(c).all(axis=axes) for c in _chunks(pixels)])
    if bad.any():
        raise ValueError(
            f"`{name}` has NaN or infinite pixels in {bad.sum()} of {len(bad)} images, "
            f"first at index {int(np.argmax(bad))}. Remove or repair these images."
        )


def range_problem(pixels: np.ndarray, name: str, slack: float = 0.0) -> str | None:
    """Returns why finite numbers can be no raw pixels; `None` where they can.

    Args:
        pixels: Numbers, at least one.
        name: What they are called.
        slack: How far values may lie outside of 0 to 255, as resizing and
            augmentation leave them. Where there is some, all black is taken.
    """
    low = float(min(chunk.min() for chunk in _chunks(pixels)))
    high = float(max(chunk.max() for chunk in _chunks(pixels)))
    black = slack and low == high == 0
    mend = None if black else _rescaled_back(pixels, low, high)
    if mend is not None:
        return (
            f"`{name}` looks rescaled: its values go from {low:.4g} to {high:.4g}. "
            "Models of tlkeras take raw pixels 0 to 255 and rescale them themselves. "
            f"Pass `{mend}`."
        )
    # Values of pixels that were normalised lie near each other.
    normalised = high - low < 20 and low < 0
    if low < -slack or high > 255 + slack or normalised:
        return (
            f"Pixels in `{name}` must lie between 0 and 255. Received: values from "
            f"{low:.4g} to {high:.4g}. Undo any normalisation, or clip with "
            "`np.clip(x, 0, 255)`; divide 16-bit images by 257."
        )
    return None


def _rescaled_back(pixels: np.ndarray, low: float, high: float) -> str | None:
    """Returns what makes raw pixels of rescaled ones, `None` where they are not."""
    if pixels.dtype.kind != "f":
        # One value alone may be a dark picture.
        return "x * 255" if (low, high) == (0, 1) else None
    if low < -1 or high > 2:
        return None
    if high > 1:
        is_raw = low < 0 or all(np.all(c == np.floor(c)) for c in _chunks(pixels))
        return None if is_raw else "x * 127.5"
    if low >= 0:
        return "x * 255"
    return "(x + 0.5) * 255" if -0.5 <= low and high <= 0.5 else "(x + 1) * 127.5"


def _chunks(pixels: np.ndarray) -> list[np.ndarray]:
    return [pixels[i : i + _CHUNK] for i in range(0, len(pixels), _CHUNK)]
