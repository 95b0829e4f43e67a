"""Spoken digits: ImageNet weights on spectrograms, against scratch and a regression.

    python tests/benchmarks/sounds.py --shared ../shared [--methods mel fine_tune ...]
        [--parts george jackson ... random] [--seeds 0 1] [--out sounds.jsonl]
    python tests/benchmarks/sounds.py --studies accents anomalies files ...
    python tests/benchmarks/sounds.py --table [--out sounds.jsonl]

Free Spoken Digits (6 speakers, 50 recordings of each digit, 8 kHz). Each speaker in
turn is the test part, all 500 of hers; 10 recordings of each digit by each of the five
others are learnt from, 500; each seed from other ones. `random`: all speakers, 2,400 to
learn from, 600 to test.

mel         means and deviations of 64 mel bands over time, standardised, L2-regularised
            logistic regression whose strength is cross-validated (scikit-learn)
fit_head    `tl.fit_head` on frozen MobileNetV2 with ImageNet's weights
fine_tune   `tl.fine_tune`, all layers at 1e-3, 8 epochs; of the random split, which has
            five times as many steps in one, 4
scratch     the same network, steps and augmentation with random weights, its batch
            norms trained as well

Windows are 0.65 s, 64 mel bands, spectrograms resized to 64 pixels, augment="medium"
for the last two. A run appends a line to `--out`; runs that are there are left out.

Other studies:

accents     The model of the five others, as fine_tune makes it, learns a sixth's voice
            of 1, 3 or 10 of her recordings of each digit; next to a new model, with
            ImageNet's weights, of these alone. The other 400 of hers are the test part.
anomalies   10 recordings of nine digits by each speaker are learnt; 10 others of all
            ten by each are judged. How well a distance tells the tenth digit from the
            nine (area under the ROC curve): Mahalanobis' to the nearest class mean in
            the pooled features, of the frozen and of the fine-tuned backbone, or one
            minus the largest probability.
files       A model is saved, loaded and exported; how far the answers to WAV files and
            to the same as FLAC are from those that it gave.
"""

import argparse
import itertools
import json
import os
import statistics
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np

METHODS = ("mel", "fit_head", "fine_tune", "scratch")
SHOTS = (1, 3, 10)
# Steps are few where examples are: more epochs than those of all five.
ACCENT_EPOCHS = 20
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
EACH, SECONDS, RATE, SIZE = 10, 0.65, 8_000, 64
EPOCHS = {"random": 4}
USUAL_EPOCHS = 8
_FILE = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
WEIGHTS, RECORDINGS = f"keras_home/models/{_FILE}", "data/fsdd/recordings"


def table_of(folder: Path, part: str, seed: int = 0):
    """Returns a data frame of recordings with a column that says their part.

    Args:
        folder: That of the recordings.
        part: A speaker, or `"random"`.
        seed: Which recordings are learnt from: of five seeds all are.
    """
    import pandas as pd

    rows = []
    for file in sorted(folder.glob("*.wav")):
        digit, speaker, number = file.stem.split("_")
        rows.append((file.name, digit, speaker, int(number)))
    frame = pd.DataFrame(rows, columns=["file", "digit", "speaker", "number"])
    if part == "random":
        drawn = np.random.default_rng(seed).permutation(len(frame)) < len(frame) // 5
        frame["split"] = np.where(drawn, "test", "train")
        return frame
    frame["split"] = np.where(frame.speaker == part, "test", "train")
    return frame[(frame.split == "test") | (frame.number // EACH == seed % 5)]


def read(frame, folder: Path):
    """Returns `Splits` of a table."""
    import tlkeras as tl

    return tl.from_dataframe(
        frame,
        audio="file",
        label="digit",
        split="split",
        audio_root=folder,
        sample_rate=RATE,
        seconds=SECONDS,
        validation_split=0,
    )


def built(shared: Path, names, weights: bool = True):
    """Returns MobileNetV2 on spectrograms, with ImageNet's weights or random ones."""
    import tlkeras as tl

    return tl.audio_classifier(
        "mobilenet_v2",
        names,
        sample_rate=RATE,
        seconds=SECONDS,
        input_shape=SIZE,
        weights=shared / WEIGHTS if weights else None,
    )


def voices(shared: Path, part: str, seed: int, methods) -> Iterator[dict]:
    """Yields what each method gets on one test part."""
    import keras

    import tlkeras as tl

    folder = shared / RECORDINGS
    data = read(table_of(folder, part, seed), folder)
    for method in methods:
        keras.utils.set_random_seed(seed)
        if method == "mel":
            yield {"method": method, "accuracy": mel_statistics(data)}
            continue
        model = built(shared, data.class_names, method != "scratch")
        if method == "scratch":
            # 128 steps are too few for the 0.999 that MobileNetV2 has.
            for layer in model.backbone.layers:
                if isinstance(layer, keras.layers.BatchNormalization):
                    layer.momentum = 0.9
        learn(model, data.train, method, EPOCHS.get(part, USUAL_EPOCHS))
        accuracy = tl.evaluate(model, data.test, verbose=0).accuracy
        yield {"method": method, "accuracy": accuracy}


def learn(model, train, method: str, epochs: int = USUAL_EPOCHS) -> None:
    """Trains a model as a method does."""
    import tlkeras as tl

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


def accents(shared: Path, speaker: str, seed: int, methods) -> Iterator[dict]:
    """Yields what a sixth voice is understood after a few of its words."""
    import keras

    import tlkeras as tl

    folder = shared / RECORDINGS
    whole = table_of(folder, speaker)
    keras.utils.set_random_seed(seed)
    data = read(whole, folder)
    five = built(shared, data.class_names)
    learn(five, data.train, "fine_tune")
    hers = whole[whole.speaker == speaker].copy()
    with tempfile.TemporaryDirectory() as place:
        five.save(Path(place, "five.keras"))
        for shots in (0, *SHOTS):
            # As it is, it learns nothing of what it could.
            hers["split"] = np.where(hers.number < max(1, shots), "train", "left out")
            hers.loc[hers.number >= max(SHOTS), "split"] = "test"
            few = read(hers[hers.split != "left out"], folder)
            started = {"five": tl.load(Path(place, "five.keras"))}
            if shots:
                started["new"] = built(shared, data.class_names)
            for start, model in started.items():
                keras.utils.set_random_seed(seed)
                if shots:
                    adapt(model, few.train, start)
                accuracy = tl.evaluate(model, few.test, verbose=0).accuracy
                yield {"method": f"{start} {shots}", "accuracy": accuracy}


def adapt(model, train, start: str) -> None:
    """Trains a model of five voices, or a new one, on a few words of one voice."""
    import tlkeras as tl

    # A head that is solved anew would know these few examples alone.
    head = {"head_epochs": 0} if start == "five" else {}
    tl.fine_tune(
        model,
        train,
        **head,
        epochs=ACCENT_EPOCHS,
        unfreeze_from=1.0,
        fine_tune_learning_rate=1e-3,
        recipe=tl.Recipe(augment="medium"),
        verbose=0,
    )


def anomalies(shared: Path, digit: str, seed: int, methods) -> Iterator[dict]:
    """Yields how well a digit that was never heard is told from those that were."""
    import keras
    from sklearn.metrics import roc_auc_score

    import tlkeras as tl

    folder = shared / RECORDINGS
    frame = table_of(folder, "random")
    frame = frame[(frame.number < EACH) | (frame.number >= 50 - EACH)].copy()
    frame["split"] = np.where(frame.number < EACH, "train", "test")
    heard = read(frame[frame.digit != digit], folder)
    judged = read(frame, folder).test
    is_new = np.concatenate([y for _, y in judged.as_numpy_iterator()]) == int(digit)
    keras.utils.set_random_seed(seed)
    model = built(shared, heard.class_names)
    for method in ("frozen", "fine-tuned"):
        if method == "fine-tuned":
            learn(model, heard.train, "fine_tune")
        tl.freeze(model)
        known, new = (
            tl.extract_features(model, each, cache=False, verbose=0)
            for each in (heard.train, judged)
        )
        far = distances(pooled(known), np.asarray(known.labels), pooled(new))
        yield {"method": f"distance, {method}", "auc": roc_auc_score(is_new, far)}
    unsure = 1 - model.predict(judged, verbose=0).max(axis=1)
    yield {"method": "probability, fine-tuned", "auc": roc_auc_score(is_new, unsure)}


def pooled(features) -> np.ndarray:
    """Returns float64 `(n, width)`, feature maps averaged."""
    array = np.asarray(features.arrays[0], "float64")
    return array.reshape(len(array), -1, array.shape[-1]).mean(axis=1)


def distances(known: np.ndarray, labels: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Returns Mahalanobis' distances to the nearest class mean (Lee et al., 2018)."""
    from sklearn.covariance import LedoitWolf

    means = np.stack([known[labels == label].mean(axis=0) for label in set(labels)])
    seen = np.searchsorted(sorted(set(labels)), labels)
    fitted = LedoitWolf(assume_centered=True).fit(known - means[seen])
    apart = new[:, None] - means[None]
    return np.einsum("nci,ij,ncj->nc", apart, fitted.precision_, apart).min(axis=1)


def files(shared: Path, speaker: str, seed: int, methods) -> Iterator[dict]:
    """Yields how far answers are from the model's own, of files of two kinds."""
    import keras
    import soundfile

    import tlkeras as tl

    folder = shared / RECORDINGS
    keras.utils.set_random_seed(seed)
    frame = table_of(folder, speaker)
    data = read(frame, folder)
    model = built(shared, data.class_names)
    tl.fit_head(model, data.train, verbose=0)
    names = frame[frame.split == "test"].file[:100]
    waves = [folder / name for name in names]
    wanted = probabilities(model, waves)
    with tempfile.TemporaryDirectory() as place:
        flacs = [Path(place, name).with_suffix(".flac") for name in names]
        for wave, flac in zip(waves, flacs, strict=True):
            soundfile.write(flac, *soundfile.read(wave, dtype="int16"))
        model.save(Path(place, "digits.keras"))
        loaded = tl.load(Path(place, "digits.keras"))
        for kind, paths in (("WAV", waves), ("FLAC", flacs)):
            apart = np.abs(probabilities(loaded, paths) - wanted).max()
            yield {"method": f"loaded, {kind}", "difference": float(apart)}
        for name in ("digits", "digits.tflite", "digits.onnx"):
            report = tl.export(model, Path(place, name), data=data.test)
            yield {
                "method": f"exported, {name}",
                "difference": report.difference,
                "agreement": report.agreement,
            }


def probabilities(model, paths) -> np.ndarray:
    """Returns what a model says of files, `(n, classes)`."""
    answers = model.classify(list(map(str, paths)))
    return np.array([list(answer.probabilities.values()) for answer in answers])


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

    folder = shared / RECORDINGS
    data = read(table_of(folder, "theo"), folder)
    model = built(shared, data.class_names)
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


STUDIES = {
    "voices": (voices, (*SPEAKERS, "random")),
    "accents": (accents, SPEAKERS),
    "anomalies": (anomalies, tuple("0123456789")),
    "files": (files, ("theo",)),
}


def show_table(lines: list[dict], figure: str, parts: tuple[str, ...]) -> None:
    """Prints a line for each method: every part, median and range over the parts."""
    found: dict[str, dict[str, list[float]]] = {}
    for line in lines:
        of_method = found.setdefault(line["method"], {})
        of_method.setdefault(line["part"], []).append(line[figure])
    print("| method | " + " | ".join([*parts, "median (range)"]) + " |")
    print("| --- " * (len(parts) + 2) + "|")
    for method, by_part in found.items():
        # Of several seeds the mean.
        means = {part: statistics.mean(values) for part, values in by_part.items()}
        cells = [f"{means[part]:.3g}" if part in means else "" for part in parts]
        some = [value for part, value in means.items() if part != "random"]
        if some:
            middle = statistics.median(some)
            cells.append(f"{middle:.3g} ({min(some):.3g} to {max(some):.3g})")
        print(f"| {method} | " + " | ".join(cells) + " |")
    for part in parts:
        for method, by_part in found.items():
            if len(by_part.get(part, ())) > 1:
                print(f"{part}, {method}, by seed: {by_part[part]}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--studies", nargs="+", default=["voices"], choices=STUDIES)
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--parts", nargs="+")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0])
    parser.add_argument("--out", type=Path, default=Path("sounds.jsonl"))
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--speeds", action="store_true")
    given = parser.parse_args()
    shared = given.shared.resolve()
    if given.speeds:
        speeds(shared)
        return
    known = given.out.read_text().splitlines() if given.out.exists() else []
    lines = [{"study": "voices", "seed": 0, **json.loads(line)} for line in known]
    for name in () if given.table else given.studies:
        study, parts = STUDIES[name]
        for seed, part in itertools.product(given.seeds, given.parts or parts):
            about = {"study": name, "part": part, "seed": seed}
            done = {x["method"] for x in lines if about.items() <= x.items()}
            # What voices compare can be had one by one.
            left = [x for x in given.methods if x not in done]
            if name != "voices":
                left = [] if done else [given.methods]
            else:
                left = [[method] for method in left]
            for methods in left:
                began, cpu = time.perf_counter(), time.process_time()
                # Whole or not at all: what is cut off is run again.
                found = list(study(shared, part, seed, methods))
                about["seconds"] = round(time.perf_counter() - began, 1)
                about["processor"] = round(time.process_time() - cpu, 1)
                with given.out.open("a") as file:
                    for each in found:
                        lines.append({**about, **each})
                        line = json.dumps(lines[-1])
                        print(line, flush=True)
                        file.write(f"{line}{os.linesep}")
    for name, (_, parts) in STUDIES.items():
        of_study = [line for line in lines if line["study"] == name]
        for figure in ("accuracy", "auc", "difference"):
            some = [line for line in of_study if figure in line]
            if some:
                print(f"\n{name}, {figure}")
                show_table(some, figure, parts)


if __name__ == "__main__":
    main()
