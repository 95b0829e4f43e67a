"""Time from `image_folder` to the first trained batch, and where it goes.

    KERAS_HOME=../shared/keras_home \
        python tests/benchmarks/first_step.py ../shared/data/ants_bees/train

One fresh process: what TensorFlow traces and compiles, it does so once. Its import is
not counted. The time to each event is printed, and between it and the one before, by
the clock and of the processor (all cores together), which other programs disturb less.
With `--profile` it says which functions took most of it.
"""

import argparse
import cProfile
import os
import pstats
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import tensorflow as tf

import tlkeras as tl


class Marks(keras.callbacks.Callback):
    """Notes when each thing happens first, in each phase."""

    def __init__(self):
        super().__init__()
        self.rows, self.seen, self.phase = [], set(), ""
        self.last = self.began = self.now()

    @staticmethod
    def now() -> tuple[float, float]:
        return time.perf_counter(), time.process_time()

    def mark(self, name: str) -> None:
        name = f"{self.phase}{name}"
        if name in self.seen:
            return
        self.seen.add(name)
        now = self.now()
        both = [
            now[0] - self.began[0],
            *(b - a for a, b in zip(self.last, now, strict=True)),
        ]
        self.rows.append((name, *both))
        self.last = now

    def on_train_begin(self, logs=None):
        self.phase = "fine-tune: " if self.phase else "head: "
        self.mark("ready to fit")

    def on_train_batch_end(self, batch, logs=None):
        self.mark("first step trained")

    def on_test_begin(self, logs=None):
        self.mark("other steps of the epoch")

    def on_test_end(self, logs=None):
        self.mark("validated")

    def on_epoch_end(self, epoch, logs=None):
        self.mark("first epoch ended")


def run(args: argparse.Namespace, cache: str) -> tuple[Marks, list[float]]:
    """Returns the marks, and the seconds that extraction took in each phase."""
    marks = Marks()
    data = tl.image_folder(args.folder, image_size=args.size, batch_size=32, seed=0)
    marks.mark("image_folder")
    model = tl.image_classifier(args.backbone, data.class_names, weights=args.weights)
    marks.mark("image_classifier")
    history = tl.fine_tune(
        model,
        data.train,
        data.val,
        head_epochs=1,
        epochs=1,
        recipe=tl.Recipe(head="gradient"),
        callbacks=[marks],
        cache=cache,
        verbose=0,
    )
    marks.mark("fine_tune returned")
    return marks, [phase.extraction_seconds for phase in history.phases]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a folder of class folders")
    parser.add_argument("--backbone", default="mobilenet_v2")
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--xla", action="store_true")
    parser.add_argument("--profile", action="store_true")
    args = parser.parse_args()
    tl.configure(precision="float32", strategy="none", seed=0, xla=args.xla or "auto")
    # TensorFlow sets itself up with the first operation.
    tf.constant(0.0).numpy()
    profile = cProfile.Profile() if args.profile else None
    with tempfile.TemporaryDirectory() as cache:
        if profile:
            profile.enable()
        marks, extraction = run(args, cache)
        if profile:
            profile.disable()
    print(f"{'':36}{'at':>8}{'took':>8}{'CPU':>8}   seconds")
    for name, at, took, cpu in marks.rows:
        print(f"{name:36}{at:8.2f}{took:8.2f}{cpu:8.2f}")
    print("extraction of each phase:", *(f"{s:.2f} s" for s in extraction))
    if profile:
        pstats.Stats(profile).sort_stats("cumulative").print_stats("tlkeras", 45)


if __name__ == "__main__":
    main()
