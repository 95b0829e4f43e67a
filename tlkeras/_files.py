"""Files and folders that appear under their name whole or not at all."""

import contextlib
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

# What is still being written has names like this; a process that dies leaves it.
UNFINISHED = ".*.unfinished"


@contextlib.contextmanager
def written_whole(path: str | os.PathLike) -> Iterator[Path]:
    """Gives a path to write a file or a folder to, and renames it if all went well.

    Where something fails inside, what was written is deleted, and what was there under
    the final name stays as it was.

    Args:
        path: The final name. What a link points to is replaced, not the link.
    """
    final = Path(os.path.realpath(path))
    unfinished = _beside(final, final.suffix)
    try:
        yield unfinished
        _rename(unfinished, final)
    finally:
        if os.path.isdir(unfinished):
            shutil.rmtree(unfinished)
        elif os.path.exists(unfinished):
            unfinished.unlink()


def write_whole(path: str | os.PathLike, content: str | bytes) -> None:
    """Writes a file that appears under its name when it is complete."""
    data = content.encode() if isinstance(content, str) else content
    with written_whole(path) as unfinished:
        unfinished.write_bytes(data)


def remove_tree(path: Path) -> None:
    """Deletes a folder so that it is never seen half deleted under its own name."""
    if path.exists():
        doomed = _beside(path)
        path.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def _beside(path: Path, suffix: str = "") -> Path:
    """Returns a name in the same folder that nothing has."""
    return path.with_name(UNFINISHED.replace("*", uuid.uuid4().hex[:12]) + suffix)


def _rename(unfinished: Path, final: Path) -> None:
    if unfinished.is_file():
        with open(unfinished, "rb+") as file:
            # A name must not reach the disk before what it names.
            os.fsync(file.fileno())
    if not final.is_dir():
        unfinished.replace(final)
        return
    # A folder that holds something cannot be replaced in one step.
    earlier = _beside(final)
    final.rename(earlier)
    try:
        unfinished.rename(final)
    except OSError:
        earlier.rename(final)
        raise
    shutil.rmtree(earlier)
