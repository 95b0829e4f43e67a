"""`batch_size="auto"`: the largest batch that the memory takes, found by trying."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np

from tlkeras import cache as disk
from tlkeras._memory import (
    free_memory,
    held_memory,
    is_exhausted,
    naming_the_batch,
)
from tlkeras.features.extraction import longest_of
from tlkeras.inputs.examples import reading_of
from tlkeras.inputs.feature_set import bucket_length
from tlkeras.runtime import current_runtime
from tlkeras.training.job import Job
from tlkeras.training.trial import Trial, trial

# Where the search starts, and where it ends on any machine.
_FIRST, _MOST = 8, 512
# Fewer steps in an epoch would leave the optimizer too little to do.
_FEWEST_STEPS = 20
# The share of free memory that the next size may be expected to take.
_MEMORY_SHARE = 0.5
# Batches looked at for the longest sequences, where lengths are not known.
_LOOKED_AT = 8
_SECONDS_BETWEEN_LOOKS = 0.002


# What helps where a batch is too large.
SMALLER = (
    "Take fewer examples at once, `tl.Recipe(batch_size=...)`, 'auto' for as many as "
    "fit; or train less of the backbone (`unfreeze_from=`), on smaller pictures or "
    "shorter texts, or with mixed precision (`tl.configure`)."
)


@dataclass(frozen=True)
class BatchSize:
    """The batch size that a search found.

    Attributes:
        size: Examples per batch.
        reason: Why not a larger one, as the end of a sentence.
    """

    size: int
    reason: str

    def __str__(self) -> str:
        return f"Batch size {self.size}: {self.reason}."


def largest_batch(job: Job, frozen: int) -> BatchSize:
    """Finds the largest batch that a phase can be trained with, by training steps.

    It doubles from 8 on, without XLA, which would compile for each size. On a GPU or
    TPU it ends where the memory is exhausted. On a CPU the system would end the process
    there; it ends where the next size is expected to take more than half of the free
    memory. It also ends where an epoch would have fewer than 20 steps, and at 512. The
    model stays as it was.

    Args:
        job: Model, data and recipe.
        frozen: How many of the backbone's layers the phase that trains most freezes.

    Returns:
        A `BatchSize`.

    Raises:
        ValueError: If not even one example fits, or the number of examples is not
            known.

    Example:

    >>> from tlkeras.training.batch_size import largest_batch
    >>> from tlkeras.training.job import Fitting, open_job
    >>> x, y = np.zeros((640, 32, 32, 1), "uint8"), np.arange(640) % 2
    >>> model = tl.image_classifier("glyphnet", 2)
    >>> job = open_job(model, (x, y), fitting=Fitting(verbose=0))
    >>> print(largest_batch(job, len(model.backbone.layers)))
    Batch size 32: the largest that leaves 20 steps in an epoch of 640 examples.
    """
    if reading_of(job.train) is None:
        raise ValueError(
            "batch_size='auto' needs to know how many examples there are: pass "
            "`data.train` of `Splits` or a tuple of arrays, or a number. "
            f"Received: {type(job.train).__name__}."
        )
    own = naming_the_batch(batch_size_of(job), SMALLER)
    with own, trial(replace(job, val=None), frozen) as ready:
        most, reason = _upper_bound(len(ready.feeder.readings[0].examples))
        step = _Step(ready)
        free = None if _is_accelerated() else free_memory()
        found = search(step, most, reason, free)
    if job.fitting.verbose != 0:
        print(found)
    return found


def batch_size_of(job: Job) -> int | None:
    """Returns the examples in a batch, `None` where the data do not tell."""
    size, known = job.recipe.batch_size, reading_of(job.train)
    if isinstance(size, int):
        return size
    return None if known is None else known.batch_size


def search(
    step: Callable[[int], int], most: int, reason: str, free: int | None
) -> BatchSize:
    """Doubles the batch size while it works.

    Args:
        step: Takes training steps with so many examples; returns the bytes that the
            process has taken at its peak, beyond what it held before the search.
        most: The largest size to try.
        reason: Why not more than `most`.
        free: Bytes that were free before the search; `None` where a size that is too
            large raises an error instead.

    Returns:
        The largest size that worked, and why not more.

    Raises:
        ValueError: If not even one example fits.
    """
    size, works = min(_FIRST, most), None
    while True:
        try:
            taken = step(size)
        except Exception as error:
            if not is_exhausted(error):
                raise
            if works is not None:
                return BatchSize(works, f"with {size} the memory was exhausted")
            if size == 1:
                raise ValueError(
                    "Not even a batch of one example fits into the memory. Unfreeze "
                    "less (`unfreeze_from=`), or take smaller pictures, shorter texts "
                    f"or a smaller backbone. The error was: {error}"
                ) from error
            most = size = size // 2
            reason = f"with {2 * size} the memory was exhausted"
            continue
        works = size
        if size >= most:
            return BatchSize(size, reason)
        if free is not None and 2 * taken > _MEMORY_SHARE * free:
            return BatchSize(
                size,
                f"it took {disk.readable(taken)} more, and twice that would be more "
                f"than {_MEMORY_SHARE:.0%} of the {disk.readable(free)} that were free",
            )
        size = min(2 * size, most)


def _upper_bound(count: int) -> tuple[int, str]:
    """Returns the largest power of 2 to try for so many examples, and why."""
    fits = max(1, count // _FEWEST_STEPS)
    most = 2 ** int(np.log2(fits))
    if most >= _MOST:
        return _MOST, "as large as a batch gets here"
    if most < _FIRST:
        return min(_FIRST, count), f"small, as there are only {count:,} examples"
    return most, (
        f"the largest that leaves {_FEWEST_STEPS} steps in an epoch of {count:,} "
        "examples"
    )


class _Step:
    """Takes two training steps of a phase with batches of a given size.

    Args:
        ready: The phase.
    """

    def __init__(self, ready: Trial):
        self.model = ready.feed.model
        self.batch = _some_batch(ready)
        self.before = held_memory()

    def __call__(self, size: int) -> int:
        x, y = keras.tree.map_structure(
            lambda part: repeated(part, size, axis=0), self.batch
        )
        with _watched_memory() as seen:
            # The first one makes the optimizer's variables.
            for _ in range(2):
                self.model.train_on_batch(x, y)
        return max(seen) - self.before


def repeated(array: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Returns `array` with an axis of `size`: cut, or repeated from its start."""
    return np.take(array, np.arange(size) % array.shape[axis], axis=axis)


def _some_batch(ready: Trial) -> tuple[Any, np.ndarray]:
    """Returns a batch of the phase, with sequences as long as they get."""
    batches = ready.feed.arguments["x"]
    shapes = [tensor.shape[1:2] for tensor in ready.feed.model.inputs]
    most = ready.feeder.job.problem.input.longest
    if most is None or (None,) not in shapes:
        return _as_arrays(next(iter(batches)))
    found = [_as_arrays(batch) for batch in batches.take(_LOOKED_AT)]
    x, y = max(found, key=lambda batch: keras.tree.flatten(batch[0])[0].shape[1])
    longest = longest_of(ready.feeder.readings[0].examples)
    if longest is None:
        return x, y
    length = min(int(bucket_length(longest)), most)
    resized = [
        repeated(part, length, axis=1) if shape == (None,) else part
        for part, shape in zip(keras.tree.flatten(x), shapes, strict=True)
    ]
    return keras.tree.pack_sequence_as(x, resized), y


def _as_arrays(batch: tuple) -> tuple[Any, np.ndarray]:
    x, y = keras.tree.map_structure(keras.ops.convert_to_numpy, batch[:2])
    return x, y


def _is_accelerated() -> bool:
    return "CPU" not in current_runtime().devices


@contextlib.contextmanager
def _watched_memory() -> Iterator[list[int]]:
    """Notes the process's memory again and again while something else runs."""
    seen, done = [held_memory()], threading.Event()

    def watch():
        while not done.wait(_SECONDS_BETWEEN_LOOKS):
            seen.append(held_memory())

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()
        seen.append(held_memory())
