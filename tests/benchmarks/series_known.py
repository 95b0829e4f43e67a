"""Series: what columns that are known ahead are worth to a forecaster.

    python tests/benchmarks/series_known.py --shared ../shared [--study made few ett]
        [--seeds 0 1 2] [--out series_known.jsonl]
    python tests/benchmarks/series_known.py --table [--out series_known.jsonl]

made  A year of hours of demand: days, weeks, noise, one day off of each 24, at random,
      which lies 30 to 50% lower, and a temperature of which each degree takes 1.5 off.
few   The same, the first 120 days alone: 72 to learn from, with 3 days off.
ett   ETTh1, the oil temperature by its six loads. An oracle: in use nobody knows these
      hours ahead.

none      neither column
features  they are seen in the window alone, `features=`
known     they are seen over the horizon, too, `known=`
naive     the seasonal naive forecast

The first 60% of the time to learn from, 20% for validation, 20% to test; windows of 168
hours, 24 hours ahead; `tl.fit_head` on `patch_transformer` with the weights of the
package. Mean absolute scaled error over all windows of the test part, and of its steps
on days off and on others. A run appends a line to `--out`; runs that are there are left
out.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import keras
import numpy as np
import pandas as pd

import tlkeras as tl
from tlkeras.metrics.forecasting import mean_of_known

METHODS = ("naive", "none", "features", "known")
WINDOW, HORIZON = 168, 24


def made(seed, days=365):
    """Returns hours of demand with days off and a temperature."""
    rng = np.random.default_rng(seed)
    k = np.arange(24 * days)
    kwh = 100 + 20 * np.sin(2 * np.pi * k / 24) + 8 * np.sin(4 * np.pi * k / 24 + 1)
    kwh *= np.where(k // 24 % 7 >= 5, 0.85, 1.0)
    off = np.zeros(days, bool)
    off[[rng.integers(day, day + 24) for day in range(0, days - 23, 24)]] = True
    kwh *= np.repeat(np.where(off, 1 - rng.uniform(0.3, 0.5, days), 1.0), 24)
    daily = np.zeros(days + 1)
    for day in range(days):
        daily[day + 1] = 0.8 * daily[day] + rng.normal(0, 3)
    heat = 12 + np.interp(k / 24, np.arange(days + 1), daily)
    heat += 4 * np.sin(2 * np.pi * (k - 9) / 24) + rng.normal(0, 0.5, len(k))
    kwh += rng.normal(0, 3, len(k)) - 1.5 * heat
    times = pd.date_range("2024-01-01", periods=len(k), freq="h")
    return pd.DataFrame(
        {"at": times, "kwh": kwh, "off": np.repeat(off, 24), "heat": heat}
    )


def measured(shared, study, method, seed):
    """Returns MASE by which steps it is of."""
    if study == "ett":
        frame = pd.read_csv(Path(shared, "data/ett/ETTh1.csv"), encoding="utf-8-sig")
        frame = frame.rename(columns=str.strip)
        time_of, target = "date", "OT"
        others = [name for name in frame.columns if name not in ("date", "OT")]
    else:
        frame = made(seed)
        frame = frame.iloc[: 120 * 24] if study == "few" else frame
        time_of, target, others = "at", "kwh", ["off", "heat"]
    columns = {method: others} if method in ("features", "known") else {}
    data = tl.from_series(
        frame, time_of, target, window=WINDOW, horizon=HORIZON, **columns
    )
    output = data.problem.output
    one = output.taken_apart(np.concatenate([y for _, y in data.test]))
    if method == "naive":
        said = one.naive
    else:
        keras.utils.set_random_seed(seed)
        model = tl.series_forecaster("patch_transformer", data)
        tl.fit_head(model, data.train, data.val, verbose=0)
        said = model.predict(data.test, verbose=0).reshape(one.true.shape)
    errors = np.abs(one.own(one.true) - one.own(said)) / one.naive_error[:, None]
    found = {"all": float(mean_of_known(errors))}
    if study != "ett":
        begin = pd.to_datetime(tl.inputs.examples_of(data.test).titles)
        places = np.searchsorted(frame["at"], begin)
        is_off = frame["off"].to_numpy()[places[:, None] + np.arange(HORIZON)]
        found["off"] = float(errors[is_off].mean())
        found["other"] = float(errors[~is_off].mean())
    return found


def table(lines):
    """Prints medians and ranges over seeds."""
    found = {}
    for line in lines:
        for steps, value in line["mase"].items():
            key = line["study"], line["method"], steps
            found.setdefault(key, []).append(value)
    for (study, method, steps), values in found.items():
        print(
            f"{study} {method} {steps}: {statistics.median(values):.3f} "
            f"({min(values):.3f} to {max(values):.3f}, {len(values)} seeds)"
        )


def main() -> None:
    """Runs what is not in `--out` yet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shared", default="../shared")
    parser.add_argument("--study", nargs="+", default=["made", "few", "ett"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", default="series_known.jsonl")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    out = Path(given.out)
    lines = (
        [json.loads(s) for s in out.read_text().splitlines()] if out.exists() else []
    )
    if given.table:
        return table(lines)
    done = [{k: x[k] for k in ("study", "method", "seed")} for x in lines]
    for study in given.study:
        for method in METHODS:
            # Nothing is random in a solved head on weights that are given.
            for seed in given.seeds[:1] if study == "ett" else given.seeds:
                run = {"study": study, "method": method, "seed": seed}
                if run in done:
                    continue
                began = time.process_time()
                mase = measured(given.shared, **run)
                cpu = round(time.process_time() - began, 1)
                line = {**run, "mase": mase, "cpu": cpu}
                print(line, flush=True)
                with out.open("a") as file:
                    file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
