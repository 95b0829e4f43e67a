"""How sounds are changed at random: windows, shift, speed, gain, noise, masks."""

from dataclasses import dataclass
from typing import Any, ClassVar

PRESETS = ("light", "medium", "strong")


@dataclass(frozen=True)
class RandomWindow:
    """Cuts a window at random out of each sound that is longer.

    Attributes:
        samples: Samples of the window. What is NaN in a sound is beyond its end.
    """

    samples: int

    def __call__(self, waves: Any, draws: Any) -> Any:
        import tensorflow as tf

        if waves.shape[1] == self.samples:
            return waves
        heard = tf.reduce_sum(tf.cast(~tf.math.is_nan(waves), "float32"), axis=1)
        room = tf.maximum(heard - self.samples, 0.0)
        start = tf.floor(draws.uniform(tf.shape(heard)) * (room + 1))
        at = tf.cast(start, "int32")[:, None] + tf.range(self.samples)
        window = tf.gather(waves, tf.minimum(at, waves.shape[1] - 1), batch_dims=1)
        return tf.where(tf.math.is_nan(window), 0.0, window)

    def __str__(self) -> str:
        return "random windows"


@dataclass(frozen=True)
class TimeWarp:
    """Moves each sound in its window, and plays it faster or slower.

    Attributes:
        shift: Largest shift, as a share of the window; silence moves in.
        speed: Largest change of speed, and with it of pitch, as a share.

    Reference: Ko et al., Audio Augmentation for Speech Recognition (2015).
    """

    shift: float
    speed: float = 0.0

    def __call__(self, waves: Any, draws: Any) -> Any:
        import tensorflow as tf

        count, samples = tf.shape(waves)[0], waves.shape[1]
        shift = samples * draws.uniform((count, 1), -self.shift, self.shift)
        middle = (samples - 1) / 2
        at = tf.range(samples, dtype="float32")[None] - middle - tf.round(shift)
        if self.speed:
            at *= 1 + draws.uniform((count, 1), -self.speed, self.speed)
        at += middle
        below = tf.floor(at)
        share = at - below

        def value(place):
            inside = (place >= 0) & (place < samples)
            safe = tf.cast(tf.clip_by_value(place, 0, samples - 1), "int32")
            return tf.where(inside, tf.gather(waves, safe, batch_dims=1), 0.0)

        return (1 - share) * value(below) + share * value(below + 1)

    def __str__(self) -> str:
        speed = f", speed {self.speed:g}" if self.speed else ""
        return f"shift {self.shift:g}{speed}"


@dataclass(frozen=True)
class Gain:
    """Makes each sound louder or softer.

    Attributes:
        decibels: The most.
    """

    decibels: float

    def __call__(self, waves: Any, draws: Any) -> Any:
        import tensorflow as tf

        shape = (tf.shape(waves)[0], 1)
        level = draws.uniform(shape, -self.decibels, self.decibels)
        return waves * tf.pow(10.0, level / 20)

    def __str__(self) -> str:
        return f"gain {self.decibels:g} dB"


@dataclass(frozen=True)
class Noise:
    """Adds white noise to some of the sounds.

    Attributes:
        rate: Share of the sounds.
        ratio: Lowest and highest ratio of sound to noise, in decibels.
    """

    rate: float
    ratio: tuple[float, float]

    def __call__(self, waves: Any, draws: Any) -> Any:
        import tensorflow as tf

        count = tf.shape(waves)[0]
        power = tf.reduce_mean(tf.square(waves), axis=1, keepdims=True)
        ratio = draws.uniform((count, 1), *self.ratio)
        chosen = tf.cast(draws.uniform((count, 1)) < self.rate, "float32")
        # Of a uniform number between -1 and 1 the power is a third.
        deviation = tf.sqrt(3 * power * tf.pow(10.0, -ratio / 10))
        noise = draws.uniform(tf.shape(waves), -1.0, 1.0)
        return waves + chosen * deviation * noise

    def __str__(self) -> str:
        return "noise at {:g}-{:g} dB".format(*self.ratio)


@dataclass(frozen=True)
class Masks:
    """Silences a span of time and a band of pitches of each sound.

    Attributes:
        time: Longest span, as a share of the window.
        octaves: Widest band.

    Reference: Park et al., SpecAugment (2019), here on waves.
    """

    time: float
    octaves: float

    def __call__(self, waves: Any, draws: Any) -> Any:
        import tensorflow as tf

        count, samples = tf.shape(waves)[0], waves.shape[1]
        length = draws.uniform((count, 1), 0.0, self.time) * samples
        start = draws.uniform((count, 1)) * (samples - length)
        at = tf.range(samples, dtype="float32")[None]
        waves = tf.where((at >= start) & (at < start + length), 0.0, waves)
        spectrum = tf.signal.rfft(waves)
        bins = samples // 2 + 1
        # Pitches lie evenly in octaves, from a hundredth of the highest on.
        low = tf.pow(100.0, draws.uniform((count, 1)) - 1)
        high = low * tf.pow(2.0, draws.uniform((count, 1), 0.0, self.octaves))
        share = tf.range(bins, dtype="float32")[None] / (bins - 1)
        kept = tf.cast((share < low) | (share >= high), spectrum.dtype)
        filtered = tf.signal.irfft(spectrum * kept, [samples])
        return tf.ensure_shape(filtered, waves.shape)

    def __str__(self) -> str:
        return f"masks of {self.time:g} of the time, {self.octaves:g} octaves"


def preset_operations(name: str, mixes: bool) -> list[Any]:
    """Returns the operations of a preset.

    Args:
        name: One of `PRESETS`.
        mixes: Whether labels can be mixed, which none of them does.
    """
    if name == "light":
        return [TimeWarp(shift=0.1), Gain(6)]
    if name == "medium":
        return [TimeWarp(shift=0.1, speed=0.1), Gain(6), Noise(0.5, (10, 30))]
    return [
        TimeWarp(shift=0.15, speed=0.15),
        Gain(12),
        Noise(0.5, (5, 30)),
        Masks(time=0.2, octaves=1.0),
    ]


class SoundAugmentations:
    """Sounds as `tlkeras.augmentation` augments them; each begins with a window.

    Args:
        samples: Samples of the window that the model takes.
    """

    nouns: ClassVar[str] = "sounds"
    values: ClassVar[str] = "samples"
    limits: ClassVar[None] = None
    presets: ClassVar[tuple[str, ...]] = PRESETS
    operations = staticmethod(preset_operations)
    own: ClassVar[tuple[type, ...]] = (RandomWindow, TimeWarp, Gain, Noise, Masks)
    mixers: ClassVar[dict[str, type]] = {}

    def __init__(self, samples: int):
        self.first = (RandomWindow(samples),)
