"""Sounds that are shown: drawn as waves and spectrograms, and played in a notebook."""

import base64
import io
import wave
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np

from tlkeras.inputs.sounds.spectrogram import LogMelSpectrogram


def spectrograms(waves: np.ndarray, sample_rate: int, mels: int = 64) -> np.ndarray:
    """Returns the spectrograms of waves as a model sees them, 0 to 255.

    Args:
        waves: float32 `(n, samples)`.
        sample_rate: Samples per second.
        mels: Mel bands.

    Returns:
        float32 `(n, mels, columns, 1)`.
    """
    return np.asarray(LogMelSpectrogram(sample_rate, mels)(np.asarray(waves)))


def as_wav(samples: np.ndarray, sample_rate: int) -> bytes:
    """Returns a wave as a WAV file of 16 bits."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        whole = np.clip(np.round(np.asarray(samples) * 32768), -32768, 32767)
        file.writeframes(whole.astype("<i2").tobytes())
    return buffer.getvalue()


def player(samples: np.ndarray, sample_rate: int) -> str:
    """Returns HTML that plays a wave."""
    data = base64.b64encode(as_wav(samples, sample_rate)).decode()
    return f'<audio controls preload="none" src="data:audio/wav;base64,{data}"></audio>'


@dataclass(frozen=True, repr=False, eq=False)
class SoundsShown:
    """Some sounds with a title each; a notebook shows and plays them.

    Attributes:
        waves: float32 `(n, samples)`.
        titles: What each is.
        sample_rate: Samples per second.
        about: What they are a sample of.
    """

    waves: np.ndarray
    titles: tuple[str, ...]
    sample_rate: int
    about: str

    def __len__(self) -> int:
        return len(self.waves)

    def __repr__(self) -> str:
        lines = [
            f"  {title}: peak {np.abs(wave).max():.2f}"
            for title, wave in zip(self.titles, self.waves, strict=True)
        ]
        return "\n".join([self.about, *lines])

    def plot(self, ax: Any = None) -> Any:
        """Draws each sound's wave above its spectrogram.

        Args:
            ax: A matplotlib axes to draw on; made if `None`.

        Returns:
            The axes; each sound has two inset axes in it (`ax.child_axes`).
        """
        from tlkeras.plots.sounds import sound_grid

        pictures = spectrograms(self.waves, self.sample_rate)[..., 0]
        return sound_grid(self.waves, pictures, self.titles, self.sample_rate, ax=ax)

    def _repr_html_(self) -> str:
        from tlkeras.plots import to_png
        from tlkeras.plots.sounds import sounds_size

        drawn = base64.b64encode(to_png(self.plot, sounds_size(len(self)))).decode()
        rows = "".join(
            f"<tr><td>{escape(title)}</td>"
            f"<td>{player(wave, self.sample_rate)}</td></tr>"
            for title, wave in zip(self.titles, self.waves, strict=True)
        )
        return (
            f"<p>{escape(self.about)}</p>"
            f'<img src="data:image/png;base64,{drawn}" alt="{escape(self.about)}" '
            f'style="max-width: 100%; background: white"><table>{rows}</table>'
        )
