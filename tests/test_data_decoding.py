"""Image files into pixels: formats, orientation, size, errors."""

import functools
import io
import os
import struct
import zlib

import keras
import numpy as np
import pandas as pd
import PIL.Image
import PIL.ImageOps
import pytest
import tensorflow as tf
from helpers import needs_shared
from hypothesis import given, settings
from hypothesis import strategies as st
from images import damaged_files, encode, picture, pillow_pixels
from keras.preprocessing.image import smart_resize

from tlkeras.inputs import Pictures
from tlkeras.inputs.pictures.decoding import (
    FITS,
    Decoder,
    choose_decoders,
    decode_image,
    load_images,
    resize_image,
)
from tlkeras.inputs.pictures.headers import HEADER, read_headers

ORIENTATION = 0x0112
PHOTO = picture(24, 32)


def save(folder, name, contents):
    path = folder / name
    path.write_bytes(contents)
    return path


def exif(orientation):
    tags = PIL.Image.Exif()
    tags[ORIENTATION] = orientation
    return tags


def decoded(path, **kwargs):
    """Decodes a file at its own size, where nothing is resized."""
    height, width = pillow_pixels(path).shape[:2]
    return load_images(path, (height, width), **kwargs)[0]


# The first call of `load_images` in a test costs what many pictures do: what differs
# in the file alone is read by one call.


def assert_pixels_of_pillow(paths, **kwargs):
    """Fails unless files of one size are read as Pillow reads them."""
    expected = [pillow_pixels(path) for path in paths]
    pictures = load_images(paths, expected[0].shape[:2], **kwargs)
    for path, found, one in zip(paths, pictures, expected, strict=True):
        np.testing.assert_array_equal(found, one, err_msg=repr(path))


def with_alpha(format, mode, **options):
    """Encodes a picture that is more opaque to the lower left."""
    image = PIL.Image.fromarray(PHOTO).convert(mode)
    image.putalpha(PIL.Image.fromarray(np.tri(24, 32, dtype="uint8") * 200))
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def test_pixels_are_those_of_pillow(tmp_path):
    cases = [
        ("JPEG", "RGB", {}),
        ("JPEG", "RGB", {"progressive": True, "quality": 30}),
        ("JPEG", "RGB", {"subsampling": 0}),
        ("JPEG", "L", {}),
        ("JPEG", "CMYK", {}),
        ("PNG", "RGB", {}),
        ("PNG", "L", {}),
        ("PNG", "1", {}),
        ("PNG", "P", {}),
        ("PNG", "P", {"transparency": 3}),
        ("GIF", "RGB", {}),
        ("GIF", "L", {}),
        ("BMP", "RGB", {}),
        ("BMP", "L", {}),
        ("BMP", "RGBA", {}),
        ("WEBP", "RGB", {}),
        ("WEBP", "L", {}),
        ("WEBP", "RGB", {"lossless": True}),
    ]
    files = {
        " ".join([format, mode, *options]): encode(PHOTO, format, mode, **options)
        for format, mode, options in cases
    }
    # Alpha is dropped.
    files |= {
        "alpha.png": with_alpha("PNG", "RGBA"),
        "grey alpha.png": with_alpha("PNG", "LA"),
        "alpha.webp": with_alpha("WEBP", "RGBA"),
        "exact alpha.webp": with_alpha("WEBP", "RGBA", lossless=True, exact=True),
    }
    # Of an animation the first frame is taken, as is the first of several pictures.
    frames = {"save_all": True, "append_images": [PIL.Image.fromarray(PHOTO[::-1])]}
    for format in ("GIF", "PNG", "MPO"):
        files[f"several.{format}"] = encode(PHOTO, format, duration=50, **frames)
    # An orientation that is none is ignored.
    for value in (0, 9, 65535):
        files[f"{value}.jpg"] = encode(PHOTO, "JPEG", exif=exif(value))
    # Phones append videos to JPEGs; other tools pad files.
    junk = np.random.default_rng(0).integers(0, 200, 10_000).astype("uint8").tobytes()
    for format in ("JPEG", "PNG", "WEBP"):
        files[f"padded.{format}"] = encode(PHOTO, format) + junk
    # Any name works, also one that is not UTF-8.
    odd = b"\xff\xfe.png".decode(errors="surrogateescape")
    for name in ("größe ñ 花 🌼.png", "a b#c%d?.png", "x" * 251 + ".png", odd):
        files[name] = encode(PHOTO, "PNG")
    assert_pixels_of_pillow([save(tmp_path, *file) for file in files.items()])


def test_16_bit_png_keeps_the_high_byte(tmp_path):
    low_bytes = np.random.default_rng(0).integers(0, 256, PHOTO.shape)
    deep = PHOTO.astype("uint16") * 256 + low_bytes.astype("uint16")
    paths = [
        save(tmp_path, f"{n}.png", tf.io.encode_png(deep[..., :n]).numpy())
        for n in (1, 3)
    ]
    grey, colour = load_images(paths, (24, 32))
    np.testing.assert_array_equal(grey, np.broadcast_to(PHOTO[..., :1], PHOTO.shape))
    np.testing.assert_array_equal(colour, PHOTO)


def turned(folder, format, orientations):
    """Writes a picture whose EXIF data turn it in several ways; returns the paths."""
    return [
        save(folder, f"{n}.{format}", encode(PHOTO, format, exif=exif(n)))
        for n in orientations
    ]


def test_exif_orientation_is_undone(tmp_path):
    formats = "JPEG", "PNG", "WEBP"
    for orientations in (range(1, 5), range(5, 9)):
        paths = [turned(tmp_path, format, orientations) for format in formats]
        assert_pixels_of_pillow(sum(paths, []))


def test_orientation_and_resizing_go_together(tmp_path):
    paths = turned(tmp_path, "PNG", range(1, 9))
    for path, found in zip(paths, load_images(paths, (20, 15)), strict=True):
        expected = smart_resize(pillow_pixels(path).astype("float32"), (20, 15))
        np.testing.assert_allclose(found, expected, atol=1e-3, err_msg=path.name)


def test_below_twice_the_size_as_in_keras(tmp_path):
    folder = tmp_path / "class"
    folder.mkdir()
    path = save(folder, "a.png", encode(picture(47, 61), "PNG"))
    dataset = keras.utils.image_dataset_from_directory(
        tmp_path,
        labels=None,
        image_size=(32, 33),
        crop_to_aspect_ratio=True,
        verbose=False,
    )
    expected = next(iter(dataset)).numpy()
    np.testing.assert_array_equal(load_images(path, (32, 33)), expected)


def test_large_pictures_are_averaged_not_sampled(tmp_path):
    """A fine checkerboard becomes grey; sampling it would keep black and white."""
    board = np.indices((256, 256)).sum(axis=0)[..., None] % 2 * 255
    board = np.repeat(board, 3, axis=-1).astype("uint8")
    path = save(tmp_path, "a.png", encode(board, "PNG"))
    pixels = load_images(path, 32)
    np.testing.assert_allclose(pixels, 127.5, atol=0.5)


def test_shrinking_is_close_to_pillow(tmp_path):
    paths, expected = [], []
    for format in ("JPEG", "PNG", "BMP"):
        for side in (104, 208, 456, 912):
            contents = encode(picture(side, side + 32), format)
            paths.append(save(tmp_path, f"{side}.{format}", contents))
            with PIL.Image.open(paths[-1]) as image:
                middle = image.crop((16, 0, 16 + side, side))
                expected.append(middle.resize((50, 50), PIL.Image.BILINEAR))
    for path, found, one in zip(paths, load_images(paths, 50), expected, strict=True):
        difference = np.abs(found - np.asarray(one, float))
        assert difference.mean() < 1.5, path.name
        assert difference.max() < 12, path.name


def test_pictures_are_cropped_not_squeezed(tmp_path):
    wide = np.zeros((20, 60, 3), "uint8")
    wide[:, 20:40] = 200
    path = save(tmp_path, "a.png", encode(wide, "PNG"))
    np.testing.assert_array_equal(load_images(path, 20), np.full((1, 20, 20, 3), 200.0))


def jpeg_header(height, width, orientation=1, decoder=Decoder.JPEG):
    record = (decoder, orientation, height, width, 1, 1)
    return np.array([record], HEADER)


@pytest.mark.parametrize(
    ("height", "width", "orientation", "expected"),
    [
        (447, 900, 1, Decoder.JPEG),
        (448, 448, 1, Decoder.JPEG_HALF),
        (895, 4000, 1, Decoder.JPEG_HALF),
        (896, 896, 1, Decoder.JPEG_QUARTER),
        (1792, 1792, 1, Decoder.JPEG_EIGHTH),
        (9000, 9000, 1, Decoder.JPEG_EIGHTH),
        (10, 10, 1, Decoder.JPEG),
    ],
)
def test_decoder_leaves_both_sides_large_enough(height, width, orientation, expected):
    chosen = choose_decoders(jpeg_header(height, width, orientation), (224, 224))
    assert chosen.tolist() == [expected]


def test_decoder_looks_at_the_upright_picture():
    for orientation, expected in [(1, Decoder.JPEG), (6, Decoder.JPEG_HALF)]:
        header = jpeg_header(200, 100, orientation)
        assert choose_decoders(header, (50, 100)).tolist() == [expected]


def test_only_jpegs_are_decoded_reduced():
    header = jpeg_header(2000, 2000, decoder=Decoder.WHOLE)
    assert choose_decoders(header, (10, 10)).tolist() == [Decoder.WHOLE]


def test_reduced_jpeg_is_what_pillow_drafts(tmp_path):
    paths, expected = [], []
    for mode in ("RGB", "CMYK", "L"):
        for side in (200, 400, 800):
            contents = encode(picture(side, side), "JPEG", mode)
            paths.append(save(tmp_path, f"{mode}{side}.jpg", contents))
            with PIL.Image.open(paths[-1]) as image:
                image.draft(None, (100, 100))
                expected.append(np.asarray(image.convert("RGB")))
    for path, found, one in zip(paths, load_images(paths, 100), expected, strict=True):
        assert one.shape == (100, 100, 3)
        np.testing.assert_array_equal(found, one, err_msg=path.name)


def test_grayscale_is_rec_601_luma(tmp_path):
    white = np.full_like(PHOTO, 255)
    files = {format: encode(PHOTO, format) for format in ("JPEG", "PNG", "WEBP")}
    files["grey"] = encode(white, "PNG", "L")
    paths = [save(tmp_path, *file) for file in files.items()]
    pictures = load_images(paths, (24, 32), "grayscale")
    assert pictures.shape == (4, 24, 32, 1)
    for path, found in zip(paths, pictures[..., 0], strict=True):
        with PIL.Image.open(path) as image:
            expected = np.asarray(image.convert("RGB").convert("L"), float)
        np.testing.assert_allclose(found, expected, atol=0.51, err_msg=path.name)
    # Of grey it is exact.
    np.testing.assert_allclose(pictures[-1], 255, atol=1e-4)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 20), st.integers(1, 20))
def test_resizing_keeps_the_range_and_a_flat_colour(height, width, high, wide):
    padded = resize_image(np.full((height, width, 3), 77, "uint8"), (high, wide), "pad")
    assert padded.shape == (high, wide, 3)
    rows = np.isclose(padded, 77, atol=1e-3).all(axis=2)
    assert rows.all(axis=1).any() or rows.all(axis=0).any()
    assert (rows | np.isclose(padded, 0).all(axis=2)).all()
    flat = resize_image(np.full((height, width, 3), 77, "uint8"), (high, wide))
    assert flat.shape == (high, wide, 3)
    assert flat.dtype == tf.float32
    np.testing.assert_allclose(flat, 77, atol=1e-3)
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), "uint8")
    resized = resize_image(noise, (high, wide)).numpy()
    assert resized.min() >= noise.min() - 1e-3
    assert resized.max() <= noise.max() + 1e-3


SHAPES = [(24, 80), (80, 24), (105, 300), (300, 105)]


def test_a_padded_picture_is_whole_and_in_the_middle(tmp_path):
    best = {"quality": 100, "subsampling": 0}
    paths = [
        save(tmp_path, f"{i}.jpg", encode(picture(*shape), "JPEG", **best))
        for i, shape in enumerate(SHAPES)
    ]
    for path, padded in zip(paths, load_images(paths, 40, fit="pad"), strict=True):
        image = PIL.Image.fromarray(pillow_pixels(path))
        expected = PIL.ImageOps.pad(image, (40, 40), PIL.Image.Resampling.BILINEAR)
        assert padded.shape == (40, 40, 3)
        assert np.abs(padded - np.asarray(expected, float)).mean() < 2.5
        keras_pads = keras.ops.image.resize(
            pillow_pixels(path).astype("float32"),
            (40, 40),
            antialias=True,
            pad_to_aspect_ratio=True,
        )
        # Keras pads before it resizes, which blends the edge with black.
        assert np.abs(padded - np.asarray(keras_pads, float)).mean() < 4


def test_a_stretched_picture_fills_the_target(tmp_path):
    paths = [
        save(tmp_path, f"{i}.png", encode(picture(*shape), "PNG"))
        for i, shape in enumerate(SHAPES)
    ]
    found = load_images(paths, 40, fit="stretch")
    for path, stretched in zip(paths, found, strict=True):
        image = PIL.Image.fromarray(pillow_pixels(path))
        expected = image.resize((40, 40), PIL.Image.Resampling.BILINEAR)
        assert np.abs(stretched - np.asarray(expected, float)).mean() < 1.5
        assert stretched.min() > 0 or np.asarray(expected).min() == 0


@pytest.mark.parametrize("fit", FITS)
def test_a_turned_picture_fits_as_an_upright_one(tmp_path, fit):
    paths = turned(tmp_path, "PNG", range(1, 9))
    upright = [
        save(tmp_path, f"up{i}.png", encode(pillow_pixels(path), "PNG"))
        for i, path in enumerate(paths)
    ]
    pictures = load_images([*paths, *upright], 16, fit=fit)
    np.testing.assert_allclose(pictures[:8], pictures[8:], atol=1e-3)


def test_how_pictures_fit_is_one_of_three(tmp_path):
    path = save(tmp_path, "a.png", encode(PHOTO, "PNG"))
    with pytest.raises(ValueError, match="fit='cut'"):
        load_images(path, 8, fit="cut")


def test_a_padded_jpeg_is_decoded_no_larger_than_it_has_to_be():
    headers = np.zeros(2, HEADER)
    headers["height"], headers["width"] = (100, 100), (400, 60)
    found = {fit: choose_decoders(headers, (50, 50), fit).tolist() for fit in FITS}
    assert found["pad"] == [Decoder.JPEG_EIGHTH, Decoder.JPEG_HALF]
    assert found["crop"] == found["stretch"] == [Decoder.JPEG_HALF, Decoder.JPEG]


def test_load_images_takes_one_path_or_many(tmp_path):
    one = save(tmp_path, "a.png", encode(PHOTO, "PNG"))
    two = save(tmp_path, "b.png", encode(picture(30, 40, seed=1), "PNG"))
    both = load_images([one, str(two)], (8, 9))
    assert both.shape == (2, 8, 9, 3)
    assert both.dtype == np.float32
    np.testing.assert_array_equal(load_images(str(two), (8, 9)), both[1:])
    assert load_images([], 8).shape == (0, 8, 8, 3)


def test_paths_come_in_every_form_that_has_an_order(tmp_path):
    paths = [save(tmp_path, name, encode(PHOTO, "PNG")) for name in ("b.png", "a.png")]
    texts = np.array(list(map(str, paths)))
    forms = iter(paths), texts, pd.Series(texts), pd.Index(texts), tf.constant(texts)
    for form in (*forms, dict.fromkeys(paths).keys(), tuple(map(os.fsencode, paths))):
        assert len(load_images(form, 8)) == 2
    reader = Pictures((8, 8))
    assert len(reader.read(pd.Series(texts))) == len(reader.read(iter(paths))) == 2
    for read in (reader.read, functools.partial(load_images, image_size=8)):
        with pytest.raises(ValueError, match=r"is a set, which has no order.*a\.png"):
            read(set(paths))
    with pytest.raises(ValueError, match="a list of paths. Received: dict"):
        load_images({str(paths[0]): 1}, 8)


@pytest.mark.parametrize("name", damaged_files())
def test_damaged_files_are_named_with_the_reason(tmp_path, name):
    contents, reason = damaged_files()[name]
    good = save(tmp_path, "good.png", encode(PHOTO, "PNG"))
    bad = save(tmp_path, name, contents)
    with pytest.raises(ValueError, match="1 of 2") as caught:
        load_images([good, bad], 16)
    assert repr(str(bad)) in str(caught.value)
    assert reason in str(caught.value)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.jpg.*No such file"):
        load_images(tmp_path / "nowhere.jpg", 16)
    with pytest.raises(ValueError, match="directory"):
        load_images(tmp_path, 16)


def damaged_inside():
    """A PNG whose header and end are fine and whose pixels are not."""
    contents = bytearray(encode(picture(64, 64), "PNG"))
    contents[len(contents) // 2] ^= 255
    return bytes(contents)


def test_damage_that_only_decoding_finds_is_named(tmp_path):
    bad = save(tmp_path, "bad.png", damaged_inside())
    with pytest.raises(ValueError, match=r"bad\.png.*damaged"):
        load_images(bad, 16)


@pytest.mark.parametrize("size", [0, -1, 2.5, "8", (8,), (8, 8, 3), (8, 0), None, True])
def test_bad_image_size(tmp_path, size):
    with pytest.raises(ValueError, match="image_size"):
        load_images([], size)


def test_bad_color_mode():
    with pytest.raises(ValueError, match=r"color_mode.*Did you mean 'grayscale'"):
        load_images([], 8, "greyscale")


def png_chunk(kind, data):
    checked = kind + data
    return struct.pack(">I", len(data)) + checked + zlib.crc32(checked).to_bytes(4)


LARGE = zlib.compress(bytes(2_000_000))
METADATA = {
    "colour profile": png_chunk(b"iCCP", b"x\0\0" + LARGE),
    "compressed text": png_chunk(b"zTXt", b"x\0\0" + LARGE),
    "text of any language": png_chunk(b"iTXt", b"x\0\1\0\0\0" + LARGE),
    "damaged profile": png_chunk(b"iCCP", b"x\0\0" + LARGE)[:-4] + b"none",
    "damaged EXIF": png_chunk(b"eXIf", b"nothing"),
}


def test_metadata_that_pillow_refuses_do_not_matter(tmp_path):
    whole, paths = encode(picture(), "PNG"), []
    for name, chunk in METADATA.items():
        sideways = name != "damaged EXIF"
        turned = png_chunk(b"eXIf", exif(6).tobytes()[6:]) * sideways
        contents = whole[:33] + chunk + turned + whole[33:]
        paths.append(save(tmp_path, f"{name}.png", contents))
    headers, reasons = read_headers(paths)
    assert reasons == [None] * 5
    assert set(headers["height"]) == {24} and set(headers["width"]) == {32}
    assert headers["orientation"].tolist() == [6, 6, 6, 6, 1]
    for found in load_images(paths[:-1], (32, 24)):
        np.testing.assert_array_equal(found, np.rot90(picture(), -1))
    np.testing.assert_array_equal(load_images(paths[-1], (24, 32))[0], picture())


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP"])
def test_pictures_of_many_pixels_are_read(tmp_path, monkeypatch, format):
    path = tmp_path / "a"
    path.write_bytes(encode(picture(), format))
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", 100)
    headers, reasons = read_headers([path])
    assert reasons == [None]
    assert (headers["height"], headers["width"]) == (24, 32)
    monkeypatch.setattr("tlkeras.inputs.pictures.headers._MOST_PNG_PIXELS", 24 * 32)
    (reason,) = read_headers([path])[1]
    assert (reason is None) == (format != "PNG")
    assert reason is None or "has 32 x 24 pixels, more than TensorFlow dec" in reason
    path.write_bytes(encode(picture(), "WEBP"))
    assert "has more pixels than can be read" in read_headers([path])[1][0]


def test_a_thumbnails_end_is_not_the_pictures_end(tmp_path):
    """A truncated JPEG whose EXIF data holds a whole one."""
    thumbnail = encode(picture(8, 8), "JPEG")
    large = encode(picture(300, 300), "JPEG", exif=b"Exif\0\0" + thumbnail)
    path = save(tmp_path, "a.jpg", large[: len(large) * 2 // 3])
    assert "truncated" in read_headers([path])[1][0]


def test_headers_are_read_in_order(tmp_path):
    paths = [
        save(tmp_path, f"{i}.jpg", encode(picture(8 + i, 40), "JPEG"))
        for i in range(40)
    ]
    headers, reasons = read_headers(paths)
    assert headers["height"].tolist() == [8 + i for i in range(40)]
    assert headers["size"].tolist() == [path.stat().st_size for path in paths]
    assert headers["modified_ns"].tolist() == [p.stat().st_mtime_ns for p in paths]
    assert reasons == [None] * 40


def test_a_long_scan_shows_its_progress(tmp_path, monkeypatch, capsys):
    paths = [save(tmp_path, f"{i}.png", encode(PHOTO, "PNG")) for i in range(3)]
    read_headers(paths)
    assert not capsys.readouterr().out
    monkeypatch.setattr("tlkeras.inputs.pictures.headers.PROGRESS_FROM", 3)
    read_headers(paths)
    assert "3/3" in capsys.readouterr().out


def test_an_animated_webp_never_reaches_the_decoder(tmp_path):
    """TensorFlow's decoder would corrupt the heap."""
    path = save(tmp_path, "a.webp", damaged_files()["animated.webp"][0])
    with pytest.raises(tf.errors.InvalidArgumentError, match="Animated"):
        decode_image(str(path), Decoder.WEBP, 1, (8, 8))


@pytest.mark.real
def test_real_photographs_are_those_of_pillow_cropped_as_in_keras():
    folder = needs_shared("data", "ants_bees", "test", "ants")
    for path in sorted(folder.iterdir())[:20]:
        np.testing.assert_array_equal(decoded(path), pillow_pixels(path))
        expected = smart_resize(pillow_pixels(path).astype("float32"), (224, 224))
        np.testing.assert_array_equal(load_images(path, 224)[0], expected)
