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
            f"`x` must be one array, all images of the same size: {error}."
        ) from error
    _check_dtype(pixels)
    if pixels.ndim == 3:
        pixels = pixels[..., np.newaxis]
    _check_shape(pixels)
    _check_range(pixels)
    return pixels.astype(
        np.float32 if pixels.dtype.kind == "f" else np.uint8, copy=False
    )


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
        raise ValueError(
            "`x` must have shape (n, height, width) or (n, height, width, channels). "
            f"Received: shape {pixels.shape}."
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
    chunks = [pixels[i : i + _CHUNK] for i in range(0, len(pixels), _CHUNK)]
    if pixels.dtype.kind == "f":
        _check_finite(chunks)
    low = min(chunk.min() for chunk in chunks)
    high = max(chunk.max() for chunk in chunks)
    if pixels.dtype.kind == "f" and low >= -1 and high <= 1:
        mend = "`x * 255`" if low >= 0 else "`(x + 1) * 127.5`"
        raise ValueError(
            f"`x` looks rescaled: its values go from {low:.4g} to {high:.4g}. Models "
            "of tlkeras take raw pixels 0 to 255 and rescale them themselves. Pass "
            f"{mend}."
        )
    if low < 0 or high > 255:
        raise ValueError(
            f"Pixels in `x` must lie between 0 and 255. Received: values from "
            f"{low:.4g} to {high:.4g}. Undo any normalisation, or clip with "
            "`np.clip(x, 0, 255)`; divide 16-bit images by 257."
        )


def _check_finite(chunks: list[np.ndarray]) -> None:
    bad = np.concatenate([~np.isfinite(c).all(axis=(1, 2, 3)) for c in chunks])
    if bad.any():
        raise ValueError(
            f"`x` has NaN or infinite pixels in {bad.sum()} of {len(bad)} images, "
            f"first at index {int(np.argmax(bad))}. Remove or repair these images."
        )
