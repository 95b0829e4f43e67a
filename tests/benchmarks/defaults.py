"""What the defaults are worth: next to a regression and class means on frozen features.

    python tests/benchmarks/defaults.py --shared ../shared [--sets ants_bees sst2]
        [--sizes 5 16 100 all] [--seeds 0 1 2 3 4] [--methods fit_head fine_tune]
        [--jobs 8] [--out results.jsonl]
    python tests/benchmarks/defaults.py --table [--out results.jsonl]

Each set has a pool to learn from and a fixed test part, which gives the figures and
chooses nothing. A run draws, by its seed, `size` examples of each class from the pool
(of a class that has fewer, all of them), or takes "all" of it.

| set | backbone | pool | test |
| --- | --- | --- | --- |
| ants_bees | MobileNetV2, 224 px | 243 | its own 153 |
| fashion | MobileNetV2, 28 grey pixels enlarged to 96 | 5,000 | its own 2,000 |
| digits | glyphnet, read as `python -m tlkeras` reads them | 1,000 | 797 |
| sst2 | MiniLM | 5,000 sentences and phrases, drawn once | its dev part, 872 |
| trec6 | MiniLM | the questions that are left, each once | 1,000, stratified |
| trec50 | MiniLM | the same; classes of 10 or more, so 8 or more in the pool | 1,000 |

All methods learn from the same examples: four fifths of what is drawn. The others,
stratified (of 5 per class, 1), are the verbs' validation data; `regression`, `means`
and a head that is solved have no use for them. Nothing is configured: models are built
in float32.

regression  standardised features of the frozen backbone, L2-regularised logistic
            regression whose strength is cross-validated by log loss
means       the nearest class mean of centred features on the unit sphere (SimpleShot);
            the softmax's temperature has the least log loss on the training examples,
            each left out of its own class's mean
fit_head    `tl.fit_head(model, train, val)`
fine_tune   `tl.fine_tune(model, train, val)`
plan        the same with `recipe="auto"`

Seconds are those of learning, with nothing cached beforehand; those of `regression` and
`means` include their examples' share of the extraction. With `--jobs` the processes
share the machine, which the seconds show.

Each run appends a line to `--out`. Runs that are there already are left out, so that a
study that was cut off goes on; delete the lines of errors to try these again. Sets
of texts need `pip install "tlkeras[minilm]"`.
"""

import argparse
import csv
import functools
import itertools
import json
import logging
import multiprocessing
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed, wait
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from sklearn.model_selection import train_test_split

import tlkeras as tl

# That models of many runs are compiled one after the other is no mistake.
logging.getLogger("tensorflow").setLevel("ERROR")

MOST = 5000
# The ImageNet weights at hand are those for 224 px; convolutions take any size.
WEIGHTS = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
STRENGTHS = np.logspace(-5, 1, 10)
TEMPERATURES = 0.02, 2.0
# By how much a method must be behind another to get a mark.
POINTS, RATIO = 0.005, 1.03


class DataSet(NamedTuple):
    """Examples, the rows to learn from and to test on, and how to build a model."""

    x: np.ndarray
    y: np.ndarray
    names: tuple[str, ...]
    pool: np.ndarray
    test: np.ndarray
    build: Callable[[], tl.TransferModel]


class Run(NamedTuple):
    """What one line of the results is of."""

    set: str
    size: str
    seed: int
    method: str


def photographs(shared: Path) -> DataSet:
    """Reads ants and bees."""
    parts = []
    for part in ("train", "test"):
        folder = shared / "data" / "ants_bees" / part
        # As one validation part: in the order of the files.
        data = tl.image_folder(folder, validation_split=1, test_split=0)
        x, y = zip(*((x.numpy(), y.numpy()) for x, y in data.val), strict=True)
        parts.append((np.concatenate(x), np.concatenate(y)))
    return joined(*parts, data.class_names, "mobilenet_v2", input_shape=224)


def fashion(shared: Path) -> DataSet:
    """Reads the grey pictures of clothes, and makes them large and coloured."""
    file = np.load(shared / "data" / "fashion_mnist" / "fashion_mnist_7000.npz")
    parts = [(enlarged(file[f"x_{p}"], 96), file[f"y_{p}"]) for p in ("train", "test")]
    names = tuple(map(str, file["class_names"]))
    weights = Path(os.environ["KERAS_HOME"], "models", WEIGHTS)
    return joined(*parts, names, "mobilenet_v2", input_shape=96, weights=weights)


def enlarged(pixels: np.ndarray, size: int) -> np.ndarray:
    """Returns grey pictures in three channels, `size` pixels high and wide."""
    large = [
        keras.ops.image.resize(
            some[..., None], (size, size), data_format="channels_last"
        )
        for some in np.array_split(pixels.astype("float32"), 10)
    ]
    rounded = np.concatenate(
        [np.rint(np.asarray(some)).astype("uint8") for some in large]
    )
    return np.repeat(rounded, 3, axis=-1)


def joined(train: tuple, test: tuple, names: tuple, *backbone, **arguments) -> DataSet:
    """Makes a data set of pictures of two parts that were divided by others."""
    x, y = (np.concatenate(both) for both in zip(train, test, strict=True))
    rows, count = np.arange(len(y)), len(train[1])
    build = functools.partial(tl.image_classifier, *backbone, names, **arguments)
    return DataSet(x, y.astype(int), names, rows[:count], rows[count:], build)


def digits(shared: Path) -> DataSet:
    """Reads scikit-learn's digits as the quickstart does."""
    from sklearn.datasets import load_digits

    found = load_digits()
    pixels = (found.images * (255 / 16)).astype("float32")[..., None]
    pixels = keras.ops.image.resize(pixels, (32, 32), data_format="channels_last")
    names = tuple(map(str, range(10)))
    build = functools.partial(
        tl.image_classifier, "glyphnet", names, input_shape=(32, 32, 1)
    )
    parts = divided(found.target, 797)
    return DataSet(np.asarray(pixels), found.target, names, *parts, build)


def sentences(shared: Path) -> DataSet:
    """Reads SST-2."""
    folder = shared / "data" / "sst2"
    train, test = read_tsv(folder / "train.tsv"), read_tsv(folder / "dev.tsv")
    chosen = np.random.default_rng(0).choice(len(train), MOST, replace=False)
    rows = [train[row] for row in chosen] + test
    x = np.array([text for _, text in rows], object)
    y = np.array([int(label) for label, _ in rows])
    names, rows = ("negative", "positive"), np.arange(len(y))
    return DataSet(x, y, names, rows[:MOST], rows[MOST:], reader_of_texts(names))


def read_tsv(file: Path) -> list[list[str]]:
    """Returns the rows of a table of labels and texts, without its header."""
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]


def questions(shared: Path, fine: bool) -> DataSet:
    """Reads TREC with its coarse or its fine classes."""
    file = shared / "data" / "trec" / "train_5500.label"
    lines = file.read_text(encoding="latin-1").splitlines()
    # A question that comes twice could be in both parts.
    labels = {text: label for label, text in (line.split(" ", 1) for line in lines)}
    x = np.array(list(labels), object)
    y = np.array([label if fine else label.split(":")[0] for label in labels.values()])
    classes, counts = np.unique(y, return_counts=True)
    common = np.isin(y, classes[counts >= 10])
    x, (names, y) = x[common], np.unique(y[common], return_inverse=True)
    names = tuple(map(str, names))
    return DataSet(x, y, names, *divided(y, 1000), reader_of_texts(names))


def divided(labels: np.ndarray, test_size: int) -> list[np.ndarray]:
    """Returns the rows of the pool and of the test part, the same ones always."""
    rows = np.arange(len(labels))
    return train_test_split(rows, test_size=test_size, stratify=labels, random_state=0)


def reader_of_texts(names: tuple[str, ...]) -> Callable[[], tl.TransferModel]:
    """Returns what builds a classifier of texts."""
    return functools.partial(tl.text_classifier, "minilm", names)


SETS = {
    "ants_bees": photographs,
    "fashion": fashion,
    "digits": digits,
    "sst2": sentences,
    "trec6": functools.partial(questions, fine=False),
    "trec50": functools.partial(questions, fine=True),
}


@functools.lru_cache(maxsize=1)
def read_set(name: str, shared: Path) -> DataSet:
    """Reads a data set, or gives the one that was read last."""
    return SETS[name](shared)


def draw(data: DataSet, size: str, seed: int) -> np.ndarray:
    """Returns the rows that a run learns from."""
    random = np.random.default_rng(seed)
    shuffled = random.permutation(data.pool)
    if size == "all":
        return shuffled[:MOST]
    classes = range(len(data.names))
    return np.concatenate(
        [shuffled[data.y[shuffled] == one][: int(size)] for one in classes]
    )


def regression(
    features: np.ndarray, labels: np.ndarray, others: np.ndarray
) -> np.ndarray:
    """Learns a logistic regression; returns its probabilities for other features."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.model_selection import StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = min(5, np.bincount(labels).min())
    learner = LogisticRegressionCV(
        Cs=STRENGTHS,
        cv=StratifiedKFold(folds, shuffle=True, random_state=0),
        scoring="neg_log_loss",
        max_iter=1000,
        l1_ratios=(0.0,),
        use_legacy_attributes=False,
    )
    with warnings.catch_warnings():
        # Of the weakest regularisations, which are not chosen.
        warnings.simplefilter("ignore", ConvergenceWarning)
        learner = make_pipeline(StandardScaler(), learner).fit(features, labels)
    return learner.predict_proba(others)


def means(features: np.ndarray, labels: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Learns the classes' means; returns their probabilities for other features."""
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax, softmax

    centre = features.mean(axis=0)
    known, asked = on_sphere(features - centre), on_sphere(others - centre)
    sums = np.eye(labels.max() + 1)[labels].T @ known
    cosines, rows = known @ on_sphere(sums).T, np.arange(len(labels))
    without_itself = on_sphere(sums[labels] - known)
    cosines[rows, labels] = (known * without_itself).sum(axis=1)

    def loss(log: float) -> float:
        return -log_softmax(cosines / np.exp(log), axis=1)[rows, labels].mean()

    log = minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded").x
    return softmax(asked @ on_sphere(sums).T / np.exp(log), axis=1)


def on_sphere(rows: np.ndarray) -> np.ndarray:
    """Returns rows of length 1."""
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


ON_FEATURES = {"regression": regression, "means": means}
VERBS = {
    "fit_head": tl.fit_head,
    "fine_tune": tl.fine_tune,
    "plan": functools.partial(tl.fine_tune, recipe="auto"),
}
METHODS = (*ON_FEATURES, *VERBS)


def training_rows(data: DataSet, rows: np.ndarray, seed: int) -> np.ndarray:
    """Returns those of the drawn rows that `learn_by_verb` trains on."""
    return rows[tl.inputs.examples_of(divide(data, rows, seed).train).rows]


def divide(data: DataSet, rows: np.ndarray, seed: int) -> tl.Splits:
    """Divides what was drawn into training and validation data."""
    return tl.from_arrays(
        data.x[rows],
        data.y[rows],
        class_names=data.names,
        validation_split=0.2,
        test_split=0,
        seed=seed,
    )


def learn_on_features(data: DataSet, run: Run, rows: np.ndarray, found: dict) -> tuple:
    """Learns from features; returns the report on the test part, and facts."""
    rows = training_rows(data, rows, run.seed)
    features, began = found["features"], time.perf_counter()
    learn = ON_FEATURES[run.method]
    outputs = learn(features[rows], data.y[rows], features[data.test])
    seconds = time.perf_counter() - began + found["seconds"] * len(rows) / len(features)
    report = tl.Report(data.y[data.test], outputs, class_names=data.names)
    return report, {"seconds": seconds}


def learn_by_verb(data: DataSet, run: Run, rows: np.ndarray) -> tuple:
    """Trains a new model; returns the report on the test part, and facts."""
    splits = divide(data, rows, run.seed)
    model = data.build()
    began = time.perf_counter()
    history = VERBS[run.method](model, splits.train, splits.val, verbose=0)
    facts = {"seconds": time.perf_counter() - began, "epochs": len(history.epoch)}
    return tl.evaluate(model, (data.x[data.test], data.y[data.test]), verbose=0), facts


def features_of(name: str, shared: Path, folder: Path) -> dict[str, np.ndarray]:
    """Extracts a set's features and the seconds that it took, once for all runs."""
    file = folder / f"{name}.npz"
    if not file.exists():
        data = read_set(name, shared)
        model, began = data.build(), time.perf_counter()
        found = tl.extract_features(model, (data.x, data.y), cache=False, verbose=0)
        seconds = time.perf_counter() - began
        features = np.asarray(found.arrays[0], "float64")
        np.savez(file, features=features, seconds=seconds)
    return dict(np.load(file))


def measure(run: Run, shared: Path, folder: Path) -> dict:
    """Does one run; returns its line, which says the error if there was one."""
    line = run._asdict()
    try:
        with tempfile.TemporaryDirectory(dir=folder) as cache:
            os.environ["TLKERAS_CACHE"] = cache
            return line | figures(run, shared, folder)
    except Exception as error:  # Whatever it is, the other runs are to go on.
        return line | {"error": f"{type(error).__name__}: {error}"}
    finally:
        keras.utils.clear_session()


def figures(run: Run, shared: Path, folder: Path) -> dict:
    """Returns what a run comes to."""
    keras.utils.set_random_seed(run.seed)
    data = read_set(run.set, shared)
    rows = draw(data, run.size, run.seed)
    if run.method in ON_FEATURES:
        found = features_of(run.set, shared, folder)
        report, facts = learn_on_features(data, run, rows, found)
    else:
        report, facts = learn_by_verb(data, run, rows)
    return {
        "accuracy": report.accuracy,
        "log_loss": report.metrics["loss"],
        "ece": report.metrics["ece"],
        "examples": len(rows),
        **facts,
    }


def study(given: argparse.Namespace) -> None:
    """Does all runs that are not in the results yet."""
    done = {run_of(line) for line in read_lines(given.out)}
    grid = itertools.product(given.sets, given.sizes, given.seeds, given.methods)
    runs = [run for run in map(Run._make, grid) if run not in done]
    print(f"{len(runs)} runs, {len(done)} lines are there", flush=True)
    use_shared(given)
    context = multiprocessing.get_context("spawn")
    with (
        tempfile.TemporaryDirectory() as folder,
        ProcessPoolExecutor(given.jobs, mp_context=context) as workers,
        given.out.open("a", encoding="utf-8") as out,
    ):
        for line in measured(runs, workers, given.shared, Path(folder)):
            out.write(json.dumps(line) + "\n")
            out.flush()
            print(*line.values(), flush=True)


def use_shared(given: argparse.Namespace) -> None:
    """Sets what the processes are to inherit: weights, and threads for each."""
    os.environ.setdefault("KERAS_HOME", str((given.shared / "keras_home").resolve()))
    if given.jobs > 1:
        threads = str(max(1, (os.cpu_count() or 1) // given.jobs))
        for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS"):
            os.environ.setdefault(name, threads)
        os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")


def measured(
    runs: list[Run], workers: Executor, shared: Path, folder: Path
) -> Iterator[dict]:
    """Extracts features, then does the runs; yields their lines as they come."""
    sets = dict.fromkeys(run.set for run in runs if run.method in ON_FEATURES)
    # What fails here fails in the runs again, which say so.
    wait([workers.submit(features_of, name, shared, folder) for name in sets])
    pending = [workers.submit(measure, run, shared, folder) for run in runs]
    for future in as_completed(pending):
        yield future.result()


def read_lines(file: Path) -> list[dict]:
    """Returns the results so far."""
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def run_of(line: dict) -> Run:
    """Returns what a line is of."""
    return Run(*(line[name] for name in Run._fields))


def table(lines: list[dict]) -> str:
    """Returns the results as Markdown: medians, ranges, and who is behind whom."""
    found: dict[tuple, dict[str, dict[int, dict]]] = {}
    for line in lines:
        run = run_of(line)
        methods = found.setdefault((run.set, run.size), {})
        methods.setdefault(run.method, {})[run.seed] = line
    heading = "set", "size", "method", "seeds", "accuracy", "log loss", "ECE", "s", ""
    rows = [heading, ("---",) * len(heading)]
    for key in sorted(found, key=place):
        methods = found[key]
        rows += [(*key, *row(name, methods)) for name in METHODS if name in methods]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def place(key: tuple[str, str]) -> tuple[int, float]:
    """Returns where a set and a size come in the table."""
    name, size = key
    return list(SETS).index(name), float("inf") if size == "all" else int(size)


def row(name: str, methods: dict[str, dict[int, dict]]) -> tuple[str, ...]:
    """Returns the cells of one method."""
    lines = [line for line in methods[name].values() if "error" not in line]
    failed = len(methods[name]) - len(lines)
    notes = [f"{failed} failed"] * bool(failed) + marks(name, methods)
    if not lines:
        return name, "0", "", "", "", "", "; ".join(notes)
    accuracy, loss, ece, seconds = (
        [line[figure] for line in lines]
        for figure in ("accuracy", "log_loss", "ece", "seconds")
    )
    return (
        name,
        str(len(lines)),
        spread(accuracy),
        spread(loss),
        f"{statistics.median(ece):.3f}",
        f"{statistics.median(seconds):.1f}",
        "; ".join(notes),
    )


def spread(values: list[float]) -> str:
    """Returns median and range."""
    middle = statistics.median(values)
    return f"{middle:.3f} ({min(values):.3f} to {max(values):.3f})"


def marks(name: str, methods: dict[str, dict[int, dict]]) -> list[str]:
    """Says where a method is behind the one that it should not be behind."""
    against = {"fit_head": "regression", "fine_tune": "fit_head"}.get(name)
    pairs = [
        (line, methods[against][seed])
        for seed, line in methods[name].items()
        if against and seed in methods.get(against, {})
    ]
    pairs = [pair for pair in pairs if not any("error" in line for line in pair)]
    if not pairs:
        return []

    def middle(figure: str) -> tuple[float, ...]:
        columns = zip(*([line[figure] for line in pair] for pair in pairs), strict=True)
        return tuple(map(statistics.median, columns))

    (ours, theirs), (loss, other) = middle("accuracy"), middle("log_loss")
    found = []
    if ours < theirs - POINTS:
        found.append(f"**accuracy {ours - theirs:+.3f} to {against}**")
    if name == "fit_head" and loss > RATIO * other:
        found.append(f"**log loss {loss / other:.2f} x {against}**")
    return found


def main() -> None:
    """Reads the arguments; runs the study or prints its table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--sizes", nargs="+", default=["5", "16", "100", "all"])
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(5)))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--out", type=Path, default=Path("results.jsonl"))
    parser.add_argument("--table", action="store_true", help="print what is in --out")
    given = parser.parse_args()
    if given.table:
        print(table(read_lines(given.out)))
    else:
        study(given)


if __name__ == "__main__":
    main()
