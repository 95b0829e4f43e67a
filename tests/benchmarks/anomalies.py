"""Anomalies in series: what a forecaster did not expect, beside simple methods.

    python tests/benchmarks/anomalies.py --shared ../shared [--sets made dirty ett]
        [--methods forecast naive stl forest] [--seeds 0 1 2] [--out anomalies.jsonl]
    python tests/benchmarks/anomalies.py --table [--out anomalies.jsonl]

made    9,000 hours: days, weeks, a trend that drifts, noise that lasts; 4,500 to learn
        from, 1,500 for validation, 3,000 to test.
dirty   The same with all kinds of anomalies in 1% of the training part.
ett     ETTh1, oil temperature alone, 60%, 20%, 20%.

Anomalies of one kind at a time are put into about 1% of the test part, their size 0.8
to 1.6 standard deviations of the series: spikes of an hour; shifts of the level, bursts
of noise, peaks that are missing, of 8 hours; 10 hours of one value; 12 hours of days at
double speed. Seeds are of the made series, of places and sizes, and of training.

forecast    `tl.series_anomalies` by a frozen `patch_transformer`, head solved, windows
            of 192 hours, horizon 24, `reference=data.val`
calibrated  the same without a reference, but `tl.calibrate(model, data.val)`
around      the same of data with `around=True`: 24 hours in the middle of 216 are
            filled in; the last 96 steps have no score and are left out
hour        the same as forecast with a horizon of 1
first, mean, median    the same forecasts of a step, joined otherwise than by the
            largest score: the last one alone, their mean, their median
naive       the last season (a week; ett: a day) repeated
stl         what STL (robust, the same season) leaves over of the whole series, test
            part and what comes later included
forest      scikit-learn's isolation forest on scaled windows of 192 hours and the step

Average precision by step, precision among the k highest scores (k: anomalous steps),
events found at the threshold that 1% of the validation part lies beyond, and the share
of ordinary steps of the test part beyond it. Needs `pip install statsmodels`. A run
appends a line to `--out`; runs that are there are left out.
"""

import argparse
import functools
import json
import statistics
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd

import tlkeras as tl
from tlkeras.metrics.anomalies import anomaly_figures

METHODS = ("forecast", "around", "calibrated", "hour", "first", "mean", "median")
METHODS += ("naive", "stl", "forest")
KINDS = {"spike": 1, "shift": 8, "flat": 10, "burst": 8, "no_peak": 8, "fast": 12}
FIGURES = ("average_precision", "precision_at_k", "events_found", "false_alarms")
WINDOW, HORIZON, SHARE = 192, 24, 0.01
# The range of a normal distribution's middle 90%, in deviations.
WIDTH = 3.29


def made(seed, steps=9000):
    """Returns hours with seasons of a day and a week, a trend and noise."""
    rng = np.random.default_rng(seed)
    k = np.arange(steps)
    waves = zip((1, 2, 3), (1.0, 0.5, 0.25), rng.uniform(0, 6, 3), strict=True)
    day = sum(size * np.cos(2 * np.pi * j * k / 24 + at) for j, size, at in waves)
    week = np.repeat(rng.uniform(0.5, 1.3, 7), 24)[k % 168]
    trend = 3 * k / steps + np.cumsum(rng.normal(0, 0.01, steps))
    noise = rng.normal(0, 0.2, steps)
    for step in range(1, steps):
        noise[step] += 0.6 * noise[step - 1]
    return 10 + day * week + trend + noise


def injected(values, kinds, begin, end, seed):
    """Returns values with anomalies from `begin` to `end`, and where they are."""
    rng = np.random.default_rng(seed)
    values, labels = values.copy(), np.zeros(len(values), bool)
    size = values[begin - 2000 : begin].std() if begin >= 2000 else values.std()
    lengths = [KINDS[kind] for kind in kinds]
    count = max(4, round(SHARE * (end - begin) / np.mean(lengths)))
    room = (end - begin) // count
    for i in range(count):
        kind = kinds[i % len(kinds)]
        length = KINDS[kind]
        at = begin + i * room + int(rng.integers(24, max(25, room - length - 24)))
        if kind == "no_peak":
            at += int(values[at : at + 24].argmax()) - length // 2
        span = slice(at, at + length)
        shift = rng.choice([-1, 1]) * rng.uniform(0.8, 1.6) * size
        if kind in ("spike", "shift"):
            values[span] += shift
        elif kind == "flat":
            values[span] = values[at]
        elif kind == "burst":
            values[span] += rng.normal(0, 0.8 * size, length)
        elif kind == "fast":
            values[span] = values[at : at + 2 * length : 2]
        else:
            line = np.linspace(values[at - 1], values[at + length], length + 2)[1:-1]
            values[span] = line + rng.normal(0, 0.1 * size, length)
        labels[span] = True
    return values, labels


@functools.cache
def series(name, shared, seed):
    """Returns values, where validation and the test part begin, and the season."""
    if name == "ett":
        values = pd.read_csv(Path(shared, "data/ett/ETTh1.csv"))["OT"].to_numpy()
        return values, round(0.6 * len(values)), round(0.8 * len(values)), 24
    values = made(seed)
    if name == "dirty":
        values, _ = injected(values, [*KINDS], 0, 4500, seed + 200)
    return values, 4500, 6000, 168


@functools.cache
def trained(name, shared, seed, horizon, around=False):
    """Returns data and a model of them, calibrated."""
    values, val, test, season = series(name, shared, seed)
    count = len(values)
    data = tl.from_series(
        pd.DataFrame({"y": values}),
        target="y",
        window=WINDOW + horizon * around,
        horizon=horizon,
        around=around,
        season=season,
        validation_split=(test - val) / count,
        test_split=(count - test) / count,
    )
    keras.utils.set_random_seed(seed)
    model = tl.series_forecaster("patch_transformer", data)
    tl.fit_head(model, data.train, data.val, verbose=0)
    tl.calibrate(model, data.val, verbose=0)
    return data, model


def by_model(method, name, shared, seed):
    """Returns a function from values to the scores and flags of the test part."""
    values, val, test, _ = series(name, shared, seed)
    horizon = 1 if method == "hour" else HORIZON
    data, model = trained(name, shared, seed, horizon, method == "around")
    begin = test - WINDOW - HORIZON

    def look(seen):
        frame = pd.DataFrame({"y": seen[begin:]})
        reference = None if method == "calibrated" else data.val
        found = tl.series_anomalies(model, frame, reference)
        return found.scores[test - begin :], found.flagged[test - begin :]

    def look_joined(seen, first, last):
        starts = np.arange(first - WINDOW - HORIZON + 1, last - WINDOW)
        said = model.classify(seen[starts[:, None] + np.arange(WINDOW)])
        middle, low, high = (np.array(each)[..., 0] for each in zip(*said, strict=True))
        # The row of the window, and the step of its horizon, of each step.
        ahead = np.arange(HORIZON)
        rows = np.arange(last - first)[:, None] + HORIZON - 1 - ahead
        middle, unit = middle[rows, ahead], ((high - low) / WIDTH)[rows, ahead]
        if method == "first":
            middle, unit = middle[:, 0], unit[:, 0]
        else:
            join = getattr(np, method)
            middle, unit = join(middle, axis=1), join(unit, axis=1)
        return np.abs(seen[first:last] - middle) / unit

    if method in ("forecast", "around", "calibrated", "hour"):
        return look
    return beyond(look_joined, values, val, test)


def beyond(score, values, val, test):
    """Returns a function from values to scores and to what few of validation exceed."""
    threshold = np.quantile(score(values, val + HORIZON, test), 1 - SHARE)

    def look(seen):
        scores = score(seen, test, len(seen))
        return scores, scores > threshold

    return look


def by_hand(method, name, shared, seed):
    """Returns the same of a method that is not of tlkeras."""
    values, val, test, season = series(name, shared, seed)

    def rest(seen):
        if method == "naive":
            return np.append(np.full(season, np.nan), seen[season:] - seen[:-season])
        from statsmodels.tsa.seasonal import STL

        return STL(seen, period=season, robust=True).fit().resid

    def score(seen, first, last):
        left = rest(seen)
        usual = left[val:test]
        middle = np.nanmedian(usual)
        unit = np.nanmedian(np.abs(usual - middle))
        return np.abs(left[first:last] - middle) / unit

    def windows(seen, first, last):
        steps = np.arange(first, last)[:, None] + np.arange(-WINDOW, 1)
        found = seen[steps]
        before = found[:, :-1]
        return (found - before.mean(1, keepdims=True)) / before.std(1, keepdims=True)

    if method != "forest":
        return beyond(score, values, val, test)
    from sklearn.ensemble import IsolationForest

    forest = IsolationForest(n_estimators=200, random_state=seed)
    forest.fit(windows(values, WINDOW, val))
    return beyond(lambda *of: -forest.score_samples(windows(*of)), values, val, test)


def figures(name, shared, method, seed):
    """Returns from kinds to figures."""
    values, _, test, _ = series(name, shared, seed)
    ours = by_model if method not in METHODS[-3:] else by_hand
    look = ours(method, name, shared, seed)
    found = {}
    for kind in KINDS:
        seen, labels = injected(values, [kind], test, len(values), seed + 100)
        scores, flagged = look(seen)
        each = anomaly_figures(labels[test:], scores, flagged, np.array([0]))
        each["events_found"] /= each["events"]
        found[kind] = {figure: round(each[figure], 4) for figure in FIGURES}
    return found


def table(lines):
    """Prints medians and ranges over seeds: means over kinds, then kind by kind."""
    found = {}
    for line in lines:
        found.setdefault((line["set"], line["method"]), []).append(line["found"])
    print(f"| set | method | {' | '.join(FIGURES)} |\n{'| --- ' * 6}|")
    for key, each in found.items():
        means = [
            [statistics.mean(one[kind][figure] for kind in KINDS) for one in each]
            for figure in FIGURES
        ]
        print(f"| {' | '.join([*key, *map(spread, means)])} |")
    print(f"\n| set | method | {' | '.join(KINDS)} |\n{'| --- ' * 8}|")
    for key, each in found.items():
        kinds = [[one[kind][FIGURES[0]] for one in each] for kind in KINDS]
        print(f"| {' | '.join([*key, *map(spread, kinds)])} |")


def spread(values):
    """Returns the median and the range."""
    middle = statistics.median(values)
    digits = 3 if middle < 0.05 else 2
    return f"{middle:.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def main() -> None:
    """Runs what is not in `--out` yet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shared", default="../shared")
    parser.add_argument("--sets", nargs="+", default=["made", "dirty", "ett"])
    parser.add_argument("--methods", nargs="+", default=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", default="anomalies.jsonl")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    out = Path(given.out)
    lines = (
        [json.loads(s) for s in out.read_text().splitlines()] if out.exists() else []
    )
    if given.table:
        return table(lines)
    done = [(line["set"], line["method"], line["seed"]) for line in lines]
    for name in given.sets:
        for seed in given.seeds:
            for method in given.methods:
                if (name, method, seed) in done:
                    continue
                began = time.process_time()
                line = {
                    "set": name,
                    "method": method,
                    "seed": seed,
                    "found": figures(name, given.shared, method, seed),
                    "cpu": round(time.process_time() - began, 1),
                }
                print(line, flush=True)
                with out.open("a") as file:
                    file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
