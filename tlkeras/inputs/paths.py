"""Paths of files: what they may be, which file is meant, whether it has changed."""

import hashlib
import numbers
import os
from collections.abc import Sequence
from typing import Any

from tlkeras._validation import as_list, did_you_mean, few, in_order, is_blank, shown


def path_problem(cell: Any, noun: str) -> str | None:
    """Returns why a cell is no path, as half a sentence, or `None` where it is one.

    Args:
        cell: The cell.
        noun: What is in the file: `"image"`.
    """
    if is_blank(cell):
        return f"has no {noun} path"
    if not isinstance(cell, str | os.PathLike) and not _is_number(cell):
        held = "the bytes of a file" if isinstance(cell, bytes) else shown(cell)
        return f"has {held} in place of an {noun} path"
    return None


def _is_number(cell: Any) -> bool:
    is_real = isinstance(cell, numbers.Real) and not isinstance(cell, bool)
    return is_real and cell == cell // 1


def path_text(cell: Any) -> str:
    """Returns the path that a cell without a `path_problem` holds: `"3"` for 3.0."""
    return str(int(cell)) if _is_number(cell) else os.fsdecode(cell)


def listed_paths(
    argument: str, given: Any, arrays: str
) -> list[str | os.PathLike] | None:
    """Returns the path or paths that came as a list; `None` where they are none.

    Args:
        argument: The argument's name, for the message.
        given: A path; a list, an iterator, an array or a Series of them; or anything.
        arrays: What can be passed in place of a file's content, for the message.

    Raises:
        ValueError: If it is a set: nobody could say which answer is to which path; a
            file or its content; or something else is among paths.
    """
    if isinstance(given, str | bytes | os.PathLike):
        given = [given]
    given = in_order(argument, given)
    if getattr(given, "ndim", None) == 1:
        given = as_list(argument, given)
    if not isinstance(given, list | tuple):
        return None
    are_paths = [isinstance(path, str | bytes | os.PathLike) for path in given]
    if any(are_paths) and not all(are_paths):
        strange = are_paths.index(False)
        raise ValueError(
            f"`{argument}` holds unlike things, {shown(given[strange])} at index "
            f"{strange} among paths. Leave it out, or pass them one by one."
        )
    for i, path in enumerate(given):
        if isinstance(path, bytes) and b"\0" in path:
            raise ValueError(
                f"`{argument}` holds {shown(path)} at index {i}: the content of a "
                f"file, where its path is meant. Pass the path, or {arrays}."
            )
    return list(map(os.fsdecode, given)) if all(are_paths) else None


class Files:
    """Which files are meant by paths that may lack their ending.

    Folders are listed once, instead of asking for each file.

    Args:
        endings: What names of such files end in, in lower case.
    """

    def __init__(self, endings: tuple[str, ...]):
        self._endings = endings
        self._listed: dict[str, frozenset[str]] = {}

    def meant(self, folder: str, path: str) -> str:
        """Returns the file that a path names.

        Where there is none of its name, one that has another separator or lacks but an
        ending, if it is the only one.

        Args:
            folder: Where relative paths start from.
            path: The path, as the user wrote it.
        """
        full = os.path.join(folder, path)
        for each in (full, os.path.join(folder, path.replace("\\", "/"))):
            where, name = os.path.split(each)
            names = self._names(where)
            if name in names:
                return each
            endless = self._with_endings(where, name)
            if len(endless) == 1:
                return os.path.join(where, endless[0])
        return full

    def _with_endings(self, folder: str, name: str) -> list[str]:
        found = self._names(folder)
        both = (ending for each in self._endings for ending in (each, each.upper()))
        return [name + ending for ending in both if name + ending in found]

    def _names(self, folder: str) -> frozenset[str]:
        if folder not in self._listed:
            try:
                names = frozenset(os.listdir(folder or "."))
            except OSError:
                names = frozenset()
            self._listed[folder] = names
        return self._listed[folder]

    def hinted(
        self,
        skipped: Sequence[tuple[str, str]],
        full: Sequence[str],
        folders: Sequence[str],
        paths: Sequence[str],
        root: str,
    ) -> list[tuple[str, str]]:
        """Returns files and why they cannot be read, with what may help.

        Args:
            skipped: `(file, reason)`, each file one of `full`.
            full: What `meant` returned.
            folders: Where relative paths start from, of each.
            paths: The paths, as the user wrote them.
            root: The argument that says where paths start from.
        """
        written = dict(zip(full, zip(folders, paths, strict=True), strict=True))
        return [
            (path, reason + self.hint(path, *written[path], root))
            for path, reason in skipped
        ]

    def hint(self, full: str, folder: str, path: str, root: str) -> str:
        """Returns what may help where there is no file, in brackets; else `""`.

        Args:
            full: What `meant` returned.
            folder: Where relative paths start from.
            path: The path, as the user wrote it.
            root: The argument that says where paths start from.
        """
        if os.path.lexists(full):
            return ""
        found = self._found_from(folder, path)
        if found is not None:
            return f" ({found!r} exists: pass the {root} that paths start from)"
        where, name = os.path.split(full)
        names = sorted(
            n for n in self._names(where) if n.lower().endswith(self._endings)
        )
        near = did_you_mean(name, self._with_endings(where, name) or names).strip()
        if near or names:
            return f" ({near or f'its folder holds {few(names)}'})"
        return "" if os.path.isdir(where) else f" (there is no folder {where!r})"

    def _found_from(self, folder: str, path: str) -> str | None:
        """Returns the file that a path names if it starts somewhere else.

        In the working folder, in one above the folder, or in the folder although the
        path is absolute.
        """
        above = os.path.dirname(folder)
        for start in (os.getcwd(), folder, above, os.path.dirname(above)):
            file = os.path.join(start, path.lstrip("/"))
            if os.path.isfile(file):
                return file
        return None


def raise_unreadable(
    paths: Sequence[str | os.PathLike],
    reasons: Sequence[str | None],
    what: str,
    formats: str,
) -> None:
    """Raises `ValueError` that names files that cannot be read, if there are any.

    Args:
        paths: The files.
        reasons: Why each cannot be read; `None` where it can.
        what: What they are to be: `"image"`.
        formats: What can be read: `"WAV and FLAC"`.
    """
    bad = [
        f"{os.fsdecode(path)!r} {reason}"
        for path, reason in zip(paths, reasons, strict=True)
        if reason
    ]
    if bad:
        more = f"; and {len(bad) - 5} more" if len(bad) > 5 else ""
        raise ValueError(
            f"Cannot read {len(bad)} of {len(paths)} {what} files: "
            f"{'; '.join(bad[:5])}{more}. Readable are {formats}."
        )


def state_of(path: str) -> tuple[int, int] | None:
    """Returns size and time of change of a file, `None` where there is none."""
    try:
        status = os.stat(os.fsencode(path))
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def digest_of(path: str) -> bytes | None:
    """Returns a digest of a file's content, `None` where it cannot be read."""
    try:
        with open(os.fsencode(path), "rb") as file:
            return hashlib.file_digest(file, "blake2b").digest()
    except OSError:
        return None
