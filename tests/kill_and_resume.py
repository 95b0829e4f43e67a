"""Kills a training process again and again, and compares the end with a whole run.

    python tests/kill_and_resume.py --kills 20 [--photographs ../shared/data/ants_bees]

Without photographs it trains a tiny backbone on generated pictures. Each process is
ended by SIGKILL, a random while after it began to train or to write a checkpoint.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def train(folder: Path, photographs: Path | None, every_step: bool) -> None:
    """Trains one run to its end, or goes on with it; saves what it came to."""
    import keras
    import numpy as np
    from helpers import solid_colours, tiny_backbone

    import tlkeras as tl
    from tlkeras.training import resume

    if every_step:
        resume.SECONDS_BETWEEN, resume._SHARE = 0.0, 1e9
    keras.utils.set_random_seed(0)
    if photographs is None:
        backbone, (train, labels) = tiny_backbone(), solid_colours(400, 2)
        train, val, classes = (train, labels), (train[:64], labels[:64]), 2
    else:
        data = tl.image_folder(photographs, image_size=224, seed=0)
        backbone, train, val = "mobilenet_v2", data.train, data.val
        classes = data.class_names
    model = tl.image_classifier(backbone, classes, dropout=0.3)
    (folder / "ready").touch()
    history = tl.fine_tune(
        model,
        train,
        val,
        head_epochs=6,
        epochs=3,
        unfreeze_from="gradual",
        learning_rate=1e-2,
        fine_tune_learning_rate=1e-3,
        recipe=tl.Recipe(
            optimizer="adamw",
            schedule="cosine",
            layer_decay=0.8,
            patience=3,
            batch_size=8,
        ),
        checkpoint_dir=folder / "checkpoints",
        log_dir=folder / "logs",
        callbacks=[keras.callbacks.CSVLogger(folder / "user.csv")],
        verbose=2,
    )
    weights = [np.array(v) for v in [*model.variables, *model.optimizer.variables]]
    np.savez(folder / "result.npz", *weights)
    (folder / "history.json").write_text(json.dumps(history.history))


def start(folder: Path, photographs: Path | None, rest: str) -> subprocess.Popen:
    command = [sys.executable, __file__, "--train", str(folder), rest]
    if photographs is not None:
        command += ["--photographs", str(photographs)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def kill_at_random(
    folder: Path, photographs: Path | None, draw, longest: float
) -> bool:
    """Starts the run and kills it; returns whether it came to its end before."""
    ready, checkpoints = folder / "ready", folder / "checkpoints"
    ready.unlink(missing_ok=True)
    process = start(folder, photographs, "--every-step")
    while process.poll() is None and not ready.exists():
        time.sleep(0.01)
    until = time.monotonic() + draw.uniform(0.0, longest)
    while process.poll() is None and time.monotonic() < until:
        time.sleep(0.001)
    # Every other kill waits for a checkpoint that is being written.
    limit = time.monotonic() + 20
    while draw.random() < 0.5 and process.poll() is None:
        if any(checkpoints.glob("*.unfinished.npz")) or time.monotonic() > limit:
            break
        time.sleep(0.0005)
    if process.poll() is not None:
        if process.returncode != 0:
            raise SystemExit(f"The run failed with exit code {process.returncode}.")
        return True
    process.send_signal(signal.SIGKILL)
    process.wait()
    return False


def compare(whole: Path, cut: Path) -> float:
    """Returns the largest difference of any weight; fails unless logs are equal."""
    import numpy as np

    ours, theirs = np.load(cut / "result.npz"), np.load(whole / "result.npz")
    if ours.files != theirs.files:
        raise SystemExit("The runs ended with other variables.")
    for name in ("history.json", "logs/epochs.csv"):
        if (cut / name).read_text() != (whole / name).read_text():
            raise SystemExit(f"The runs differ in {name}.")
    return max(
        float(np.abs(ours[k].astype("float64") - theirs[k]).max()) for k in ours.files
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--train", type=Path)
    parser.add_argument("--every-step", action="store_true")
    arguments = parser.parse_args()
    if arguments.train is not None:
        train(arguments.train, arguments.photographs, arguments.every_step)
        return
    draw = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        whole, cut = Path(folder, "whole"), Path(folder, "cut")
        whole.mkdir()
        cut.mkdir()
        if start(whole, arguments.photographs, "--every-step").wait() != 0:
            raise SystemExit("The whole run failed.")
        trained = (whole / "result.npz").stat().st_mtime
        longest = (trained - (whole / "ready").stat().st_mtime) / 2
        kills = 0
        while kills < arguments.kills:
            if kill_at_random(cut, arguments.photographs, draw, longest):
                break
            kills += 1
            print(f"kill {kills}", flush=True)
        if start(cut, arguments.photographs, "--every-step").wait() != 0:
            raise SystemExit("The resumed run failed.")
        difference = compare(whole, cut)
    print(f"{kills} kills; largest difference of a weight: {difference}")
    if kills == 0:
        raise SystemExit("The run came to its end before it could be killed.")
    if difference != 0.0:
        raise SystemExit("The resumed run ended with other weights.")


if __name__ == "__main__":
    main()
