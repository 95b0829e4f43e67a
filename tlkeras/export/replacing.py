"""Artefacts that appear under their name only when they are complete and checked."""

import contextlib
import os
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from tlkeras._files import written_whole

# What TensorFlow, Keras 2 and `export` write into the folder of a SavedModel.
_SAVED_MODEL = (
    "saved_model.pb",
    "fingerprint.pb",
    "keras_metadata.pb",
    "variables/variables.*",
    "assets/*",
    "assets.extra/labels.txt",
    "assets.extra/labels_*.txt",
    "assets.extra/metadata.json",
)


@contextlib.contextmanager
def replacing(path: str | os.PathLike, suffix: str) -> Iterator[Path]:
    """Gives a path to write to, and renames it to `path` if all went well.

    Where something fails inside, what was written is deleted, and what was there under
    the final name stays as it was.

    Args:
        path: The final name.
        suffix: What it must end in; `""` for a folder that holds a SavedModel.

    Raises:
        ValueError: If `path` ends in something else, names what is no earlier export
            or a folder that holds more than one, or lies in a folder that does not
            exist or cannot be written to.
    """
    final = Path(os.path.realpath(path))
    _check(final, path, suffix)
    with written_whole(final) as unfinished:
        yield unfinished


def size_of(path: Path) -> int:
    """Returns the bytes of a file, or of all files in a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def _check(final: Path, given: str | os.PathLike, suffix: str) -> None:
    given = os.fspath(given)
    if suffix and final.suffix != suffix:
        raise ValueError(
            f"`path` must end in {suffix!r} for this format. Received: path={given!r}."
        )
    if not final.parent.is_dir() or not os.access(final.parent, os.W_OK):
        raise ValueError(
            f"The model cannot be exported to {given!r}: there is no folder "
            f"{str(final.parent)!r} that can be written to. Make it first."
        )
    if suffix and final.is_dir():
        raise ValueError(
            f"The model cannot be exported to {given!r}: there is a folder of that "
            "name. Choose another name."
        )
    lost = _lost(final) if not suffix and final.exists() else []
    if lost:
        more = f" and {len(lost) - 3} more" if len(lost) > 3 else ""
        raise ValueError(
            f"The model cannot be exported to {given!r}: that is no earlier export, or "
            f"not only one, and {', '.join(map(repr, lost[:3]))}{more} would be "
            "deleted. Choose another name."
        )


def _lost(final: Path) -> list[str]:
    """Returns what would be lost beside a SavedModel if `final` were replaced."""
    if not final.is_dir():
        return [final.name]
    inside = [path.relative_to(final) for path in sorted(final.rglob("*"))]
    if Path("saved_model.pb") not in inside:
        return [path.as_posix() for path in inside]
    return [
        path.as_posix()
        for path in inside
        if (final / path).is_symlink() or not (final / path).is_dir()
        if not any(fnmatchcase(path.as_posix(), each) for each in _SAVED_MODEL)
    ]
