"""Pictures at the size of a thumbnail, and which of them look the same."""

import functools
import os
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tlkeras.inputs.examples import Examples
from tlkeras.inputs.loading import plain_graph
from tlkeras.inputs.pictures.decoding import DECODERS, choose_decoders, turn_upright
from tlkeras.inputs.pictures.files import ImageFiles

SIDE = 16

# JPEGs are decoded at the fraction of their size that leaves this side, then averaged.
_READ_SIDE = 4 * SIDE
_BATCH = 256

# A thumbnail with a smaller deviation of its grey values (0 to 255) shows nothing.
LEAST_CONTRAST = 4.0

# How far thumbnails of the same picture are apart: in grey, as vectors of length 1
# (0.2 is a correlation of 0.98), and in colour, as the mean difference of values.
_GREY_DISTANCE = 0.2
_COLOUR_DISTANCE = 10.0

# The lowest frequencies, of which the search tree is made, and how many of the nearest
# pictures are looked at.
_FREQUENCIES = 4
_NEAREST = 16
_QUERIES = 4096


def read_thumbnails(
    examples: Examples, progress: Callable[[int], None] = lambda done: None
) -> tuple[np.ndarray, np.ndarray]:
    """Reads whole pictures, not cropped, at the size of a thumbnail.

    Args:
        examples: Pictures.
        progress: Called with the number of pictures that are done.

    Returns:
        The thumbnails, uint8 `(n, SIDE, SIDE, 3)`, and bool `(n,)`: which of them
        could be decoded; the others are black.
    """
    thumbnails = np.zeros((len(examples), SIDE, SIDE, 3), np.uint8)
    whole = np.zeros(len(examples), bool)
    read = _of_files if isinstance(examples, ImageFiles) else _of_others
    with tf.device("CPU:0"):
        dataset = read(examples).prefetch(2)
    for positions, pixels in dataset:
        # Grey pictures are broadcast to three channels.
        thumbnails[positions] = np.rint(pixels)
        whole[positions] = True
        progress(int(positions[-1]) + 1)
    return thumbnails, whole


def _of_files(examples: ImageFiles) -> tf.data.Dataset:
    """Returns positions and pixels, without the files whose pixels are damaged."""
    paths = tf.constant([os.fsencode(path) for path in examples.paths])
    decoders = tf.constant(choose_decoders(examples.headers, (_READ_SIDE, _READ_SIDE)))
    orientations = tf.constant(examples.headers["orientation"].astype(np.int32))

    @plain_graph
    def load(i):
        contents = tf.io.read_file(paths[i])
        branches = [functools.partial(f, contents) for f in DECODERS.values()]
        image = tf.ensure_shape(tf.switch_case(decoders[i], branches), (None, None, 3))
        small = tf.image.resize(image, (SIDE, SIDE), "area")
        return i, tf.ensure_shape(turn_upright(small, orientations[i]), small.shape)

    positions = tf.data.Dataset.range(len(examples))
    return positions.map(load, tf.data.AUTOTUNE).ignore_errors().batch(_BATCH)


def _of_others(examples: Examples) -> tf.data.Dataset:
    @plain_graph
    def shrink(start, example):
        small = tf.image.resize(example[0], (SIDE, SIDE), "area")
        return start * _BATCH + tf.range(tf.shape(small, "int64")[0]), small

    return examples.dataset(_BATCH).enumerate().map(shrink)


def contrasts(thumbnails: np.ndarray) -> np.ndarray:
    """Returns the deviation of each thumbnail's grey values, float32 `(n,)`."""
    return _grey(thumbnails).std(axis=1)


def unit_vectors(thumbnails: np.ndarray) -> np.ndarray:
    """Returns the grey values of thumbnails as vectors of mean 0 and length 1.

    Their scalar product is the correlation of two pictures, whatever the brightness
    and the contrast of each.

    Args:
        thumbnails: uint8 `(n, SIDE, SIDE, 3)`.

    Returns:
        float32 `(n, SIDE * SIDE)`; zeros for pictures of one colour.
    """
    grey = _grey(thumbnails)
    grey -= grey.mean(axis=1, keepdims=True)
    lengths = np.linalg.norm(grey, axis=1, keepdims=True)
    return grey / np.maximum(lengths, 1e-6)


def _grey(thumbnails: np.ndarray) -> np.ndarray:
    grey = thumbnails.mean(axis=-1, dtype=np.float32)
    return grey.reshape(len(thumbnails), SIDE * SIDE)


def near_pairs(
    thumbnails: np.ndarray, progress: Callable[[int], None] = lambda done: None
) -> np.ndarray:
    """Finds the pictures that look the same.

    The thumbnails' low frequencies are a perceptual hash that is not rounded to bits:
    two pictures' hashes are never further apart than the pictures, so that a search
    tree misses none. What it finds is compared in full, and in colour.

    Args:
        thumbnails: uint8 `(n, SIDE, SIDE, 3)`, not of one colour.
        progress: Called with the number of pictures that are done.

    Returns:
        int `(pairs, 2)`, the lower number first. Where very many pictures look the
        same, not all pairs, but enough to connect them.

    Reference:
        Zauner, Implementation and benchmarking of perceptual image hash functions
        (2010): the hash of low frequencies.
    """
    from scipy.fft import dctn
    from scipy.spatial import cKDTree

    units = unit_vectors(thumbnails)
    waves = dctn(units.reshape(-1, SIDE, SIDE), axes=(1, 2), norm="ortho")
    low = waves[:, :_FREQUENCIES, :_FREQUENCIES].reshape(len(units), _FREQUENCIES**2)
    tree, found = cKDTree(low), [np.zeros((0, 2), int)]
    for start in range(0, len(low), _QUERIES):
        _, near = tree.query(
            low[start : start + _QUERIES],
            k=_NEAREST,
            distance_upper_bound=_GREY_DISTANCE,
            workers=-1,
        )
        # Where there is no further one, the tree answers with the number of all.
        rows, columns = np.nonzero(near < len(low))
        pairs = np.stack([rows + start, near[rows, columns]], axis=1)
        found.append(_verified(pairs[pairs[:, 0] != pairs[:, 1]], units, thumbnails))
        progress(min(start + _QUERIES, len(low)))
    return np.unique(np.sort(np.concatenate(found), axis=1), axis=0)


def _verified(
    pairs: np.ndarray, units: np.ndarray, thumbnails: np.ndarray
) -> np.ndarray:
    """Returns the pairs that look the same in all their frequencies and in colour."""
    first, second = pairs.T
    apart = np.linalg.norm(units[first] - units[second], axis=1)
    pairs = pairs[apart <= _GREY_DISTANCE]
    first, second = (thumbnails[rows].astype(np.int16) for rows in pairs.T)
    colour = np.abs(first - second).mean(axis=(1, 2, 3))
    return pairs[colour <= _COLOUR_DISTANCE]
