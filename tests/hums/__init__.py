"""A kind of input in one folder: hums, waves of one tone, as an example and a test.

Whoever adds a kind of input to tlkeras writes such a folder, and one line in the table.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import keras
import numpy as np

from tlkeras.builders import make_builders
from tlkeras.heads import to_vector
from tlkeras.inputs import Assembled, Input, register_input

RATE = 2_000
MELS = 16


@register_input
@keras.saving.register_keras_serializable("hums")
class Hums(Input):
    """Waves of one length, float32 `(batch, samples)`; the spectrogram is in the model.

    Args:
        samples: Length of a wave.
    """

    name: ClassVar[str] = "hums"
    noun: ClassVar[str] = "hum"
    nouns: ClassVar[str] = "hums"
    prefix: ClassVar[str] = "hum"

    def __init__(self, samples: int):
        self.samples = samples

    def get_config(self) -> dict[str, Any]:
        return {"samples": self.samples}

    @classmethod
    def claims(cls, x: Any) -> bool:
        return isinstance(x, np.ndarray) and x.ndim == 2 and x.dtype.kind == "f"

    @classmethod
    def of_arrays(cls, x: Any) -> tuple["Hums", np.ndarray]:
        return cls(x.shape[1]), x.astype("float32")

    def show(self, inputs: np.ndarray, titles: Sequence[str], about: str) -> Any:
        return [
            f"{title}: peak {np.abs(wave).max():.2f}"
            for title, wave in zip(titles, inputs, strict=True)
        ]

    def facts(self, examples: Any) -> Mapping[str, Any]:
        return {"samples": self.samples}

    @classmethod
    def assemble(
        cls, backbone: keras.Model, *, samples: int = 2_000, head: str = "pool"
    ) -> Assembled:
        """Puts a backbone behind a spectrogram.

        Args:
            backbone: A functional model of spectrograms `(mels, frames, 1)`.
            samples: Length of a wave.
            head: `"pool"` or `"flatten"`, as for pictures.
        """
        waves = keras.Input((samples,), dtype="float32", name="wave")
        spectrogram = spectrogram_layer()(waves)
        x = keras.layers.Reshape((*spectrogram.shape[1:], 1))(spectrogram)
        features = to_vector(backbone(x), head)
        return Assembled(waves, features, cls(samples), backbone.name, None)


def spectrogram_layer() -> keras.layers.Layer:
    """Returns the layer from waves to spectrograms `(batch, mels, frames)`."""
    return keras.layers.MelSpectrogram(
        fft_length=256, sequence_stride=128, sampling_rate=RATE, num_mel_bins=MELS
    )


hum_classifier, hum_regressor = make_builders(Hums)


def make_hums(n: int, pitches: Sequence[float], seed: int = 0) -> tuple:
    """Makes noisy waves of one tone each, and which of the pitches it has."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % len(pitches)
    time = np.arange(2_000) / RATE
    phases = rng.uniform(0, 6, (n, 1))
    tones = np.sin(2 * np.pi * np.array(pitches)[labels][:, None] * time + phases)
    waves = tones + rng.normal(0, 0.3, tones.shape)
    return waves.astype("float32"), labels.astype("int32")


def small_backbone() -> keras.Model:
    """Returns a convolutional backbone of spectrograms with named blocks."""
    frames = spectrogram_layer().compute_output_shape((None, 2_000))[-1]
    inputs = keras.Input((MELS, frames, 1))
    x = inputs
    for number in (1, 2):
        name = f"block{number}"
        x = keras.layers.Conv2D(
            8, 3, strides=2, padding="same", activation="relu", name=f"{name}_conv"
        )(x)
    return keras.Model(inputs, x, name="small")
