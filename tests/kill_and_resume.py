"""Kills a training process again and again, and compares the end with a whole run.

    python tests/kill_and_resume.py --kills 20 [--seed 0] \
        [--photographs ../shared/data/ants_bees/train]

Without photographs it trains a tiny backbone on generated pictures. A round is the same
run in a new folder, ended by SIGKILL at up to three random moments and started again
each time. The moments of all rounds are spread over the time that the whole run took,
extraction of features included; it is processor time, which other work on the machine
does not stretch. A run may come to its end before its moment: rounds follow until all
kills are done. After each, all weights and logs must be those of the run that nobody
killed, bit for bit.
"""

import argparse
import itertools
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

# More would leave little time to each process, which first has to compile.
KILLS_IN_ROUND = 3


def train(folder: Path, photographs: Path | None) -> None:
    """Trains one run to its end, or goes on with it; saves what it came to."""
    import keras
    from helpers import solid_colours, tiny_backbone

    import tlkeras as tl
    from tlkeras import cache
    from tlkeras.training import resume

    # Checkpoints after every step, and features on disk after every batch.
    resume.SECONDS_BETWEEN, resume._SHARE = 0.0, 1e9
    cache.FLUSH_BYTES = 0
    keras.utils.set_random_seed(0)
    if photographs is None:
        backbone, (train, labels) = tiny_backbone(), solid_colours(400, 2)
        train, val, classes = (train, labels), (train[:64], labels[:64]), 2
    else:
        data = tl.image_folder(photographs, image_size=224, seed=0)
        backbone, train, val = "mobilenet_v2", data.train, data.val
        classes = data.class_names
    # Whoever goes on draws other numbers: what ends alike came from the checkpoint.
    going_on = any(folder.glob("checkpoints/[!.]*.npz"))
    keras.utils.set_random_seed(1 if going_on else 0)
    model = tl.image_classifier(backbone, classes, dropout=0.3)
    (folder / "ready").write_text(str(time.process_time()))
    history = tl.fine_tune(
        model,
        train,
        val,
        head_epochs=6,
        epochs=4,
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
        cache=folder / "cache",
        checkpoint_dir=folder / "checkpoints",
        log_dir=folder / "logs",
        callbacks=[keras.callbacks.CSVLogger(folder / "user.csv")],
        verbose=2,
    )
    weights = [*model.variables, *model.optimizer.variables]
    weights = [keras.ops.convert_to_numpy(v) for v in weights]
    np.savez(folder / "result.npz", *weights)
    (folder / "history.json").write_text(json.dumps(history.history))
    (folder / "saved").write_text(str(time.process_time()))


def run(folder: Path, photographs: Path | None, seconds: float | None = None) -> bool:
    """Starts the run, or goes on with it; returns whether it came to its end.

    Args:
        folder: Of the run.
        photographs: As on the command line.
        seconds: When it is killed, counted from where it has data and model.
    """
    command = [sys.executable, __file__, "--train", folder]
    if photographs is not None:
        command += ["--photographs", photographs]
    ready, saved, messages = folder / "ready", folder / "saved", folder / "messages"
    ready.unlink(missing_ok=True)
    with open(messages, "a") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file)
    while process.poll() is None and not ready.exists():
        time.sleep(0.01)
    begun = spent(process)
    while process.poll() is None:
        if seconds is not None and spent(process) - begun >= seconds:
            break
        time.sleep(0.005)
    # TensorFlow may take seconds to leave, when there is nothing to lose any more.
    by_kill = process.poll() is None and not saved.exists()
    if by_kill:
        process.send_signal(signal.SIGKILL)
    code = process.wait()
    if code != 0 and not (by_kill and code == -signal.SIGKILL):
        says = messages.read_text(errors="replace")[-1500:]
        raise SystemExit(f"A process ended with code {code}: {says}")
    return code == 0


def spent(process: subprocess.Popen) -> float:
    """Returns the processor time of a process, 0 where it has ended."""
    if process.poll() is not None:
        return 0.0
    times = psutil.Process(process.pid).cpu_times()
    return times.user + times.system


def unfinished(folder: Path) -> set[Path]:
    """Returns checkpoints that processes of a run left half written."""
    return set(folder.glob("checkpoints/.*.unfinished.npz"))


def described(folder: Path, before: set[Path]) -> str:
    """Says where a kill found the run, by the files that are there."""
    positions = [[0, 0, 0]]
    for path in folder.glob("checkpoints/[!.]*.npz"):
        with np.load(path) as arrays:
            positions.append(json.loads(arrays["about"].tobytes())["position"])
    where = "phase {}, epoch {}, step {}".format(*max(positions))
    if any(folder.glob("cache/*.partial")):
        where += ", features half extracted"
    if unfinished(folder) - before:
        where += ", a checkpoint half written"
    return where


def compare(whole: Path, cut: Path) -> tuple[float, list[str]]:
    """Returns the largest difference of any weight, and the logs that differ."""
    ours, theirs = np.load(cut / "result.npz"), np.load(whole / "result.npz")
    if ours.files != theirs.files:
        raise SystemExit("The runs ended with other variables.")
    differences = [
        np.abs(ours[k].astype("float64") - theirs[k]).max() for k in ours.files
    ]
    logs = [
        name
        for name in ("history.json", "logs/epochs.csv")
        if (cut / name).read_text() != (whole / name).read_text()
    ]
    return float(np.max(differences)), logs


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--train", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    photographs, wanted = arguments.photographs, arguments.kills
    if arguments.train is not None:
        train(arguments.train, photographs)
        return
    if wanted < 1:
        parser.error("--kills must be at least 1.")
    draw = random.Random(arguments.seed)
    kills, differences, alike = 0, [], True
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, "whole")
        whole.mkdir()
        run(whole, photographs)
        begun, ended = (
            float((whole / name).read_text()) for name in ("ready", "saved")
        )
        lasts = ended - begun
        print(f"Training took {lasts:.1f} s.", flush=True)
        # Each kill has its part of the time; instead of one that came late any moment.
        shares = [(part + draw.random()) / wanted for part in range(wanted)]
        draw.shuffle(shares)
        while kills < wanted:
            cut = Path(folder, f"cut-{len(differences)}")
            cut.mkdir()
            moments = [
                lasts * (shares.pop() if shares else draw.random())
                for _ in range(min(KILLS_IN_ROUND, wanted - kills))
            ]
            at_end = False
            for before, moment in itertools.pairwise([0.0, *sorted(moments)]):
                known = unfinished(cut)
                at_end = run(cut, photographs, moment - before)
                if at_end:
                    break
                kills += 1
                where = described(cut, known)
                print(f"kill {kills} at {moment:.2f} s: {where}", flush=True)
            if not at_end:
                run(cut, photographs)
            difference, logs = compare(whole, cut)
            differences.append(difference)
            alike = alike and difference == 0.0 and not logs
            print(
                f"round {len(differences)}: largest difference {difference}, "
                f"logs that differ: {', '.join(logs) or 'none'}",
                flush=True,
            )
    print(
        f"{kills} of {wanted} kills, {len(differences)} rounds, "
        f"largest difference {np.max(differences)}"
    )
    if not alike:
        raise SystemExit("A run that was killed did not end as the whole run did.")


if __name__ == "__main__":
    main()
