"""What free text in a table is worth: a network with it and without, and others.

    nice -n 15 python tests/benchmarks/table_texts.py texts.jsonl --shared ../shared

Needs `pip install "tlkeras[minilm]"`. Real texts with real labels, beside columns that
are made:

- "questions": TREC's questions, six kinds of answers. A number and a category are drawn
  of the kind with much noise: they tell a part of it.
- "reviews": sentences of SST-2, good or bad. The label is made of that, of a price and
  of a shop, with noise: neither text nor columns tell it alone.

1,000 rows are for learning, of which 50, 200 or all have labels, 500 others for
testing. A fifth of the labels is held out for validation by tlkeras; regression (of
columns and MiniLM's features of the texts, strength by cross-validation) and boosting
(of columns, and of texts by TF-IDF and a singular value decomposition, as
`tl.boosting_report` does) learn from all of them. Writes a line of JSON for each seed,
number of labels and method, and skips runs that are in the file; `--print` prints
medians and ranges.
"""

import argparse
import json
import pathlib
import time
import warnings

import keras
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegressionCV
from sklearn.metrics import log_loss
from sklearn.preprocessing import StandardScaler

import tlkeras as tl

LABEL, TEXT = "label", "comment"
POOL, TEST, LENGTH = 1_000, 500, 32
SIZE = {"width": 32, "blocks": 2}
COUNTS = (50, 200, None)


def questions(shared, rng):
    """Returns questions with what kind of answer they want, and noisy hints of it."""
    path = shared / "data" / "trec" / "train_5500.label"
    lines = path.read_text(encoding="latin-1").split("\n")
    read = [line.split(" ", 1) for line in lines if line]
    rows = rng.choice(len(read), POOL + TEST, replace=False)
    labels = np.array([read[row][0].split(":")[0] for row in rows])
    names = sorted(set(labels))
    ids = np.array([names.index(label) for label in labels])
    told = rng.random(len(ids)) < 0.5
    desk = np.where(told, ids // 2, rng.integers(0, 3, len(ids)))
    return pd.DataFrame(
        {
            TEXT: [read[row][1].strip() for row in rows],
            "seconds": np.exp(0.5 * ids + rng.normal(0, 1, len(ids))),
            "desk": np.array(["a", "b", "c"])[desk],
            LABEL: labels,
        }
    )


def reviews(shared, rng):
    """Returns sentences, prices and shops, and a label that hangs on all three."""
    frame = pd.read_csv(shared / "data" / "sst2" / "train.tsv", sep="\t", quoting=3)
    frame = frame[frame["sentence"].str.split().str.len() >= 6]
    frame = frame.iloc[rng.choice(len(frame), POOL + TEST, replace=False)]
    price, shop = rng.normal(0, 1, len(frame)), rng.integers(0, 4, len(frame))
    taste = np.array([1.0, -1.0, 0.5, -0.5])[shop]
    good = np.where(frame["label"].to_numpy() == 1, 1.5, -1.5)
    signal = good - price + taste + rng.logistic(0, 0.5, len(frame))
    return pd.DataFrame(
        {
            TEXT: frame["sentence"].str.strip().to_numpy(),
            "price": np.exp(3 + price),
            "shop": np.array(list("abcd"))[shop],
            LABEL: np.where(signal > 0, "again", "never"),
        }
    )


TABLES = {"questions": questions, "reviews": reviews}


def networks(train, test, features, seed, solved):
    """Yields what a network says, solved and fine-tuned, and what boosting does."""
    has_text = TEXT in train
    keras.utils.set_random_seed(seed)
    read = {"text_backbone": "minilm", "text_length": LENGTH} if has_text else {}
    data = tl.from_dataframe(
        {"train": train, "test": test},
        features="all",
        label=LABEL,
        validation_split=0.2,
        seed=seed,
        **read,
    )
    model = tl.table_classifier("ft_transformer", data, **SIZE)
    rows = model.problem.input.read(test.drop(columns=LABEL))
    predict = model.predict
    if has_text:
        # The text backbone has read these texts before. None is missing.
        texts = model.get_layer("texts").output
        known = np.pad(features.loc[test.index].to_numpy(), ((0, 0), (1, 0)))
        rows = [rows, known]
        predict = keras.Model([model.input, texts], model.output).predict
    tl.fit_head(model, data, verbose=0)
    yield "network, solved head", predict(rows, verbose=0)
    yield "boosting", tl.boosting_report(data, seed=seed).outputs
    if not solved:
        tl.fine_tune(model, data, verbose=0)
        yield "network, fine-tuned", predict(rows, verbose=0)


def regression(train, test, features):
    """Returns what a logistic regression says of columns and features of texts."""

    def columns(frame):
        numbers = frame.select_dtypes("number").to_numpy()
        names = frame.drop(columns=[TEXT, LABEL], errors="ignore")
        names = pd.get_dummies(names.select_dtypes(exclude="number")).to_numpy(float)
        each = [np.log(numbers), names]
        if TEXT in frame:
            each.append(features.loc[frame.index].to_numpy())
        return np.concatenate(each, axis=1)

    scaler = StandardScaler().fit(columns(train))
    model = LogisticRegressionCV(
        Cs=np.logspace(-4, 2, 7),
        scoring="neg_log_loss",
        max_iter=2_000,
        cv=max(2, min(5, train[LABEL].value_counts().min())),
    )
    model.fit(scaler.transform(columns(train)), train[LABEL])
    return model.predict_proba(scaler.transform(columns(test)))


def features_of(frame):
    """Returns MiniLM's features of all texts, as the network has them."""
    # Not a row of these is learnt from.
    data = tl.from_dataframe(
        frame,
        features=[TEXT, frame.columns[1]],
        label=LABEL,
        text_backbone="minilm",
        text_length=LENGTH,
    )
    model = tl.table_classifier("ft_transformer", data, **SIZE)
    reading = keras.Model(model.input, model.get_layer("texts").output)
    rows = model.problem.input.read(frame.drop(columns=LABEL))
    found = reading.predict(rows, verbose=0)[:, 1:]
    return pd.DataFrame(found, frame.index)


def run(frame, labels, features, seed, solved):
    """Yields a row for each method, with texts and without."""
    pool, test = frame.iloc[:POOL], frame.iloc[POOL:]
    train = pool
    if labels is not None:
        sizes = pool[LABEL].value_counts() * labels / len(pool)
        # Rare classes, too: what has no row cannot be learnt.
        sizes = sizes.round().astype(int).clip(lower=3)
        parts = [
            rows.sample(sizes[name], random_state=seed)
            for name, rows in pool.groupby(LABEL)
        ]
        train = pd.concat(parts)
    names = sorted(pool[LABEL].unique())
    ids = np.array([names.index(name) for name in test[LABEL]])
    for reads in (True, False):
        about = {"labels": len(train), "wanted": labels, "seed": seed, "texts": reads}
        dropped = [] if reads else [TEXT]
        each = train.drop(columns=dropped), test.drop(columns=dropped)
        said = {"logistic regression": regression(*each, features)}
        start = time.time()
        said |= dict(networks(*each, features, seed, solved))
        for method, found in said.items():
            found = found / found.sum(axis=1, keepdims=True)
            yield {
                **about,
                "method": method,
                "accuracy": float(np.mean(found.argmax(axis=1) == ids)),
                "log_loss": float(log_loss(ids, found, labels=range(len(names)))),
                "seconds": round(time.time() - start, 1),
            }


def lines_of(path):
    path = pathlib.Path(path)
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []


def print_table(path):
    """Prints the median of each figure, and its range over seeds."""
    rows = pd.DataFrame(map(json.loads, lines_of(path)))
    rows["wanted"] = rows["wanted"].map(lambda n: POOL if pd.isna(n) else int(n))
    for about, group in rows.groupby(["table", "wanted", "texts"]):
        table, labels, texts = about
        print(table, labels, "with texts" if texts else "without texts")
        for method, found in group.groupby("method", sort=False):
            said = [
                f"{name} {found[name].median():.3f} "
                f"({found[name].min():.3f}-{found[name].max():.3f})"
                for name in ("accuracy", "log_loss")
            ]
            print(f"  {method:24} {len(found)}  {'  '.join(said)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", help="the file of JSON lines to write")
    parser.add_argument("--shared", type=pathlib.Path, help="the folder of real data")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--labels", type=int, help="only this number; 0: all of them")
    parser.add_argument("--solved", action="store_true", help="without fine-tuning")
    parser.add_argument("--only", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--print", action="store_true", help="print what was found")
    args = parser.parse_args()
    if args.print:
        return print_table(args.path)
    if args.shared is None:
        parser.error("--shared must name the folder of real data")
    warnings.simplefilter("ignore")
    found = map(json.loads, lines_of(args.path))
    done = {(row["table"], row["wanted"], row["seed"]) for row in found}
    for seed in range(args.seeds):
        for table in args.only:
            wanted = [n for n in COUNTS if args.labels in (None, n or 0)]
            left = [n for n in wanted if (table, n, seed) not in done]
            if not left:
                continue
            frame = TABLES[table](args.shared, np.random.default_rng(seed))
            features = features_of(frame)
            for labels in left:
                # All rows of a run together: what is in the file is whole.
                rows = [
                    json.dumps({"table": table, **row}) + "\n"
                    for row in run(frame, labels, features, seed, args.solved)
                ]
                with open(args.path, "a", encoding="utf-8") as file:
                    file.writelines(rows)


if __name__ == "__main__":
    main()
