"""What a class more costs the old ones, and how many labels a good choice saves.

    python tests/benchmarks/few_labels.py --shared ../shared [--sets digits trec6]
        [--seeds 0 1 2] [--parts choice classes] [--features folder] [--out few.jsonl]
    python tests/benchmarks/few_labels.py --table [--out few.jsonl]

Sets and backbones are those of `defaults.py`, whose features of the frozen backbone are
computed once and kept in `--features`; a model here is a head on such vectors, trained
and extended by the package's verbs.

choice   Of a pool of 1,500 examples (digits: 1,000), drawn by the seed, 20, 50, 100 and
         200 get labels: by chance, or as `tl.suggest_labels` says, typical ones first,
         then those that the head that was solved before doubts. Accuracy on the test
         part of a head that is solved on what is labelled.
classes  A head is solved on 100 examples of each class but some (two of ten, one of
         six), which the seed draws; these are learnt of 5 or 50 examples each, by
         `tl.learn_class` beside statistics or beside the old data; or by `tl.fit_head`
         of a new head on all of both, all classes weighing the same. Accuracy on the
         test part: of old classes before, of old and new ones afterwards.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import defaults
import keras
import numpy as np

import tlkeras as tl
from tlkeras.few_labels.choosing import doubtful, typical
from tlkeras.inputs import Input
from tlkeras.linear import Targets, solve

SIZES, SHOTS = (20, 50, 100, 200), (5, 50)
POOLS = {"digits": 1000, "trec6": 1500, "fashion": 1500}
NEW = {"digits": 2, "trec6": 1, "fashion": 2}
OLD_EXAMPLES = 100


def solved_on(
    features: np.ndarray, labels: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Returns kernel and bias of a solved head of all classes."""
    seen, numbers = np.unique(labels, return_inverse=True)
    targets = Targets(
        np.eye(len(seen))[numbers], np.ones((len(labels), 1)), "softmax", numbers
    )
    found = solve(features, targets)
    kernel = np.zeros((features.shape[1], classes))
    bias = np.full(classes, -50.0)
    kernel[:, seen], bias[seen] = found.kernel, found.bias
    return kernel, bias


def choices(name: str, seed: int, data: Any, features: np.ndarray) -> Iterator[dict]:
    """Yields the accuracy after each round of labelling."""
    random, classes = np.random.default_rng(seed), len(data.names)
    pool = random.permutation(data.pool)[: POOLS[name]]
    vectors, labels = features[pool], data.y[pool]
    for method in ("chance", "suggested"):
        known, head = np.zeros(len(pool), bool), None
        for size in SIZES:
            free, n = np.flatnonzero(~known), size - known.sum()
            if method == "chance":
                known[random.choice(free, n, replace=False)] = True
            elif head is None:
                known[typical(vectors, n, known, seed)] = True
            else:
                logits = vectors[free] @ head[0] + head[1]
                uncertainty = tl.Classes(data.names).uncertainty(logits)
                known[free[doubtful(vectors[free], uncertainty, n, seed)]] = True
            head = solved_on(vectors[known], labels[known], classes)
            right = (features[data.test] @ head[0] + head[1]).argmax(axis=1)
            accuracy = float(np.mean(right == data.y[data.test]))
            yield {"method": method, "labels": size, "accuracy": accuracy}


def on_vectors(width: int, names: list[str]) -> tl.TransferModel:
    """Returns a model that takes vectors: a head on a backbone that changes nothing."""
    inputs = keras.Input((width,))
    times_one = keras.layers.EinsumDense("ab,b->ab", width, kernel_initializer="ones")
    backbone = keras.Model(inputs, times_one(inputs), name="vectors")
    outer = keras.Input((width,))
    output = tl.Classes(names)
    dense = keras.layers.Dense(output.units, "softmax", name="predictions")
    model = tl.TransferModel(outer, dense(backbone(outer)))
    model.problem = tl.Problem(Input(), output)
    model.compile("adam", jit_compile=False, **model.problem.compile_arguments())
    return tl.freeze(model)


def more_classes(
    name: str, seed: int, data: Any, features: np.ndarray
) -> Iterator[dict]:
    """Yields accuracies on old and new classes, before and after."""
    order = np.random.default_rng(seed).permutation(len(data.names))
    rows = np.random.default_rng(seed).permutation(data.pool)
    numbers = np.argsort(order)[data.y]
    # Digits as names would not be their positions.
    names = [f"class {data.names[number]}" for number in order]
    count = len(names) - NEW[name]

    def some(numbers_of: range, size: int) -> list[np.ndarray]:
        return [rows[numbers[rows] == number][:size] for number in numbers_of]

    def accuracies(model: tl.TransferModel) -> dict[str, float]:
        right = model.predict(features[data.test], verbose=0).argmax(axis=1)
        right, old = right == numbers[data.test], numbers[data.test] < count
        return {"old": float(right[old].mean()), "new": float(right[~old].mean())}

    given = np.concatenate(some(range(count), OLD_EXAMPLES))
    old_data = features[given], numbers[given]
    quiet = {"cache": "memory", "verbose": 0}
    model = on_vectors(features.shape[1], names[:count])
    tl.fit_head(model, old_data, **quiet)
    yield {"method": "before", "shots": 0, **accuracies(model)}
    for shots in SHOTS:
        new = some(range(count, len(names)), shots)
        told = names[count:], [features[each] for each in new]
        told = told if len(new) > 1 else tuple(each[0] for each in told)
        for method, old in (("statistics", None), ("data", old_data)):
            more = tl.learn_class(model, *told, old=old, **quiet)
            yield {"method": method, "shots": shots, **accuracies(more)}
        all_rows = np.concatenate([given, *new])
        whole = on_vectors(features.shape[1], names)
        recipe = tl.Recipe(class_weight="balanced")
        tl.fit_head(
            whole, (features[all_rows], numbers[all_rows]), recipe=recipe, **quiet
        )
        yield {"method": "all anew", "shots": shots, **accuracies(whole)}


PARTS = {"choice": choices, "classes": more_classes}


def study(given: argparse.Namespace) -> None:
    """Does all runs, a line of the results for each figure."""
    os.environ.setdefault("KERAS_HOME", str((given.shared / "keras_home").resolve()))
    with given.out.open("a", encoding="utf-8") as out:
        for name in given.sets:
            data = defaults.read_set(name, given.shared)
            found = defaults.features_of(name, given.shared, given.features)["features"]
            for part in given.parts:
                for seed in given.seeds:
                    keras.utils.set_random_seed(seed)
                    features = found.astype("float32")
                    for line in PARTS[part](name, seed, data, features):
                        line = {"part": part, "set": name, "seed": seed, **line}
                        out.write(json.dumps(line) + "\n")
                        out.flush()
                        print(*line.values(), flush=True)


def print_table(out: Path) -> None:
    """Prints medians and ranges over the seeds, as Markdown."""
    lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    for part, keys, figures in (
        ("choice", ("set", "method", "labels"), ("accuracy",)),
        ("classes", ("set", "method", "shots"), ("old", "new")),
    ):
        rows = [line for line in lines if line["part"] == part]
        print("|", " | ".join((*keys, *figures)), "|")
        for group in dict.fromkeys(tuple(row[k] for k in keys) for row in rows):
            mine = [row for row in rows if tuple(row[k] for k in keys) == group]
            cells = [
                f"{np.median(v):.3f} ({min(v):.3f} to {max(v):.3f})"
                for v in ([row[figure] for row in mine] for figure in figures)
            ]
            print("|", " | ".join((*map(str, group), *cells)), "|")
    print("labels that do as well as as many by chance:")
    rows = [line for line in lines if line["part"] == "choice"]
    for name in dict.fromkeys(row["set"] for row in rows):
        for size in SIZES[1:]:
            found = [
                labels_needed([r for r in rows if (r["set"], r["seed"]) == one], size)
                for one in dict.fromkeys((r["set"], r["seed"]) for r in rows)
                if one[0] == name
            ]
            least, middle, most = np.percentile(found, [0, 50, 100])
            print(f"{name} {size}: {middle:.0f} ({least:.0f} to {most:.0f})")


def labels_needed(rows: list[dict], size: int) -> float:
    """Returns how many suggested labels are as good as `size` by chance, of one seed.

    Between rounds the accuracy is taken to be linear in the logarithm of the labels.
    """
    found = {(row["method"], row["labels"]): row["accuracy"] for row in rows}
    # More labels that do worse are no reason to want more.
    curve = np.maximum.accumulate([found["suggested", one] for one in SIZES])
    steps = np.arange(len(curve)) * 1e-9
    wanted = found["chance", size]
    return float(np.exp(np.interp(wanted, curve + steps, np.log(SIZES))))


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--sets", nargs="+", choices=POOLS, default=[*POOLS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=[*PARTS])
    parser.add_argument("--features", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--out", type=Path, default=Path("few_labels.jsonl"))
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if not given.table:
        study(given)
    print_table(given.out)


if __name__ == "__main__":
    main()
