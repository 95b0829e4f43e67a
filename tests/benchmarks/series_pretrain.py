"""Pretraining of patch_transformer: makes series, forecasts them, writes the weights.

    python tests/benchmarks/series_pretrain.py --out patch_transformer.weights.h5

Half of the series are samples of Gaussian processes whose kernels are sums and
products of one to five of a bank: periods, lines, smooth and rough changes, noise
(KernelSynth of Ansari et al., Chronos: Learning the Language of Time Series, 2024). The
others are a sum, or a product, of up to three seasonalities (periods of 4 to 256 steps,
of random waveforms, some of them with a changing amplitude, some a multiple of another,
as weeks are of days), a trend (none, a line, a line with breaks, or a random walk),
autocorrelated noise, level shifts and outliers; parts of some are missing.

After each patch of 8 steps the network forecasts the next 64, and the means of the 16
blocks of 16 steps after these, in units of the mean and the deviation of the steps so
far. The rate rises over 200 steps, stays, and falls to nothing over the last ones (half
a cosine). Every 500 steps the network is tried on series that it has not seen. The
defaults made the weights in the package, in 9 minutes of processor time on one thread
(`OMP_NUM_THREADS`, `TF_NUM_INTRAOP_THREADS` and `TF_NUM_INTEROP_THREADS` of 1).
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
)

AHEAD, BLOCK, BLOCKS = 64, 16, 16
LENGTH = LONGEST + AHEAD
PERIODS = (4, 5, 7, 8, 12, 14, 20, 24, 28, 30, 48, 52, 60, 96, 144, 168, 192, 256)
# So many samples are drawn of each Gaussian process.
SAMPLES = 4
WARM_UP = 200


def make_series(count: int, rng: np.random.Generator) -> np.ndarray:
    """Makes series of both kinds, float64 `(count, LENGTH)`."""
    half = count // 2
    x = np.concatenate([make_processes(half, rng), make_sums(count - half, rng)])
    shift = rng.integers(0, LENGTH, (count, 1))
    size = rng.normal(0, 2, (count, 1)) * x.std(1, keepdims=True)
    x += (np.arange(LENGTH) > shift) * size * (rng.random((count, 1)) < 0.1)
    spread = x.std(1, keepdims=True) + 1e-9
    out = rng.random(x.shape) < 0.005
    some = rng.random((count, 1)) < 0.2
    x += out * rng.normal(0, 3, x.shape) * spread * some
    grown = np.exp(np.clip(x / spread, -4, 4) * rng.uniform(0.2, 0.8, (count, 1)))
    return np.where(rng.random((count, 1)) < 0.2, grown, x)


def make_processes(count: int, rng: np.random.Generator) -> np.ndarray:
    """Makes samples of Gaussian processes of composed kernels."""
    t = np.arange(LENGTH) / LENGTH
    place = np.abs(np.subtract.outer(np.arange(LENGTH), np.arange(LENGTH)))
    parts = []
    for _ in range(-(-count // SAMPLES)):
        found = some_kernel(t, place, rng)
        for _ in range(rng.integers(0, 5)):
            other = some_kernel(t, place, rng)
            found = found + other if rng.random() < 0.5 else found * other
        found[np.diag_indices(LENGTH)] += 1e-4 * np.trace(found) / LENGTH + 1e-9
        samples = np.linalg.cholesky(found) @ rng.normal(size=(LENGTH, SAMPLES))
        parts.append(samples.T)
    return np.concatenate(parts)[:count]


def some_kernel(
    t: np.ndarray, place: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Returns the covariance of one kernel of the bank, `(LENGTH, LENGTH)`."""
    kind = rng.choice(6, p=(0.45, 0.1, 0.15, 0.15, 0.1, 0.05))
    if kind == 1:
        middle = rng.uniform(0, 1)
        return np.outer(t - middle, t - middle) * rng.uniform(1, 10)
    if kind == 4:
        return np.where(place == 0, rng.choice([0.05, 0.3, 1.0]), 0.0)
    if kind == 5:
        return np.ones_like(place, float)
    length = np.exp(rng.uniform(np.log(0.02), np.log(2)))
    if kind == 0:
        # Of a small width the waves are sharp, of a large one sines.
        width = np.exp(rng.uniform(np.log(0.3), np.log(2)))
        period = some_periods(1, rng)[0]
        row = np.exp(-2 * np.sin(np.pi * np.arange(LENGTH) / period) ** 2 / width**2)
    elif kind == 2:
        row = np.exp(-(t**2) / (2 * length**2))
    else:
        power = rng.choice([0.1, 1.0, 10.0])
        row = (1 + t**2 / (2 * power * length**2)) ** -power
    return row[place]


def some_periods(count: int, rng: np.random.Generator) -> np.ndarray:
    """Returns periods: those of calendars, and others."""
    free = np.exp(rng.uniform(np.log(4), np.log(256), count))
    return np.where(rng.random(count) < 0.6, rng.choice(PERIODS, count), free)


def make_sums(count: int, rng: np.random.Generator) -> np.ndarray:
    """Makes sums of seasonalities, a trend and noise."""
    t = np.arange(LENGTH)
    x = np.zeros((count, LENGTH))
    before = some_periods(count, rng)
    for number in range(3):
        period = some_periods(count, rng)
        multiple = rng.choice([5, 7, 12], count) * before
        period = np.where(rng.random(count) < 0.3, multiple, period)
        before, period = period, np.minimum(period, 400)[:, None]
        phase = rng.uniform(0, 1, (count, 1))
        wave = np.zeros((count, LENGTH))
        for harmonic in range(1, 6):
            strength = rng.normal(0, 1 / harmonic, (count, 1))
            own = rng.uniform(0, 1, (count, 1))
            wave += strength * np.sin(2 * np.pi * (harmonic * t / period + own))
        sharp = rng.random((count, 1)) < 0.2
        place = (t / period + phase) % 1
        width = rng.uniform(0.05, 0.5, (count, 1))
        wave = np.where(sharp, (place < width) * rng.normal(0, 2, (count, 1)), wave)
        change = rng.normal(0, 1, (count, 1)) * (rng.random((count, 1)) < 0.3)
        wave *= 1 + 0.5 * change * (t / LENGTH - 0.5)
        there = rng.random((count, 1)) < (0.85, 0.5, 0.2)[number]
        x += np.where(there, wave * rng.lognormal(0, 0.5, (count, 1)), 0)
    line = rng.normal(0, 2, (count, 1)) * (t / LENGTH)
    breaks = rng.integers(0, LENGTH, (count, 3))
    slopes = rng.normal(0, 4, (count, 3, 1))
    broken = (slopes * np.maximum(t - breaks[..., None], 0) / LENGTH).sum(1)
    walk = np.cumsum(rng.normal(0, 1, (count, LENGTH)), 1) / np.sqrt(LENGTH)
    walk *= 3 * rng.lognormal(-1, 1, (count, 1))
    kind = rng.choice(4, count, p=(0.35, 0.2, 0.15, 0.3))[:, None]
    x += np.select([kind == 1, kind == 2, kind == 3], [line, broken, walk], 0)
    noise = rng.normal(0, 1, (count, LENGTH))
    memory = 1 - np.exp(rng.uniform(np.log(0.02), 0, count))
    memory *= rng.random(count) < 0.6
    for step in range(1, LENGTH):
        noise[:, step] += memory * noise[:, step - 1]
    noise *= np.sqrt(1 - memory[:, None] ** 2)
    return x + noise * rng.lognormal(-1.5, 1, (count, 1))


def make_batch(count: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Makes scaled windows with marks, and what follows each patch.

    Returns:
        float32 `(count, 512, 2)`; and `(count, 64, 80)`, in the same units, NaN where
        it is not known, and after patches that are too early to know the scale.
    """
    x = make_series(count, rng)
    # The scale is that of windows of any length: of so many first patches.
    first = rng.integers(3, PLACES + 1, count) * PATCH
    seen = np.arange(LENGTH) < first[:, None]
    mean = (x * seen).sum(1, keepdims=True) / first[:, None]
    spread = np.sqrt((((x - mean) * seen) ** 2).sum(1, keepdims=True) / first[:, None])
    x = np.clip((x - mean) / np.maximum(spread, 1e-6), -15, 15)
    far = np.pad(x, ((0, 0), (0, BLOCK * BLOCKS)), constant_values=np.nan)
    ends = (np.arange(PLACES)[:, None] + 1) * PATCH
    sums = np.cumsum(np.pad(far, ((0, 0), (1, 0))), 1)
    begins = ends + AHEAD + BLOCK * np.arange(BLOCKS)
    blocks = (sums[:, begins + BLOCK] - sums[:, begins]) / BLOCK
    ahead = np.concatenate([x[:, ends + np.arange(AHEAD)], blocks], -1)
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


def rate_at(step: int, steps: int, fall: int, rate: float) -> float:
    """Returns the learning rate of a step: up, level, and half a cosine down."""
    left = min(1.0, (steps - step) / fall)
    return rate * min(1.0, step / WARM_UP) * 0.5 * (1 - np.cos(np.pi * left))


def pretrain(given: argparse.Namespace) -> keras.Model:
    """Trains the network, writes its weights, and returns it with its head."""
    seed, steps = given.seed, given.steps
    keras.utils.set_random_seed(seed)
    backbone = build_patch_transformer(LONGEST)
    forecast = keras.layers.Dense(AHEAD + BLOCKS, name="ahead")(backbone.output)
    model = keras.Model(backbone.input, forecast)
    optimizer = keras.optimizers.AdamW(given.rate, weight_decay=0.01, clipnorm=1.0)
    model.compile(optimizer, loss, jit_compile=False)
    unseen = make_batch(512, np.random.default_rng(seed + 1))
    rng, began = np.random.default_rng(seed), time.process_time()
    for step in range(1, steps + 1):
        optimizer.learning_rate = rate_at(step, steps, given.fall, given.rate)
        # Keras gives the mean since metrics were reset.
        mean = float(model.train_on_batch(*make_batch(given.batch, rng)))
        if step % 500 == 0 or step == steps:
            taken = time.process_time() - began
            found = float(model.evaluate(*unseen, 32, verbose=0))
            print(
                f"{step} steps, loss {mean:.4f}, of unseen series {found:.4f}, "
                f"{taken:.0f} s of processor time",
                flush=True,
            )
            model.reset_metrics()
            backbone.save_weights(given.out)
    return model


def errors(
    model: keras.Model, x: np.ndarray, ahead: np.ndarray, seed: int
) -> dict[str, float]:
    """Returns mean absolute errors of the next 64 steps after 256, in deviations.

    Of the network's own forecast, of ridge regressions on features of the first half,
    its own and those of random weights, and of two that learn nothing. All are of the
    second half.
    """
    from sklearn.linear_model import Ridge

    place, half = 31, len(x) // 2
    seen, true = x[:, : (place + 1) * PATCH, 0], ahead[:, place, :AHEAD]
    keep = ~np.isnan(true).any(1)
    train = keep & (np.arange(len(x)) < half)
    test = keep & (np.arange(len(x)) >= half)
    features = keras.Model(model.input, model.layers[-2].output)
    keras.utils.set_random_seed(seed)
    untrained = build_patch_transformer(LONGEST)
    said = {"its own forecast": model.predict(x, verbose=0)[test, place, :AHEAD]}
    for name, network in (("ridge", features), ("ridge of random weights", untrained)):
        known = network.predict(x, verbose=0)[:, place]
        found = Ridge(alpha=10.0).fit(known[train], true[train])
        said[name] = found.predict(known[test])
    said["last value"] = np.repeat(seen[test, -1:], AHEAD, 1)
    said["season found by autocorrelation"] = seasonal(seen[test])
    return {
        name: float(np.abs(each - true[test]).mean()) for name, each in said.items()
    }


def seasonal(seen: np.ndarray) -> np.ndarray:
    """Returns the last season repeated; the lag of the largest autocorrelation."""
    steps, found = seen.shape[1], []
    for one in seen:
        apart = one - one.mean()
        lags = np.arange(4, steps // 2)
        alike = [(apart[lag:] * apart[:-lag]).mean() for lag in lags]
        # The first lags are alike in anything smooth: a season comes after a fall.
        low = int(np.argmin(alike[: len(alike) // 2]))
        period = int(lags[low + np.argmax(alike[low:])])
        found.append(np.resize(one[-period:], AHEAD))
    return np.array(found)


def main() -> None:
    """Makes weights, and compares what they forecast."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default="patch_transformer.weights.h5")
    parser.add_argument("--steps", type=int, default=5347)
    parser.add_argument("--fall", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    model = pretrain(given)
    unseen = make_batch(2048, np.random.default_rng(given.seed + 2))
    print("mean absolute error of 64 steps, in deviations:")
    for name, error in errors(model, *unseen, given.seed).items():
        print(f"  {error:.3f}  {name}")


if __name__ == "__main__":
    main()
