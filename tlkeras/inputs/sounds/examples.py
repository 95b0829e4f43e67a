"""Examples that are sounds, in files or in memory, each read as one window."""

import abc
import concurrent.futures
import functools
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from tlkeras.inputs.examples import RandomAccessExamples
from tlkeras.inputs.loading import load_batches, plain_graph
from tlkeras.inputs.paths import digest_of, state_of
from tlkeras.inputs.sounds.reading import length_at, read_headers, read_part

# How many windows' length of a sound random windows are drawn out of.
_MOST_WINDOWS = 8


def window_starts(length: int, samples: int) -> np.ndarray:
    """Returns where windows begin that together cover a sound, evenly, int64.

    Args:
        length: Samples of the sound.
        samples: Samples of a window.
    """
    count = -(-length // samples)
    return np.linspace(0, length - samples, count).round().astype(np.int64)


def middle(length: np.ndarray, samples: int) -> np.ndarray:
    """Returns where the window in the middle begins; below 0 for shorter sounds."""
    return (np.asarray(length, np.int64) - samples) // 2


def placed(wave: np.ndarray, before: int, samples: int) -> np.ndarray:
    """Returns a wave in a window, with silence around it.

    Args:
        wave: `(n,)`.
        before: Samples of silence before it.
        samples: Samples of the window.
    """
    window = np.zeros(samples, np.float32)
    wave = wave[: samples - before]
    window[before : before + len(wave)] = wave
    return window


class SoundExamples(RandomAccessExamples):
    """Sounds of any length, each read as a window of one length.

    Of a longer sound the middle is read, or what `starts` says; a shorter one lies in
    the middle of silence.

    Args:
        labels: As in `Examples`.
        lengths: int64 `(n,)`, each sound's samples at `sample_rate`.
        sample_rate: Samples per second.
        samples: Samples of a window.
        starts: int64 `(n,)`, first sample of each window; the middle by default.

    Attributes:
        whole_samples: Where windows are to be drawn out of sounds, how much of a sound
            is read at most; otherwise `None`.
    """

    whole_samples: int | None = None

    def __init__(
        self,
        labels: np.ndarray,
        lengths: np.ndarray,
        sample_rate: int,
        samples: int,
        starts: np.ndarray | None = None,
    ):
        super().__init__(labels)
        self.lengths_whole = lengths
        self.sample_rate, self.samples = sample_rate, samples
        self.starts = middle(lengths, samples) if starts is None else starts

    @abc.abstractmethod
    def _part(self, position: int, start: int, samples: int) -> np.ndarray:
        """Returns samples of a sound from `start` on, fewer where it ends."""

    @abc.abstractmethod
    def at(
        self, positions: np.ndarray, starts: np.ndarray | None = None
    ) -> "SoundExamples":
        """Returns some sounds, also several times, with windows of their own.

        Args:
            positions: int, in any order.
            starts: First sample of each window; those that they have by default.
        """

    def select(self, positions: np.ndarray) -> "SoundExamples":
        return self.at(positions)

    def wider(self, samples: int) -> "SoundExamples":
        """Returns the same sounds, read as windows of another length."""
        twin = self.at(np.arange(len(self)))
        twin.samples = samples
        twin.starts = middle(twin.lengths_whole, samples)
        return twin

    def wave(self, position: int) -> np.ndarray:
        """Returns an example's window, float32 `(samples,)`."""
        start = int(self.starts[position])
        before = max(0, -start)
        length = int(self.lengths_whole[position])
        if self.whole_samples is None or length <= self.samples:
            part = self._part(position, max(0, start), self.samples - before)
            window = placed(part, before, self.samples)
        else:
            most = min(length, self.whole_samples)
            window = self._part(position, (length - most) // 2, most)
        missing = self.width - len(window)
        # Where a sound ends, those that draw windows out of it have to know.
        return np.pad(window, (0, missing), constant_values=np.nan)

    @property
    def width(self) -> int:
        """Samples of each row of a batch."""
        return self.whole_samples or self.samples

    def whole(self) -> "SoundExamples":
        """Returns the same sounds, read whole, to draw windows out of them.

        What is beyond a sound's end, or its window's where that is longer, is NaN. Of
        very long sounds only the middle is read.
        """
        twin = self.at(np.arange(len(self)))
        longest = int(min(self.lengths_whole.max(), _MOST_WINDOWS * self.samples))
        twin.whole_samples = max(longest, self.samples)
        return twin

    def windows(self) -> tuple["SoundExamples", np.ndarray] | None:
        """Returns all windows of the sounds that are longer than one, and whose.

        Returns:
            Examples, and int64, the position of each one's sound; `None` where no
            sound is longer than a window.
        """
        longer = np.flatnonzero(self.lengths_whole > self.samples)
        if not len(longer):
            return None
        starts = [window_starts(self.lengths_whole[i], self.samples) for i in longer]
        owners = np.repeat(longer, list(map(len, starts)))
        return self.at(owners, np.concatenate(starts)), owners

    def _describe(self, position: tf.Tensor) -> tf.Tensor:
        """Returns what an example is called, in a graph."""
        names = tf.constant(self.names(np.arange(len(self))))
        return names[position]

    def in_order(self, positions: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
        with tf.init_scope(), tf.device("CPU:0"):
            labels = tf.constant(self.labels)

        def load(i):
            return tf.ensure_shape(
                tf.numpy_function(self.wave, [i], tf.float32), (self.width,)
            )

        batches = load_batches(
            positions,
            load,
            describe=self._describe,
            shape=(self.width,),
            batch_size=batch_size,
        )
        return batches.map(plain_graph(lambda i, x: (x, tf.gather(labels, i))))

    @property
    def _form(self) -> bytes:
        """What a window is, besides the sound that it is of."""
        form = f"{self.sample_rate} {self.samples} {self.width}".encode()
        return form + np.ascontiguousarray(self.starts).tobytes()


class SoundFiles(SoundExamples):
    """Sound files, read in parallel.

    Args:
        root: The folder that `files` are relative to.
        files: Relative paths, one for each example.
        headers: Their `HEADER` records, `(n,)`.
        labels: As in `Examples`.
        sample_rate: As in `SoundExamples`.
        samples: As in `SoundExamples`.
        starts: As in `SoundExamples`.
    """

    def __init__(
        self,
        root: str,
        files: Sequence[str],
        headers: np.ndarray,
        labels: np.ndarray,
        sample_rate: int,
        samples: int,
        starts: np.ndarray | None = None,
    ):
        lengths = length_at(headers["frames"], headers["rate"], sample_rate)
        super().__init__(labels, lengths, sample_rate, samples, starts)
        self.root, self.files, self.headers = root, list(files), headers

    @property
    def source(self) -> str | None:
        folder = os.path.basename(os.path.normpath(self.root)) if self.root else ""
        return folder or None

    def _path(self, position: int) -> str:
        return os.path.join(self.root, self.files[position])

    def _part(self, position: int, start: int, samples: int) -> np.ndarray:
        return read_part(self._path(position), self.sample_rate, start, samples)

    def at(
        self, positions: np.ndarray, starts: np.ndarray | None = None
    ) -> "SoundFiles":
        return SoundFiles(
            self.root,
            [self.files[i] for i in positions],
            self.headers[positions],
            self.labels[positions],
            self.sample_rate,
            self.samples,
            self.starts[positions] if starts is None else starts,
        )

    def names(self, positions: np.ndarray) -> list[str]:
        # A file name need not be valid UTF-8.
        names = [os.fsencode(self.files[position]) for position in positions]
        return [name.decode(errors="replace") for name in names]

    def identities(self) -> Iterator[int]:
        """Yields the files' sizes; `contents` tells files of equal size apart."""
        yield from self.headers["size"].tolist()

    def contents(self, positions: np.ndarray) -> list[bytes | None]:
        with concurrent.futures.ThreadPoolExecutor() as pool:
            return list(pool.map(digest_of, map(self._path, positions)))

    def _look_again(self) -> None:
        """Reads the headers of files anew that were written since they were read."""
        with concurrent.futures.ThreadPoolExecutor() as pool:
            now = list(pool.map(state_of, map(self._path, range(len(self)))))
        before = self.headers[["size", "modified_ns"]].tolist()
        pairs = enumerate(zip(now, before, strict=True))
        changed = [i for i, (new, old) in pairs if new is not None and new != old]
        if not changed:
            return
        headers, reasons = read_headers(list(map(self._path, changed)))
        self.headers = self.headers.copy()
        for i, header, reason in zip(changed, headers, reasons, strict=True):
            # That it can no longer be read is told of when it is decoded.
            if reason is None:
                self.headers[i] = header

    def _inputs_identity(self) -> Iterable[bytes]:
        self._look_again()
        yield self._form
        names = "\0".join(self.files).encode(errors="surrogateescape")
        yield hashlib.sha256(names).digest()
        yield np.ascontiguousarray(self.headers[["size", "modified_ns"]]).tobytes()


class SoundArrays(SoundExamples):
    """Waves in memory, which every part of a split shares.

    Args:
        waves: float32 `(n, samples)`, or a list of `(samples,)` of any lengths, at
            `sample_rate`.
        labels: As in `Examples`, of the chosen rows.
        rows: int, which of the waves these are.
        sample_rate: As in `SoundExamples`.
        samples: As in `SoundExamples`.
        starts: As in `SoundExamples`.
    """

    def __init__(
        self,
        waves: Sequence[np.ndarray],
        labels: np.ndarray,
        rows: np.ndarray,
        sample_rate: int,
        samples: int,
        starts: np.ndarray | None = None,
    ):
        lengths = np.array([len(waves[row]) for row in rows], np.int64)
        super().__init__(labels, lengths, sample_rate, samples, starts)
        self.waves, self.rows = waves, rows

    def _part(self, position: int, start: int, samples: int) -> np.ndarray:
        return self.waves[self.rows[position]][start : start + samples]

    def at(
        self, positions: np.ndarray, starts: np.ndarray | None = None
    ) -> "SoundArrays":
        return SoundArrays(
            self.waves,
            self.labels[positions],
            self.rows[positions],
            self.sample_rate,
            self.samples,
            self.starts[positions] if starts is None else starts,
        )

    def names(self, positions: np.ndarray) -> list[str]:
        return [f"x[{row}]" for row in self.rows[positions]]

    def identities(self) -> Iterator[bytes]:
        yield from map(self._digest, self.rows)

    def _inputs_identity(self) -> Iterable[bytes]:
        yield self._form
        yield from map(self._digest, self.rows)

    @functools.cached_property
    def _digests(self) -> dict[int, bytes]:
        return {}

    def _digest(self, row: int) -> bytes:
        if row not in self._digests:
            wave = np.ascontiguousarray(self.waves[row])
            self._digests[row] = hashlib.blake2b(wave).digest()
        return self._digests[row]


def read_listed(
    root: str,
    paths: Sequence[str],
    labels: np.ndarray,
    sample_rate: int,
    samples: int,
) -> tuple[SoundFiles, np.ndarray, list[tuple[str, str]]]:
    """Returns the files that can be read, their places, and why others cannot.

    Args:
        root: As in `SoundFiles`.
        paths: Absolute paths.
        labels: As in `Examples`, one for each path.
        sample_rate: As in `SoundExamples`.
        samples: As in `SoundExamples`.
    """
    headers, reasons = read_headers(paths)
    readable = np.flatnonzero([reason is None for reason in reasons])
    files = SoundFiles(
        root,
        [os.path.relpath(paths[i], root) for i in readable],
        headers[readable],
        labels[readable],
        sample_rate,
        samples,
    )
    pairs = zip(paths, reasons, strict=True)
    return files, readable, [(path, reason) for path, reason in pairs if reason]
