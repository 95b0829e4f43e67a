"""The one place where image files become pixels."""

import concurrent.futures
import functools
import os
from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

from tlkeras._validation import check_choice, check_int
from tlkeras.inputs.paths import listed_paths, raise_unreadable
from tlkeras.inputs.pictures.headers import Decoder, read_headers

COLOR_CHANNELS = {"rgb": 3, "grayscale": 1}

# What names of image files end in that can be read.
ENDINGS = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp")

# What can be passed in place of a file's content.
AS_PIXELS = "pixels: `np.asarray(PIL.Image.open(io.BytesIO(content)))`"

# How pictures come to the shape of the target.
FITS = ("crop", "pad", "stretch")

# Rec. 601, the weights of JPEG's own luma.
_LUMA = (0.299, 0.587, 0.114)


def check_image_size(image_size: int | tuple[int, int]) -> tuple[int, int]:
    """Returns `(height, width)` for a side or a pair, or raises `ValueError`."""
    if isinstance(image_size, tuple | list):
        if len(image_size) != 2:
            raise ValueError(
                "`image_size` must be one number of pixels or (height, width). "
                f"Received: image_size={image_size!r}."
            )
        height, width = image_size
        return check_int("image_size[0]", height, 1), check_int(
            "image_size[1]", width, 1
        )
    side = check_int("image_size", image_size, 1)
    return side, side


def check_color_mode(color_mode: str) -> str:
    """Returns `color_mode` if it is known, or raises `ValueError`."""
    return check_choice("color_mode", color_mode, COLOR_CHANNELS)


def check_fit(fit: str) -> str:
    """Returns `fit` if it is known, or raises `ValueError`."""
    return check_choice("fit", fit, FITS)


def load_images(
    paths: str | os.PathLike | Sequence[str | os.PathLike],
    image_size: int | tuple[int, int],
    color_mode: str = "rgb",
    fit: str = "crop",
) -> np.ndarray:
    """Loads image files, pixel for pixel as `image_folder` does.

    Args:
        paths: One file or several: JPEG, PNG, GIF (its first frame), BMP, WebP.
        image_size: Side, or `(height, width)`, in pixels.
        color_mode: `"rgb"` or `"grayscale"`.
        fit: How pictures come to the shape of `image_size`: `"crop"` keeps the largest
            window in the middle, `"pad"` keeps all and fills up with black, `"stretch"`
            keeps all and distorts.

    Returns:
        A float32 array `(n, height, width, channels)` of raw pixels, 0 to 255.

    Raises:
        ValueError: If a file cannot be read; the message names it and says why.

    Example:
    >>> tl.load_images(["flowers/rose/1.jpg"], image_size=224).shape
    (1, 224, 224, 3)
    """
    size = check_image_size(image_size)
    check_color_mode(color_mode)
    check_fit(fit)
    listed = listed_paths("paths", paths, AS_PIXELS)
    if listed is None:
        raise ValueError(
            "`paths` must be a path or a list of paths. Received: "
            f"{type(paths).__name__}."
        )
    paths = listed
    headers, reasons = read_headers(paths)
    raise_unreadable(paths, reasons, "image", "JPEG, PNG, GIF, BMP and WebP")
    decoders = choose_decoders(headers, size, fit)
    orientations = headers["orientation"].astype(np.int32)
    images = np.empty((len(paths), *size, COLOR_CHANNELS[color_mode]), np.float32)
    decode = _compiled_decoder(size, color_mode, fit)

    def load(i: int) -> None:
        try:
            with tf.device("CPU:0"):
                images[i] = decode(os.fsencode(paths[i]), decoders[i], orientations[i])
        except tf.errors.OpError as error:
            raise ValueError(
                f"Cannot decode the image file {os.fsdecode(paths[i])!r}: its pixels "
                "are damaged. Save it again or leave it out."
            ) from error

    with concurrent.futures.ThreadPoolExecutor() as pool:
        # The first alone: else each thread has TensorFlow prepare the graph.
        for some in (range(len(paths))[:1], range(len(paths))[1:]):
            list(pool.map(load, some))
    return images


@functools.lru_cache(maxsize=8)
def _compiled_decoder(
    image_size: tuple[int, int], color_mode: str, fit: str
) -> Callable[[bytes, np.int32, np.int32], tf.Tensor]:
    """Compiles `decode_image` for one target: half the time of eager calls."""
    scalars = [tf.TensorSpec((), dtype) for dtype in (tf.string, tf.int32, tf.int32)]

    @tf.function(autograph=False, input_signature=scalars)
    def decode(path, decoder, orientation):
        return decode_image(path, decoder, orientation, image_size, color_mode, fit)

    return decode


def choose_decoders(
    headers: np.ndarray, image_size: tuple[int, int], fit: str = "crop"
) -> np.ndarray:
    """Chooses each file's decoder for a target size.

    A JPEG is decoded at the smallest of 1, 1/2, 1/4 and 1/8 of its size that
    leaves both sides at least as long as the target, or as the picture that fits into
    it where `fit` is `"pad"`: faster, and smoother than skipping pixels afterwards.

    Args:
        headers: `HEADER` records, `(n,)`.
        image_size: The target, `(height, width)` in pixels.
        fit: As in `image_folder`.

    Returns:
        `Decoder` numbers, int32 `(n,)`.
    """
    sideways = headers["orientation"] >= 5
    height = np.where(sideways, headers["width"], headers["height"])
    width = np.where(sideways, headers["height"], headers["width"])
    decoders = headers["decoder"].astype(np.int32)
    for reduced in (Decoder.JPEG_HALF, Decoder.JPEG_QUARTER, Decoder.JPEG_EIGHTH):
        ratio = 2 ** int(reduced)
        high, wide = height >= ratio * image_size[0], width >= ratio * image_size[1]
        fits = high | wide if fit == "pad" else high & wide
        decoders[fits & (headers["decoder"] == Decoder.JPEG)] = reduced
    return decoders


def decode_image(
    path: tf.Tensor | bytes,
    decoder: tf.Tensor | int,
    orientation: tf.Tensor | int,
    image_size: tuple[int, int],
    color_mode: str = "rgb",
    fit: str = "crop",
) -> tf.Tensor:
    """Decodes one image file, upright and at the size asked for.

    The pixels are those that Pillow decodes with `convert("RGB")`: CMYK and
    palettes become RGB, 16 bits become 8, and an alpha channel is dropped, not
    composited, as in `keras.utils.image_dataset_from_directory`.

    Args:
        path: Scalar string: the file.
        decoder: Scalar int32: its `Decoder`, from `choose_decoders`.
        orientation: Scalar int32: its EXIF orientation, 1 to 8.
        image_size: `(height, width)` in pixels.
        color_mode: `"rgb"` or `"grayscale"`.
        fit: As in `image_folder`.

    Returns:
        Raw pixels, 0 to 255, float32 `(height, width, channels)`.
    """
    contents = tf.io.read_file(path)
    branches = [functools.partial(decode, contents) for decode in DECODERS.values()]
    image = tf.switch_case(tf.convert_to_tensor(decoder), branches)
    image = tf.ensure_shape(image, (None, None, 3))
    sideways = tf.convert_to_tensor(orientation) >= 5
    image = resize_image(image, tf.where(sideways, image_size[::-1], image_size), fit)
    image = turn_upright(image, orientation)
    return to_color_mode(tf.ensure_shape(image, (*image_size, 3)), color_mode)


def _decode_jpeg(contents: tf.Tensor, ratio: int) -> tf.Tensor:
    # The accurate transform is the one of Pillow and OpenCV: what a model is
    # served with later are then the pixels that it was trained on.
    return tf.io.decode_jpeg(
        contents, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE"
    )


def _decode_whole(contents: tf.Tensor) -> tf.Tensor:
    return tf.io.decode_image(contents, channels=3, expand_animations=False)


def _decode_webp(contents: tf.Tensor) -> tf.Tensor:
    # An animated WebP makes the decoder write past its buffer (TensorFlow 2.21),
    # so one that took the place of a checked file must not get that far.
    is_extended = tf.strings.substr(contents, 12, 4) == b"VP8X"
    flags = tf.io.decode_raw(tf.strings.substr(contents, 20, 1), tf.uint8)[0]
    is_animated = is_extended & (tf.bitwise.bitwise_and(flags, 2) > 0)
    message = "Animated WebP images cannot be decoded."
    with tf.control_dependencies([tf.debugging.Assert(~is_animated, [message])]):
        return tf.io.decode_webp(tf.identity(contents))[0, ..., :3]


DECODERS: dict[Decoder, Callable[[tf.Tensor], tf.Tensor]] = {
    Decoder.JPEG: functools.partial(_decode_jpeg, ratio=1),
    Decoder.JPEG_HALF: functools.partial(_decode_jpeg, ratio=2),
    Decoder.JPEG_QUARTER: functools.partial(_decode_jpeg, ratio=4),
    Decoder.JPEG_EIGHTH: functools.partial(_decode_jpeg, ratio=8),
    Decoder.WHOLE: _decode_whole,
    Decoder.WEBP: _decode_webp,
}


def resize_image(
    image: tf.Tensor, size: tf.Tensor | tuple[int, int], fit: str = "crop"
) -> tf.Tensor:
    """Resizes one image bilinearly, to the target's aspect ratio as `fit` says.

    By default the largest window in the middle is kept, as
    `keras.utils.image_dataset_from_directory(crop_to_aspect_ratio=True)` does:
    pretrained backbones have seen undistorted objects.

    Args:
        image: `(height, width, channels)`.
        size: The target `(height, width)` in pixels, may be a tensor.
        fit: `"crop"`; `"pad"` keeps all of the image, in the middle of black; or
            `"stretch"`, which distorts it.

    Returns:
        float32, `(*size, channels)`.
    """
    size = tf.convert_to_tensor(size, tf.int32)
    if fit == "stretch":
        factors = tf.maximum(tf.shape(image)[:2] // size, 1)
        return _resize_averaged(image, size, factors)
    if fit == "crop":
        image = _crop_to_aspect_ratio(image, size)
        return _resize_averaged(image, size, _common_factor(image, size))
    inner = _fitting(image, size)
    return _pad(_resize_averaged(image, inner, _common_factor(image, inner)), size)


def _resize_averaged(
    image: tf.Tensor, size: tf.Tensor, factors: tf.Tensor
) -> tf.Tensor:
    """Resizes bilinearly what is averaged by whole factors before.

    Plain bilinear would skip most pixels of a large image (`antialias=True` would do
    as well, at several times the cost of the decoding itself).
    """

    def averaged() -> tf.Tensor:
        whole = tf.shape(image)[:2] // factors
        return tf.image.resize(tf.image.resize(image, whole, "area"), size)

    def direct() -> tf.Tensor:
        return tf.cast(tf.image.resize(image, size), tf.float32)

    return tf.cond(tf.reduce_max(factors) > 1, averaged, direct)


def _common_factor(image: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Returns how many times the image is as large as `size`, in both directions."""
    return tf.reduce_min(tf.shape(image)[:2] // size)


def _fitting(image: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Returns the largest size within `size` that has the image's aspect ratio."""
    given = tf.shape(image)[:2]
    scale = tf.reduce_min(size / given)
    rounded = tf.cast(tf.round(tf.cast(given, scale.dtype) * scale), tf.int32)
    return tf.clip_by_value(rounded, 1, size)


def _pad(image: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Puts an image in the middle of black of a size."""
    room = size - tf.shape(image)[:2]
    before = room // 2
    sides = tf.stack([before, room - before], axis=1)
    return tf.pad(image, tf.concat([sides, [[0, 0]]], axis=0))


def _crop_to_aspect_ratio(image: tf.Tensor, size: tf.Tensor) -> tf.Tensor:
    """Cuts out the largest window in the middle with the shape of `size`."""
    given = tf.shape(image)[:2]
    fitting = tf.maximum(given[::-1] * size // size[::-1], 1)
    window = tf.minimum(given, fitting)
    top, left = tf.unstack((given - window) // 2)
    return image[top : top + window[0], left : left + window[1]]


def turn_upright(image: tf.Tensor, orientation: tf.Tensor | int) -> tf.Tensor:
    """Undoes an EXIF orientation (CIPA DC-008, tag 274)."""

    def transposed() -> tf.Tensor:
        return tf.transpose(image, (1, 0, 2))

    upright = [
        lambda: image,
        lambda: tf.reverse(image, [1]),
        lambda: tf.reverse(image, [0, 1]),
        lambda: tf.reverse(image, [0]),
        lambda: transposed(),
        lambda: tf.reverse(transposed(), [1]),
        lambda: tf.reverse(transposed(), [0, 1]),
        lambda: tf.reverse(transposed(), [0]),
    ]
    return tf.switch_case(tf.convert_to_tensor(orientation) - 1, upright)


def to_color_mode(image: tf.Tensor, color_mode: str) -> tf.Tensor:
    """Converts float RGB pixels `(height, width, 3)` to `color_mode`."""
    if color_mode == "rgb":
        return image
    return tf.tensordot(image, tf.constant(_LUMA), 1)[..., tf.newaxis]
