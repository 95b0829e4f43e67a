"""The one place where sound files become waves: opened, resampled, made mono."""

import concurrent.futures
import math
import numbers
import os
from collections.abc import Iterator, Sequence
from types import ModuleType
from typing import Any

import numpy as np

from tlkeras._validation import optional_import
from tlkeras.inputs.paths import raise_unreadable

# What names of sound files end in.
ENDINGS = (".wav", ".flac", ".ogg", ".mp3", ".opus", ".aiff", ".aif", ".au", ".w64")

HEADER = np.dtype(
    [
        ("frames", np.int64),
        ("rate", np.int64),
        ("channels", np.int64),
        ("size", np.int64),
        ("modified_ns", np.int64),
    ]
)

# Reach of the filter of `scipy.signal.resample_poly`, in samples of the lower rate.
_FILTER_REACH = 10
# How much of a stream is read at a time.
_BLOCK_SECONDS = 10.0
# So short in its second axis an array is frames with channels, no waves.
_MOST_CHANNELS = 16


def soundfile() -> ModuleType:
    """Imports soundfile, or raises an `ImportError` that says how to get it."""
    return optional_import("soundfile", "Reading sound files", '"tlkeras[audio]"')


def read_headers(
    paths: Sequence[str | os.PathLike],
) -> tuple[np.ndarray, list[str | None]]:
    """Reads what files say of themselves, without their sound.

    Args:
        paths: The files.

    Returns:
        `HEADER` records, `(n,)`; and why each cannot be read, as half a sentence,
        `None` where it can.
    """
    soundfile()
    headers = np.zeros(len(paths), HEADER)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        found = list(pool.map(_header, paths))
    reasons = []
    for i, one in enumerate(found):
        reasons.append(one if isinstance(one, str) else None)
        if not isinstance(one, str):
            headers[i] = one
    return headers, reasons


def _header(path: str | os.PathLike) -> tuple[int, ...] | str:
    try:
        status = os.stat(os.fsencode(path))
    except FileNotFoundError:
        return "does not exist"
    except OSError as error:
        return f"cannot be opened ({error.strerror})"
    if not os.path.isfile(os.fsencode(path)):
        return "is no file"
    if not status.st_size:
        return "is empty"
    sf = soundfile()
    try:
        info = sf.info(os.fsencode(path))
    except (sf.LibsndfileError, RuntimeError, OSError) as error:
        return f"is no sound file that can be read ({_brief(error)})"
    if not info.frames:
        return "holds no sound: its length is 0"
    state = status.st_size, status.st_mtime_ns
    return info.frames, info.samplerate, info.channels, *state


def _brief(error: Exception) -> str:
    text = str(getattr(error, "error_string", error)).strip().rstrip(".")
    return text.replace("Error opening", "opening") or type(error).__name__


def length_at(frames: np.ndarray, rate: np.ndarray, sample_rate: int) -> np.ndarray:
    """Returns how many samples sounds have at another sample rate, int64."""
    return -(-np.asarray(frames, np.int64) * sample_rate // np.asarray(rate, np.int64))


def as_mono(wave: np.ndarray) -> np.ndarray:
    """Returns the mean of the channels, float32 `(frames,)`."""
    return wave[:, 0] if wave.shape[1] == 1 else wave.mean(axis=1)


def resampled(wave: np.ndarray, rate: int, sample_rate: int) -> np.ndarray:
    """Returns a wave at another sample rate, filtered against aliases.

    Args:
        wave: float32 `(frames,)`.
        rate: Its samples per second.
        sample_rate: Those wanted.
    """
    if rate == sample_rate or not len(wave):
        return wave
    from scipy.signal import resample_poly

    common = math.gcd(rate, sample_rate)
    up, down = sample_rate // common, rate // common
    return resample_poly(wave, up, down).astype("float32")


def read_part(
    path: str | os.PathLike, sample_rate: int, start: int = 0, samples: int = -1
) -> np.ndarray:
    """Reads a part of a file, mono, at a sample rate; no more than it needs.

    The same samples come out whether the whole file is read or a part of it.

    Args:
        path: The file.
        sample_rate: Samples per second of what is returned.
        start: First sample, at that rate.
        samples: How many; -1 for all that follow.

    Returns:
        float32 `(samples,)`, fewer where the file ends before; from -1 to 1.

    Raises:
        ValueError: If its sound is damaged, or holds what is not finite.
    """
    sf = soundfile()
    try:
        with sf.SoundFile(os.fsencode(path)) as file:
            wave = _read_part(file, sample_rate, start, samples)
    except (sf.LibsndfileError, RuntimeError, OSError) as error:
        raise _undecodable(path, _brief(error)) from error
    # Files of floats can hold anything.
    if not np.isfinite(wave).all():
        raise _undecodable(path, "it has values that are not finite (NaN or infinite)")
    return wave


def _read_part(file: Any, sample_rate: int, start: int, samples: int) -> np.ndarray:
    """Reads a part of an open `soundfile.SoundFile`, as `read_part` does."""
    if file.samplerate == sample_rate:
        file.seek(min(start, file.frames))
        return as_mono(file.read(samples, dtype="float32", always_2d=True))
    common = math.gcd(file.samplerate, sample_rate)
    up, down = sample_rate // common, file.samplerate // common
    # Begins where the filter's phase is that of the whole file.
    margin = _FILTER_REACH * max(up, down) // up // down + 1
    first = max(0, start // up - margin)
    file.seek(min(first * down, file.frames))
    count = -1
    if samples >= 0:
        last = (start + samples) // up + 1 + margin
        count = (last - first) * down
    wave = as_mono(file.read(count, dtype="float32", always_2d=True))
    whole = resampled(wave, file.samplerate, sample_rate)
    skipped = start - first * up
    return whole[skipped:] if samples < 0 else whole[skipped : skipped + samples]


def _undecodable(path: str | os.PathLike, why: str) -> ValueError:
    return ValueError(
        f"Cannot decode the sound file {os.fsdecode(path)!r}: {why}. Save it again or "
        "leave it out."
    )


def read_blocks(path: str | os.PathLike, sample_rate: int) -> Iterator[np.ndarray]:
    """Yields a file's wave piece by piece, mono, at a sample rate.

    Args:
        path: The file.
        sample_rate: Samples per second of what is yielded.
    """
    step, start = int(_BLOCK_SECONDS * sample_rate), 0
    while len(block := read_part(path, sample_rate, start, step)):
        yield block
        start += step


def check_readable(paths: Sequence[str | os.PathLike]) -> np.ndarray:
    """Returns the headers of files, or raises `ValueError` that names the bad ones."""
    headers, reasons = read_headers(paths)
    raise_unreadable(paths, reasons, "sound", "WAV, FLAC, OGG and MP3")
    return headers


def as_waves(argument: str, given: object) -> list[np.ndarray] | np.ndarray:
    """Returns waves in memory as float32: one, several of one length, or of several.

    Args:
        argument: What they are called.
        given: A wave `(samples,)`, an array of them `(n, samples)`, or a list of waves
            of any lengths. Whole numbers are samples of their type's range; those of
            more than 16 bits, of the range of 16, 32 or 64 that holds them all.

    Returns:
        float32, `(n, samples)` or a list of `(samples,)`.

    Raises:
        ValueError: If they are nothing of the kind.
    """
    shape = getattr(given, "shape", None)
    listed = isinstance(given, (list, tuple)) and len(given)
    one = listed and isinstance(given[0], numbers.Number) and not np.ndim(given[-1])
    if one or (shape is not None and len(shape) == 1 and _dtype_kind(given) in "iuf"):
        given = np.asarray(given)[None]
    if hasattr(given, "__array__") and _dtype_kind(given) in "iuf":
        waves = np.asarray(given)
        if waves.ndim == 2 and waves.shape[1] > _MOST_CHANNELS:
            return _scaled(waves, _bits([waves]))
        raise _no_waves(argument, f"an array of shape {shape or waves.shape}")
    if not isinstance(given, (list, tuple, np.ndarray)):
        raise _no_waves(argument, type(given).__name__)
    if len(given) == 2 and sorted(map(np.ndim, given)) == [0, 1]:
        # `soundfile.read` and `librosa.load` give both, `scipy.io.wavfile.read` too.
        raise _no_waves(argument, "a wave and a number, its sample rate? Pass the wave")
    found = [np.asarray(wave) for wave in given]
    if not found:
        raise _no_waves(argument, "nothing")
    for i, wave in enumerate(found):
        if wave.ndim != 1 or wave.dtype.kind not in "iuf" or not len(wave):
            raise _no_waves(
                argument, f"shape {wave.shape} of type {wave.dtype} at index {i}"
            )
    bits = _bits(found)
    return [_scaled(wave, bits) for wave in found]


def _dtype_kind(given: object) -> str:
    return np.asarray(given).dtype.kind


def _bits(waves: Sequence[np.ndarray]) -> int:
    """Returns the bits of samples that may be stored in a wider signed type.

    Python's numbers become 64 bits, which no sound has.
    """
    signed = [wave for wave in waves if wave.dtype.kind == "i" and wave.size]
    loudest = max((max(-int(x.min()), int(x.max())) for x in signed), default=0)
    return next(bits for bits in (16, 32, 64) if loudest <= 2 ** (bits - 1))


def _scaled(wave: np.ndarray, bits: int) -> np.ndarray:
    """Returns a wave from -1 to 1, float32; floats as they are.

    Args:
        wave: Of any shape.
        bits: Those of signed samples, where their type has more.
    """
    if wave.dtype.kind == "f":
        return wave.astype("float32", copy=False)
    if wave.dtype.kind == "i":
        full = 2 ** (min(8 * wave.dtype.itemsize, bits) - 1)
        return (wave / full).astype("float32")
    middle = (np.iinfo(wave.dtype).max + 1) // 2
    return ((wave.astype("float64") - middle) / middle).astype("float32")


def whole_numbers(wave: np.ndarray, dtype: Any) -> np.ndarray:
    """Returns a wave of TensorFlow Datasets, one channel, from -1 to 1.

    Args:
        wave: `(frames,)` or `(frames, channels)`.
        dtype: What it is stored as. It keeps samples of 16 bits as 64, too, so that the
            values tell which they are.
    """
    mono = wave if wave.ndim == 1 else wave.mean(axis=1)
    if np.dtype(dtype).kind == "f" or not len(mono):
        return mono.astype("float32")
    bits = 16 if np.abs(mono).max() <= 2**15 else 32
    return (mono / 2 ** (bits - 1)).astype("float32")


def _no_waves(argument: str, received: str) -> ValueError:
    return ValueError(
        f"`{argument}` must be waves of one channel: an array (samples,) or (n, "
        "samples), or a list of waves (samples,) of any lengths. Received: "
        f"{received}. Of several channels take the mean, `wave.mean(axis=-1)`."
    )


def check_waves(waves: object, part: str) -> float:
    """Returns the loudest value of waves, or raises `ValueError` if one is not finite.

    Args:
        waves: float32 `(n, samples)` or a list of `(samples,)`.
        part: What they are called.
    """
    loudest = 0.0
    for i, wave in enumerate(waves):
        peak = float(np.abs(wave).max()) if len(wave) else 0.0
        if not np.isfinite(peak):
            raise ValueError(
                f"`{part}` has values that are not finite (NaN or infinite), at index "
                f"{i}: mend or leave out this sound."
            )
        loudest = max(loudest, peak)
    return loudest
