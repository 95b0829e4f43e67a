"""Extraction by two workers against one process, each with one core.

    python tests/benchmarks/workers.py --photographs ../shared/data/ants_bees/train

Both run the frozen part of MobileNetV2 (set `KERAS_HOME` for real weights) over the
same photographs: one process over all of them, each of two over its share, as several
machines would. Repeats are interleaved; the ratio is that of the medians. Needs
`taskset` (Linux) and two idle cores.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from workers_on_loopback import errors, free_ports, started, wait_for

SIZE, CUT = 224, "block_13_expand"


def extract(folder: Path, photographs: Path, repeats: int, worker: int) -> None:
    """Extracts this process' share whenever it is told to; notes how long it took."""
    import tlkeras as tl
    from tlkeras.data import reading_of
    from tlkeras.distribution import Replicas
    from tlkeras.features.extraction import Store
    from tlkeras.features.extraction import extract as run_prefix
    from tlkeras.features.splitting import split

    tl.configure(precision="float32", seed=0)
    data = tl.image_folder(
        photographs, image_size=SIZE, seed=0, val_split=0, test_split=0
    )
    model = tl.image_classifier("mobilenet_v2", data.class_names)
    tl.freeze(model, CUT)
    prefix, reading = split(model).prefix, reading_of(data.train)
    replicas = Replicas(model)
    examples = replicas.share(reading.examples, reading.batch_size)
    for repeat in range(-1, repeats):
        replicas.workers.all(True)
        while not (folder / f"go{repeat}").exists():
            time.sleep(0.01)
        began = time.monotonic()
        run_prefix(prefix, examples, reading.batch_size, Store(None), 0)
        seconds = time.monotonic() - began
        note = folder / f"note-{worker}"
        note.write_text(f"{len(examples)} {seconds}")
        note.rename(folder / f"done{repeat}-{worker}")


def measured(folder: Path, workers: int, repeat: int, processes: list) -> float:
    """Has all workers run once; returns photographs per second of all together."""
    (folder / f"go{repeat}").touch()
    paths = [folder / f"done{repeat}-{k}" for k in range(workers)]
    while not all(path.exists() for path in paths):
        for number, process in enumerate(processes):
            if process.poll():
                raise SystemExit(errors(folder, number)[-2000:])
        time.sleep(0.01)
    parts = [path.read_text().split() for path in paths]
    # They are done when the slowest is.
    seconds = max(float(part[1]) for part in parts)
    return sum(int(part[0]) for part in parts) / seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--extract", type=Path)
    parser.add_argument("worker", type=int, nargs="?")
    arguments = parser.parse_args()
    if arguments.extract is not None:
        extract(
            arguments.extract,
            arguments.photographs,
            arguments.repeats,
            arguments.worker,
        )
        return
    if (os.cpu_count() or 1) < 2:
        raise SystemExit("This takes two cores: one for each process.")
    cores = [["taskset", "-c", str(k)] for k in range(2)]
    rates: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as name:
        folders = {workers: Path(name, str(workers)) for workers in rates}
        for folder in folders.values():
            folder.mkdir()

        def start(workers):
            folder = folders[workers]
            command = [Path(__file__).resolve(), "--extract", folder]
            command += ["--photographs", arguments.photographs]
            command += ["--repeats", arguments.repeats]
            ports = free_ports(2) if workers == 2 else []
            return started(command, ports, folder, cores[:workers])

        with start(1) as one, start(2) as two:
            both = {1: one, 2: two}
            # The first of each compiles and reads the files for the first time.
            for repeat in range(-1, arguments.repeats):
                for workers, folder in folders.items():
                    rate = measured(folder, workers, repeat, both[workers])
                    if repeat >= 0:
                        rates[workers].append(rate)
                        print(f"{workers} process(es): {rate:.1f} photographs/s")
            wait_for([*one, *two], 60)
    medians = {workers: statistics.median(found) for workers, found in rates.items()}
    print(
        f"medians: {medians[1]:.1f} and {medians[2]:.1f} photographs/s; two workers "
        f"are {medians[2] / medians[1]:.2f} times as fast as one"
    )


if __name__ == "__main__":
    main()
