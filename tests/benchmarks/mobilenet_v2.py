"""Time to a test accuracy with MobileNetV2: plain Keras' frozen `fit` and tlkeras.

    KERAS_HOME=../shared/keras_home \
        python tests/benchmarks/mobilenet_v2.py ../shared/data/ants_bees

Both sides read the same files, train the same head (average pooling, one Dense layer)
on ImageNet weights with the same optimizer, batch size and number of pixels, and look
at the test part after each epoch, as the clock stops when it reaches the target. The
plain side is the script of the Keras guide: the frozen backbone runs in every epoch.
Building the model, reading files, extraction and compilation are part of both times.
A figure of time, not of accuracy: it stops on the test part.
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


class StopAt(keras.callbacks.Callback):
    """Stops at a validation accuracy; remembers when, and in which epoch."""

    def __init__(self, target: float):
        super().__init__()
        self.target = target
        self.reached = None

    def on_epoch_end(self, epoch, logs=None):
        if logs["val_accuracy"] >= self.target:
            self.reached = time.perf_counter(), epoch + 1
            self.model.stop_training = True


def plain_keras(folder: Path, stop: StopAt, epochs: int) -> float:
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
        callbacks=[stop],
        verbose=0,
        shuffle=False,
    )
    return began


def with_tlkeras(folder: Path, stop: StopAt, epochs: int, cache: Path) -> float:
    """Returns when the same in tlkeras began."""
    began = time.perf_counter()
    data = tl.image_folder(folder, image_size=SIZE, batch_size=BATCH, val_split=0)
    model = tl.image_classifier("mobilenet_v2", data.class_names)
    tl.fit_head(
        model,
        data.train,
        data.test,
        epochs=epochs,
        learning_rate=RATE,
        callbacks=[stop],
        cache=cache,
        verbose=0,
    )
    return began


def measured(run, target: float, *arguments) -> tuple[float, int] | None:
    """Returns the seconds and epochs to the target, `None` if it was not reached."""
    stop = StopAt(target)
    began = run(arguments[0], stop, *arguments[1:])
    if stop.reached is None:
        return None
    return stop.reached[0] - began, stop.reached[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="holds train/ and test/")
    parser.add_argument("--target", type=float, default=0.96)
    parser.add_argument("--epochs", type=int, default=60, help="at most")
    parser.add_argument("--repeats", type=int, default=3, help="seeds")
    args = parser.parse_args()
    ratios, warm_ratios = [], []
    for seed in range(args.repeats):
        with tempfile.TemporaryDirectory() as scratch:
            cache = Path(scratch)
            keras.utils.set_random_seed(seed)
            plain = measured(plain_keras, args.target, args.folder, args.epochs)
            sides = []
            for _ in ("empty cache", "warm cache"):
                keras.utils.set_random_seed(seed)
                sides.append(
                    measured(with_tlkeras, args.target, args.folder, args.epochs, cache)
                )
        if plain is None or None in sides:
            print(f"seed {seed}: {args.target} not reached in {args.epochs} epochs")
            continue
        (ours, epochs), (again, _) = sides
        print(
            f"seed {seed}: plain Keras {plain[0]:.1f} s ({plain[1]} epochs), tlkeras "
            f"{ours:.1f} s ({epochs} epochs), with a warm cache {again:.1f} s",
            flush=True,
        )
        ratios.append(plain[0] / ours)
        warm_ratios.append(plain[0] / again)
    print(
        f"median of {len(ratios)} seeds, to test accuracy {args.target}: "
        f"{statistics.median(ratios):.1f} times faster "
        f"({min(ratios):.1f} to {max(ratios):.1f}), with a warm cache "
        f"{statistics.median(warm_ratios):.1f}"
    )


if __name__ == "__main__":
    main()
