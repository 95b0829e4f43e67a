"""Model files: written whole or not at all, looked at before they are read."""

import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from tlkeras._files import written_whole
from tlkeras.runtime import current_runtime


def load(path: str | Path) -> keras.Model:
    """Loads a model from the one file that `model.save` wrote.

    Args:
        path: A `.keras` file, or the folder that `model.save(zipped=False)` wrote.

    Returns:
        The model as it was saved: weights, head, preprocessing, class names, freeze
        point and optimizer; under the strategy that `tl.configure` chose.

    Raises:
        ValueError: If there is no such file, or it is damaged or no Keras model.

    Example:

    >>> tl.image_classifier("glyphnet", ["a", "b"]).save("glyphs.keras")
    >>> tl.load("glyphs.keras").class_names
    ('a', 'b')
    """
    path = Path(path)
    if not (path / "config.json").is_file():
        _check_file(path)
    try:
        with current_runtime().scope():
            return keras.models.load_model(path)
    except (OSError, zipfile.BadZipFile, json.JSONDecodeError) as error:
        raise _damaged(path, str(error)) from error


def save_whole(write: Callable[[Path], Any], path: str | os.PathLike) -> None:
    """Writes a model file that appears under its name only when it is complete.

    Args:
        write: Writes the model to the path that it is given.
        path: The final name, which ends in `.keras`. Where writing fails, an earlier
            file of that name stays as it was.

    Raises:
        ValueError: If `path` is a folder or cannot be written to.
    """
    final = Path(os.path.realpath(path))
    try:
        if final.is_dir():
            raise IsADirectoryError("there is a folder of that name")
        with written_whole(final) as unfinished:
            write(unfinished)
    except OSError as error:
        reason = f"there is no folder {str(final.parent)!r}"
        raise ValueError(
            f"The model cannot be saved to {os.fspath(path)!r}: "
            f"{error if final.parent.is_dir() else reason}. The path must name a file "
            "in a folder that exists and can be written to."
        ) from error


def _check_file(path: Path) -> None:
    """Raises `ValueError` where a file can be seen not to hold a Keras model."""
    if not path.is_file():
        raise ValueError(
            f"There is no file {str(path)!r}. tl.load takes a file that "
            "`model.save('name.keras')` wrote."
        )
    if path.suffix in (".h5", ".hdf5"):
        return
    if not zipfile.is_zipfile(path):
        raise _damaged(path, f"its {path.stat().st_size:,} bytes are no whole archive")
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    if "config.json" not in names or not any("weights" in name for name in names):
        raise _damaged(path, f"it holds {names[:5]}, not configuration and weights")
    if path.suffix != ".keras":
        raise ValueError(
            f"The name of a model file must end in '.keras'. Rename {str(path)!r}."
        )


def _damaged(path: Path, reason: str) -> ValueError:
    return ValueError(
        f"{str(path)!r} is damaged or no Keras model: {reason}. tl.load takes a file "
        "that `model.save('name.keras')` wrote; copy or save it again."
    )
