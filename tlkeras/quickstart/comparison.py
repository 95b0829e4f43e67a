"""What the quickstart's tasks share: recipe, the two phases, and what is written."""

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from tlkeras.builders import TransferModel
from tlkeras.data import Splits
from tlkeras.evaluation import Report, evaluate
from tlkeras.freezing import freeze_index
from tlkeras.plots import plot_bars
from tlkeras.training import fine_tune, fit_head

# Says what a way of training came to: its name, and its test accuracy.
Announce = Callable[[str, float], None]


@dataclass(frozen=True)
class Settings:
    """How the quickstart trains.

    Attributes:
        head_epochs: Epochs of the head on the frozen backbone.
        epochs: Epochs of fine-tuning.
        unfreeze_from: Freeze point of fine-tuning.
        learning_rate: The head's.
        fine_tune_learning_rate: Fine-tuning's.
        batch_size: Examples per step.
    """

    head_epochs: int = 10
    epochs: int = 10
    unfreeze_from: Any = 0.3
    learning_rate: float = 1e-3
    fine_tune_learning_rate: float = 1e-5
    batch_size: int = 32


class Task(NamedTuple):
    """What one value of `--task` stands for.

    Attributes:
        name: That value.
        data: Name of the data that come with tlkeras.
        backbone: The default backbone.
        recipe: Settings for those data.
        own_recipe: Settings for all other data.
        read_data: Makes the `Splits` of a seed.
        train_all_ways: Trains in all the ways that are compared; returns the
            fine-tuned model and its history.
        example: What `classify` may be given, for the last line that is printed.
        options: Arguments that it alone knows, and their defaults.
        check: Says what of the arguments does not go together, otherwise `None`; called
            before defaults are filled in.
        details: Says more of the first seed's fine-tuned model, given its report.
    """

    name: str
    data: str
    backbone: str
    recipe: Settings
    own_recipe: Settings
    read_data: Callable[[argparse.Namespace, Any, int], Splits]
    train_all_ways: Callable[
        [argparse.Namespace, Any, Splits, Announce], tuple[TransferModel, Any]
    ]
    example: str
    options: dict[str, Any]
    check: Callable[[argparse.Namespace], str | None]
    details: Callable[[argparse.Namespace, Report], str] | None = None


class Comparison(NamedTuple):
    """What a run came to.

    Attributes:
        accuracies: From each way of training to its test accuracies, one per seed.
        report: The report of the first seed's fine-tuned model.
    """

    accuracies: dict[str, list[float]]
    report: Report


def train_two_phases(
    model: TransferModel,
    data: Splits,
    recipe: Settings,
    announce: Announce,
    verbose: bool,
) -> Any:
    """Trains the head, announces its accuracy, fine-tunes; returns the history."""
    shown = "auto" if verbose else 0
    # One that does not exist is told before anything is trained.
    freeze_index(model.backbone, recipe.unfreeze_from)
    history = fit_head(
        model,
        data.train,
        data.val,
        epochs=recipe.head_epochs,
        learning_rate=recipe.learning_rate,
        verbose=shown,
    )
    announce("frozen backbone", evaluate(model, data.test, verbose=0).accuracy)
    tuned = fine_tune(
        model,
        data.train,
        data.val,
        head_epochs=0,
        epochs=recipe.epochs,
        unfreeze_from=recipe.unfreeze_from,
        fine_tune_learning_rate=recipe.fine_tune_learning_rate,
        verbose=shown,
    )
    history.append(tuned, replace(tuned.phases[0], first_epoch=recipe.head_epochs))
    return history


def compare(task: Task, args: argparse.Namespace, recipe: Settings) -> Comparison:
    """Runs every seed; prints, and writes to `args.out`, what came of it."""
    began, accuracies, first = time.perf_counter(), {}, None

    def announce(way: str, accuracy: float) -> None:
        accuracies.setdefault(way, []).append(accuracy)
        seconds = time.perf_counter() - began
        print(f"  {way:<16} {accuracy:.3f}   ({seconds:.0f} s)", flush=True)

    for seed in range(args.seeds):
        keras.utils.set_random_seed(seed)
        data = task.read_data(args, recipe, seed)
        if seed == 0:
            print(data.describe(), "\n")
        print(f"Seed {seed}, test accuracy:", flush=True)
        model, history = task.train_all_ways(args, recipe, data, announce)
        report = evaluate(model, data.test, verbose=0)
        announce("fine-tuned", report.accuracy)
        if first is None:
            first = report
            write_model(args.out, model, history, report)
    write_comparison(args, recipe, accuracies)
    return Comparison(accuracies, first)


def write_model(
    folder: Path, model: TransferModel, history: Any, report: Report
) -> None:
    """Writes the first seed's fine-tuned model, its curves and its report."""
    model.save(folder / "model.keras")
    report.save(folder / "report.html")
    axes = history.plot()
    axes[0].figure.savefig(folder / "history.png", dpi=120, bbox_inches="tight")


def write_comparison(
    args: argparse.Namespace, recipe: Settings, accuracies: dict[str, list[float]]
) -> None:
    """Writes the comparison as a picture and as JSON."""
    axis = plot_bars(accuracies, ylabel="test accuracy")
    axis.set_title(f"{args.backbone} on {args.data}")
    axis.figure.savefig(args.out / "comparison.png", dpi=120, bbox_inches="tight")
    content = {
        "task": args.task,
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
