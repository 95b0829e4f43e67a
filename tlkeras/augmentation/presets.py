"""The presets: their strengths, and the few cheap operations that they are made of.

The operations run on the CPU beside the network. Keras' layers for the same resample
the pictures once per layer; here flip, zoom, shift, rotation and shear are one matrix,
so that the pictures are resampled once.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import keras

from tlkeras.augmentation.randomness import Draws

PRESETS = ("light", "medium", "strong")


@dataclass(frozen=True)
class Warp:
    """Flips, zooms, shifts, rotates and shears each picture in its own way.

    Attributes:
        zoom: Smallest and largest side of the part that is seen, as a share of the
            picture's; below 1 enlarges.
        shift: Largest shift, as a share of the picture's side.
        aspect: Largest change of the ratio of the sides, as a share.
        degrees: Largest rotation.
        shear: Largest shear, as a share of the picture's side.
        fill: What is seen beyond the picture's edge: `"REFLECT"`, the picture in a
            mirror; `"CONSTANT"`, black.
    """

    zoom: tuple[float, float]
    shift: float
    aspect: float = 0.0
    degrees: float = 0.0
    shear: float = 0.0
    fill: str = "REFLECT"

    def __call__(self, images: Any, draws: Draws) -> Any:
        import tensorflow as tf

        return self._warped(images, self._matrix(tf.shape(images), draws))

    def with_places(
        self, images: Any, labels: Any, draws: Draws, moved: Callable
    ) -> tuple[Any, Any]:
        """Returns pictures, and labels that say where things are in them.

        Args:
            images: `(batch, height, width, channels)`.
            labels: Any that `moved` takes.
            draws: Random numbers.
            moved: `Output.moved`.
        """
        import tensorflow as tf

        matrix = self._matrix(tf.shape(images), draws)
        # Without rotation and shear, from places in the picture to those in the result.
        # A pixel's number is that of its middle, half a pixel from its edge.
        factor = tf.stack([matrix[:, 0], matrix[:, 4]], axis=1)
        offset = tf.stack([matrix[:, 2], matrix[:, 5]], axis=1)
        size = tf.cast(tf.shape(images)[2:0:-1], "float32")
        starts = (0.5 - (0.5 + offset) / factor) / size
        return self._warped(images, matrix), moved(labels, 1 / factor, starts)

    def _matrix(self, shape: Any, draws: Draws) -> Any:
        """Returns from which place in the picture each pixel comes, `(batch, 8)`."""
        import tensorflow as tf

        height, width = tf.unstack(tf.cast(shape[1:3], "float32"))

        def draw(low, high):
            return draws.uniform(shape[:1], low, high)

        flip = tf.where(draw(0.0, 1.0) < 0.5, -1.0, 1.0)
        zoom, ratio = draw(*self.zoom), draw(-self.aspect, self.aspect)
        angle = draw(-self.degrees, self.degrees) * (3.14159265 / 180)
        shear = draw(-self.shear, self.shear)
        across, down = zoom * (1 + ratio) * flip, zoom * (1 - ratio)
        cos, sin = tf.cos(angle), tf.sin(angle)
        # Rows of the matrix from places in the result to places in the picture.
        a0, a1 = across * cos, across * (shear * cos - sin)
        b0, b1 = down * sin, down * (shear * sin + cos)
        x, y = (width - 1) / 2, (height - 1) / 2
        a2 = x * (1 - a0) - y * a1 + width * draw(-self.shift, self.shift)
        b2 = y * (1 - b1) - x * b0 + height * draw(-self.shift, self.shift)
        zero = tf.zeros_like(a0)
        return tf.stack([a0, a1, a2, b0, b1, b2, zero, zero], axis=1)

    def _warped(self, images: Any, matrix: Any) -> Any:
        import tensorflow as tf

        return tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=matrix,
            output_shape=tf.shape(images)[1:3],
            interpolation="BILINEAR",
            fill_mode=self.fill,
            fill_value=0.0,
        )

    def __str__(self) -> str:
        low, high = self.zoom
        parts = ["flip", f"zoom {low:g}-{high:g}", f"shift {self.shift:g}"]
        parts += [f"aspect {self.aspect:g}"] if self.aspect else []
        parts += [f"rotation {self.degrees:g} degrees"] if self.degrees else []
        parts += [f"shear {self.shear:g}"] if self.shear else []
        return ", ".join(parts)


@dataclass(frozen=True)
class Colour:
    """Changes each picture's brightness, contrast and saturation.

    Attributes:
        brightness: Largest shift of all pixels, as a share of 255.
        contrast: Largest change of the distance from mid-grey, as a share.
        saturation: Largest change of the distance from the picture's grey version, as
            a share; has no effect on pictures of one channel.
    """

    brightness: float
    contrast: float
    saturation: float = 0.0

    def __call__(self, images: Any, draws: Draws) -> Any:
        import tensorflow as tf

        def draw(reach):
            return draws.uniform((tf.shape(images)[0], 1, 1, 1), -reach, reach)

        contrast = 1 + draw(self.contrast)
        shift = 127.5 * (1 - contrast) + 255 * draw(self.brightness)
        saturation = 1 + draw(self.saturation)
        if self.saturation and images.shape[-1] == 3:
            grey = tf.tensordot(images, (0.299, 0.587, 0.114), 1)[..., None]
            shift += contrast * (1 - saturation) * grey
            contrast *= saturation
        return tf.clip_by_value(images * contrast + shift, 0.0, 255.0)

    def __str__(self) -> str:
        parts = [f"brightness {self.brightness:g}", f"contrast {self.contrast:g}"]
        parts += [f"saturation {self.saturation:g}"] if self.saturation else []
        return ", ".join(parts)


@dataclass(frozen=True)
class Erase:
    """Covers a rectangle of some of the pictures with one random colour.

    Attributes:
        rate: Share of the pictures.
        sides: Smallest and largest side of the rectangle, as a share of the picture's.

    Reference: Zhong et al., Random Erasing Data Augmentation (2020).
    """

    rate: float
    sides: tuple[float, float]

    def __call__(self, images: Any, draws: Draws) -> Any:
        import tensorflow as tf

        shape = tf.shape(images)

        def covered(length, axis):
            side = draws.uniform((shape[0], 1, 1, 1), *self.sides)
            start = draws.uniform((shape[0], 1, 1, 1)) * (1 - side)
            steps = [-1 if place == axis else 1 for place in range(4)]
            at = tf.cast(tf.reshape(tf.range(length), steps), "float32")
            at = (at + 0.5) / tf.cast(length, "float32")
            return (at >= start) & (at < start + side)

        chosen = draws.uniform((shape[0], 1, 1, 1)) < self.rate
        colour = draws.uniform((shape[0], 1, 1, shape[3]), 0.0, 255.0)
        mask = covered(shape[1], 1) & covered(shape[2], 2) & chosen
        return tf.where(mask, colour, images)

    def __str__(self) -> str:
        return f"erasing {self.rate:g}"


def preset_operations(name: str, mixes: bool) -> list[Any]:
    """Returns the operations and layers of a preset.

    Args:
        name: One of `PRESETS`.
        mixes: Whether labels can be mixed, as those of classes can.
    """
    if name == "light":
        return [Warp(zoom=(0.9, 1.1), shift=0.05)]
    if name == "medium":
        return [
            Warp(zoom=(0.7, 1.1), shift=0.1, aspect=0.1, degrees=10),
            Colour(brightness=0.1, contrast=0.2),
        ]
    return [
        Warp(zoom=(0.6, 1.1), shift=0.1, aspect=0.15, degrees=20, shear=0.15),
        Colour(brightness=0.2, contrast=0.4, saturation=0.4),
        Erase(rate=0.5, sides=(0.15, 0.45)),
        *([keras.layers.MixUp(alpha=0.2, dtype="float32")] if mixes else []),
    ]


def operations_with_places(name: str) -> list[Any]:
    """Returns the operations of a preset where labels say where things are.

    They neither rotate nor shear, since an upright box around a rotated one is too
    large; nor erase, since a thing that is hidden would still be in the labels. Beyond
    the edge is black: things in a mirror would not be in them.

    Args:
        name: One of `PRESETS`.
    """
    return [
        replace(each, degrees=0.0, shear=0.0, fill="CONSTANT")
        if isinstance(each, Warp)
        else each
        for each in preset_operations(name, mixes=False)
        if not isinstance(each, Erase)
    ]


@dataclass(frozen=True)
class Domain:
    """What is augmented: pictures here; a kind of input brings its own like it.

    Attributes:
        nouns: What several of them are called.
        values: What their values are called.
        limits: The lowest and the highest value, `None` where there are none.
        presets: The names that stand for operations.
        operations: The operations of a preset, by its name and whether labels can be
            mixed. They take examples and `Draws`.
        own: The classes of these operations.
        mixers: Layers that mix examples, by the names that stand for them.
        first: Operations before all others.
        with_places: The operations of a preset where labels say where things are, by
            its name. `None`: there are none.
    """

    nouns: str
    values: str
    limits: tuple[float, float] | None
    presets: tuple[str, ...]
    operations: Callable[[str, bool], list[Any]]
    own: tuple[type, ...]
    mixers: dict[str, type]
    first: tuple[Any, ...] = ()
    with_places: Callable[[str], list[Any]] | None = None


PICTURES = Domain(
    nouns="pictures",
    values="pixels",
    limits=(0.0, 255.0),
    presets=PRESETS,
    operations=preset_operations,
    own=(Warp, Colour, Erase),
    mixers={"mixup": keras.layers.MixUp, "cutmix": keras.layers.CutMix},
    with_places=operations_with_places,
)
