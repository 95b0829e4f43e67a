"""Starts workers on this machine, and ends those that do not end by themselves."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

TESTS = Path(__file__).resolve().parent


def free_ports(count: int) -> list[int]:
    """Returns ports that nobody listens at just now."""
    with contextlib.ExitStack() as held:
        servers = [held.enter_context(socket.socket()) for _ in range(count)]
        for server in servers:
            server.bind(("127.0.0.1", 0))
        return [server.getsockname()[1] for server in servers]


def environment(index: int, ports: Sequence[int], **more: str) -> dict[str, str]:
    """Returns the environment of a worker; of a process alone where ports are none."""
    paths = [str(TESTS.parent), str(TESTS), os.environ.get("PYTHONPATH", "")]
    known = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
        "TLKERAS_WORKER_TIMEOUT": "240",
        **more,
    }
    known.pop("TF_CONFIG", None)
    if ports:
        addresses = [f"127.0.0.1:{port}" for port in ports]
        task = {"type": "worker", "index": index}
        config = {"cluster": {"worker": addresses}, "task": task}
        known["TF_CONFIG"] = json.dumps(config)
    return known


@contextlib.contextmanager
def started(
    command: Sequence[object],
    ports: Sequence[int],
    folder: Path,
    prefixes: Sequence[Sequence[str]] = (),
    **more: str,
) -> Iterator[list[subprocess.Popen]]:
    """Starts a worker for each port; none is left when the context ends.

    Args:
        command: Arguments of Python; the worker's number is added.
        ports: One for each worker; none for a process alone.
        folder: `worker-N.log` and `worker-N.err` there hold what they print.
        prefixes: What comes before Python in each worker's command line.
        **more: Variables of the environment.
    """
    processes = []
    with contextlib.ExitStack() as held:
        for index in range(len(ports) or 1):
            out = held.enter_context(open(folder / f"worker-{index}.log", "w"))
            err = held.enter_context(open(folder / f"worker-{index}.err", "w"))
            prefix = prefixes[index] if prefixes else ()
            parts = [*prefix, sys.executable, *map(str, command), str(index)]
            process = subprocess.Popen(
                parts, stdout=out, stderr=err, env=environment(index, ports, **more)
            )
            processes.append(process)
        try:
            yield processes
        finally:
            for process in processes:
                if process.poll() is None:
                    process.kill()
                process.wait()


def wait_for(processes: Sequence[subprocess.Popen], seconds: float) -> bool:
    """Returns whether all processes ended in time."""
    end = time.monotonic() + seconds
    for process in processes:
        try:
            process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            return False
    return True


def errors(folder: Path, index: int) -> str:
    """Returns what a worker printed as errors."""
    return (folder / f"worker-{index}.err").read_text(errors="replace")
