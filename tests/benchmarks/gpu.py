"""The classic VGG16 job on one card: by hand, with tlkeras, and with PyTorch if there.

    python tests/benchmarks/gpu.py
    python tests/benchmarks/gpu.py --pictures 16 --size 32 --epochs 1    # a rehearsal

Generated pictures, two classes, in files; epochs of the frozen backbone with a new head
and as many of block5 and the head. By hand it is the script of the Keras guide, in
float32 and in mixed_float16, each with `jit_compile="auto"` and without; its pictures
lie in memory, decoded, which is part of its time. tlkeras runs with an empty cache and
then again. PyTorch takes torchvision's VGG16 with channels last and autocast. All start
from random weights, those of the Keras sides the same, and every side runs all of its
epochs: nothing is extrapolated. Times hold reading, building and compiling; each side
runs in a process of its own, whose start and imports are not counted. Accuracy is that
of the training pictures. Not run on a GPU so far.
"""

import argparse
import importlib.util
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

CLASSES, RATES, FROZEN_LAYERS = 2, (1e-3, 1e-5), 15


def write_pictures(folder: Path, count: int, size: int) -> None:
    """Writes noisy pictures, each class with a brighter half of its own."""
    from PIL import Image

    rng = np.random.default_rng(0)
    for number in range(count):
        label = number % CLASSES
        pixels = rng.integers(0, 160, (size, size, 3), "uint8")
        half = slice(size // 2) if label else slice(size // 2, None)
        pixels[half] += 60
        path = folder / f"class{label}" / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, quality=90)


def listed(folder: Path) -> tuple[list[Path], np.ndarray]:
    paths = sorted(folder.glob("*/*.jpg"))
    return paths, np.array([int(path.parent.name[-1]) for path in paths])


def by_hand(args: argparse.Namespace, precision: str, jit_compile: str) -> tuple:
    """Returns the seconds and the accuracy of the Keras guide's script."""
    import keras

    jit = "auto" if jit_compile == "auto" else False
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy(precision)
    began = time.perf_counter()
    paths, labels = listed(args.folder)
    shape = (args.size, args.size)
    x = np.stack(
        [
            keras.utils.img_to_array(keras.utils.load_img(path, target_size=shape))
            for path in paths
        ]
    )
    x = keras.applications.vgg16.preprocess_input(x)
    y = keras.utils.to_categorical(labels, CLASSES)
    base = keras.applications.VGG16(
        weights=None, include_top=False, input_shape=(*shape, 3)
    )
    base.load_weights(args.weights)
    base.trainable = False
    hidden = keras.layers.Dense(256, activation="relu")
    hidden = hidden(keras.layers.Flatten()(base.output))
    outputs = keras.layers.Dense(CLASSES, activation="softmax", dtype="float32")
    model = keras.Model(base.input, outputs(hidden))
    for rate in RATES:
        for layer in base.layers[FROZEN_LAYERS:] if rate == RATES[1] else ():
            layer.trainable = True
        model.compile(
            keras.optimizers.Adam(rate),
            "categorical_crossentropy",
            metrics=["accuracy"],
            jit_compile=jit,
        )
        model.fit(x, y, epochs=args.epochs, batch_size=args.batch_size, verbose=0)
    seconds = time.perf_counter() - began
    predicted = model.predict(x, batch_size=args.batch_size, verbose=0)
    return seconds, float((predicted.argmax(1) == labels).mean())


def with_tlkeras(args: argparse.Namespace, precision: str, xla: str) -> tuple:
    """Returns the seconds and the accuracy of the same job with `fine_tune`."""
    import tlkeras as tl

    choices = {"on": True, "off": False, "auto": "auto"}
    tl.configure(precision=precision, strategy="none", seed=0, xla=choices[xla])
    began = time.perf_counter()
    data = tl.image_folder(
        args.folder,
        image_size=args.size,
        batch_size=args.batch_size,
        validation_split=0,
        test_split=0,
    )
    model = tl.image_classifier(
        "vgg16",
        data.class_names,
        weights=args.weights,
        input_shape=(args.size, args.size, 3),
        head="flatten",
        hidden=(256,),
    )
    tl.fine_tune(
        model,
        data.train,
        head_epochs=args.epochs,
        epochs=args.epochs,
        unfreeze_from="block5",
        learning_rate=RATES[0],
        fine_tune_learning_rate=RATES[1],
        recipe=tl.Recipe(head="gradient"),
        cache=args.cache,
        verbose=2 if args.verbose else 0,
    )
    seconds = time.perf_counter() - began
    paths, labels = listed(args.folder)
    x = tl.load_images(list(map(str, paths)), (args.size, args.size))
    predicted = model.predict(x, batch_size=args.batch_size, verbose=0)
    return seconds, float((predicted.argmax(1) == labels).mean())


def with_torch(args: argparse.Namespace, *_: str) -> tuple:
    """Returns the seconds and the accuracy of the same job with torchvision's VGG16."""
    import torch
    import torchvision
    from PIL import Image

    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    half = torch.float16 if device == "cuda" else torch.bfloat16
    began = time.perf_counter()
    paths, labels = listed(args.folder)
    shape = (args.size, args.size)
    pixels = np.stack([np.asarray(Image.open(path).resize(shape)) for path in paths])
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
    y = torch.from_numpy(labels)
    base = torchvision.models.vgg16(weights=None).features
    width = 512 * (args.size // 32) ** 2
    head = torch.nn.Sequential(
        torch.nn.Flatten(),
        torch.nn.Linear(width, 256),
        torch.nn.ReLU(),
        torch.nn.Linear(256, CLASSES),
    )
    model = torch.nn.Sequential(base, head).to(
        device, memory_format=torch.channels_last
    )
    scaler = torch.amp.GradScaler(device, enabled=device == "cuda")

    def outputs_of(batch):
        batch = batch.to(device, memory_format=torch.channels_last)
        with torch.autocast(device, half):
            return model(batch)

    for rate in RATES:
        for parameter in base.parameters():
            parameter.requires_grad = False
        if rate == RATES[1]:
            # The layers of block5, from the fourth pooling on.
            for parameter in base[24:].parameters():
                parameter.requires_grad = True
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(trained, rate)
        for _ in range(args.epochs):
            for rows in torch.randperm(len(x)).split(args.batch_size):
                optimizer.zero_grad(set_to_none=True)
                loss = torch.nn.functional.cross_entropy(
                    outputs_of(x[rows]).float(), y[rows].to(device)
                )
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
    if device == "cuda":
        torch.cuda.synchronize()
    seconds = time.perf_counter() - began
    with torch.no_grad():
        found = [outputs_of(part).argmax(1).cpu() for part in x.split(args.batch_size)]
    return seconds, float((torch.cat(found) == y).float().mean())


SIDES = {"hand": by_hand, "tlkeras": with_tlkeras, "torch": with_torch}


def run_side(args: argparse.Namespace, side: str, *choices: str) -> tuple | None:
    """Runs one side in a process of its own; returns its figures."""
    command = [sys.executable, __file__, "--side", side, *choices]
    for name in ("folder", "weights", "cache", "size", "epochs", "batch_size"):
        command += [f"--{name.replace('_', '-')}", str(getattr(args, name))]
    command += ["--verbose"] * args.verbose
    try:
        done = subprocess.run(
            command, stdout=subprocess.PIPE, text=True, timeout=args.timeout
        )
    except subprocess.TimeoutExpired:
        print(f"  {' '.join((side, *choices))}: not within {args.timeout} s")
        return None
    lines = done.stdout.splitlines()
    if args.verbose:
        print(*(f"    {line}" for line in lines[:-1]), sep="\n")
    return tuple(json.loads(lines[-1])) if done.returncode == 0 else None


def prepare(args: argparse.Namespace) -> str:
    """Writes pictures and weights; returns the name of the card."""
    import keras
    import tensorflow as tf

    write_pictures(args.folder, args.pictures, args.size)
    shape = (args.size, args.size, 3)
    keras.utils.set_random_seed(0)
    base = keras.applications.VGG16(weights=None, include_top=False, input_shape=shape)
    base.save_weights(args.weights)
    gpus = tf.config.list_physical_devices("GPU")
    details = map(tf.config.experimental.get_device_details, gpus)
    return ", ".join(d.get("device_name", "GPU") for d in details) or "no GPU"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=10, help="of each phase")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--timeout", type=int, default=600, help="seconds of each side")
    parser.add_argument("--xla", default="auto", choices=("auto", "on", "off"))
    parser.add_argument("--only", nargs="+", choices=SIDES, default=[*SIDES])
    parser.add_argument("--verbose", action="store_true")
    parser.add_argument("--side", nargs="+", help=argparse.SUPPRESS)
    for name in ("folder", "weights", "cache"):
        parser.add_argument(f"--{name}", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(json.dumps(SIDES[args.side[0]](args, *args.side[1:])))
        return
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("folder", "cache"):
            setattr(args, name, Path(scratch, name))
        args.weights = Path(scratch, "vgg16.weights.h5")
        # In a process of its own: TensorFlow keeps the memory of a card.
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            card = pool.apply(prepare, (args,))
        print(
            f"{card}: {args.pictures} pictures of {args.size} px, {args.epochs} + "
            f"{args.epochs} epochs, batches of {args.batch_size}"
        )
        half = "mixed_float16"
        sides = [
            *(("hand", p, j) for p in ("float32", half) for j in ("auto", "off")),
            ("tlkeras", half, args.xla),
            ("tlkeras", half, args.xla),
        ]
        if importlib.util.find_spec("torchvision"):
            sides.append(("torch",))
        sides = [side for side in sides if side[0] in args.only]
        best, warm = None, False
        for side in sides:
            found, name = run_side(args, *side), " ".join(side)
            if side[0] == "tlkeras":
                name, warm = f"{name} {'warm' if warm else 'cold'}", True
            if found is None:
                print(f"{name:34} failed")
                continue
            seconds, accuracy = found
            if side[0] == "hand":
                best = min(best or seconds, seconds)
            ratio = f"{best / seconds:6.1f} times the best by hand" if best else ""
            print(f"{name:34}{seconds:9.1f} s  accuracy {accuracy:.3f} {ratio}")


if __name__ == "__main__":
    main()
