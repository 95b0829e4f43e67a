"""Examples that are encoded pictures of TensorFlow Datasets."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from tlkeras.inputs.examples import Examples
from tlkeras.inputs.loading import plain_graph
from tlkeras.inputs.pictures.decoding import COLOR_CHANNELS, resize_image, to_color_mode
from tlkeras.inputs.tfds import encoded_rows

# How many bytes of encoded images are held to shuffle them.
SHUFFLE_BYTES = 256 * 2**20


def identity(image: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns what tells encoded pictures apart, in a graph: their hash and size."""
    hashed = tf.strings.to_hash_bucket_fast(image, 2**63 - 1)
    return {"hashes": hashed, "sizes": tf.strings.length(image, "BYTE")}


class TfdsExamples(Examples):
    """Examples of one split of a TensorFlow data set, read from disk in order.

    Args:
        builder: A prepared `tfds.core.DatasetBuilder`.
        split: The split's name.
        image_key: The name of the image feature.
        labels: As in `Examples`, of the chosen examples.
        hashes: int64, of all encoded images of the split.
        sizes: int64, their sizes in bytes.
        image_size: `(height, width)` in pixels.
        color_mode: `"rgb"` or `"grayscale"`.
        fit: As in `image_folder`.
        rows: int64, the chosen examples in increasing order; all by default.
    """

    def __init__(
        self,
        builder: Any,
        split: str,
        image_key: str,
        labels: np.ndarray,
        hashes: np.ndarray,
        sizes: np.ndarray,
        image_size: tuple[int, int],
        color_mode: str,
        fit: str,
        rows: np.ndarray | None = None,
    ):
        super().__init__(labels)
        self.builder = builder
        self.split = split
        self.image_key = image_key
        self.hashes = hashes
        self.sizes = sizes
        self.image_size = image_size
        self.color_mode = color_mode
        self.fit = fit
        self.rows = np.arange(len(labels)) if rows is None else rows

    def select(self, positions: np.ndarray) -> "TfdsExamples":
        return TfdsExamples(
            self.builder,
            self.split,
            self.image_key,
            self.labels[positions],
            self.hashes,
            self.sizes,
            self.image_size,
            self.color_mode,
            self.fit,
            self.rows[positions],
        )

    def _batches(self, batch_size: int, shuffle: bool, seed: int) -> tf.data.Dataset:
        labels = tf.constant(self.labels)
        where = np.full(len(self.sizes), -1)
        where[self.rows] = np.arange(len(self))
        where = tf.constant(where)

        chosen = (
            encoded_rows(self.builder, self.split)
            .map(plain_graph(lambda example: example[self.image_key]))
            .enumerate()
            .filter(plain_graph(lambda row, image: where[row] >= 0))
            .apply(tf.data.experimental.assert_cardinality(len(self)))
        )
        if shuffle:
            window = self._shuffle_window()
            chosen = chosen.shuffle(window, seed=seed, reshuffle_each_iteration=True)

        @plain_graph
        def load(row, image):
            return self._decode(image), labels[where[row]]

        return chosen.map(load, tf.data.AUTOTUNE).batch(batch_size)

    def _shuffle_window(self) -> int:
        """Returns how many encoded images fit into `SHUFFLE_BYTES`, at most all."""
        mean_size = max(self.sizes[self.rows].mean(), 1)
        return max(min(len(self), int(SHUFFLE_BYTES / mean_size)), 1)

    def _decode(self, image: tf.Tensor) -> tf.Tensor:
        decoded = self.builder.info.features[self.image_key].decode_example(image)
        if decoded.dtype not in (tf.uint8, tf.uint16):
            raise ValueError(
                f"Images of {self.builder.info.full_name!r} must hold 8 or 16-bit "
                f"pixels. Received: {decoded.dtype.name}."
            )
        resized = resize_image(_three_channels(decoded), self.image_size, self.fit)
        if decoded.dtype == tf.uint16:
            resized = resized / 257.0
        image = to_color_mode(resized, self.color_mode)
        shape = (*self.image_size, COLOR_CHANNELS[self.color_mode])
        return tf.ensure_shape(image, shape)

    def identities(self) -> Iterator[tuple[int, int]]:
        hashes, sizes = self.hashes[self.rows], self.sizes[self.rows]
        yield from zip(hashes.tolist(), sizes.tolist(), strict=True)

    def _inputs_identity(self) -> Iterable[bytes]:
        yield f"{self.image_size} {self.color_mode} {self.fit}".encode()
        yield self.hashes[self.rows].tobytes()


def _three_channels(image: tf.Tensor) -> tf.Tensor:
    """Makes an image RGB: grey is repeated, alpha dropped."""

    def repeated() -> tf.Tensor:
        return tf.concat([image[..., :1]] * 3, axis=-1)

    return tf.cond(tf.shape(image)[-1] < 3, repeated, lambda: image[..., :3])
