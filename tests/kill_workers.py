"""Kills workers again and again, and compares the end with a run that nobody killed.

    python tests/kill_workers.py --kills 10 [--workers 2] \
        [--photographs ../shared/data/ants_bees/train]

Without photographs it trains a tiny backbone on generated pictures. Kills take turns:
one while features are extracted, one while the head trains, one while the top does.
Each ends a random worker by SIGKILL at a random moment; the others must then end by
themselves. All are started again on the same ports, and go on with the checkpoints.
"""

import argparse
import json
import random
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from workers_on_loopback import errors, free_ports, started, wait_for

PHASES = ("extraction", "head", "fine-tune")
# How long the others may take to stop, and a whole run to end.
STOP, END = 300, 1800


def mark_phases(folder: Path, worker: int, slow: bool) -> None:
    """Notes when each phase begins; gives a tiny extraction some length."""
    from tlkeras.features import extraction
    from tlkeras.training import phase
    from tlkeras.training.feeding import feeder

    def mark(name):
        with open(folder / f"phases-{worker}", "a") as file:
            file.write(f"{name} {time.time()}\n")

    extract, announce = feeder.extract, phase.announce
    inference = extraction.inference_function

    def marked_extract(*arguments):
        mark("extraction")
        return extract(*arguments)

    def marked_announce(run, stage):
        mark(stage.name)
        announce(run, stage)

    def slow_inference(model):
        run = inference(model)
        return lambda batch: (time.sleep(0.2), run(batch))[1]

    feeder.extract, phase.announce = marked_extract, marked_announce
    if slow:
        extraction.inference_function = slow_inference


def train(folder: Path, photographs: Path | None, worker: int) -> None:
    """Trains one run to its end, or goes on with it; saves what it came to."""
    import keras
    import numpy as np
    from helpers import solid_colours, tiny_backbone

    import tlkeras as tl
    from tlkeras.training import resume

    runtime = tl.configure(precision="float32", seed=0)
    mark_phases(folder, worker, slow=photographs is None)
    # A checkpoint after every step.
    resume.SECONDS_BETWEEN, resume._SHARE = 0.0, 1e9
    if photographs is None:
        with runtime.scope():
            backbone = tiny_backbone()
        (train, labels), classes = solid_colours(400, 2), 2
        train, val = (train, labels), (train[:64], labels[:64])
        unfreeze_from, cache = "block3", folder / "cache"
    else:
        data = tl.image_folder(photographs, image_size=224, seed=0, test_split=0)
        backbone, train, val = "mobilenet_v2", data.train, data.val
        classes, unfreeze_from = data.class_names, "block_16_expand"
        cache = folder / "cache"
    model = tl.image_classifier(backbone, classes, dropout=0.3)
    history = tl.fine_tune(
        model,
        train,
        val,
        head_epochs=6,
        epochs=4,
        unfreeze_from=unfreeze_from,
        learning_rate=1e-2,
        fine_tune_learning_rate=1e-3,
        recipe=tl.Recipe(
            optimizer="adamw", schedule="cosine", layer_decay=0.8, batch_size=16
        ),
        cache=cache,
        checkpoint_dir=folder / "checkpoints",
        log_dir=folder / "logs",
        callbacks=[keras.callbacks.CSVLogger(folder / "user.csv")],
        verbose=2,
    )
    weights = [np.array(v) for v in [*model.variables, *model.optimizer.variables]]
    np.savez(folder / f"result-{worker}.npz", *weights)
    (folder / f"history-{worker}.json").write_text(json.dumps(history.history))


@dataclass
class Kill:
    """One row of the table."""

    phase: str
    worker: int
    after: float
    seconds: float | None = None
    message: str = ""

    def __str__(self) -> str:
        stopped = "nobody was left" if self.seconds is None else f"{self.seconds:.1f} s"
        return (
            f"{self.phase:>10} | worker {self.worker} | {self.after:5.2f} s | "
            f"{stopped:>8} | {self.message}"
        )


class Runs:
    """Starts the same run in one folder or another."""

    def __init__(self, arguments: argparse.Namespace):
        self.photographs, self.workers = arguments.photographs, arguments.workers
        self.ports = free_ports(self.workers)

    def start(self, folder: Path):
        command = [__file__, "--train", folder]
        if self.photographs is not None:
            command += ["--photographs", self.photographs]
        return started(command, self.ports, folder)

    def finish(self, folder: Path) -> None:
        """Runs to the end; fails where it does not come to it."""
        with self.start(folder) as processes:
            in_time = wait_for(processes, END)
            codes = [process.poll() for process in processes]
        if not in_time or any(codes):
            texts = [errors(folder, k)[-1500:] for k in range(self.workers)]
            raise SystemExit(f"A run did not end (exit codes {codes}): {texts}")

    def kill(self, folder: Path, phase: str, lasts: float, draw) -> Kill | None:
        """Starts a run, kills a worker in a phase; `None` if that is over."""
        victim = draw.randrange(self.workers)
        mine = folder / f"phases-{victim}"
        mine.unlink(missing_ok=True)
        kill = Kill(phase, victim, draw.uniform(0.0, lasts))
        with self.start(folder) as processes:
            killed = processes[victim]
            while killed.poll() is None and phase not in phases_in(mine):
                time.sleep(0.005)
            end = time.monotonic() + kill.after
            while killed.poll() is None and time.monotonic() < end:
                time.sleep(0.005)
            if killed.poll() is not None:
                if killed.returncode:
                    raise SystemExit(f"A run failed: {errors(folder, victim)[-1500:]}")
                wait_for(processes, STOP)
                return None
            killed.kill()
            began = time.monotonic()
            kill.phase = list(phases_in(mine))[-1]
            others = [one for one in processes if one is not killed]
            if not wait_for(others, STOP):
                raise SystemExit(f"{kill}: the others still run after {STOP} s.")
            kill.seconds = time.monotonic() - began
            kill.message = "; ".join(
                ended_with(folder, number, process)
                for number, process in enumerate(processes)
                if process is not killed
            )
        return kill


def phases_in(path: Path) -> dict[str, float]:
    """Returns the phases that a worker began, and when."""
    if not path.exists():
        return {}
    begun: dict[str, float] = {}
    for line in path.read_text().splitlines():
        name, _, when = line.rpartition(" ")
        if name and name not in begun:
            begun[name] = float(when)
    return begun


def ended_with(folder: Path, number: int, process) -> str:
    """Returns how a worker ended that was left alone; it must say so."""
    text = errors(folder, number)
    told = re.search(r"WorkerError: (.*)", text)
    if process.returncode == 0:
        return f"{number}: came to its end"
    if told is None:
        last = text.strip().splitlines()[-1:] or [""]
        return f"{number}: NO WorkerError, exit code {process.returncode}: {last[0]}"
    says = told[1].partition("TensorFlow says: ")[2] or told[1]
    return f"{number}: WorkerError ({says[:70]})"


def difference(whole: Path, cut: Path, workers: int) -> float:
    """Returns the largest difference of any weight of any worker."""
    import numpy as np

    expected, found = np.load(whole / "result-0.npz"), []
    for worker in range(workers):
        history = json.loads((cut / f"history-{worker}.json").read_text())
        wanted = json.loads((whole / "history-0.json").read_text())
        # Sums of metrics are parted anew over the workers: rounded, not lost.
        alike = history.keys() == wanted.keys() and all(
            np.allclose(history[name], wanted[name], rtol=1e-5, equal_nan=True)
            for name in wanted
        )
        if not alike:
            raise SystemExit(f"Worker {worker}: {history}, uninterrupted {wanted}.")
        ours = np.load(cut / f"result-{worker}.npz")
        if ours.files != expected.files:
            raise SystemExit("The runs ended with other variables.")
        for name in ours.files:
            apart = ours[name].astype("float64") - expected[name]
            # Each worker draws dropout masks of its own.
            if expected[name].dtype.kind == "f":
                found.append(float(np.abs(apart).max()))
    return max(found)


def lengths(folder: Path) -> dict[str, float]:
    """Returns how long each phase of a whole run took."""
    begun = phases_in(folder / "phases-0")
    ends = [*begun.values(), (folder / "result-0.npz").stat().st_mtime]
    return {name: max(0.2, ends[k + 1] - ends[k]) for k, name in enumerate(begun)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--photographs", type=Path)
    parser.add_argument("--train", type=Path)
    parser.add_argument("worker", type=int, nargs="?")
    arguments = parser.parse_args()
    if arguments.train is not None:
        train(arguments.train, arguments.photographs, arguments.worker)
        return
    draw, runs, kills = random.Random(arguments.seed), Runs(arguments), []
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder, "whole")
        whole.mkdir()
        runs.finish(whole)
        lasts = lengths(whole)
        print({name: f"{seconds:.1f} s" for name, seconds in lasts.items()})
        print("     phase | killed   | after   | stopped  | the others")
        apart = []
        # One run for each turn of kills: a phase that is complete is not run again.
        while len(kills) < arguments.kills:
            cut = Path(folder, f"cut-{len(apart)}")
            cut.mkdir()
            for phase in PHASES[: arguments.kills - len(kills)]:
                kill = runs.kill(cut, phase, lasts.get(phase, 1.0), draw)
                if kill is None:
                    break
                kills.append(kill)
                print(kill, flush=True)
            runs.finish(cut)
            apart.append(difference(whole, cut, arguments.workers))
    print(
        f"{len(kills)} kills in {len(apart)} runs; the others stopped after at most "
        f"{max((kill.seconds for kill in kills), default=0):.1f} s; "
        f"largest difference of a weight: {max(apart)}"
    )
    failed = [kill for kill in kills if "NO WorkerError" in kill.message]
    if failed or max(apart) != 0.0:
        raise SystemExit("The workers did not end as they must.")


if __name__ == "__main__":
    main()
