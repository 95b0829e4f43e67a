"""The quickstart on pictures: from scratch, frozen and fine-tuned."""

import argparse
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from tlkeras._validation import check_int
from tlkeras.builders import TransferModel, image_classifier
from tlkeras.data import Splits, from_tfds, image_folder
from tlkeras.evaluation import evaluate
from tlkeras.freezing import freeze_index
from tlkeras.inputs import Pictures
from tlkeras.inputs.arrays import ArrayExamples
from tlkeras.outputs import Classes
from tlkeras.problem import Problem
from tlkeras.quickstart.comparison import Announce, Settings, Task, train_two_phases
from tlkeras.training import Recipe, fine_tune


@dataclass(frozen=True)
class ImageSettings(Settings):
    """How the quickstart trains on pictures.

    Attributes:
        scratch_epochs: Epochs of the same network from random weights.
        scratch_learning_rate: The network's from random weights.
    """

    scratch_epochs: int = 20
    scratch_learning_rate: float = 1e-3


# Chosen on the development half of the digits, 5 labels per class; see `read_digits`.
DIGITS_RECIPE = ImageSettings(
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
        problem=Problem(Pictures((32, 32), channels=1), Classes(10)),
        batch_size=batch_size,
        seed=seed,
    )


def read_data(args: argparse.Namespace, recipe: ImageSettings, seed: int) -> Splits:
    """Makes the `Splits` that `--data` names."""
    if args.data == "digits":
        return read_digits(args.labels_per_class, recipe.batch_size, seed)
    is_glyphnet = args.backbone == "glyphnet"
    shared = {
        "image_size": args.image_size or (32 if is_glyphnet else 224),
        "batch_size": recipe.batch_size,
        "seed": seed,
        "color_mode": "grayscale" if is_glyphnet else "rgb",
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
        input_shape=(*data.problem.input.image_size, channels),
    )


def train_all_ways(
    args: argparse.Namespace, recipe: ImageSettings, data: Splits, announce: Announce
) -> tuple[TransferModel, Any]:
    """Trains in all the ways that are compared; returns the fine-tuned model."""
    if not args.skip_scratch:
        model = build(args, data, weights=None)
        freeze_index(model.backbone, recipe.unfreeze_from)
        fine_tune(
            model,
            data.train,
            head_epochs=0,
            epochs=recipe.scratch_epochs,
            unfreeze_from=0,
            fine_tune_learning_rate=recipe.scratch_learning_rate,
            recipe=Recipe(train_batch_norm=True),
            cache=False,
            verbose="auto" if args.verbose else 0,
        )
        announce("from scratch", evaluate(model, data.test, verbose=0).accuracy)
    model = build(args, data, weights=args.weights)
    history = train_two_phases(model, data, recipe, announce, args.verbose)
    return model, history


def check(args: argparse.Namespace) -> str | None:
    """Says which arguments do not go together."""
    if args.data == "digits" and args.backbone != "glyphnet":
        return "--data digits are 32x32 grey pictures, for --backbone glyphnet."
    return None


IMAGES = Task(
    name="images",
    data="digits",
    backbone="glyphnet",
    recipe=DIGITS_RECIPE,
    own_recipe=ImageSettings(),
    read_data=read_data,
    train_all_ways=train_all_ways,
    example="picture.png",
    options={"labels_per_class": 5, "image_size": None, "skip_scratch": False},
    check=check,
)
