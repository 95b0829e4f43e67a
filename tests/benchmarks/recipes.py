"""What each practice of fine-tuning is worth: accuracy on real data, several seeds.

    KERAS_HOME=../shared/keras_home python tests/benchmarks/recipes.py \
        --photographs ../shared/data/ants_bees
    python tests/benchmarks/recipes.py --sentences ../shared/data/sst2

Each recipe trains on the same examples for the same number of epochs, once for each
seed, which sets the split of training and validation, the head's start and the order.
Prints median and range of the accuracy on the test part, which no recipe was chosen by.
"""

import argparse
import time
from pathlib import Path

import keras
import numpy as np

import tlkeras as tl

# In all 10 + 10 epochs for pictures, 10 + 3 for texts.
PLAIN = {"head_epochs": 10, "schedule": "constant"}
PICTURES = {
    "plain two-phase": {},
    "+ gradual": {"unfreeze_from": "gradual", "epochs": [4, 3, 3]},
    "+ layer decay": {"layer_decay": 0.8},
    "+ schedule": {"schedule": "cosine"},
    "+ augmentation, dropout": {
        "augment": "medium",
        "cached_views": 4,
        "dropout": 0.2,
    },
    "all of them": {
        "unfreeze_from": "gradual",
        "epochs": [4, 3, 3],
        "layer_decay": 0.8,
        "schedule": "cosine",
        "augment": "medium",
        "cached_views": 4,
        "dropout": 0.2,
    },
}
TEXTS = {
    "plain two-phase": {},
    "+ gradual": {"unfreeze_from": "gradual", "epochs": [1, 1, 1]},
    "+ layer decay": {"layer_decay": 0.8},
    "+ schedule": {"schedule": "cosine"},
    "+ weight decay, dropout": {"optimizer": "adamw", "dropout": 0.3},
    "all of them": {
        "unfreeze_from": "gradual",
        "epochs": [1, 1, 1],
        "layer_decay": 0.8,
        "schedule": "cosine",
        "optimizer": "adamw",
        "dropout": 0.3,
    },
}
DEFAULT = "the defaults of fine_tune"


def photographs(folder: Path, image_size: int, seed: int) -> tl.Splits:
    return tl.image_folder(folder, image_size=image_size, seed=seed)


def sentences(folder: Path, count: int, seed: int) -> tuple:
    """Returns training and validation sentences, and the dev table as test part."""
    import pandas as pd

    table = pd.read_csv(folder / "train.tsv", sep="\t")
    chosen = table.sample(count, random_state=seed)
    dev = pd.read_csv(folder / "dev.tsv", sep="\t")
    test = tl.from_arrays(
        dev["content"].to_numpy(),
        dev["label"].to_numpy(),
        validation_split=0.0,
        test_split=1.0,
    )
    data = tl.from_arrays(
        chosen["sentence"].to_numpy(),
        chosen["label"].to_numpy(),
        validation_split=0.1,
        test_split=0.0,
        seed=seed,
    )
    return data.train, data.val, test.test, ("negative", "positive")


def run(name: str, recipe: dict, arguments: argparse.Namespace, seed: int) -> list:
    """Trains once; returns accuracies after the head and at the end, and seconds."""
    keras.utils.set_random_seed(seed)
    dropout = {}
    if recipe != "auto":
        recipe = dict(recipe)
        dropout = {n: recipe.pop(n) for n in ("dropout",) if n in recipe}
    if arguments.photographs is not None:
        size = arguments.image_size
        data = photographs(arguments.photographs, size, seed)
        train, val, test, names = data.train, data.val, data.test, data.class_names
        model = tl.image_classifier("mobilenet_v2", names, input_shape=size, **dropout)
    else:
        train, val, test, names = sentences(arguments.sentences, arguments.count, seed)
        model = tl.text_classifier("minilm", names, **dropout)
    began = time.perf_counter()
    if recipe != "auto":
        recipe = tl.Recipe(**({} if name == DEFAULT else PLAIN | recipe))
    tl.fine_tune(model, train, val, recipe=recipe, verbose=0)
    seconds = time.perf_counter() - began
    return [tl.evaluate(model, test, verbose=0).accuracy, seconds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--sentences", type=Path)
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="*")
    arguments = parser.parse_args()
    tl.configure()
    recipes = PICTURES if arguments.photographs is not None else TEXTS
    recipes = {**recipes, DEFAULT: {}}
    if arguments.photographs is not None:
        recipes["defaults + medium, 4 views"] = {
            "head_epochs": "auto",
            "augment": "medium",
            "cached_views": 4,
        }
        recipes['recipe="auto"'] = "auto"
    print(f"{'':<28} {'median':>7} {'range':>15} {'seconds':>8}")
    for name, recipe in recipes.items():
        if arguments.only and name not in arguments.only:
            continue
        results = [run(name, recipe, arguments, s) for s in range(arguments.seeds)]
        accuracies, seconds = np.array(results).T
        span = f"{accuracies.min():.3f}-{accuracies.max():.3f}"
        print(
            f"{name:<28} {np.median(accuracies):>7.3f} {span:>15} "
            f"{np.median(seconds):>8.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
