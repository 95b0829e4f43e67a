"""Generated sounds: tones that glide up or down, and files of them."""

from pathlib import Path

import numpy as np
import soundfile

RATE = 4_000
NAMES = ("down", "up")


def glide(
    up: bool, seed: int = 0, seconds: float = 0.25, rate: int = RATE
) -> np.ndarray:
    """Returns a noisy tone whose pitch rises or falls, float32 `(samples,)`."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate)) / rate
    low, high = rng.uniform(300, 500), rng.uniform(1000, 1500)
    start, end = (low, high) if up else (high, low)
    phase = 2 * np.pi * (start * time + (end - start) * time**2 / (2 * seconds))
    wave = 0.5 * np.sin(phase) + rng.normal(0, 0.02, len(time))
    return wave.astype("float32")


def glides(count: int, seconds: float = 0.25) -> tuple[list[np.ndarray], list[str]]:
    """Returns tones of both kinds in turn, and what each is."""
    waves = [glide(bool(i % 2), seed=i, seconds=seconds) for i in range(count)]
    return waves, [NAMES[i % 2] for i in range(count)]


def write(path: Path, wave: np.ndarray, rate: int = RATE, **options) -> Path:
    """Writes a wave, or `(frames, channels)`, as a file of the path's ending."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, wave, rate, **options)
    return path


def write_folder(folder: Path, count: int = 20) -> Path:
    """Writes `count` glides as `<kind>/<speaker>_<number>.wav`, four speakers."""
    waves, names = glides(count)
    for i, (wave, name) in enumerate(zip(waves, names, strict=True)):
        write(folder / name / f"speaker{i // 2 % 4}_{i}.wav", wave)
    return folder
