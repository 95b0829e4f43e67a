"""Pretraining of patch_transformer: makes series, forecasts them, writes the weights.

    python tests/benchmarks/series_pretrain.py --out patch_transformer.weights.h5
    python tests/benchmarks/series_pretrain.py --check

repeats what made the weights in the package; `--check` compares how well they forecast
series that neither has seen. It is a script of the repository: the package has the
weights, not their making.

A series is a sum, or a product, of up to three seasonalities (periods of 4 to 256
steps, of random waveforms, some of them with a changing amplitude), a trend (none,
a line, a line with breaks, or a random walk), autocorrelated noise, level shifts and
outliers; parts of some are missing. After each patch of 8 steps the network forecasts
the next 64, in units of the mean and the deviation of the steps so far. The weights in
the package are those of the defaults (148 seconds of processor time), but that the
rate began to fall after 1,000 steps, not 938: the script makes weights that serve as
well, not the same ones.
"""

import argparse
import time

import keras
import numpy as np
from keras import ops

from tlkeras.inputs.series.networks import (
    LONGEST,
    PATCH,
    PLACES,
    build_patch_transformer,
    patch_transformer_weights_path,
)

AHEAD = 64
PERIODS = (4, 5, 7, 8, 12, 14, 20, 24, 28, 30, 48, 52, 60, 96, 144, 168, 192, 256)


def make_series(count: int, steps: int, rng: np.random.Generator) -> np.ndarray:
    """Makes series, float64 `(count, steps)`."""
    t = np.arange(steps)
    x = np.zeros((count, steps))
    for number in range(3):
        named = rng.choice(PERIODS, count)
        free = np.exp(rng.uniform(np.log(4), np.log(256), count))
        period = np.where(rng.random(count) < 0.6, named, free)[:, None]
        phase = rng.uniform(0, 1, (count, 1))
        wave = np.zeros((count, steps))
        for harmonic in range(1, 6):
            strength = rng.normal(0, 1 / harmonic, (count, 1))
            own = rng.uniform(0, 1, (count, 1))
            wave += strength * np.sin(2 * np.pi * harmonic * ((t + own) / period))
        sharp = rng.random((count, 1)) < 0.2
        place = (t / period + phase) % 1
        width = rng.uniform(0.05, 0.5, (count, 1))
        wave = np.where(sharp, (place < width) * rng.normal(0, 2, (count, 1)), wave)
        change = rng.normal(0, 1, (count, 1)) * (rng.random((count, 1)) < 0.3)
        wave *= 1 + 0.5 * change * (t / steps - 0.5)
        there = rng.random((count, 1)) < (0.85, 0.5, 0.25)[number]
        x += np.where(there, wave * rng.lognormal(0, 0.5, (count, 1)), 0)
    line = rng.normal(0, 2, (count, 1)) * (t / steps)
    breaks = rng.integers(0, steps, (count, 3))
    slopes = rng.normal(0, 4, (count, 3, 1))
    broken = (slopes * np.maximum(t - breaks[..., None], 0) / steps).sum(1)
    walk = np.cumsum(rng.normal(0, 1, (count, steps)), 1)
    walk *= rng.lognormal(-1, 1, (count, 1)) / np.sqrt(steps)
    kind = rng.choice(4, count, p=(0.35, 0.2, 0.15, 0.3))[:, None]
    x += np.select([kind == 1, kind == 2, kind == 3], [line, broken, 3 * walk], 0)
    noise, memory = rng.normal(0, 1, (count, steps)), rng.uniform(0, 0.95, count)
    memory *= rng.random(count) < 0.5
    for step in range(1, steps):
        noise[:, step] += memory * noise[:, step - 1]
    noise *= np.sqrt(1 - memory[:, None] ** 2)
    x += noise * rng.lognormal(-1.5, 1, (count, 1))
    shift = rng.integers(0, steps, (count, 1))
    x += (t > shift) * rng.normal(0, 2, (count, 1)) * (rng.random((count, 1)) < 0.15)
    out = rng.random((count, steps)) < 0.005
    x += out * rng.normal(0, 4, (count, steps)) * (rng.random((count, 1)) < 0.2)
    spread = x.std(1, keepdims=True) + 1e-9
    grown = np.exp(np.clip(x / spread, -4, 4) * rng.uniform(0.2, 0.8, (count, 1)))
    return np.where(rng.random((count, 1)) < 0.25, grown, x)


def make_batch(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Makes scaled windows with marks, and what follows each patch.

    Returns:
        float32 `(count, 512, 2)`; and `(count, 64, 64)`, in the same units, NaN after
        patches that are too early to know the scale.
    """
    x = make_series(count, LONGEST + AHEAD, rng)
    # The scale is that of windows of any length: of so many first patches.
    first = rng.integers(3, PLACES + 1, count) * PATCH
    seen = np.arange(LONGEST + AHEAD) < first[:, None]
    mean = (x * seen).sum(1, keepdims=True) / first[:, None]
    spread = np.sqrt((((x - mean) * seen) ** 2).sum(1, keepdims=True) / first[:, None])
    x = np.clip((x - mean) / np.maximum(spread, 1e-6), -15, 15)
    places = np.arange(PLACES)[:, None] * PATCH + PATCH + np.arange(AHEAD)
    ahead = x[:, places]
    early = (np.arange(PLACES) + 1) * PATCH < first[:, None] // 2
    ahead[early] = np.nan
    x = x[:, :LONGEST]
    gone = rng.random((count, LONGEST)) < rng.uniform(0, 0.3, (count, 1))
    start, length = (
        rng.integers(0, LONGEST, (count, 1)),
        rng.integers(8, 96, (count, 1)),
    )
    t = np.arange(LONGEST)
    gone |= (t >= start) & (t < start + length) & (rng.random((count, 1)) < 0.5)
    gone &= rng.random((count, 1)) < 0.2
    filled = np.where(gone, 0, x)
    return np.stack([filled, gone], -1).astype("float32"), ahead.astype("float32")


def loss(ahead, forecast):
    """Returns the mean of a robust error over what is known."""
    known = ops.logical_not(ops.isnan(ahead))
    error = ops.where(known, ops.where(known, ahead, 0.0) - forecast, 0.0)
    # Smooth, and like the absolute error far out.
    robust = ops.sqrt(1.0 + error**2) - 1.0
    return ops.sum(robust) / ops.sum(ops.cast(known, "float32"))


def pretrain(steps: int, batch: int, seed: int, rate: float = 2e-3) -> keras.Model:
    """Trains the network; returns it without its head."""
    keras.utils.set_random_seed(seed)
    backbone = build_patch_transformer(LONGEST)
    forecast = keras.layers.Dense(AHEAD, name="ahead")(backbone.output)
    model = keras.Model(backbone.input, forecast)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=0.01, clipnorm=1.0)
    model.compile(optimizer, loss, jit_compile=False)
    rng, began = np.random.default_rng(seed), time.process_time()
    for step in range(1, steps + 1):
        # Up, level, and down to nothing over the last quarter.
        down = (steps - step) / (0.25 * steps)
        optimizer.learning_rate = rate * min(1.0, step / 150, down)
        # Keras gives the mean since metrics were reset.
        mean = float(model.train_on_batch(*make_batch(batch, rng)))
        if step % 100 == 0:
            taken = time.process_time() - began
            print(f"{step} steps, loss {mean:.4f}, {taken:.0f} s", flush=True)
            model.reset_metrics()
    return model


def main() -> None:
    """Makes weights, or compares those in the package with new ones."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default="patch_transformer.weights.h5")
    parser.add_argument("--steps", type=int, default=1250)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--check", action="store_true")
    given = parser.parse_args()
    model = pretrain(given.steps, given.batch, given.seed)
    backbone = keras.Model(model.input, model.layers[-2].output)
    unseen = make_batch(512, np.random.default_rng(given.seed + 1))
    print("loss of unseen series", float(model.evaluate(*unseen, 32, verbose=0)))
    if not given.check:
        backbone.save_weights(given.out)
        return
    print("error of a linear forecast from the last patch, in deviations:")
    print("  of the weights just made", linear_error(backbone, *unseen))
    backbone.load_weights(patch_transformer_weights_path())
    print("  of those in the package ", linear_error(backbone, *unseen))


def linear_error(backbone: keras.Model, x: np.ndarray, ahead: np.ndarray) -> float:
    """Returns the mean absolute error of a ridge regression, on the second half."""
    from sklearn.linear_model import Ridge

    features = backbone.predict(x, verbose=0)[:, -1]
    half = len(x) // 2
    found = Ridge(alpha=10.0).fit(features[:half], ahead[:half, -1])
    return float(np.abs(found.predict(features[half:]) - ahead[half:, -1]).mean())


if __name__ == "__main__":
    main()
