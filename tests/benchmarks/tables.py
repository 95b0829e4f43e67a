"""What an FT-Transformer is worth on tables, beside boosting and logistic regression.

    nice -n 15 python tests/benchmarks/tables.py tables.jsonl --minutes 20

Writes a line of JSON for each seed, number of labels and method, and skips those that
are in the file. scikit-learn's breast cancer, wine and diabetes; made sales of two
regions, of which one has 4,000 labels; and made transactions of which one in 500 is
fraud. A fifth of the labels is held out for validation by tlkeras; boosting and
regression learn from all of them. `--print` prints medians and ranges.
"""

import argparse
import json
import pathlib
import tempfile
import time
import warnings

import keras
import numpy as np
import pandas as pd
from sklearn import datasets
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegressionCV, RidgeCV
from sklearn.metrics import average_precision_score, log_loss, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import tlkeras as tl

LABEL = "label"
SIZE = {"width": 32, "blocks": 2}
FOLDER = tempfile.TemporaryDirectory()
FILES = pathlib.Path(FOLDER.name)


def of_sklearn(name):
    """Returns rows for training and rows for testing."""

    def make(seed):
        loaded = getattr(datasets, f"load_{name}")(as_frame=True)
        frame = loaded.data.assign(label=loaded.target)
        if name != "diabetes":
            frame[LABEL] = loaded.target_names[loaded.target]
        order = np.random.default_rng(seed).permutation(len(frame))
        third = len(frame) // 3
        return frame.iloc[order[third:]], frame.iloc[order[:third]], None

    return make


def sales(n, region, rng):
    """Makes rows whose label hangs on how numbers and categories go together."""
    shops, days = rng.integers(0, 8, n), rng.integers(0, 365, n)
    amount, age = np.exp(rng.normal(3, 1, n)), rng.integers(18, 80, n)
    items = rng.poisson(3, n) + 1
    taste = np.array([1.5, -1, 0.5, 2, -2, 0, -0.5, 1])[shops]
    shift = 0.8 * region
    signal = (
        taste * (np.log(amount / items) - 2 - 0.3 * shift)
        + np.where((age > 40) == (shops % 2 == 0), 1.2, -1.2)
        + np.sin(days / 58) * (items > 3)
        + shift
    )
    frame = pd.DataFrame(
        {
            "amount": amount * (1 + 0.5 * region),
            "age": np.where(rng.random(n) < 0.1, np.nan, age),
            "items": items,
            "shop": np.array([f"s{i}" for i in range(8)])[shops],
            "day": pd.Timestamp("2023-01-01") + pd.to_timedelta(days, "D"),
        }
    )
    return frame, signal + rng.logistic(0, 0.5, n)


def regions(seed):
    """Returns rows of a region, and rows of another one with many labels."""
    rng = np.random.default_rng(seed)
    (near, signal), (far, far_signal) = sales(4_000, 1, rng), sales(4_000, 0, rng)
    near[LABEL] = np.where(signal > 1, "yes", "no")
    far[LABEL] = np.where(far_signal > 1, "yes", "no")
    return near.iloc[:2_000], near.iloc[2_000:], far


def fraud(seed):
    """Returns transactions of which one in 500 is fraud."""
    rng = np.random.default_rng(seed)
    frame, signal = sales(30_000, 0, rng)
    frame[LABEL] = np.where(signal > np.quantile(signal, 1 - 1 / 500), "yes", "no")
    return frame.iloc[:15_000], frame.iloc[15_000:], None


TABLES = {
    "regions": (regions, (50, 200, None)),
    "breast cancer": (of_sklearn("breast_cancer"), (50, 200, None)),
    "diabetes": (of_sklearn("diabetes"), (50, 200, None)),
    "fraud 1:500": (fraud, (None,)),
    "wine": (of_sklearn("wine"), (50, None)),
}


def scores(said, test, names):
    """Returns figures of probabilities, or of numbers."""
    if names is None:
        wanted = test[LABEL].to_numpy()
        error = np.mean((said - wanted) ** 2)
        mae = np.mean(np.abs(said - wanted))
        return {"r2": 1 - error / wanted.var(), "mae": mae}
    said = said / said.sum(axis=1, keepdims=True)
    ids = np.array([names.index(name) for name in test[LABEL]])
    found = {
        "accuracy": np.mean(said.argmax(axis=1) == ids),
        "log_loss": log_loss(ids, said, labels=range(len(names))),
    }
    if len(names) == 2:
        found["auc"] = roc_auc_score(ids, said[:, 1])
        found["ap"] = average_precision_score(ids, said[:, 1])
    else:
        found["auc"] = roc_auc_score(ids, said, multi_class="ovr")
    return found


def others(train, test, names):
    """Yields what scikit-learn makes of rows."""
    x, y = plain(train), train[LABEL]
    numbers = make_pipeline(
        SimpleImputer(strategy="median", add_indicator=True), StandardScaler()
    )
    encode = make_column_transformer(
        (numbers, make_column_selector(dtype_include="number")),
        (
            OneHotEncoder(handle_unknown="ignore"),
            make_column_selector(dtype_include="category"),
        ),
    )
    if names is None:
        linear, boosting = (
            RidgeCV(np.logspace(-3, 3, 13)),
            HistGradientBoostingRegressor,
        )
    else:
        linear = LogisticRegressionCV(
            Cs=np.logspace(-4, 2, 7),
            scoring="neg_log_loss",
            max_iter=2_000,
            cv=min(5, y.value_counts().min()),
        )
        boosting = HistGradientBoostingClassifier
    boosting = boosting(categorical_features="from_dtype", random_state=0)
    for name, model in (
        ("logistic regression" if names else "ridge", make_pipeline(encode, linear)),
        ("boosting", boosting),
    ):
        model.fit(x, y)
        said = model.predict(plain(test))
        if names is not None:
            order = [list(model.classes_).index(each) for each in names]
            said = model.predict_proba(plain(test))[:, order]
        yield name, said


def plain(frame):
    """Returns rows as scikit-learn takes them."""
    frame = frame.drop(columns=LABEL)
    if "day" in frame:
        frame = frame.assign(day=frame["day"].dt.day_of_year)
        shops = pd.CategoricalDtype([f"s{i}" for i in range(8)])
        frame = frame.assign(shop=frame["shop"].astype(shops))
    return frame


def read(frame, features, seed):
    task = "classification" if frame[LABEL].dtype.kind not in "fi" else "regression"
    return tl.from_dataframe(
        frame,
        features=features,
        label=LABEL,
        task=task,
        validation_split=0.2,
        test_split=0,
        seed=seed,
    )


def build(backbone, data, names):
    arguments = {"columns": data.columns, **SIZE}
    if names is None:
        return tl.table_regressor(backbone, **arguments)
    return tl.table_classifier(backbone, data.class_names, **arguments)


def said_of(model, test):
    found = model.predict(test.drop(columns=LABEL), verbose=0)
    return found[:, 0] if found.shape[1] == 1 else found


def networks(table, train, pool, test, far, names, seed, solved):
    """Yields what an FT-Transformer says: new, pretrained, of another table."""
    data = read(train, "all", seed)
    model = build("ft_transformer", data, names)
    tl.fit_head(model, data, verbose=0)
    yield "new, frozen", said_of(model, test)
    if solved:
        return
    tl.fine_tune(model, data, verbose=0)
    yield "new, fine-tuned", said_of(model, test)
    if far is None:
        return
    if len(train) < len(pool):
        model = tl.load(made_once("pretrained", table, pool, names, seed))
        data = read(train, model.problem.input.columns, seed)
        tl.fit_head(model, data, verbose=0)
        yield "pretrained, frozen", said_of(model, test)
        tl.fine_tune(model, data, verbose=0)
        yield "pretrained, fine-tuned", said_of(model, test)
    source = tl.load(made_once("fine-tuned", table, far, names, seed))
    yield "of the other region, as it is", said_of(source, test)
    data = read(train, "all", seed)
    model = build(source, data, names)
    tl.fit_head(model, data, verbose=0)
    yield "of the other region, frozen", said_of(model, test)
    tl.fine_tune(model, data, verbose=0)
    yield "of the other region, fine-tuned", said_of(model, test)
    data = read(train, source.problem.input.columns, seed)
    tl.fine_tune(source, data, head_epochs=0, verbose=0)
    yield "of the other region, fine-tuned with its head", said_of(source, test)


def made_once(how, table, frame, names, seed):
    """Returns the file of a model of a table, which is made where it is missing."""
    path = FILES / f"{table} {how} {seed}.keras"
    if not path.exists():
        data = read(frame, "all", seed)
        model = build("ft_transformer", data, names)
        if how == "pretrained":
            epochs = epochs_for(len(frame))
            tl.pretrain(model, data, epochs=epochs, seed=seed, verbose=0)
        else:
            tl.fine_tune(model, data, verbose=0)
        model.save(path)
    return path


def epochs_for(rows):
    """Returns epochs that make about 800 steps of 64."""
    return int(np.clip(800 * 64 / rows, 4, 100))


def run(table, labels, seed, solved):
    """Yields a row for each method."""
    make, _ = TABLES[table]
    pool, test, far = make(seed)
    names = None if pool[LABEL].dtype.kind in "fi" else sorted(pool[LABEL].unique())
    train = pool
    if labels is not None:
        strata = pool[LABEL] if names else pd.Series(0, pool.index)
        share = labels / len(pool)
        train = pool.groupby(strata, group_keys=False).sample(
            frac=share, random_state=seed
        )
    about = {"table": table, "wanted": labels, "labels": len(train), "seed": seed}
    all_said = {}

    def told(methods, prefix=""):
        start = time.time()
        for method, said in methods:
            all_said[prefix + method] = said
            found = {k: float(v) for k, v in scores(said, test, names).items()}
            seconds = round(time.time() - start, 1)
            yield {**about, "method": prefix + method, **found, "seconds": seconds}
            start = time.time()

    yield from told(others(train, test, names))
    if far is not None:
        both = pd.concat([train, far])
        yield from told(others(both, test, names), "both regions, ")
    keras.utils.set_random_seed(seed)
    yield from told(networks(table, train, pool, test, far, names, seed, solved))
    if not solved:
        both = (all_said["new, fine-tuned"] + all_said["boosting"]) / 2
        yield from told([("mean of new, fine-tuned and boosting", both)])


def lines_of(path):
    path = pathlib.Path(path)
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def print_table(path):
    """Prints the median of each figure, and its range over seeds."""
    rows = pd.DataFrame(map(json.loads, lines_of(path)))
    rows = rows.drop(columns=["wanted", "seed", "seconds"])
    for about, group in rows.groupby(["table", "labels"], sort=False):
        print(*about)
        figures = group.drop(columns=["table", "labels"]).dropna(axis=1)
        each = figures.groupby("method", sort=False)
        for method, found in each:
            said = [
                f"{name} {values.median():.3f} ({values.min():.3f}-{values.max():.3f})"
                for name, values in found.drop(columns="method").items()
            ]
            print(f"  {method:40} {len(found)}  {'  '.join(said)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", help="the file of JSON lines to write")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--labels", type=int, help="only this number; 0: all of them")
    parser.add_argument(
        "--solved", action="store_true", help="of networks the solved head of a new one"
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--only", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--print", action="store_true", help="print what was found")
    args = parser.parse_args()
    if args.print:
        return print_table(args.path)
    warnings.simplefilter("ignore")
    end = time.process_time() + 60 * args.minutes
    runs = [
        (table, labels, seed)
        for seed in range(args.seeds)
        for table, (_, counts) in TABLES.items()
        for labels in counts
        if table in args.only and args.labels in (None, labels or 0)
    ]
    found = map(json.loads, lines_of(args.path))
    done = {(row["table"], row["wanted"], row["seed"]) for row in found}
    for each in runs:
        if each in done or time.process_time() > end:
            continue
        # All rows of a run together: what is in the file is whole.
        rows = [json.dumps(row) + "\n" for row in run(*each, args.solved)]
        with open(args.path, "a", encoding="utf-8") as file:
            file.writelines(rows)


if __name__ == "__main__":
    main()
