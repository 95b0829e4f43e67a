"""What an image file says of itself, read before any pixel is decoded."""

import concurrent.futures
import enum
import io
import os
import stat
import struct
import warnings
from collections.abc import Sequence
from typing import IO

import numpy as np

# From this many files on, the scan shows a progress bar.
PROGRESS_FROM = 3000
# Files that are handed to the threads at a time.
_CHUNK = 10_000

_TAIL_BYTES = 4096
_ORIENTATION_TAG = 0x0112
_CONVERT = "convert it to JPEG or PNG"

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")
# TensorFlow decodes PNGs of fewer pixels, and others of any size.
_MOST_PNG_PIXELS = 2**29

HEADER = np.dtype(
    [
        ("decoder", np.int8),
        ("orientation", np.int8),
        ("height", np.int32),
        ("width", np.int32),
        ("size", np.int64),
        ("modified_ns", np.int64),
    ]
)
"""One file: its decoder, EXIF orientation (1 to 8), stored height and width in
pixels, and its size in bytes and time of change in nanoseconds."""


class Decoder(enum.IntEnum):
    """How a file is decoded; a JPEG also at 1/2, 1/4 or 1/8 of its size."""

    JPEG = 0
    JPEG_HALF = 1
    JPEG_QUARTER = 2
    JPEG_EIGHTH = 3
    WHOLE = 4
    WEBP = 5


class UnreadableImage(ValueError):
    """A file that cannot be decoded; its text is the reason, as half a sentence."""


def read_headers(
    paths: Sequence[str | os.PathLike],
) -> tuple[np.ndarray, list[str | None]]:
    """Reads the headers of many image files in parallel.

    Damaged files are found by their headers and their last bytes alone, so that
    the scan of a large folder costs little more than opening each file.

    Args:
        paths: The files.

    Returns:
        An array of `HEADER` records, and for each file `None` or the reason why it
        cannot be decoded (its record is then all zeros). Both in the order of
        `paths`.
    """
    import PIL.Image

    PIL.Image.init()
    headers = np.zeros(len(paths), HEADER)
    reasons: list[str | None] = [None] * len(paths)
    progress = _progress_bar(len(paths))
    # Pillow warns of odd metadata and of large pictures; neither stops a decoder.
    with warnings.catch_warnings(), concurrent.futures.ThreadPoolExecutor() as pool:
        warnings.simplefilter("ignore")
        # A pool makes a note of all that it is given: not of millions at a time.
        chunks = (paths[i : i + _CHUNK] for i in range(0, len(paths), _CHUNK))
        found_in_order = (
            found for chunk in chunks for found in pool.map(_header_or_reason, chunk)
        )
        for i, found in enumerate(found_in_order):
            if isinstance(found, str):
                reasons[i] = found
            else:
                headers[i] = found
            if progress:
                progress.update(i + 1)
    return headers, reasons


def _progress_bar(files: int):
    """Returns a progress bar for a long scan, `None` for a short one."""
    if files < PROGRESS_FROM:
        return None
    from tlkeras import _keras

    return _keras.ProgressBar(files, unit_name="file", interval=0.5)


def _header_or_reason(path: str | os.PathLike) -> tuple | str:
    """Returns one `HEADER` record as a tuple, or why there is none."""
    try:
        return _read_header(path)
    except UnreadableImage as error:
        return str(error)
    except OSError as error:
        return f"cannot be read: {error.strerror or error}"
    except Exception as error:  # A damaged header can raise anything inside Pillow.
        return f"has a damaged header: {error}"


def _read_header(path: str | os.PathLike) -> tuple:
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableImage("is not a regular file")
        if not status.st_size:
            raise UnreadableImage("is empty (0 bytes)")
        try:
            image = _opened(file)
        except OSError:
            raise UnreadableImage(_what_else(file)) from None
        if image.format not in _CHECKS:
            raise UnreadableImage(_no_decoder(image.format))
        decoder = _CHECKS[image.format](file, image, status.st_size)
        width, height = image.size
        orientation = _orientation(image)
    times = status.st_size, status.st_mtime_ns
    return decoder, orientation, height, width, *times


def _opened(file: IO[bytes]):
    """Opens an image as Pillow does, but of any size and with any metadata.

    Pillow refuses very large pictures, and PNGs with much text, a large colour profile
    or damage in either, all of which TensorFlow decodes.
    """
    import PIL.Image

    try:
        return PIL.Image.open(file)
    except PIL.Image.DecompressionBombError:
        return _opened_at_any_size(file)
    except Exception:
        file.seek(0)
        if file.read(len(_PNG)) != _PNG:
            raise
        return _opened_at_any_size(_bare_png(file))


def _opened_at_any_size(file: IO[bytes]):
    import PIL.Image

    file.seek(0)
    start = file.read(16)
    for kind, (factory, accepts) in PIL.Image.OPEN.items():
        if kind in _CHECKS and accepts(start):
            file.seek(0)
            try:
                return factory(file, "")
            except PIL.Image.DecompressionBombError:  # WebP looks for itself.
                raise UnreadableImage(
                    "has more pixels than can be read; save it smaller"
                ) from None
    raise PIL.UnidentifiedImageError(f"no image begins with {start!r}")


def _bare_png(file: IO[bytes]) -> IO[bytes]:
    """Returns a PNG up to its pixels, without texts and colour profile."""
    kept = [_PNG]
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"IDAT":
            kept.append(head)
            break
        chunk = file.read(length + 4)
        # The orientation may stand in XMP alone.
        if kind not in _PNG_TEXTS or chunk.startswith(b"XML:com.adobe.xmp"):
            kept.append(head + chunk)
    return io.BytesIO(b"".join(kept))


def _orientation(image) -> int:
    """Returns the EXIF (or XMP) orientation, 1 where there is none."""
    import PIL.Image

    try:
        # The base class method: the one of PNG images would decode the pixels.
        value = PIL.Image.Image.getexif(image).get(_ORIENTATION_TAG, 1)
    except Exception:  # Damaged metadata; the pixels may be whole.
        return 1
    return value if value in range(1, 9) else 1


def _no_decoder(kind: str) -> str:
    return f"is a {kind} image, which TensorFlow cannot decode; {_CONVERT}"


def _what_else(file: IO[bytes]) -> str:
    """Returns what a file is that Pillow cannot open."""
    file.seek(0)
    start = file.read(1024)
    if start[4:8] == b"ftyp" and start[8:12] in (b"heic", b"heix", b"mif1", b"msf1"):
        return _no_decoder("HEIC")
    if start[4:12] == b"ftypavif":
        return _no_decoder("AVIF")
    if b"<svg" in start:
        return _no_decoder("SVG")
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "is a truncated WebP"
    return "is not an image"


def _tail(file: IO[bytes], size: int) -> bytes:
    file.seek(max(size - _TAIL_BYTES, 0))
    return file.read()


def _whole_file(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()


def _check_jpeg(file: IO[bytes], image, size: int) -> Decoder:
    end_of_image = b"\xff\xd9"
    if _tail(file, size).rstrip(b"\0\r\n").endswith(end_of_image):
        return Decoder.JPEG
    # Phones append videos and depth maps, so the marker may lie further inside;
    # the one of an embedded thumbnail lies before the scan and does not count.
    data = _whole_file(file)
    if data.find(end_of_image, _start_of_scan(data)) < 0:
        raise UnreadableImage("is a truncated JPEG (no end-of-image marker)")
    return Decoder.JPEG


def _start_of_scan(data: bytes) -> int:
    """Returns where a JPEG's compressed pixels start: past its last header."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xDA:
            return at
        is_fill_byte = marker == 0xFF
        at += 1 if is_fill_byte else 2 + int.from_bytes(data[at + 2 : at + 4], "big")
    return len(data)


def _check_png(file: IO[bytes], image, size: int) -> Decoder:
    last_chunk = b"IEND\xaeB`\x82"
    if last_chunk not in _tail(file, size) and last_chunk not in _whole_file(file):
        raise UnreadableImage("is a truncated PNG (no IEND chunk)")
    width, height = image.size
    if width * height >= _MOST_PNG_PIXELS:
        raise UnreadableImage(
            f"has {width} x {height} pixels, more than TensorFlow decodes of a PNG; "
            "save it smaller or as JPEG"
        )
    return Decoder.WHOLE


def _check_gif(file: IO[bytes], image, size: int) -> Decoder:
    if not _tail(file, size).rstrip(b"\0").endswith(b";"):
        raise UnreadableImage("is a truncated GIF (no trailer)")
    return Decoder.WHOLE


def _check_bmp(file: IO[bytes], image, size: int) -> Decoder:
    """TensorFlow reads plain grey, 24-bit and 32-bit bitmaps, and the indices of
    a palette as if they were grey."""
    file.seek(0)
    start, header_bytes = struct.unpack("<10xII", file.read(18))
    bits, compression = struct.unpack("<10xHI", file.read(16))
    is_plain = compression == 0 and (bits == 24 or (bits == 8 and image.mode == "L"))
    if header_bytes < 40 or not (is_plain or (bits == 32 and compression in (0, 3))):
        raise UnreadableImage(_no_decoder(f"{bits}-bit palette or compressed BMP"))
    row_bytes = -(-image.width * bits // 32) * 4
    due = start + row_bytes * image.height
    if size < due:
        raise UnreadableImage("is a truncated BMP")
    if size > due:
        raise UnreadableImage(_no_decoder("padded BMP"))
    return Decoder.WHOLE


def _check_webp(file: IO[bytes], image, size: int) -> Decoder:
    if getattr(image, "is_animated", False):
        raise UnreadableImage(_no_decoder("animated WebP"))
    file.seek(4)
    (declared,) = struct.unpack("<I", file.read(4))
    if size < declared + 8:
        raise UnreadableImage("is a truncated WebP")
    return Decoder.WEBP


_CHECKS = {
    "JPEG": _check_jpeg,
    "MPO": _check_jpeg,
    "PNG": _check_png,
    "GIF": _check_gif,
    "BMP": _check_bmp,
    "WEBP": _check_webp,
}
