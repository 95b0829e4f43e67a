"""Generated pictures and folders of them, in every format and state of damage."""

import functools
import io
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageOps


def picture(height: int = 24, width: int = 32, seed: int = 0) -> np.ndarray:
    """Returns a smooth uint8 RGB picture in which no two corners look alike."""
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 5, 3)).astype("uint8")
    smooth = PIL.Image.fromarray(coarse).resize((width, height), PIL.Image.BICUBIC)
    return np.asarray(smooth)


def encode(pixels: np.ndarray, format: str, mode: str = "RGB", **options) -> bytes:
    """Encodes RGB pixels in an image format, converted to `mode` before."""
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).convert(mode).save(buffer, format, **options)
    return buffer.getvalue()


def pillow_pixels(path: Path) -> np.ndarray:
    """Returns the upright RGB pixels that Pillow decodes."""
    with PIL.Image.open(path) as image:
        return np.asarray(PIL.ImageOps.exif_transpose(image).convert("RGB"))


@functools.cache
def damaged_files() -> dict[str, tuple[bytes, str]]:
    """Returns file names with contents that cannot be read, and why not."""
    whole = picture(200, 200)
    jpeg, png = encode(whole, "JPEG"), encode(whole, "PNG")
    gif, bmp = encode(whole, "GIF"), encode(whole, "BMP")
    webp = encode(whole, "WEBP")
    frames = [PIL.Image.fromarray(whole[::-1])]
    animated = encode(whole, "WEBP", save_all=True, append_images=frames, duration=50)
    return {
        "empty.jpg": (b"", "empty"),
        "text.jpg": (b"this is no picture", "not an image"),
        "notes.txt": (b"buy milk", "not an image"),
        "half.jpg": (jpeg[: len(jpeg) // 2], "truncated JPEG"),
        "end.jpg": (jpeg[:-2], "truncated JPEG"),
        "half.png": (png[: len(png) // 2], "truncated PNG"),
        "half.gif": (gif[: len(gif) // 2], "truncated GIF"),
        "half.bmp": (bmp[: len(bmp) // 2], "truncated BMP"),
        "padded.bmp": (bmp + bytes(2), "padded BMP"),
        "half.webp": (webp[: len(webp) // 2], "truncated WebP"),
        "header.png": (png[:20], ""),
        "a.tiff": (encode(whole, "TIFF"), "TIFF"),
        "a.avif": (encode(whole, "AVIF"), "AVIF"),
        "a.heic": (b"\0\0\0\x18ftypheic" + bytes(40), "HEIC"),
        "a.svg": (b"<?xml version='1.0'?><svg width='9'></svg>", "SVG"),
        "palette.bmp": (encode(whole, "BMP", "P"), "BMP"),
        "cut.webp": (webp[:-2], "truncated WebP"),
        "bits.bmp": (encode(whole, "BMP", "1"), "BMP"),
        "animated.webp": (animated, "animated WebP"),
    }


def write_class_folders(root: Path, counts: dict[str, int]) -> Path:
    """Writes `counts[name]` small pictures into `root/name` for each class."""
    number = 0
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            path = root / name / f"{i:03d}.jpg"
            path.write_bytes(encode(picture(12, 16, seed=number), "JPEG"))
            number += 1
    return root
