"""Memory: what this process holds, what it can still have, what is said without any."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import psutil

_GROUP = Path("/sys/fs/cgroup")


def free_memory() -> int:
    """Returns the bytes of memory that can still be had, in a container of its own."""
    free = [psutil.virtual_memory().available]
    with contextlib.suppress(OSError, ValueError):
        # A container's limit, "max" where it has none, is nothing that psutil knows.
        limit = int((_GROUP / "memory.max").read_text())
        free.append(limit - int((_GROUP / "memory.current").read_text()))
    return max(0, min(free))


def held_memory() -> int:
    """Returns the bytes of memory that the process holds."""
    return psutil.Process().memory_info().rss


def is_exhausted(error: BaseException) -> bool:
    """Whether an error says that memory, of the host or of a device, ran out."""
    if isinstance(error, MemoryError):
        return True
    import tensorflow as tf

    if isinstance(error, tf.errors.ResourceExhaustedError):
        return True
    # XLA, cuDNN and Keras' layers wrap it in errors of other kinds.
    said = str(error).lower()
    known = ("out of memory", "resource_exhausted", "failed to allocate", "oom when")
    wrapping = isinstance(error, (tf.errors.OpError, RuntimeError))
    return wrapping and any(word in said for word in known)


@contextlib.contextmanager
def naming_the_batch(size: int | None, mend: str) -> Iterator[None]:
    """Raises TensorFlow's errors of too little memory as one that names the batch.

    Args:
        size: Examples in a batch; `None` where the data have batches of their own.
        mend: What to do, a sentence.

    Raises:
        MemoryError: If memory, of the host or of a device, runs out within TensorFlow.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, MemoryError) or not is_exhausted(error):
            raise
        batches = "the batches of the data" if size is None else f"batch_size={size}"
        first = str(getattr(error, "message", error)).strip().partition("\n")[0]
        raise MemoryError(
            f"The memory does not suffice for {batches}. {mend} TensorFlow says: "
            f"{first}"
        ) from error
