"""What is wrong with sounds: damaged, silent, short, clipped, nearly the same."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tlkeras.findings import Finding, Numbering, finding_of_places, places_of
from tlkeras.inputs.grouping import Group, first_of_its_kind, joined
from tlkeras.inputs.sounds.examples import SoundExamples, SoundFiles

# A window whose loudest sample is below it, of full scale, is silent: -70 dB.
_SILENT = 10**-3.5
# Samples at full scale, and the share of them from which a sound is clipped.
_FULL, _CLIPPED = 0.999, 0.005
# A sound that fills less of the window is short.
_SHORT = 0.25
# The profile of a window that is compared with others: its loudness in so many spans
# of time, and in so many octave-like bands.
_SPANS, _BANDS = 16, 12
# Seconds of a long recording that are in memory at once.
_PIECE = 60
# How far profiles of the same sound are apart, as vectors of length 1: 0.1 is a
# correlation of 0.995. No two of 3,000 spoken digits, 50 of each by one speaker, are so
# near (26 pairs within 0.15). Copies at another level are 0 apart, with noise 30 dB
# below them 0.03, brought to 6 kHz and back 0.08 (medians). Those that begin 10 ms
# later are not found: 0.23.
_DISTANCE = 0.1
_NEAREST = 16


class Profiles(NamedTuple):
    """What one pass over sounds found, an entry for each.

    Attributes:
        vectors: float32 `(n, spans * bands)`, of mean 0 and length 1; zeros of what is
            silent or cannot be read.
        readable: bool, whether the file could be read to its end.
        silent: bool, whether nothing is to be heard in the window.
        clipped: bool, whether much of it is cut off at full scale.
    """

    vectors: np.ndarray
    readable: np.ndarray
    silent: np.ndarray
    clipped: np.ndarray


def read_profiles(
    parts: Mapping[str, SoundExamples], progress: Callable[[int], None]
) -> Profiles:
    """Reads every sound once.

    Args:
        parts: The sounds of each part.
        progress: Called with the number of sounds that are done.
    """
    rows = []
    for examples in parts.values():
        for position in range(len(examples)):
            rows.append(_profile(examples, position))
            if len(rows) % 64 == 0:
                progress(len(rows))
    progress(len(rows))
    vectors, *flags = zip(*rows, strict=True)
    return Profiles(np.array(vectors), *(np.array(flag, bool) for flag in flags))


def _profile(
    examples: SoundExamples, position: int
) -> tuple[np.ndarray, bool, bool, bool]:
    nothing = np.zeros(_SPANS * _BANDS, np.float32)
    try:
        wave = examples.wave(position)
        is_whole = _is_whole(examples, position)
    except ValueError:
        return nothing, False, False, False
    loud = np.abs(wave)
    silent = loud.max() < _SILENT
    clipped = (loud >= _FULL).mean() > _CLIPPED
    return (nothing if silent else _vector(wave)), is_whole, silent, clipped


def _is_whole(examples: SoundExamples, position: int) -> bool:
    """Whether the last tenth of a second is there that the header promises.

    Raises:
        ValueError: If the sound is damaged outside of the middle: augmented training
            and evaluation read all of it.
    """
    end = int(examples.lengths_whole[position])
    if end > examples.samples:
        for start in range(0, end, _PIECE * examples.sample_rate):
            span = min(_PIECE * examples.sample_rate, end - start)
            examples._part(position, start, span)
    span = min(end, max(1, examples.sample_rate // 10))
    return len(examples._part(position, end - span, span)) > 0


def _vector(wave: np.ndarray) -> np.ndarray:
    """Returns the loudness of a wave by time and pitch, whatever its level."""
    frames = np.array_split(wave, _SPANS)
    length = min(map(len, frames))
    spectrum = np.abs(np.fft.rfft(np.stack([x[:length] for x in frames]))) ** 2
    bins = spectrum.shape[1]
    edges = np.unique(np.geomspace(1, bins, _BANDS + 1).astype(int))
    bands = np.zeros((_SPANS, _BANDS))
    for i, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        bands[:, i] = spectrum[:, low:high].mean(axis=1)
    levels = np.log(bands + 1e-4 * bands.max() + 1e-20).ravel()
    levels -= levels.mean()
    return (levels / max(np.linalg.norm(levels), 1e-6)).astype("float32")


def near_pairs(vectors: np.ndarray) -> np.ndarray:
    """Returns pairs of profiles that are nearly the same, int `(pairs, 2)`."""
    from scipy.spatial import cKDTree

    if len(vectors) < 2:
        return np.zeros((0, 2), int)
    _, near = cKDTree(vectors).query(
        vectors,
        k=min(_NEAREST, len(vectors)),
        distance_upper_bound=_DISTANCE,
        workers=-1,
    )
    # Where there is no further one, the tree answers with the number of all.
    rows, columns = np.nonzero(near < len(vectors))
    pairs = np.stack([rows, near[rows, columns]], axis=1)
    return np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)


def check_sounds(
    parts: Mapping[str, SoundExamples],
    exact: Sequence[Group],
    numbering: Numbering,
    progress: Callable[[int], None],
) -> tuple[list[Finding], list[Group]]:
    """Reads every sound once, and tells what is wrong with them.

    Args:
        parts: The examples of each part.
        exact: Groups of the same sounds.
        numbering: The examples' numbers.
        progress: Called with the number of sounds that are done.

    Returns:
        The findings, and groups of sounds that are nearly the same.
    """
    found = read_profiles(parts, progress)
    findings = [*_heard(found, numbering), *_of_headers(parts)]
    chosen = found.vectors.any(axis=1) & first_of_its_kind(len(found.vectors), exact)
    rows = np.flatnonzero(chosen)
    pairs = rows[near_pairs(found.vectors[rows])]
    return findings, joined(len(found.vectors), pairs, exact)


def _heard(found: Profiles, numbering: Numbering) -> Iterator[Finding]:
    def places(which: np.ndarray) -> list:
        return numbering.places(np.flatnonzero(which)[:, np.newaxis])

    if not found.readable.all():
        yield finding_of_places(
            "damaged sounds",
            "error",
            "files that cannot be decoded to their end, or hold what is not finite, "
            "though their headers are sound: training would stop at them, or read "
            "silence.",
            places(~found.readable),
            "Repair or remove them.",
        )
    if found.silent.any():
        yield finding_of_places(
            "silent sounds",
            "warning",
            "nothing is to be heard in what is read of them.",
            places(found.silent),
            "Listen to them: they may be failed recordings, or their sound lies "
            "outside of the middle `seconds`; channels of opposite phase cancel when "
            "they are made mono.",
        )
    if found.clipped.any():
        yield finding_of_places(
            "clipped sounds",
            "note",
            "much of them is cut off at full scale: they were recorded too loud.",
            places(found.clipped),
            "Record them again with less gain where a class has more of them than the "
            "others: a model may learn the distortion.",
        )


def _of_headers(parts: Mapping[str, SoundExamples]) -> Iterator[Finding]:
    """Yields what lengths and headers tell."""
    short, long, low = [], [], []
    for part, examples in parts.items():
        share = examples.lengths_whole / examples.samples
        kinds = [(short, share < _SHORT), (long, share > 2)]
        if isinstance(examples, SoundFiles):
            kinds.append((low, examples.headers["rate"] < 0.9 * examples.sample_rate))
        for found, rows in kinds:
            found += [[x] for x in places_of(part, examples, np.flatnonzero(rows))]
    if short:
        yield finding_of_places(
            "short sounds",
            "note",
            f"sounds that fill less than {_SHORT:.0%} of `seconds`: the rest of the "
            "window is silence.",
            short,
            "Choose smaller `seconds`, where most are so short.",
        )
    if long:
        yield finding_of_places(
            "long sounds",
            "note",
            "sounds of more than twice `seconds`: of each, training reads the middle, "
            "or with `tl.Recipe(augment=...)` a window drawn anew each time. "
            "`classify` and `evaluate` average windows of all of it.",
            long,
            "Choose larger `seconds`, or cut them where the labels are about a part.",
        )
    if low:
        yield finding_of_places(
            "low sample rates",
            "warning",
            "files with fewer samples per second than `sample_rate`: they have nothing "
            "at the highest pitches, which tells them from others whatever they say.",
            low,
            "Choose a `sample_rate` that all files have.",
        )


def seconds_of(parts: Mapping[str, SoundExamples]) -> np.ndarray:
    """Returns the length of every sound in seconds, float64 `(n,)`."""
    return np.concatenate(
        [
            examples.headers["frames"] / examples.headers["rate"]
            if isinstance(examples, SoundFiles)
            else examples.lengths_whole / examples.sample_rate
            for examples in parts.values()
        ]
    )
