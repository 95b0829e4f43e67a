"""The cache of features on disk: entries that are complete or not there at all."""

import json
import mmap
import os
import shutil
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import filelock
import ml_dtypes
import numpy as np

from tlkeras._files import remove_tree, write_whole

DEFAULT_BUDGET_GB = 20.0
# Rows are flushed, and counted as finished, about this often.
FLUSH_BYTES = 64 * 2**20


@dataclass(frozen=True)
class ArraySpec:
    """Shape of one example's tensor, and its dtype's name."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def row_bytes(self) -> int:
        """Bytes of one example."""
        return int(np.prod(self.shape, dtype="int64")) * self.numpy_dtype.itemsize

    @property
    def numpy_dtype(self) -> np.dtype:
        """The dtype as NumPy has it, bfloat16 included."""
        return np.dtype(getattr(ml_dtypes, self.dtype, None) or self.dtype)


@dataclass(frozen=True)
class CacheEntry:
    """One set of features on disk.

    Attributes:
        key: Its fingerprint, which is its folder's name.
        size: Bytes on disk.
        examples: Rows.
        about: What it holds, for people.
        last_used: Seconds since the epoch.
    """

    key: str
    size: int
    examples: int
    about: str
    last_used: float


@dataclass(frozen=True)
class CacheInfo:
    """What the cache holds; prints as a table.

    Attributes:
        folder: Where it is.
        budget: Bytes that it may take.
        entries: `CacheEntry`s, the most recently used first.
    """

    folder: Path
    budget: int
    entries: tuple[CacheEntry, ...]

    @property
    def size(self) -> int:
        """Bytes of all entries."""
        return sum(entry.size for entry in self.entries)

    def __str__(self) -> str:
        lines = [
            f"{self.folder}: {len(self.entries)} entries, {readable(self.size)} of "
            f"{readable(self.budget)}"
        ]
        for entry in self.entries:
            used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.last_used))
            lines.append(
                f"  {entry.key[:12]}  {readable(entry.size):>9}  "
                f"{entry.examples:>9,} examples  used {used}  {entry.about}"
            )
        return "\n".join(lines)

    __repr__ = __str__


def cache_folder() -> Path:
    """Returns the cache's folder: `TLKERAS_CACHE`, or one in the user's cache."""
    named = os.environ.get("TLKERAS_CACHE")
    if named:
        return Path(named).expanduser()
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home).expanduser() / "tlkeras"


def cache_budget() -> int:
    """Returns the bytes the cache may take: `TLKERAS_CACHE_GB`, by default 20 GB."""
    given = os.environ.get("TLKERAS_CACHE_GB", "")
    try:
        return int(float(given or DEFAULT_BUDGET_GB) * 1e9)
    except (ValueError, OverflowError):
        raise ValueError(
            "The environment variable TLKERAS_CACHE_GB must be a number of gigabytes. "
            f"Received: {given!r}."
        ) from None


def cache_info(folder: str | Path | None = None) -> CacheInfo:
    """Lists the features that are cached on disk.

    Args:
        folder: The cache's folder, `TLKERAS_CACHE` by default.

    Returns:
        A `CacheInfo` with `.entries`, `.size` and `.budget` (bytes); it prints as a
        table.

    Example:

    >>> tl.cache_info().size <= tl.cache_info().budget
    True
    """
    folder = Path(folder) if folder else cache_folder()
    entries = [_describe(path.parent) for path in folder.glob("*/meta.json")]
    found = [entry for entry in entries if entry is not None]
    found.sort(key=lambda entry: entry.last_used, reverse=True)
    return CacheInfo(folder, cache_budget(), tuple(found))


def clear_cache(key: str | None = None, folder: str | Path | None = None) -> int:
    """Deletes cached features.

    Args:
        key: The first digits of the entries to delete; all of them by default.
        folder: The cache's folder, `TLKERAS_CACHE` by default.

    Returns:
        The number of bytes that were freed.

    Raises:
        ValueError: If no entry starts with `key`.

    Example:

    >>> freed = tl.clear_cache()
    """
    folder = Path(folder) if folder else cache_folder()
    entries = cache_info(folder).entries
    chosen = [entry for entry in entries if entry.key.startswith(key or "")]
    if key and not chosen:
        raise ValueError(
            f"No cache entry starts with {key!r}. Existing entries: "
            f"{[entry.key[:12] for entry in entries]}."
        )
    for entry in chosen:
        remove_tree(folder / entry.key)
    if key is None:
        for leftover in folder.glob("*.partial"):
            with locked(folder, leftover.stem):
                remove_tree(leftover)
        for lock in folder.glob("*.lock"):
            lock.unlink(missing_ok=True)
    return sum(entry.size for entry in chosen)


@contextmanager
def locked(folder: Path, key: str) -> Iterator[None]:
    """Holds the entry's lock: one process fills it, others wait and then read it.

    The system drops the lock of a process that dies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(folder / f"{key}.lock"):
        yield


def open_entry(folder: Path, key: str) -> list[np.ndarray] | None:
    """Returns a complete entry's arrays, memory-mapped, or `None`."""
    entry = folder / key
    meta = _read_json(entry / "meta.json")
    if meta is None:
        return None
    arrays = []
    for number, spec in enumerate(_specs(meta)):
        path = entry / f"{number}.bin"
        if not path.is_file() or path.stat().st_size != meta["rows"] * spec.row_bytes:
            return None
        arrays.append(_map(path, spec, meta["rows"], "r"))
    os.utime(entry / "meta.json")
    return arrays


class EntryWriter:
    """Fills an entry row by row, and goes on where a killed process stopped.

    Rows go to `<key>.partial`; the folder gets its final name when all are on disk.

    Args:
        folder: The cache's folder. The entry's lock must be held.
        key: The entry's fingerprint.
        specs: One `ArraySpec` for each tensor at the cut.
        rows: Examples in all.
        about: What the entry holds, for people.
    """

    def __init__(
        self, folder: Path, key: str, specs: Sequence[ArraySpec], rows: int, about: str
    ):
        self.final = folder / key
        self.partial = folder / f"{key}.partial"
        self.meta = {
            "rows": rows,
            "arrays": [[list(spec.shape), spec.dtype] for spec in specs],
            "about": about,
        }
        self.finished = self._resume()
        self._pending = 0
        paths = [self.partial / f"{number}.bin" for number in range(len(specs))]
        for path, spec in zip(paths, specs, strict=True):
            with open(path, "ab") as file:
                file.truncate(rows * spec.row_bytes)
                _reserve(file.fileno(), rows * spec.row_bytes)
        self.arrays = [
            _map(path, spec, rows, "r+")
            for path, spec in zip(paths, specs, strict=True)
        ]

    def _resume(self) -> int:
        """Returns how many rows an earlier process finished, 0 for a new entry."""
        if _read_json(self.partial / "plan.json") == self.meta:
            progress = _read_json(self.partial / "progress.json") or {"finished": 0}
            return progress["finished"]
        remove_tree(self.partial)
        self.partial.mkdir(parents=True)
        write_whole(self.partial / "plan.json", json.dumps(self.meta))
        return 0

    def write(self, start: int, values: Sequence[np.ndarray]) -> None:
        """Writes rows from `start` on, one array for each tensor."""
        write_rows(self.arrays, start, values)
        self._pending += sum(value.nbytes for value in values)
        if self._pending >= FLUSH_BYTES:
            self._flush(start + len(values[0]))

    def _flush(self, finished: int) -> None:
        for array in self.arrays:
            array.flush()
            release(array)
        write_whole(self.partial / "progress.json", json.dumps({"finished": finished}))
        self._pending = 0

    def finish(self) -> None:
        """Gives the entry its final name; from then on it is trusted."""
        self._flush(self.meta["rows"])
        write_whole(self.partial / "meta.json", json.dumps(self.meta))
        remove_tree(self.final)
        self.partial.rename(self.final)


def write_rows(
    arrays: Sequence[np.ndarray], start: int, values: Sequence[np.ndarray]
) -> None:
    """Writes rows from `start` on; sequences may be shorter or longer than rows are.

    What lies beyond a row is padding: a batch is as long as its longest sequence,
    rounded up.
    """
    for array, value in zip(arrays, values, strict=True):
        rows = array[start : start + len(value)]
        if rows.ndim > 1 and rows.shape != value.shape:
            length = min(rows.shape[1], value.shape[1])
            rows[:, :length] = value[:, :length]
        else:
            rows[...] = value


def make_room(
    folder: Path, sizes: Mapping[str, int], keep: Collection[str] = ()
) -> bool:
    """Deletes entries, the least recently used first, until others fit.

    Nothing is deleted where that would not make room enough within the budget.

    Args:
        folder: The cache's folder.
        sizes: Bytes of the entries that are wanted, by their keys. Those that are
            complete need no room, and stay.
        keep: Keys of further entries that stay.

    Returns:
        Whether they fit: within the budget, and on the disk with a tenth to spare.
    """
    held = {key for key in sizes if open_entry(folder, key) is not None}
    missing = {key: size for key, size in sizes.items() if key not in held}
    if not missing:
        return True
    info = cache_info(folder)
    staying = held.union(keep)
    spare = [entry for entry in reversed(info.entries) if entry.key not in staying]
    excess = info.size + sum(missing.values()) - info.budget
    if excess > sum(entry.size for entry in spare):
        return False
    for entry in spare:
        if excess <= 0:
            break
        remove_tree(folder / entry.key)
        excess -= entry.size
    folder.mkdir(parents=True, exist_ok=True)
    unclaimed = sum(
        max(0, size - _claimed_bytes(folder, key)) for key, size in missing.items()
    )
    return unclaimed * 1.1 <= shutil.disk_usage(folder).free


def release(array: np.ndarray) -> None:
    """Lets go of the memory pages behind a memory-mapped array; the disk keeps them."""
    mapped = array.base if isinstance(array, np.memmap) else None
    if isinstance(mapped, mmap.mmap) and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)


def readable(size: float) -> str:
    """Returns a number of bytes as people write it: `"1.5 GB"`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def _describe(path: Path) -> CacheEntry | None:
    meta = _read_json(path / "meta.json")
    if meta is None:
        return None
    size = sum(spec.row_bytes for spec in _specs(meta)) * meta["rows"]
    used = (path / "meta.json").stat().st_mtime
    return CacheEntry(path.name, size, meta["rows"], meta["about"], used)


def _specs(meta: dict) -> list[ArraySpec]:
    return [ArraySpec(tuple(shape), dtype) for shape, dtype in meta["arrays"]]


def _map(path: Path, spec: ArraySpec, rows: int, mode: str) -> np.ndarray:
    return np.memmap(path, spec.numpy_dtype, mode, shape=(rows, *spec.shape))


def _reserve(descriptor: int, size: int) -> None:
    """Claims the file's space: a full disk is an error now, not a crash later."""
    if size and hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, size)


def _claimed_bytes(folder: Path, key: str) -> int:
    """Returns what an unfinished entry takes on the disk, as far as the system says."""
    try:
        files = [path.stat() for path in (folder / f"{key}.partial").glob("*.bin")]
    except FileNotFoundError:  # Another process has just finished it.
        return 0
    # `st_blocks` counts 512 bytes each, whatever the disk's own blocks are.
    return sum(getattr(file, "st_blocks", 0) * 512 for file in files)


def _read_json(path: Path) -> dict | None:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError):
        return None
