"""The workers that `TF_CONFIG` names, and waiting until all of them are there."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

_DEFAULT_TIMEOUT = 300.0
_PAUSE = 0.2


class WorkerError(RuntimeError):
    """A worker is missing, was lost, or differs from the others; says what to do."""


@dataclass(frozen=True)
class Cluster:
    """The processes that train together, and which of them this one is.

    Attributes:
        addresses: `"host:port"` of each, the chief's first.
        index: This process' place among them.
    """

    addresses: tuple[str, ...] = ()
    index: int = 0

    @classmethod
    def from_environment(cls) -> "Cluster":
        """Reads `TF_CONFIG`; without it there is but one process.

        Raises:
            ValueError: If it does not say what TensorFlow needs to know.
        """
        text = os.environ.get("TF_CONFIG") or "{}"
        try:
            config = json.loads(text)
            jobs = {
                job: list(map(str, config.get("cluster", {}).get(job, [])))
                for job in ("chief", "worker")
            }
            addresses = (*jobs["chief"], *jobs["worker"])
            if len(addresses) < 2:
                return cls(addresses)
            task = config["task"]
            offset = len(jobs["chief"]) if task["type"] == "worker" else 0
            index = int(task["index"])
            if not 0 <= index < len(jobs[task["type"]]):
                raise ValueError(f"there is no {task['type']} {index}")
            for address in addresses:
                _host_and_port(address)
            return cls(addresses, offset + index)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(
                "The environment variable TF_CONFIG must look like "
                '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, '
                '"task": {"type": "worker", "index": 0}}, with another index on each '
                f"worker. {type(error).__name__}: {error}. Received: {text!r}."
            ) from error

    def wait(self, seconds: float | None = None) -> None:
        """Returns once every worker has been seen.

        TensorFlow itself would wait without end for one that never comes.

        Args:
            seconds: How long to wait; by default what the environment variable
                `TLKERAS_WORKER_TIMEOUT` says, or 300.

        Raises:
            WorkerError: If some are still missing then, or this one's port is taken.
        """
        if len(self.addresses) < 2:
            return
        seconds = _timeout() if seconds is None else seconds
        end, missing = time.monotonic() + seconds, set(self.addresses)
        missing.discard(self.addresses[self.index])
        with _listening(self.addresses[self.index]):
            while missing:
                missing = {address for address in missing if not _answers(address)}
                if missing and time.monotonic() > end:
                    raise WorkerError(
                        f"Worker {self.index} of {len(self.addresses)} waited "
                        f"{seconds:.0f} seconds for {sorted(missing)}, which did not "
                        "come up. Start all workers with the same cluster in "
                        "TF_CONFIG, each with its own index, see that their ports can "
                        "be reached, or wait longer with TLKERAS_WORKER_TIMEOUT."
                    )
                if missing:
                    time.sleep(_PAUSE)
            # Others may look for this worker a moment longer; afterwards TensorFlow
            # answers at the same address.
            time.sleep(2 * _PAUSE)


def _timeout() -> float:
    given = os.environ.get("TLKERAS_WORKER_TIMEOUT") or str(_DEFAULT_TIMEOUT)
    try:
        return float(given)
    except ValueError:
        raise ValueError(
            "The environment variable TLKERAS_WORKER_TIMEOUT must be a number of "
            f"seconds. Received: {given!r}."
        ) from None


@contextmanager
def _listening(address: str) -> Iterator[None]:
    """Answers at an address meanwhile."""
    _, port = _host_and_port(address)
    server = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind(("", port))
    except OSError as error:
        server.close()
        raise WorkerError(
            f"This worker cannot listen at {address!r}: {error}. Another process holds "
            "the port: end it, or name another port in every worker's TF_CONFIG."
        ) from error
    server.listen()
    server.settimeout(_PAUSE)
    over = threading.Event()

    def answer() -> None:
        while not over.is_set():
            try:
                server.accept()[0].close()
            except OSError:
                continue

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        server.close()


def _answers(address: str) -> bool:
    try:
        socket.create_connection(_host_and_port(address), timeout=2).close()
        return True
    except OSError:
        return False


def _host_and_port(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ValueError(f"{address!r} is not host:port")
    return host, int(port)
