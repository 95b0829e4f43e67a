"""The quickstart: from scratch, frozen and fine-tuned, on the same data."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from tlkeras._validation import check_int
from tlkeras.builders import TransferModel, image_classifier
from tlkeras.data import ArrayExamples, Splits, from_tfds, image_folder
from tlkeras.evaluation import evaluate
from tlkeras.plots import plot_bars
from tlkeras.training import fine_tune, fit_head


@dataclass(frozen=True)
class Recipe:
    """How the quickstart trains.

    Attributes:
        head_epochs: Epochs of the head on the frozen backbone.
        epochs: Epochs of fine-tuning.
        scratch_epochs: Epochs of the same network from random weights.
        unfreeze_from: Freeze point of fine-tuning.
        learning_rate: The head's.
        fine_tune_learning_rate: Fine-tuning's.
        scratch_learning_rate: The network's from random weights.
        batch_size: Examples per step.
    """

    head_epochs: int = 10
    epochs: int = 10
    scratch_epochs: int = 20
    unfreeze_from: Any = 0.3
    learning_rate: float = 1e-3
    fine_tune_learning_rate: float = 1e-5
    scratch_learning_rate: float = 1e-3
    batch_size: int = 32


# Chosen on the development half of the digits, 5 labels per class; see `read_digits`.
DIGITS_RECIPE = Recipe(
    head_epochs=60,
    epochs=40,
    scratch_epochs=60,
    unfreeze_from="block2",
    learning_rate=1e-2,
    fine_tune_learning_rate=2e-4,
    scratch_learning_rate=3e-3,
    batch_size=16,
)


def read_digits(labels_per_class: int, batch_size: int, seed: int) -> Splits:
    """Makes `Splits` of the handwritten digits that ship with scikit-learn.

    The 1,797 digits are cut in two stratified halves, the same for every seed. The
    second is the test part, the first is the pool that a few labels per class are drawn
    from for training. Pixels, 8x8 with values 0 to 16, become 32x32 with 0 to 255.

    Args:
        labels_per_class: Training examples of each digit.
        batch_size: Examples per batch.
        seed: Seed of the draw.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    pixels = (digits.images * (255 / 16)).astype("float32")[..., None]
    pixels = keras.ops.image.resize(pixels, (32, 32), data_format="channels_last")
    pixels = keras.ops.convert_to_numpy(pixels)
    labels = digits.target.astype("int32")
    pool, test = train_test_split(
        np.arange(len(labels)), test_size=0.5, stratify=labels, random_state=0
    )
    count = 10 * check_int("labels_per_class", labels_per_class, 1)
    if count > len(pool) - 10:
        raise ValueError(
            f"There are {len(pool)} digits to draw from. Received: "
            f"labels_per_class={labels_per_class}."
        )
    train, _ = train_test_split(
        pool, train_size=count, stratify=labels[pool], random_state=seed
    )
    parts = {
        name: ArrayExamples(pixels[rows], labels[rows])
        for name, rows in (("train", np.sort(train)), ("test", np.sort(test)))
    }
    return Splits(
        parts,
        task="classification",
        class_names=list(map(str, range(10))),
        batch_size=batch_size,
        image_size=(32, 32),
        seed=seed,
    )


def read_data(args: argparse.Namespace, recipe: Recipe, seed: int) -> Splits:
    """Makes the `Splits` that `--data` names."""
    if args.data == "digits":
        return read_digits(args.labels_per_class, recipe.batch_size, seed)
    shared = {
        "image_size": args.image_size,
        "batch_size": recipe.batch_size,
        "seed": seed,
        "color_mode": "grayscale" if args.backbone == "glyphnet" else "rgb",
    }
    if args.data.startswith("tfds:"):
        return from_tfds(args.data.removeprefix("tfds:"), **shared)
    return image_folder(args.data, **shared)


def build(args: argparse.Namespace, data: Splits, weights: str | None) -> TransferModel:
    """Builds the classifier, with pretrained or random weights."""
    channels = data.train.element_spec[0].shape[-1]
    return image_classifier(
        args.backbone,
        data.class_names,
        weights=weights,
        input_shape=(*data.image_size, channels),
    )


def train_all_ways(
    args: argparse.Namespace,
    recipe: Recipe,
    data: Splits,
    report: Callable[[str, float], None],
) -> tuple[TransferModel, Any]:
    """Trains in all the ways that are compared; returns the fine-tuned model."""
    verbose = "auto" if args.verbose else 0
    if not args.skip_scratch:
        model = build(args, data, weights=None)
        fine_tune(
            model,
            data.train,
            head_epochs=0,
            epochs=recipe.scratch_epochs,
            unfreeze_from=0,
            train_batch_norm=True,
            fine_tune_learning_rate=recipe.scratch_learning_rate,
            cache=False,
            verbose=verbose,
        )
        report("from scratch", evaluate(model, data.test, verbose=0).accuracy)
    model = build(args, data, weights=args.weights)
    history = fit_head(
        model,
        data.train,
        data.val,
        epochs=recipe.head_epochs,
        learning_rate=recipe.learning_rate,
        verbose=verbose,
    )
    report("frozen backbone", evaluate(model, data.test, verbose=0).accuracy)
    tuned = fine_tune(
        model,
        data.train,
        data.val,
        head_epochs=0,
        epochs=recipe.epochs,
        unfreeze_from=recipe.unfreeze_from,
        fine_tune_learning_rate=recipe.fine_tune_learning_rate,
        verbose=verbose,
    )
    history.append(tuned, replace(tuned.phases[0], first_epoch=recipe.head_epochs))
    return model, history


def compare(args: argparse.Namespace, recipe: Recipe) -> dict[str, list[float]]:
    """Runs every seed; prints, and writes to `args.out`, what came of it."""
    began, accuracies = time.perf_counter(), {}

    def report(way: str, accuracy: float) -> None:
        accuracies.setdefault(way, []).append(accuracy)
        seconds = time.perf_counter() - began
        print(f"  {way:<16} {accuracy:.3f}   ({seconds:.0f} s)", flush=True)

    for seed in range(args.seeds):
        keras.utils.set_random_seed(seed)
        data = read_data(args, recipe, seed)
        if seed == 0:
            print(data.describe(), "\n")
        print(f"Seed {seed}, test accuracy:", flush=True)
        model, history = train_all_ways(args, recipe, data, report)
        result = evaluate(model, data.test, verbose=0)
        report("fine-tuned", result.accuracy)
        if seed == 0:
            write_model(args.out, model, history, result)
    write_comparison(args, recipe, accuracies)
    return accuracies


def write_model(folder: Path, model: TransferModel, history: Any, result: Any) -> None:
    """Writes the first seed's fine-tuned model, its curves and its report."""
    model.save(folder / "model.keras")
    result.save(folder / "report.html")
    axes = history.plot()
    axes[0].figure.savefig(folder / "history.png", dpi=120, bbox_inches="tight")


def write_comparison(
    args: argparse.Namespace, recipe: Recipe, accuracies: dict[str, list[float]]
) -> None:
    """Writes the comparison as a picture and as JSON."""
    axis = plot_bars(accuracies, ylabel="test accuracy")
    axis.set_title(f"{args.backbone} on {args.data}")
    axis.figure.savefig(args.out / "comparison.png", dpi=120, bbox_inches="tight")
    content = {
        "backbone": args.backbone,
        "data": args.data,
        "labels_per_class": args.labels_per_class if args.data == "digits" else None,
        "recipe": asdict(recipe),
        "test_accuracy": accuracies,
    }
    (args.out / "results.json").write_text(json.dumps(content, indent=2))


def table(accuracies: dict[str, list[float]]) -> str:
    """Formats the comparison: median and range over the seeds."""
    seeds = len(next(iter(accuracies.values())))
    lines = [f"{'':<16} {'median':>7}  {'range':<13}  test accuracy, {seeds} seed(s)"]
    for way, values in accuracies.items():
        spread = f"{min(values):.3f}-{max(values):.3f}"
        lines.append(f"{way:<16} {np.median(values):>7.3f}  {spread:<13}")
    return "\n".join(lines)


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, Recipe]:
    """Reads the command line into settings and the recipe."""
    parser = argparse.ArgumentParser(
        prog="python -m tlkeras",
        description="Trains one network from scratch, on a frozen backbone, and "
        "fine-tuned, on the same data; writes model, pictures and report to a folder. "
        "Without arguments: glyphnet, pretrained on printed letters, learns "
        "handwritten digits from a few labels, offline.",
    )
    add = parser.add_argument
    add(
        "--data",
        default="digits",
        help="digits, a folder of class folders, or tfds:NAME",
    )
    add("--backbone", default="glyphnet", help="a name from tlkeras.list_backbones()")
    add("--weights", default="pretrained", help="pretrained, or a file or folder")
    add("--out", type=Path, default=Path("tlkeras_quickstart"), help="folder to write")
    add("--seeds", type=int, help="how many seeds (3 for digits, otherwise 1)")
    add("--labels-per-class", type=int, default=5, help="training digits of each class")
    add("--image-size", type=int, help="side in pixels (224; 32 for glyphnet)")
    add("--batch-size", type=int, help="examples per step")
    add("--head-epochs", type=int, help="epochs on the frozen backbone")
    add("--epochs", type=int, help="epochs of fine-tuning")
    add("--unfreeze-from", type=freeze_point, help="a layer's name, index or share")
    add("--learning-rate", type=float, help="the head's")
    add("--fine-tune-learning-rate", type=float, help="fine-tuning's")
    add("--skip-scratch", action="store_true", help="do not train from scratch")
    add("--verbose", action="store_true", help="show every epoch")
    args = parser.parse_args(arguments)
    digits = args.data == "digits"
    args.seeds = check_int("--seeds", args.seeds or (3 if digits else 1), 1)
    args.image_size = args.image_size or (32 if args.backbone == "glyphnet" else 224)
    if digits and args.backbone != "glyphnet":
        parser.error("--data digits are 32x32 grey pictures, for --backbone glyphnet.")
    recipe = DIGITS_RECIPE if digits else Recipe()
    asked = {
        name: getattr(args, name)
        for name in asdict(recipe)
        if getattr(args, name, None) is not None
    }
    return args, replace(recipe, **asked)


def freeze_point(text: str) -> int | float | str:
    """Reads a freeze point from the command line: `15`, `0.3` or `block5`."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def run_command(arguments: Sequence[str]) -> int:
    """Runs the quickstart.

    Args:
        arguments: The command line's, without the program's name.

    Returns:
        0, or 2 where an argument or the data would not do; the reason is printed.
    """
    args, recipe = parse(arguments)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        print(f"{args.backbone} on {args.data}\n")
        accuracies = compare(args, recipe)
    except (ValueError, OSError) as error:
        print(f"tlkeras: {error}", file=sys.stderr)
        return 2
    print(f"\n{table(accuracies)}\n")
    print(f"Model, report and pictures are in {args.out.resolve()}")
    print("Use the model: tlkeras.load('model.keras').classify(['picture.png'])")
    return 0
