"""Examples that lie in image files."""

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
from tlkeras.inputs.pictures.decoding import (
    COLOR_CHANNELS,
    choose_decoders,
    decode_image,
)
from tlkeras.inputs.pictures.headers import read_headers


class ImageFiles(RandomAccessExamples):
    """Image files, decoded in parallel as they are read.

    Args:
        root: The folder that `files` are relative to.
        files: Relative paths, one per example.
        headers: Their `HEADER` records, `(n,)`.
        labels: As in `Examples`.
        image_size: `(height, width)` in pixels.
        color_mode: `"rgb"` or `"grayscale"`.
        fit: As in `image_folder`.
    """

    def __init__(
        self,
        root: str,
        files: Sequence[str],
        headers: np.ndarray,
        labels: np.ndarray,
        image_size: tuple[int, int],
        color_mode: str,
        fit: str = "crop",
    ):
        super().__init__(labels)
        self.root = root
        self.files = list(files)
        self.headers = headers
        self.image_size = image_size
        self.color_mode = color_mode
        self.fit = fit

    @property
    def source(self) -> str | None:
        folder = os.path.basename(os.path.normpath(self.root)) if self.root else ""
        return folder or None

    @property
    def paths(self) -> list[str]:
        return [os.path.join(self.root, name) for name in self.files]

    def select(self, positions: np.ndarray) -> "ImageFiles":
        return ImageFiles(
            self.root,
            [self.files[i] for i in positions],
            self.headers[positions],
            self.labels[positions],
            self.image_size,
            self.color_mode,
            self.fit,
        )

    @functools.cached_property
    def _columns(self) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Paths, decoders, orientations and labels, as tensors outside any graph."""
        # As bytes: a file name need not be valid UTF-8.
        paths = [os.fsencode(path) for path in self.paths]
        decoders = choose_decoders(self.headers, self.image_size, self.fit)
        orientations = self.headers["orientation"].astype(np.int32)
        with tf.init_scope(), tf.device("CPU:0"):
            columns = paths, decoders, orientations, self.labels
            return tuple(tf.constant(column) for column in columns)

    def in_order(self, positions: tf.data.Dataset, batch_size: int) -> tf.data.Dataset:
        paths, decoders, orientations, labels = self._columns

        def load(i):
            return decode_image(
                paths[i],
                decoders[i],
                orientations[i],
                self.image_size,
                self.color_mode,
                self.fit,
            )

        batches = load_batches(
            positions,
            load,
            describe=lambda i: paths[i],
            shape=(*self.image_size, COLOR_CHANNELS[self.color_mode]),
            batch_size=batch_size,
        )
        return batches.map(plain_graph(lambda i, x: (x, tf.gather(labels, i))))

    def names(self, positions: np.ndarray) -> list[str]:
        # A file name need not be valid UTF-8.
        names = [os.fsencode(self.files[position]) for position in positions]
        return [name.decode(errors="replace") for name in names]

    def identities(self) -> Iterator[int]:
        """Yields the files' sizes; `contents` tells files of equal size apart."""
        yield from self.headers["size"].tolist()

    def contents(self, positions: np.ndarray) -> list[bytes | None]:
        paths = [os.path.join(self.root, self.files[i]) for i in positions]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            return list(pool.map(digest_of, paths))

    def _look_again(self) -> None:
        """Reads the headers of files anew that were written since they were read."""
        with concurrent.futures.ThreadPoolExecutor() as pool:
            now = list(pool.map(state_of, self.paths))
        before = self.headers[["size", "modified_ns"]].tolist()
        changed = [
            i
            for i, (new, old) in enumerate(zip(now, before, strict=True))
            if new is not None and new != old
        ]
        if not changed:
            return
        headers, reasons = read_headers([self.paths[i] for i in changed])
        self.headers = self.headers.copy()
        for i, header, reason in zip(changed, headers, reasons, strict=True):
            if reason is None:
                self.headers[i] = header
            else:
                # That it can no longer be read is told of when it is decoded.
                self.headers[i]["size"], self.headers[i]["modified_ns"] = now[i]
        self.__dict__.pop("_columns", None)

    def _inputs_identity(self) -> Iterable[bytes]:
        self._look_again()
        yield f"{self.image_size} {self.color_mode} {self.fit}".encode()
        yield hashlib.sha256(
            "\0".join(self.files).encode(errors="surrogateescape")
        ).digest()
        yield np.ascontiguousarray(self.headers[["size", "modified_ns"]]).tobytes()


def read_listed(
    root: str,
    paths: Sequence[str],
    labels: np.ndarray,
    image_size: tuple[int, int],
    color_mode: str,
    fit: str,
) -> tuple[ImageFiles, np.ndarray, list[tuple[str, str]]]:
    """Returns the files that can be decoded, their places, and why others cannot.

    Args:
        root: As in `ImageFiles`.
        paths: Absolute paths.
        labels: As in `Examples`, one for each path.
        image_size: As in `ImageFiles`.
        color_mode: As in `ImageFiles`.
        fit: As in `ImageFiles`.
    """
    headers, reasons = read_headers(paths)
    names = [os.path.relpath(path, root) for path in paths]
    files = ImageFiles(root, names, headers, labels, image_size, color_mode, fit)
    readable = np.flatnonzero([reason is None for reason in reasons])
    pairs = zip(paths, reasons, strict=True)
    unreadable = [(path, reason) for path, reason in pairs if reason]
    return files.select(readable), readable, unreadable
