"""Spoken digits: ImageNet weights on spectrograms, against scratch and a regression.

    python tests/benchmarks/sounds.py --shared ../shared [--methods mel fine_tune ...]
        [--parts george jackson ... random] [--out sounds.jsonl]
    python tests/benchmarks/sounds.py --table [--out sounds.jsonl]

Free Spoken Digits (6 speakers, 50 recordings of each digit, 8 kHz). Each speaker in
turn is the test part, all 500 of hers; 10 recordings of each digit by each of the five
others are learnt from, 500. `random`: all speakers, 2,400 to learn from, 600 to test.

mel         means and deviations of 64 mel bands over time, standardised, L2-regularised
            logistic regression whose strength is cross-validated (scikit-learn)
fit_head    `tl.fit_head` on frozen MobileNetV2 with ImageNet's weights
fine_tune   `tl.fine_tune`, all layers at 1e-3, 8 epochs; of the random split, which has
            five times as many steps in one, 4
scratch     the same network, steps and augmentation with random weights, its batch
            norms trained as well

Windows are 0.65 s, 64 mel bands, spectrograms resized to 64 pixels, augment="medium"
for the last two. A run appends a line to `--out`; runs that are there are left out.
"""

import argparse
import json
import os
import statistics
import time
import warnings
from pathlib import Path

import numpy as np

METHODS = ("mel", "fit_head", "fine_tune", "scratch")
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
EACH, SECONDS, RATE, SIZE = 10, 0.65, 8_000, 64
EPOCHS = {"random": 4}
USUAL_EPOCHS = 8
_FILE = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
WEIGHTS = f"keras_home/models/{_FILE}"


def table_of(folder: Path, part: str):
    """Returns a data frame of recordings with a column that says their part."""
    import pandas as pd

    rows = []
    for file in sorted(folder.glob("*.wav")):
        digit, speaker, number = file.stem.split("_")
        rows.append((file.name, digit, speaker, int(number)))
    frame = pd.DataFrame(rows, columns=["file", "digit", "speaker", "number"])
    if part == "random":
        drawn = np.random.default_rng(0).permutation(len(frame)) < len(frame) // 5
        frame["split"] = np.where(drawn, "test", "train")
        return frame
    frame["split"] = np.where(frame.speaker == part, "test", "train")
    return frame[(frame.split == "test") | (frame.number < EACH)]


def run(shared: Path, part: str, method: str) -> dict:
    """Returns what one method gets on one test part."""
    import keras

    import tlkeras as tl

    folder = shared / "data" / "fsdd" / "recordings"
    data = tl.from_dataframe(
        table_of(folder, part),
        audio="file",
        label="digit",
        split="split",
        audio_root=folder,
        sample_rate=RATE,
        seconds=SECONDS,
        validation_split=0,
    )
    keras.utils.set_random_seed(0)
    began, cpu = time.perf_counter(), time.process_time()
    found = {"part": part, "method": method}
    if method == "mel":
        found["accuracy"] = mel_statistics(data)
    else:
        model = tl.audio_classifier(
            "mobilenet_v2",
            data.class_names,
            sample_rate=RATE,
            seconds=SECONDS,
            input_shape=SIZE,
            weights=None if method == "scratch" else shared / WEIGHTS,
        )
        if method == "scratch":
            # 128 steps are too few for the 0.999 that MobileNetV2 has.
            for layer in model.backbone.layers:
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.momentum = 0.9
        learn(tl, model, data.train, method, EPOCHS.get(part, USUAL_EPOCHS))
        found["accuracy"] = tl.evaluate(model, data.test, verbose=0).accuracy
    return {
        **found,
        "seconds": round(time.perf_counter() - began, 1),
        "processor": round(time.process_time() - cpu, 1),
    }


def learn(tl, model, train, method: str, epochs: int) -> None:
    """Trains a model as a method does."""
    if method == "fit_head":
        tl.fit_head(model, train, verbose=0)
        return
    # The head of random weights has nothing to learn from.
    head = {"head_epochs": 1} if method == "scratch" else {}
    tl.fine_tune(
        model,
        train,
        **head,
        epochs=epochs,
        unfreeze_from=1.0,
        fine_tune_learning_rate=1e-3,
        recipe=tl.Recipe(augment="medium", train_batch_norm=method == "scratch"),
        verbose=0,
    )


def mel_statistics(data) -> float:
    """Returns the accuracy of logistic regression on means and deviations over time."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from tlkeras.inputs.sounds.showing import spectrograms

    def features(dataset):
        x, y = map(np.concatenate, zip(*dataset.as_numpy_iterator(), strict=True))
        levels = spectrograms(x, RATE)[..., 0]
        # What is silence around a recording is none of it.
        heard = (levels.max(axis=1, keepdims=True) > 0) & np.ones_like(levels, bool)
        mean = np.mean(levels, axis=2, where=heard)
        deviation = np.std(levels, axis=2, where=heard)
        return np.concatenate([mean, deviation], axis=1), y

    regression = LogisticRegressionCV(
        Cs=np.logspace(-4, 1, 6), max_iter=500, scoring="neg_log_loss"
    )
    whole = make_pipeline(StandardScaler(), regression)
    with warnings.catch_warnings():
        # scikit-learn 1.8 will change defaults that are not used here.
        warnings.simplefilter("ignore", FutureWarning)
        whole.fit(*features(data.train))
    x, y = features(data.test)
    return float((whole.predict(x) == y).mean())


def speeds(shared: Path) -> None:
    """Prints how many recordings a second are decoded, and have features extracted."""
    import tlkeras as tl

    folder = shared / "data" / "fsdd" / "recordings"
    data = tl.from_dataframe(
        table_of(folder, "theo"),
        audio="file",
        label="digit",
        split="split",
        audio_root=folder,
        sample_rate=RATE,
        seconds=SECONDS,
    )
    weights = shared / WEIGHTS
    form = {"sample_rate": RATE, "seconds": SECONDS, "input_shape": SIZE}
    model = tl.audio_classifier(
        "mobilenet_v2", data.class_names, weights=weights, **form
    )
    for what, work in (
        ("decoding alone", lambda: sum(len(x) for x, _ in data.test)),
        (
            "features of MobileNetV2",
            lambda: len(tl.extract_features(model, data.test, cache=False, verbose=0)),
        ),
    ):
        work()
        began = time.perf_counter()
        count = work()
        print(f"{what}: {count / (time.perf_counter() - began):.0f} recordings/s")


def show_table(out: Path) -> None:
    """Prints a line for each method: every part, and the speakers' median and range."""
    found = [json.loads(line) for line in out.read_text().splitlines()]
    of = {(each["method"], each["part"]): each["accuracy"] for each in found}
    print("| method | " + " | ".join([*SPEAKERS, "median (range)", "random"]) + " |")
    print("| --- " * (len(SPEAKERS) + 3) + "|")
    for method in METHODS:
        speakers = [of.get((method, part)) for part in SPEAKERS]
        known = [x for x in speakers if x is not None]
        both = [*speakers, of.get((method, "random"))]
        cells = ["" if x is None else f"{x:.3f}" for x in both]
        middle = (
            ""
            if not known
            else (
                f"{statistics.median(known):.3f} ({min(known):.3f} to {max(known):.3f})"
            )
        )
        print(f"| {method} | " + " | ".join([*cells[:-1], middle, cells[-1]]) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--parts", nargs="+", default=[*SPEAKERS, "random"])
    parser.add_argument("--out", type=Path, default=Path("sounds.jsonl"))
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--speeds", action="store_true")
    given = parser.parse_args()
    if given.speeds:
        speeds(given.shared)
    if not given.table and not given.speeds:
        done = set()
        if given.out.exists():
            lines = map(json.loads, given.out.read_text().splitlines())
            done = {(line["part"], line["method"]) for line in lines}
        for part in given.parts:
            for method in given.methods:
                if (part, method) not in done:
                    line = json.dumps(run(given.shared.resolve(), part, method))
                    print(line, flush=True)
                    with given.out.open("a") as file:
                        file.write(f"{line}{os.linesep}")
    if not given.speeds:
        show_table(given.out)


if __name__ == "__main__":
    main()
