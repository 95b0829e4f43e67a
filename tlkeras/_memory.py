"""The memory that this process holds, and what it can still have."""

import contextlib
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
