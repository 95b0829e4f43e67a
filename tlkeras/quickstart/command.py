"""The quickstart's command line: its arguments, and the run."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from tlkeras._validation import check_int
from tlkeras.quickstart.comparison import Settings, compare, table
from tlkeras.quickstart.images import IMAGES
from tlkeras.quickstart.texts import TEXT

TASKS = {task.name: task for task in (IMAGES, TEXT)}


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, Settings]:
    """Reads the command line into settings and the recipe."""
    parser = make_parser()
    args = parser.parse_args(arguments)
    task = TASKS[args.task]
    args.data = args.data or task.data
    args.backbone = args.backbone or task.backbone
    if (wrong := task.check(args)) is not None:
        parser.error(wrong)
    settle_options(parser, args)
    is_own = args.data != task.data
    args.seeds = check_int("--seeds", args.seeds or (1 if is_own else 3), 1)
    recipe = task.own_recipe if is_own else task.recipe
    asked = {
        name: getattr(args, name)
        for name in asdict(recipe)
        if getattr(args, name, None) is not None
    }
    return args, replace(recipe, **asked)


def make_parser() -> argparse.ArgumentParser:
    """Makes the parser; what is not given is `None`."""
    parser = argparse.ArgumentParser(
        prog="python -m tlkeras",
        description="Trains one network in several ways on the same data (pictures: "
        "from scratch, on a frozen backbone, fine-tuned; texts: against a bag of "
        "words); writes model, pictures and report to a folder. Without arguments: "
        "glyphnet, pretrained on printed letters, learns handwritten digits from a few "
        "labels, offline. With --task text: minilm learns whether a sentence is "
        "positive or negative, offline.",
    )
    add = parser.add_argument
    add("--task", choices=sorted(TASKS), default="images", help="what to classify")
    add(
        "--data",
        help="images: digits, a folder of class folders, or tfds:NAME; text: "
        "sentences, or a table (.csv, .tsv, .jsonl)",
    )
    add("--backbone", help="a name from tlkeras.list_backbones(), or a preset's folder")
    add("--weights", default="pretrained", help="pretrained, or a file or folder")
    add("--out", type=Path, default=Path("tlkeras_quickstart"), help="folder to write")
    add("--seeds", type=int, help="how many seeds (3 for the data here, otherwise 1)")
    add("--batch-size", type=int, help="examples per step")
    add("--head-epochs", type=int, help="epochs on the frozen backbone")
    add("--epochs", type=int, help="epochs of fine-tuning")
    add("--unfreeze-from", type=freeze_point, help="a layer's name, index or share")
    add("--learning-rate", type=float, help="the head's")
    add("--fine-tune-learning-rate", type=float, help="fine-tuning's")
    add("--verbose", action="store_true", help="show every epoch")
    images = parser.add_argument_group("--task images").add_argument
    images("--labels-per-class", type=int, help="training digits of each class (5)")
    images("--image-size", type=int, help="side in pixels (224; 32 for glyphnet)")
    images(
        "--skip-scratch",
        action="store_true",
        default=None,
        help="do not train from scratch",
    )
    text = parser.add_argument_group("--task text, --data FILE").add_argument
    text("--text-column", help="the column of texts (text)")
    text("--label-column", help="the column of labels (label)")
    return parser


def settle_options(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Gives a task's own options their defaults; refuses those of the other."""
    for task in TASKS.values():
        for name, default in task.options.items():
            given = getattr(args, name) is not None
            if given and task is not TASKS[args.task]:
                parser.error(f"--{name.replace('_', '-')} is for --task {task.name}.")
            if not given:
                setattr(args, name, default)


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
        0, or 2 where an argument or the data would not do, or a package is not
        installed; the reason is printed.
    """
    args, recipe = parse(arguments)
    task = TASKS[args.task]
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        print(f"{args.backbone} on {args.data}\n")
        comparison = compare(task, args, recipe)
    except (ValueError, OSError, ImportError) as error:
        print(f"tlkeras: {error}", file=sys.stderr)
        return 2
    print(f"\n{table(comparison.accuracies)}\n")
    if task.details is not None and (details := task.details(args, comparison.report)):
        print(f"{details}\n")
    print(f"Model, report and pictures are in {args.out.resolve()}")
    print(f"Use the model: tlkeras.load('model.keras').classify(['{task.example}'])")
    return 0
