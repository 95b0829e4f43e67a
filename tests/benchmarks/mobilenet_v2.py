"""Time to a test accuracy with MobileNetV2: plain Keras' frozen `fit` and tlkeras.

    KERAS_HOME=../shared/keras_home \
        python tests/benchmarks/mobilenet_v2.py ../shared/data/ants_bees

Both sides read the same files, train the same head (average pooling, one Dense layer)
on ImageNet weights with the same optimizer, batch size and number of pixels, and look
at the test part after each epoch. The plain side is the script of the Keras guide: the
frozen backbone runs in every epoch. Building the model, reading files, extraction and
compilation are part of both times. Three moments are compared: the first epoch that
reaches the target, the first from which on it is held to the end, and the end.
A figure of time, not of accuracy: it looks at the test part.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras

import tlkeras as tl

SIZE, BATCH, RATE = 224, 32, 1e-3


class Watch(keras.callbacks.Callback):
    """Remembers when each epoch ended, and the validation accuracy then."""

    def __init__(self):
        super().__init__()
        self.ends, self.accuracies = [], []

    def on_epoch_end(self, epoch, logs=None):
        self.ends.append(time.perf_counter())
        self.accuracies.append(logs["val_accuracy"])


def plain_keras(folder: Path, watch: Watch, epochs: int) -> float:
    """Returns when the script of the Keras guide began."""
    began = time.perf_counter()
    train, test = (
        keras.utils.image_dataset_from_directory(
            folder / part,
            image_size=(SIZE, SIZE),
            batch_size=BATCH,
            crop_to_aspect_ratio=True,
            verbose=False,
        ).prefetch(-1)
        for part in ("train", "test")
    )
    base = keras.applications.MobileNetV2(
        weights="imagenet", include_top=False, input_shape=(SIZE, SIZE, 3)
    )
    base.trainable = False
    inputs = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1)(inputs)
    x = keras.layers.GlobalAveragePooling2D()(base(x, training=False))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    model.compile(
        keras.optimizers.Adam(RATE),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        # XLA, Keras' default, is many times slower here: the better script.
        jit_compile=False,
    )
    model.fit(
        train,
        validation_data=test,
        epochs=epochs,
        callbacks=[watch],
        verbose=0,
        shuffle=False,
    )
    return began


def with_tlkeras(folder: Path, watch: Watch, epochs: int, cache: Path) -> float:
    """Returns when the same in tlkeras began."""
    began = time.perf_counter()
    data = tl.image_folder(
        folder, image_size=SIZE, batch_size=BATCH, validation_split=0
    )
    model = tl.image_classifier("mobilenet_v2", data.class_names)
    tl.fit_head(
        model,
        data.train,
        data.test,
        epochs=epochs,
        learning_rate=RATE,
        callbacks=[watch],
        cache=cache,
        verbose=0,
    )
    return began


def measured(run, target: float, *arguments) -> dict[str, tuple[float, int]]:
    """Returns seconds and epochs to each moment; what was not reached is absent."""
    watch = Watch()
    began = run(arguments[0], watch, *arguments[1:])
    good = [accuracy >= target for accuracy in watch.accuracies]
    moments = {"all epochs": len(good)}
    if good[-1]:
        moments["held"] = max((i for i, x in enumerate(good, 2) if not x), default=1)
    if any(good):
        moments["reached"] = good.index(True) + 1
    return {
        name: (watch.ends[epochs - 1] - began, epochs)
        for name, epochs in moments.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds train/ and test/")
    parser.add_argument("--target", type=float, default=0.96)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=3, help="seeds")
    args = parser.parse_args()
    ratios = {}
    for seed in range(args.repeats):
        sides = []
        with tempfile.TemporaryDirectory() as scratch:
            keras.utils.set_random_seed(seed)
            sides.append(measured(plain_keras, args.target, args.folder, args.epochs))
            for _ in ("empty cache", "warm cache"):
                keras.utils.set_random_seed(seed)
                cache = Path(scratch)
                sides.append(
                    measured(with_tlkeras, args.target, args.folder, args.epochs, cache)
                )
        for moment in ("reached", "held", "all epochs"):
            if not all(moment in side for side in sides):
                print(f"seed {seed}, {moment}: not by each side")
                continue
            plain, cold, warm = (side[moment] for side in sides)
            print(
                f"seed {seed}, {moment}: plain Keras {plain[0]:.1f} s ({plain[1]} "
                f"epochs), tlkeras {cold[0]:.1f} s ({cold[1]}), warm {warm[0]:.1f} s",
                flush=True,
            )
            ratio = plain[0] / cold[0], plain[0] / warm[0]
            ratios.setdefault(moment, []).append(ratio)
    for moment, pairs in ratios.items():
        cold, warm = map(statistics.median, zip(*pairs, strict=True))
        print(
            f"{moment}: {cold:.1f} times faster, {warm:.1f} with a warm cache "
            f"(medians of {len(pairs)} seeds)"
        )


if __name__ == "__main__":
    main()
