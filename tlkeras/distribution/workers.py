"""`Workers`: the processes that train one model in step, and what they tell another."""

import contextlib
import json
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tlkeras.distribution.cluster import WorkerError

# Bytes that one exchange carries at most from each worker.
_PIECE = 2**24


class Workers:
    """The processes of a strategy; this one alone without a strategy of several.

    Whatever they tell each other goes through the strategy: all of them have to call
    the same methods in the same order.

    Args:
        strategy: A `tf.distribute.Strategy`, or `None`.

    Attributes:
        index: This process' place, 0 for the chief.
        count: How many there are.
    """

    def __init__(self, strategy: Any = None):
        self.strategy = strategy
        self.index, self.count = _place(strategy)

    @property
    def is_chief(self) -> bool:
        """Whether this process writes what is written once."""
        return self.index == 0

    def gather(self, value: Any) -> list[Any]:
        """Returns the values of all workers, in their order.

        Args:
            value: What JSON can hold.
        """
        if self.count == 1:
            return [value]
        parts = self.gather_bytes(json.dumps(value).encode())
        return [json.loads(part) for part in parts]

    def all(self, flag: bool) -> bool:
        """Whether the flag is true on every worker."""
        return all(self.gather(bool(flag)))

    def from_chief(self, make: Callable[[], bytes]) -> bytes:
        """Returns what `make` returns on the chief; its error is every worker's."""
        if self.count == 1:
            return make()
        error, content = None, b""
        if self.is_chief:
            try:
                content = make()
            except Exception as failure:  # noqa: BLE001 - the others must hear of it
                error = failure
        told = "" if error is None else f"{type(error).__name__}: {error}"
        told = self.gather(told)[0]
        if error is not None:
            raise error
        if told:
            raise WorkerError(f"The chief stopped. {told}")
        return self.gather_bytes(content)[0]

    def gather_rows(self, rows: np.ndarray) -> list[np.ndarray]:
        """Returns the rows that each worker has, in the workers' order.

        Args:
            rows: An array; all workers' differ in their length alone.
        """
        if self.count == 1:
            return [rows]
        parts = self.gather_bytes(np.ascontiguousarray(rows).tobytes())
        shape = (-1, *rows.shape[1:])
        return [np.frombuffer(part, rows.dtype).reshape(shape) for part in parts]

    def check_same(self, facts: dict[str, Any]) -> None:
        """Raises `WorkerError` on every worker unless all state the same facts.

        Args:
            facts: What JSON can hold.
        """
        first, *others = self.gather(facts)
        different = [
            f"{name}: {first.get(name)!r} on worker 0, {theirs.get(name)!r} on worker "
            f"{number}"
            for number, theirs in enumerate(others, start=1)
            for name in {**first, **theirs}
            if first.get(name) != theirs.get(name)
        ]
        if different:
            raise WorkerError(
                "All workers must run the same program on the same data. They differ "
                f"in {'; '.join(different)}. Nothing was trained."
            )

    def gather_bytes(self, content: bytes) -> list[bytes]:
        """Returns the bytes of all workers, in their order."""
        if self.count == 1:
            return [content]
        # TensorFlow joins 32-bit integers, and makes room for all on every replica.
        length = np.array([len(content)], "int64").view("int32")
        lengths = np.ascontiguousarray(self._gathered(length)).view("int64")
        parts = [bytearray() for _ in lengths]
        for first in range(0, max(1, lengths.max()), _PIECE):
            piece = content[first : first + _PIECE]
            # One byte more at least: it crashes where nobody has anything to tell.
            words = np.frombuffer(piece + b"\0" * (4 - len(piece) % 4), "int32")
            every, start = self._gathered(words), 0
            for part, whole in zip(parts, lengths, strict=True):
                size = min(max(whole - first, 0), _PIECE)
                end = start + size // 4 + 1
                part += every[start:end].tobytes()[:size]
                start = end
        return [bytes(part) for part in parts]

    def _gathered(self, values: np.ndarray) -> np.ndarray:
        """Joins the workers' integers."""
        if self.strategy not in _GATHERING:
            _GATHERING[self.strategy] = _gathering(self.strategy, self.count)
        return np.asarray(_GATHERING[self.strategy](values))


# Compiled once for each strategy.
_GATHERING: "weakref.WeakKeyDictionary[Any, Callable]" = weakref.WeakKeyDictionary()


def _gathering(strategy: Any, workers: int) -> Callable[[np.ndarray], Any]:
    """Returns a function that joins integers, given by each worker's first replica."""
    import tensorflow as tf

    local = strategy.num_replicas_in_sync // workers
    whole = weakref.ref(strategy)

    @tf.function(input_signature=[tf.TensorSpec([None], "int32")], autograph=False)
    def gather(values):
        def mine():
            context = tf.distribute.get_replica_context()
            first = tf.cast(context.replica_id_in_sync_group % local == 0, "int32")
            return context.all_gather(values[: tf.size(values) * first], axis=0)

        strategy = whole()
        return strategy.experimental_local_results(strategy.run(mine))[0]

    return gather


@contextlib.contextmanager
def losing_a_worker(workers: Workers, how: str) -> Iterator[None]:
    """Says what to do where TensorFlow finds that a worker is gone.

    Args:
        workers: The processes.
        how: How the same call goes on when it is made again.
    """
    if workers.count == 1:
        yield
        return
    import tensorflow as tf

    try:
        yield
    except (
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
        tf.errors.InternalError,
        tf.errors.UnavailableError,
    ) as error:
        raise WorkerError(
            f"Worker {workers.index} of {workers.count} lost another one, and stopped. "
            f"End all workers and start them again with the same call: {how}. "
            f"TensorFlow says: {str(error).strip().splitlines()[0]}"
        ) from error


def _place(strategy: Any) -> tuple[int, int]:
    resolver = getattr(strategy, "cluster_resolver", None)
    jobs = resolver.cluster_spec().as_dict() if resolver is not None else {}
    chief, workers = len(jobs.get("chief", [])), len(jobs.get("worker", []))
    if chief + workers < 2 or "TPU" in type(strategy).__name__:
        return 0, 1
    offset = 0 if resolver.task_type == "chief" else chief
    return offset + resolver.task_id, chief + workers
