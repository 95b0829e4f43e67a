"""The classic VGG16 script, by hand and with tlkeras, on the same files in one run.

    python tests/benchmarks/vgg16_classic.py ../shared/data/ants_bees/train

The hand-written side is the script of the Keras guide's kind: float32, arrays, Adam,
every layer run in every epoch. Its epochs are timed for a few and extrapolated (they
all do the same work); reading the files is part of it. The tlkeras side runs in full,
with decoding, extraction and compilation, first with an empty cache, then again.
Weights are random, which does not change the time; a file keeps them equal in both of
tlkeras's runs. The precision is measured before, once per machine, as `tl.configure()`
has it done. A plain matrix product in bfloat16 in the same run shows how near to the
processor's limit the extraction comes.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import tlkeras as tl


def by_hand(paths: list[str], labels: np.ndarray, timed: int, epochs: int) -> float:
    """Returns the seconds of `epochs` + `epochs` epochs, from `timed` + `timed`."""
    began = time.perf_counter()
    x = np.stack([keras.utils.img_to_array(load(path)) for path in paths])
    x = keras.applications.vgg16.preprocess_input(x)
    y = keras.utils.to_categorical(labels, 2)
    base = keras.applications.VGG16(
        weights=None, include_top=False, input_shape=(224, 224, 3)
    )
    base.trainable = False
    features = keras.layers.Flatten()(base.output)
    hidden = keras.layers.Dense(256, activation="relu")(features)
    model = keras.Model(base.input, keras.layers.Dense(2, activation="softmax")(hidden))
    setup = time.perf_counter() - began
    total = setup
    for rate, unfrozen in ((1e-3, 0), (1e-5, 4)):
        for layer in base.layers[len(base.layers) - unfrozen :]:
            layer.trainable = True
        model.compile(
            keras.optimizers.Adam(rate), "categorical_crossentropy", jit_compile=False
        )
        marks = [time.perf_counter()]
        mark = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda *_, marks=marks: marks.append(time.perf_counter())
        )
        model.fit(x, y, epochs=timed, batch_size=32, verbose=0, callbacks=[mark])
        seconds = np.diff(marks)
        steady = statistics.median(seconds[1:]) if timed > 1 else seconds[0]
        total += seconds[0] + steady * (epochs - 1)
    return total


def load(path: str):
    return keras.utils.load_img(path, target_size=(224, 224))


def with_tlkeras(folder: Path, epochs: int, cache: Path, weights: Path):
    """Returns the seconds of the same job with `fine_tune`, and its history."""
    began = time.perf_counter()
    data = tl.image_folder(folder, image_size=224, validation_split=0, test_split=0)
    model = tl.image_classifier(
        "vgg16", data.class_names, weights=weights, head="flatten", hidden=(256,)
    )
    history = tl.fine_tune(
        model,
        data.train,
        head_epochs=epochs,
        epochs=epochs,
        unfreeze_from="block5",
        cache=cache,
        verbose=0,
    )
    return time.perf_counter() - began, history


def link_pictures(source: Path, target: Path, count: int) -> tuple[list, np.ndarray]:
    """Links `count` of the pictures, as many of each class, into a folder."""
    paths, labels = [], []
    for label, name in enumerate(
        sorted(p.name for p in source.iterdir() if p.is_dir())
    ):
        (target / name).mkdir(parents=True)
        for path in sorted((source / name).iterdir())[: count // 2]:
            (target / name / path.name).symlink_to(path.resolve())
            paths.append(str(path))
            labels.append(label)
    return paths, np.array(labels)


def extraction_flops(freeze_point: str) -> float:
    """Returns the operations of VGG16's convolutions below a block, per picture."""
    base = keras.applications.VGG16(weights=None, include_top=False)
    total, side = 0, 224
    for layer in base.layers:
        if layer.name.startswith(freeze_point):
            break
        if isinstance(layer, keras.layers.Conv2D):
            total += 2 * int(np.prod(layer.kernel.shape)) * side**2
        side //= 2 if isinstance(layer, keras.layers.MaxPooling2D) else 1
    return total


def product_flops(dtype: str, side: int = 2048, repeats: int = 5) -> float:
    """Returns the operations per second of a plain matrix product."""
    import tensorflow as tf

    a = tf.cast(tf.random.normal((side, side)), dtype)
    tf.matmul(a, a).numpy()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        tf.matmul(a, a).numpy()
        seconds.append(time.perf_counter() - began)
    return 2 * side**3 / statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a folder of two class folders")
    parser.add_argument("--pictures", type=int, default=96)
    parser.add_argument("--epochs", type=int, default=10, help="of each phase")
    parser.add_argument("--timed", type=int, default=2, help="epochs timed by hand")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--precision", default="auto")
    args = parser.parse_args()
    tl.configure(precision=args.precision, strategy="none")
    tl.image_classifier("vgg16", 2, weights=None)
    keras.config.set_dtype_policy("float32")
    print(
        f"matrix product: float32 {product_flops('float32') / 1e12:.2f} TFLOP/s, "
        f"bfloat16 {product_flops('bfloat16') / 1e12:.2f} TFLOP/s"
    )
    work = extraction_flops("block5") * args.pictures
    rows = []
    for _ in range(args.repeats):
        with tempfile.TemporaryDirectory() as scratch:
            pictures, cache = Path(scratch, "pictures"), Path(scratch, "cache")
            weights = Path(scratch, "vgg16.weights.h5")
            paths, labels = link_pictures(args.folder, pictures, args.pictures)
            base = tl.load_backbone("vgg16", weights=None)
            base.save_weights(weights)
            timed = min(args.timed, args.epochs)
            hand = by_hand(paths, labels, timed, args.epochs)
            cold, history = with_tlkeras(pictures, args.epochs, cache, weights)
            warm, _ = with_tlkeras(pictures, args.epochs, cache, weights)
            extraction = sum(phase.extraction_seconds for phase in history.phases)
            rows.append((hand, cold, warm, extraction))
            print(
                f"by hand {hand:.1f} s, tlkeras {cold:.1f} s ({hand / cold:.1f} times "
                f"faster), warm cache {warm:.1f} s ({hand / warm:.1f} times faster); "
                f"extraction {extraction:.1f} s, {extraction / cold:.0%} of it, at "
                f"{work / extraction / 1e12:.2f} TFLOP/s",
                flush=True,
            )
    hand, cold, warm, _ = map(statistics.median, zip(*rows, strict=True))
    print(
        f"median of {args.repeats}: {args.epochs} + {args.epochs} epochs, "
        f"{args.pictures} pictures, precision {args.precision}: "
        f"{hand / cold:.1f} times faster, {hand / warm:.1f} with a warm cache"
    )


if __name__ == "__main__":
    main()
