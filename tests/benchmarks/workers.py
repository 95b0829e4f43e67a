"""Extraction by two workers against one process, each with one core.

    python tests/benchmarks/workers.py --photographs ../shared/data/ants_bees/train

Both run the frozen part of MobileNetV2 (set `KERAS_HOME` for real weights) over the
same photographs: one process over all of them, each of two over its share, as several
machines would. What the cores allow is measured, too: the network alone, on pixels that
every process holds. Repeats are interleaved; ratios are those of the medians. Needs
`taskset` (Linux) and two idle cores.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from workers_on_loopback import errors, free_ports, started, wait_for

SIZE, CUT = 224, "block_13_expand"
ALONE = 128


def extract(folder: Path, photographs: Path, repeats: int, worker: int) -> None:
    """Extracts this process' share whenever it is told to; notes how long it took."""
    import tlkeras as tl
    from tlkeras.distribution import Replicas
    from tlkeras.features.extraction import Store
    from tlkeras.features.extraction import extract as run_prefix
    from tlkeras.features.splitting import split_model
    from tlkeras.inputs.examples import reading_of

    tl.configure(precision="float32", seed=0)
    data = tl.image_folder(
        photographs, image_size=SIZE, seed=0, validation_split=0, test_split=0
    )
    model = tl.image_classifier("mobilenet_v2", data.class_names)
    tl.freeze(model, CUT)
    prefix, reading = split_model(model).prefix, reading_of(data.train)
    replicas = Replicas(model)
    examples = replicas.share(reading.examples, reading.batch_size)
    pixels = np.random.default_rng(0).uniform(0, 255, (ALONE, SIZE, SIZE, 3))
    for repeat in range(-1, repeats):
        replicas.workers.all(True)
        while not (folder / f"go{repeat}").exists():
            time.sleep(0.01)
        began = time.monotonic()
        run_prefix(prefix, examples, reading.batch_size, Store(None), 0)
        seconds = time.monotonic() - began
        replicas.workers.all(True)
        began = time.monotonic()
        prefix.predict(pixels, batch_size=reading.batch_size, verbose=0)
        alone = time.monotonic() - began
        note = folder / f"note-{worker}"
        note.write_text(f"{len(examples)} {seconds} {ALONE} {alone}")
        note.rename(folder / f"done{repeat}-{worker}")


def linked(photographs: Path, folder: Path, copies: int) -> Path:
    """Makes a folder in which each photograph lies several times."""
    for path in sorted(photographs.glob("*/*")):
        for copy in range(copies):
            link = folder / path.parent.name / f"{copy}-{path.name}"
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path.resolve())
    return folder


def measured(
    folder: Path, workers: int, repeat: int, processes: list
) -> tuple[float, float]:
    """Has all workers run once; returns what they do together in a second.

    Returns:
        Photographs of the extraction, pictures of the network alone.
    """
    (folder / f"go{repeat}").touch()
    paths = [folder / f"done{repeat}-{k}" for k in range(workers)]
    while not all(path.exists() for path in paths):
        for number, process in enumerate(processes):
            if process.poll():
                raise SystemExit(errors(folder, number)[-2000:])
        time.sleep(0.01)
    parts = np.array([path.read_text().split() for path in paths], float)
    # They are done when the slowest is.
    counts, seconds = parts[:, ::2].sum(axis=0), parts[:, 1::2].max(axis=0)
    return tuple(counts / seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", type=Path, required=True)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--copies",
        type=int,
        default=4,
        help="read each photograph as often: a pass takes half a second to start",
    )
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
    rates: dict[int, list[tuple[float, float]]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as name:
        photographs = linked(arguments.photographs, Path(name, "all"), arguments.copies)
        folders = {workers: Path(name, str(workers)) for workers in rates}
        for folder in folders.values():
            folder.mkdir()

        def start(workers):
            folder = folders[workers]
            command = [Path(__file__).resolve(), "--extract", folder]
            command += ["--photographs", photographs]
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
                        print(
                            f"{workers} process(es): {rate[0]:.1f} photographs/s, "
                            f"network alone {rate[1]:.1f}"
                        )
            wait_for([*one, *two], 60)
    one, two = (np.median(rates[workers], axis=0) for workers in (1, 2))
    for what, before, after in zip(
        ("extraction", "network alone"), one, two, strict=True
    ):
        print(
            f"{what}: medians {before:.1f} and {after:.1f} photographs/s; two "
            f"processes are {after / before:.2f} times as fast as one"
        )


if __name__ == "__main__":
    main()
