"""Folders of pictures with a file of boxes for each."""

import os
from collections.abc import Sequence

from tlkeras._validation import check_path
from tlkeras.data.splitting import parts_of


def existing_folder(path: str | os.PathLike) -> str:
    """Returns the absolute path of a folder that exists, or raises `ValueError`."""
    root = os.path.abspath(check_path("path", path))
    if not os.path.isdir(root):
        raise ValueError(f"No such folder: {root!r}.")
    return root


def folders_by_part(folder: str) -> dict[str, str]:
    """Returns the sub-folders that stand for parts of the data, training among them.

    Args:
        folder: Any folder.

    Returns:
        From `"train"`, `"val"` and `"test"` to folders; empty where there are none.
    """
    if not os.path.isdir(folder):
        return {}
    with os.scandir(folder) as entries:
        names = sorted(each.name for each in entries if each.is_dir())
    found = {part: os.path.join(folder, name) for name, part in parts_of(names).items()}
    return found if "train" in found else {}


def files_below(folder: str, endings: Sequence[str]) -> list[str]:
    """Returns the files in a folder with some endings, sorted.

    Args:
        folder: The folder; one that is missing has no files.
        endings: In lower case.
    """
    if not os.path.isdir(folder):
        return []
    names = sorted(n for n in os.listdir(folder) if n.lower().endswith(tuple(endings)))
    return [os.path.join(folder, name) for name in names if not name.startswith(".")]


def first_folder(root: str, names: Sequence[str]) -> str:
    """Returns the first of some sub-folders that exists, else the folder itself."""
    for name in names:
        path = os.path.join(root, name)
        if os.path.isdir(path):
            return path
    return root


def stem_of(path: str) -> str:
    """Returns a file's name without folder and ending."""
    return os.path.splitext(os.path.basename(path))[0]
