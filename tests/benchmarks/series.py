"""Series: a backbone pretrained on generated series, against none and the usual rest.

    python tests/benchmarks/series.py --shared ../shared
        [--study ett few intervals counts evidence] [--horizons 24 96 336]
        [--shares 0.05 0.2 1] [--seeds 0 1 2] [--methods frozen random theta]
        [--out series.jsonl]
    python tests/benchmarks/series.py --table [--out series.jsonl]

ett   ETTh1 (8,780 hours), oil temperature alone, the first 60% to learn from (the
      latest 5%, 20% or all of these windows), 20% for validation, 20% to test. Mean
      absolute scaled error over all windows of the test part; the unit is the mean
      error of the seasonal naive forecast (24 hours) in all of the training part.
intervals   ETTh1 as above, all of the training part: MASE, CRPS and coverage of the
      network, frozen and calibrated, and of `tl.classical_report`.
counts   20 made series of daily sales: Poisson of a low mean, or whole numbers that
      hardly vary, and bursts on 1% of the days; 14 days ahead; MASE.
evidence   made windows of 64 steps; 8 of them, at changing places, are one shape or,
      in the other class, another (shape) or nothing (noise). Of the 8 steps of the
      strongest evidence by `tl.explain` the share that lies there, by chance 0.125.
few   GunPoint, ItalyPowerDemand and BasicMotions as sktime ships them, 2, 5, 10 or all
      training examples of each class. Accuracy in their own test parts.

frozen      `tl.fit_head` on frozen `patch_transformer` with the weights of the package
random      the same with random weights
fine_tune   `tl.fine_tune`, all layers, 10 epochs, defaults
scratch     the same network, steps and rate with random weights
theta       Theta by statsmodels, fitted anew on each 24th window (ett)
logistic    L2-regularised logistic regression of the standardised values (few)
dtw         the nearest neighbour by dynamic time warping within a tenth (few)

Needs `pip install statsmodels sktime`. A run appends a line to `--out`; runs that are
there are left out.
"""

import argparse
import json
import statistics
import time
import warnings
from pathlib import Path

import keras
import numpy as np

import tlkeras as tl

METHODS = ("naive", "frozen", "random", "fine_tune", "scratch", "theta")
FEW_METHODS = ("frozen", "random", "fine_tune", "scratch", "logistic", "dtw")
CLASSICAL = ("network", "theta", "ets", "naive")
FIGURES = ("mase", "crps", "coverage_90")
SETS = ("GunPoint", "ItalyPowerDemand", "BasicMotions")
SHOTS = (2, 5, 10, None)
WINDOW, VAL, TEST = 168, 1756, 1756


def ett(shared, horizon, share, method, seed):
    """Returns the MASE of a method."""
    values, unit, data = ett_data(shared, horizon, share)
    if method == "naive":
        output = data.problem.output
        rows = [output.taken_apart(y.numpy()) for _, y in data.test]
        errors = [np.abs(one.own(one.true) - one.own(one.naive)) for one in rows]
        return float(np.concatenate(errors).mean() / unit)
    if method == "theta":
        return float(theta_error(values, len(values) - TEST, horizon) / unit)
    model = trained(
        lambda weights: tl.series_forecaster(
            "patch_transformer", data.problem.output, window=WINDOW, weights=weights
        ),
        data,
        method,
        seed,
    )
    return float(tl.evaluate(model, data.test, verbose=0).mae / unit)


def ett_data(shared, horizon, share):
    """Returns oil temperatures, what errors are measured in, and windows."""
    import pandas as pd

    frame = pd.read_csv(Path(shared, "data/ett/ETTh1.csv"))
    train = len(frame) - VAL - TEST
    values = frame["OT"].to_numpy()
    unit = np.abs(values[24:train] - values[: train - 24]).mean()
    kept = round(share * (train - WINDOW - horizon)) + WINDOW + horizon
    frame = frame.iloc[train - kept :]
    data = tl.from_series(
        frame,
        "date",
        "OT",
        window=WINDOW,
        horizon=horizon,
        validation_split=VAL / len(frame),
        test_split=TEST / len(frame),
    )
    return values, unit, data


def intervals(shared, horizon, method, seed):
    """Returns figures of a method whose errors on validation data give intervals."""
    _, _, data = ett_data(shared, horizon, 1)
    if method != "network":
        return tl.classical_report(data, method, verbose=0).metrics
    model = trained(
        lambda weights: tl.series_forecaster("patch_transformer", data),
        data,
        "frozen",
        seed,
    )
    tl.calibrate(model, data.val, verbose=0)
    return tl.evaluate(model, data.test, verbose=0).metrics


def counts(kind, method, seed):
    """Returns the MASE of a method on made sales."""
    import pandas as pd

    rng, series = np.random.default_rng(seed), []
    for number in range(20):
        days = np.arange(500)
        week = 1 + 0.5 * np.sin(2 * np.pi * days / 7 + rng.uniform(0, 6))
        usual = week * np.exp(rng.normal(-1.5 if kind == "low" else 0.5, 1))
        sold = rng.poisson(usual).astype(float)
        if kind == "bursts":
            burst = rng.random(500) < 0.01
            sold = np.where(burst, sold + rng.uniform(20, 200), np.round(usual))
        day = pd.Timestamp("2022-01-01") + pd.to_timedelta(days, "D")
        series.append(pd.DataFrame({"day": day, "sold": sold, "shop": number}))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        data = tl.from_series(pd.concat(series), "day", "sold", id="shop", horizon=14)
    if method != "frozen":
        return tl.classical_report(data, method, verbose=0).mase
    model = trained(
        lambda weights: tl.series_forecaster("patch_transformer", data),
        data,
        method,
        seed,
    )
    return tl.evaluate(model, data.test, verbose=0).mase


def evidence(kind, seed):
    """Returns how much of the strongest evidence lies where classes differ."""
    rng, count = np.random.default_rng(seed), 200
    x = 0.6 * rng.normal(size=(count, 64, 1))
    is_bump, at = np.arange(count) % 2 == 1, rng.integers(4, 50, count)
    bump = 3 * np.sin(np.arange(1, 9) * np.pi / 9)
    for window, own, begin in zip(x, is_bump, at, strict=True):
        if own:
            window[begin : begin + 8, 0] += bump
        elif kind == "shape":
            window[begin : begin + 8, 0] += bump * np.sign(np.arange(8) - 3.5)
    names = np.where(is_bump, "bump", "no")
    data = tl.from_series(x, labels=names, seed=seed)
    keras.utils.set_random_seed(seed)
    model = tl.series_classifier("patch_transformer", data, level=False)
    tl.fine_tune(model, data.train, data.val, verbose=0)
    shares = []
    found = tl.explain(model, x[is_bump][:30], target="bump")
    for one, begin in zip(found, at[is_bump], strict=False):
        top = np.argsort(-one.over_time)[:8]
        shares.append(np.mean((top >= begin) & (top < begin + 8)))
    accuracy = tl.evaluate(model, data.test, verbose=0).accuracy
    return {"share": float(np.mean(shares)), "accuracy": accuracy}


def theta_error(values, begin, horizon):
    """Returns the mean error of Theta over each 24th window from a step on."""
    from statsmodels.tsa.forecasting.theta import ThetaModel

    errors = []
    for origin in range(begin, len(values) - horizon + 1, 24):
        seen = values[origin - 4 * WINDOW : origin]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = ThetaModel(seen, period=24, method="additive").fit()
            ahead = np.asarray(found.forecast(horizon))
        errors.append(np.abs(values[origin : origin + horizon] - ahead).mean())
    return np.mean(errors)


def few(name, shots, method, seed):
    """Returns the accuracy of a method."""
    from sktime.datasets import load_UCR_UEA_dataset

    parts = {}
    for part in ("train", "test"):
        x, y = load_UCR_UEA_dataset(name, split=part, return_type="numpy3D")
        parts[part] = np.swapaxes(x, 1, 2).astype("float32"), np.asarray(y)
    x, y = parts["train"]
    rng = np.random.default_rng(seed)
    names, chosen = np.unique(y), []
    for each in names:
        rows = rng.permutation(np.flatnonzero(y == each))
        chosen += rows[:shots].tolist()
    x, y = x[chosen], y[chosen]
    test, true = parts["test"]
    if method == "dtw":
        return float(np.mean(y[nearest(x, test)] == true))
    if method == "logistic":
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        found = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        flat = [part.reshape(len(part), -1) for part in (x, test)]
        return float(found.fit(flat[0], y).score(flat[1], true))
    data = tl.from_series(
        x, labels=y, validation_split=0, test_split=0, batch_size=8, seed=seed
    )
    form = data.problem.input.builder_arguments()
    model = trained(
        lambda weights: tl.series_classifier(
            "patch_transformer", data.class_names, weights=weights, **form
        ),
        data,
        method,
        seed,
    )
    said = model.predict(test, verbose=0).argmax(axis=1)
    return float(np.mean(np.array(data.class_names)[said] == true))


def nearest(x, test, share=0.1):
    """Returns the nearest of `x` to each of `test` by dynamic time warping."""
    steps = x.shape[1]
    band = max(1, round(share * steps))
    found = []
    for one in test:
        costs = ((x[:, :, None] - one[None, None]) ** 2).sum(-1)
        best = np.full((len(x), steps + 1, steps + 1), np.inf)
        best[:, 0, 0] = 0
        for i in range(steps):
            for j in range(max(0, i - band), min(steps, i + band + 1)):
                before = np.minimum(best[:, i, j], best[:, i, j + 1])
                before = np.minimum(before, best[:, i + 1, j])
                best[:, i + 1, j + 1] = costs[:, i, j] + before
        found.append(best[:, -1, -1].argmin())
    return np.array(found)


def trained(build, data, method, seed):
    """Builds and trains a model as a method says."""
    keras.utils.set_random_seed(seed)
    known = method in ("frozen", "fine_tune")
    model = build("pretrained" if known else None)
    if method in ("frozen", "random"):
        tl.fit_head(model, data.train, data.val, verbose=0)
    else:
        tl.fine_tune(model, data.train, data.val, unfreeze_from=1.0, verbose=0)
    return model


def runs(given):
    """Yields what is to be run, as dictionaries."""
    if "ett" in given.study:
        for horizon in given.horizons:
            for share in given.shares:
                for method in given.methods or METHODS:
                    if method not in METHODS or share < 1 and method in METHODS[::5]:
                        continue
                    sure = method in ("naive", "frozen", "theta")
                    for seed in given.seeds[:1] if sure else given.seeds:
                        yield {
                            "study": "ett",
                            "horizon": horizon,
                            "share": share,
                            "method": method,
                            "seed": seed,
                        }
    if "intervals" in given.study:
        for horizon in given.horizons:
            for method in given.methods or CLASSICAL:
                if method in CLASSICAL:
                    yield {
                        "study": "intervals",
                        "horizon": horizon,
                        "method": method,
                        "seed": given.seeds[0],
                    }
    if "evidence" in given.study:
        for kind in ("shape", "noise"):
            for seed in given.seeds:
                yield {"study": "evidence", "kind": kind, "seed": seed}
    if "counts" in given.study:
        for kind in ("low", "bursts"):
            for method in given.methods or ("frozen", "theta", "naive"):
                for seed in given.seeds:
                    yield {
                        "study": "counts",
                        "kind": kind,
                        "method": method,
                        "seed": seed,
                    }
    if "few" in given.study:
        for name in SETS:
            for shots in SHOTS:
                for method in given.methods or FEW_METHODS:
                    if method in FEW_METHODS:
                        for seed in given.seeds:
                            yield {
                                "study": "few",
                                "set": name,
                                "shots": shots,
                                "method": method,
                                "seed": seed,
                            }


def table(lines):
    """Prints medians and ranges over seeds."""
    found = {}
    for line in lines:
        key = tuple(
            (k, v) for k, v in line.items() if k not in ("seed", "value", "cpu")
        )
        found.setdefault(key, []).append(line["value"])
    for key, values in found.items():
        about = " ".join(f"{k}={v}" for k, v in key)
        print(
            f"{about}: {statistics.median(values):.3f} "
            f"({min(values):.3f} to {max(values):.3f}, {len(values)} seeds)"
        )


def main() -> None:
    """Runs what is not in `--out` yet."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--shared", default="../shared")
    parser.add_argument("--study", nargs="+", default=["ett", "few"])
    parser.add_argument("--horizons", nargs="+", type=int, default=[24, 96, 336])
    parser.add_argument("--shares", nargs="+", type=float, default=[0.05, 0.2, 1.0])
    parser.add_argument("--methods", nargs="+")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--out", default="series.jsonl")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    out = Path(given.out)
    lines = (
        [json.loads(s) for s in out.read_text().splitlines()] if out.exists() else []
    )
    if given.table:
        return table(lines)
    found = "value", "cpu", "figure"
    done = [{k: v for k, v in x.items() if k not in found} for x in lines]
    for run in runs(given):
        if run in done:
            continue
        began = time.process_time()
        arguments = {k: v for k, v in run.items() if k != "study"}
        if run["study"] == "ett":
            values = {None: ett(given.shared, **arguments)}
        elif run["study"] == "intervals":
            figures = intervals(given.shared, **arguments)
            values = {name: figures[name] for name in FIGURES}
        elif run["study"] == "evidence":
            values = evidence(**arguments)
        elif run["study"] == "counts":
            values = {None: float(counts(**arguments))}
        else:
            arguments["name"] = arguments.pop("set")
            values = {None: few(**arguments)}
        cpu = round(time.process_time() - began, 1)
        for figure, value in values.items():
            named = {} if figure is None else {"figure": figure}
            line = {**run, **named, "value": value, "cpu": cpu}
            print(line, flush=True)
            with out.open("a") as file:
                file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
