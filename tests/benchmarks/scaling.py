"""Time per example and peak memory at 1, 4 and 16 times as many examples.

    KERAS_HOME=../shared/keras_home \
        python tests/benchmarks/scaling.py ../shared/data/ants_bees/train

The pictures are repeated, each copy a little brighter or darker, so that no two are
equal. Each size runs in a process of its own: head and fine-tuning of MobileNetV2's top
on a disk cache. Time is given apart for the one pass of the frozen part and for an
epoch of each phase; what is paid once (start, building, compilation) is left out.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def write_pictures(source: Path, target: Path, times: int) -> None:
    """Writes `times` copies of each picture, each of another brightness."""
    from PIL import Image, ImageEnhance

    for path in sorted(source.glob("*/*.jpg")):
        folder = target / path.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        picture = Image.open(path).convert("RGB")
        for copy in range(times):
            brightness = ImageEnhance.Brightness(picture)
            changed = brightness.enhance(0.8 + 0.4 * copy / times)
            changed.save(folder / f"{path.stem}_{copy}.jpg", quality=90)


def run_one(folder: Path, cache: Path, freeze_point: str) -> dict:
    """Trains once; returns seconds per example and the process's peak memory."""
    import keras
    import numpy as np

    import tlkeras as tl

    class Clock(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.seconds = []

        def on_epoch_begin(self, epoch, logs=None):
            self.began = time.perf_counter()

        def on_epoch_end(self, epoch, logs=None):
            self.seconds.append(time.perf_counter() - self.began)

    data = tl.image_folder(folder, image_size=224, validation_split=0, test_split=0)
    model = tl.image_classifier("mobilenet_v2", data.class_names)
    clock = Clock()
    history = tl.fine_tune(
        model,
        data.train,
        head_epochs=3,
        epochs=3,
        unfreeze_from=freeze_point,
        callbacks=[clock],
        cache=cache,
        verbose=0,
    )
    count = tl.cache_info(cache).entries[0].examples
    # The first epoch of a phase compiles.
    head, top = np.median(clock.seconds[1:3]), np.median(clock.seconds[4:])
    extraction = sum(phase.extraction_seconds for phase in history.phases)
    return {
        "examples": count,
        "extraction_ms": 1e3 * extraction / count,
        "head_ms": 1e3 * head / count,
        "fine_tune_ms": 1e3 * top / count,
        "cache_MB": tl.cache_info(cache).size / 1e6,
        "peak_MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a folder of class folders")
    parser.add_argument("--times", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--unfreeze-from", default="block_13_expand")
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(run_one(args.folder, args.one, args.unfreeze_from)))
        return
    rows = []
    for times in args.times:
        with tempfile.TemporaryDirectory() as scratch:
            pictures = Path(scratch, "pictures")
            write_pictures(args.folder, pictures, times)
            command = [sys.executable, __file__, str(pictures)]
            command += ["--one", str(Path(scratch, "cache"))]
            command += ["--unfreeze-from", args.unfreeze_from]
            run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(run.stdout.splitlines()[-1]))
        first = rows[0]
        print(
            ", ".join(
                f"{name} {value:.4g}"
                + (f" ({value / first[name]:.2f}x)" if len(rows) > 1 else "")
                for name, value in rows[-1].items()
            ),
            flush=True,
        )


if __name__ == "__main__":
    main()
